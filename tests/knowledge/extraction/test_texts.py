"""Markdown, plain text, source code, HTML and mails: structure and exact lines."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.decoding import hygienic, one_line
from tests.knowledge.extraction.making import document, texts, told


def test_markdown_keeps_headings_lists_tables_and_code_with_their_lines(tmp_path: Path) -> None:
    source = """# Leave *policy*

Everyone has **28 days** of
leave, see [the law](https://law.example).

- first point
  goes on
- second
  1. nested

| Grade | Days |
|-------|-----:|
| A     | 28   |
| B     |      |

```python
if x:

    y()
```

Setext
------
"""
    found = document(tmp_path, "leave-policy.md", source.encode())
    assert found.title == "Leave policy"
    assert told(found.blocks) == [
        ("heading 1", "line 1", "Leave policy"),
        ("paragraph", "lines 3-4", "Everyone has 28 days of leave, see the law."),
        ("list-item", "lines 6-7", "first point goes on"),
        ("list-item", "line 8", "second"),
        ("list-item", "line 9", "nested"),
        ("row", "line 13", "Grade: A; Days: 28"),
        ("row", "line 14", "Grade: B"),
        ("code", "lines 16-20", "if x:\n\n    y()"),
        ("heading 2", "line 22", "Setext"),
    ]
    assert found.blocks[5].table == "table 1"
    assert found.extractor.startswith("cape-markdown 2 (markdown-it-py ")


def test_front_matter_gives_the_title_and_fields(tmp_path: Path) -> None:
    yaml = b"---\ntitle: 'Travel: rules'\nowner: HR\ntags: [a, b]\nnested:\n  key: no\n---\n# Other\n"
    found = document(tmp_path, "a.md", yaml)
    assert found.title == "Travel: rules"
    assert told(found.blocks) == [
        ("field", "line 2", "title: Travel: rules"),
        ("field", "line 3", "owner: HR"),
        ("field", "line 4", "tags: a, b"),
        ("heading 1", "line 8", "Other"),
    ]
    toml = document(tmp_path, "b.md", b'+++\ntitle = "In TOML"\ndays = 3\n+++\ntext\n')
    assert toml.title == "In TOML"
    assert told(toml.blocks)[1:] == [("field", "line 3", "days: 3"), ("paragraph", "line 5", "text")]


def test_inline_markup_is_dropped_and_its_text_kept(tmp_path: Path) -> None:
    source = "Run `cape  lock` or ``a ` b``, \\*not bold\\*, <br>AT&amp;T, ![a chart](x.png), ~~gone~~ [r][1]"
    source += "\n\n[1]: x"
    found = document(tmp_path, "a.md", source.encode())
    assert texts(found) == ["Run cape lock or a ` b, *not bold*, AT&T, a chart, gone r"]


def test_html_in_markdown_loses_tags_and_comments(tmp_path: Path) -> None:
    found = document(tmp_path, "a.md", b"<!-- secret -->\n\n<div><b>seen</b> text</div>\n")
    assert texts(found) == ["seen text"]


def test_plain_text_has_paragraphs_headings_and_items(tmp_path: Path) -> None:
    source = """=====
Rules
=====

Introduction
------------
This is a long line of text that is wrapped by hand
and goes on in the second line.

Steps:
- open the valve
- close it
  slowly
2) done

Short line
Another one
"""
    found = document(tmp_path, "rules.txt", source.encode())
    assert told(found.blocks) == [
        ("heading 1", "lines 1-3", "Rules"),
        ("heading 2", "lines 5-6", "Introduction"),
        (
            "paragraph",
            "lines 7-8",
            "This is a long line of text that is wrapped by hand and goes on in the second line.",
        ),
        ("paragraph", "line 10", "Steps:"),
        ("list-item", "line 11", "open the valve"),
        ("list-item", "lines 12-13", "close it slowly"),
        ("list-item", "line 14", "done"),
        ("paragraph", "line 16", "Short line"),
        ("paragraph", "line 17", "Another one"),
    ]


def test_source_code_is_cut_at_its_margins_and_its_comments_are_prose(tmp_path: Path) -> None:
    source = '''#!/usr/bin/env python3
"""Retries an upload.

The rule is a compromise.
"""

import os

# How long to wait
# at first.
FIRST_WAIT_S = 40


def wait(attempt):
    """Seconds."""

    return attempt


class Uplink:
    pass
'''
    found = document(tmp_path, "uplink_retry.py", source.encode())
    assert found.title == "uplink retry"
    kinds = [(kind, place, text.split("\n")[0]) for kind, place, text in told(found.blocks)]
    assert kinds == [
        ("paragraph", "line 2", "Retries an upload."),
        ("paragraph", "line 4", "The rule is a compromise."),
        ("code", "line 7", "import os"),
        ("paragraph", "lines 9-10", "How long to wait at first."),
        ("code", "line 11", "FIRST_WAIT_S = 40"),
        ("code", "lines 14-17", "def wait(attempt):"),
        ("code", "lines 20-21", "class Uplink:"),
    ]


def test_docstrings_and_block_comments_are_paragraphs(tmp_path: Path) -> None:
    python = document(tmp_path, "a.py", b'"""First.\n\nSecond\nline.\n"""\n\nx = 1\n')
    assert told(python.blocks) == [
        ("paragraph", "line 1", "First."),
        ("paragraph", "lines 3-4", "Second line."),
        ("code", "line 7", "x = 1"),
    ]
    c = document(tmp_path, "a.c", b"/*\n * Sends again.\n */\nint send(void);\n\n#include <x.h>\n")
    assert told(c.blocks) == [
        ("paragraph", "line 2", "Sends again."),
        ("code", "line 4", "int send(void);"),
        ("code", "line 6", "#include <x.h>"),
    ]


def test_configuration_is_code_with_lines(tmp_path: Path) -> None:
    found = document(tmp_path, "a.toml", b"# Production.\n[web]\nport = 80\n\n[db]\npool = 4\n")
    assert told(found.blocks) == [
        ("paragraph", "line 1", "Production."),
        ("code", "lines 2-3", "[web]\nport = 80"),
        ("code", "lines 5-6", "[db]\npool = 4"),
    ]


PAGE = """<!doctype html>
<html><head><title>Helpdesk | Intranet</title><style>p {}</style></head>
<body>
<header>Logo</header><nav><ul><li>Home</li></ul></nav>
<main>
<h1>Helpdesk</h1>
<p>Open from <b>07:30</b>
to 16:30 &amp; later.<br>Call 4040.
<ul><li>one<li>two <em>more</em></ul>
<div hidden>unseen</div><div style="display: none">unseen</div>
<table>
<tr><th>Priority</th><th>First answer</th></tr>
<tr><td>urgent</td><td>30 <i>minutes</i></td></tr>
<tr><td rowspan=2>normal</td><td>4 hours</td></tr>
<tr><td>5 hours</td></tr>
</table>
<pre>a
  b</pre>
<script>alert("no")</script>
</main>
<footer>Imprint</footer>
</body></html>
"""


def test_html_keeps_the_main_text_and_drops_what_surrounds_it(tmp_path: Path) -> None:
    found = document(tmp_path, "helpdesk.html", PAGE.encode())
    assert found.title == "Helpdesk"
    assert told(found.blocks) == [
        ("heading 1", "line 6", "Helpdesk"),
        ("paragraph", "lines 7-8", "Open from 07:30 to 16:30 & later. Call 4040."),
        ("list-item", "line 9", "one"),
        ("list-item", "line 9", "two more"),
        ("row", "line 13", "Priority: urgent; First answer: 30 minutes"),
        ("row", "line 14", "Priority: normal; First answer: 4 hours"),
        ("row", "line 15", "Priority: normal; First answer: 5 hours"),
        ("code", "lines 17-18", "a\n  b"),
    ]


def test_html_that_names_its_encoding_is_read_by_it(tmp_path: Path) -> None:
    page = '<meta charset="iso-8859-2"><p>Gdańsk</p>'.encode("iso-8859-2")
    assert texts(document(tmp_path, "a.html", page)) == ["Gdańsk"]


def test_html_without_a_sound_structure_is_read_all_the_same(tmp_path: Path) -> None:
    page = b"<p>one<p>two</b></div><![endif]--><![x <h2><h2>three</h2><table><td>four</table></table>five"
    assert texts(document(tmp_path, "a.html", page)) == ["one", "two", "three", "four", "five"]


def test_html_of_tags_that_never_end_is_read_in_time(tmp_path: Path) -> None:
    """The library's parser needs a time for this that grows with the square of the length, and more."""
    for tag in ("<a ", "<p", "</", "<a href='"):
        page = f"<p>seen</p>{tag * 50_000}<p>also seen</p>"
        found = document(tmp_path, "a.html", page.encode())
        assert (found.blocks[0].text, found.blocks[-1].text) == ("seen", "also seen")


MAIL = """From: Signe <signe@firm.example>
To: Ragna <ragna@lab.example>
Subject: =?utf-8?q?Re=3A_Gda=C5=84sk?=
Date: Fri, 26 Apr 2024 08:31:00 +0200
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Dear Ragna,

the shackle was too small.

On Thu, 25 Apr 2024 at 17:02, Ragna <ragna@lab.example>
wrote:
> It drifts.
> What now?

Signe
"""


def test_a_mail_has_fields_and_its_own_text_with_lines(tmp_path: Path) -> None:
    found = document(tmp_path, "a.eml", MAIL.encode())
    assert found.title == "Re: Gdańsk"
    assert told(found.blocks) == [
        ("field", "line 1", "From: Signe <signe@firm.example>"),
        ("field", "line 2", "To: Ragna <ragna@lab.example>"),
        ("field", "line 4", "Date: Fri, 26 Apr 2024 08:31:00 +0200"),
        ("field", "line 3", "Subject: Re: Gdańsk"),
        ("paragraph", "line 8", "Dear Ragna,"),
        ("paragraph", "line 10", "the shackle was too small."),
        ("paragraph", "line 17", "Signe"),
    ]
    assert found.notes == ("what it quotes of earlier messages was left out",)


def test_a_mails_attachments_are_read_by_their_own_formats(tmp_path: Path) -> None:
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["Subject"] = "a@firm.example", "The rota"
    message.set_content("See the files.")
    message.add_alternative("<p>See the files in HTML.</p>", subtype="html")
    message.add_attachment(b"day,who\nMonday,Jo\n", maintype="text", subtype="csv", filename="rota.csv")
    message.add_attachment(b"%PDF-broken", maintype="application", subtype="pdf", filename="plan.pdf")
    message.add_attachment(b"\0", maintype="application", subtype="octet-stream", filename="a.bin")
    found = document(tmp_path, "a.eml", bytes(message))
    line = bytes(message).decode().split("\n").index("See the files.") + 1
    assert ("paragraph", f"line {line}", "See the files.") in told(found.blocks)
    assert ("row", "rota.csv!A2:B2", "day: Monday; who: Jo") in told(found.blocks)
    assert "Attachment rota.csv" in texts(found, BlockKind.HEADING)
    assert found.title == "The rota"
    assert found.notes == (
        "its attachment `plan.pdf` was not read: it is broken: it is no whole PDF",
        "its attachment `a.bin` was not read: it is of a format that cape does not read",
    )


def test_a_mail_in_html_loses_its_quotes(tmp_path: Path) -> None:
    page = b"<p>New.</p><blockquote>a<blockquote>b</blockquote>c</blockquote>"
    mail = b"Subject: Hi\nContent-Type: text/html\n\n" + page
    assert texts(document(tmp_path, "a.eml", mail)) == ["Subject: Hi", "New."]


def test_invisible_characters_and_strange_spaces_are_gone(tmp_path: Path) -> None:
    source = "so\u00adft zero\u200bwidth\u202e no\u00a0break cafe\u0301 bell\x07 tag\U000e0041"
    assert texts(document(tmp_path, "a.txt", source.encode())) == ["soft zerowidth no break café bell tag"]


@settings(max_examples=100)
@given(st.text())
def test_hygiene_changes_nothing_the_second_time(text: str) -> None:
    assert hygienic(hygienic(text)) == hygienic(text)
    assert one_line(one_line(text)) == one_line(text)


def test_a_title_falls_back_to_the_files_name(tmp_path: Path) -> None:
    assert document(tmp_path, "docs/q1_sales-report.txt", b"text").title == "q1 sales report"
