"""PDF: pages, columns, headings, paragraphs and tables, from positions alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cape.knowledge.documents import BlockKind
from tests.knowledge.extraction.making import document, lines_at, pdf, texts, told

LONG = [
    "The annual leave of employees is twenty-eight days, and the remain-",
    "ing part can be carried into the next year when the manager agrees.",
    "Nobody has to ask twice.",
]


def test_pages_headings_and_paragraphs_are_kept(tmp_path: Path) -> None:
    heads = [(57.0, 780.0, 20.0, "*Leave policy"), (57.0, 740.0, 14.0, "*1 Introduction")]
    first = [*heads, *lines_at(57, 715, 10, LONG)]
    second = [
        (57.0, 780.0, 14.0, "*2 Details"),
        *lines_at(57, 755, 10, LONG),
        *lines_at(57, 700, 10, ["Another paragraph stands here, after a gap."]),
    ]
    found = document(tmp_path, "leave.pdf", pdf([first, second]))
    whole = "The annual leave of employees is twenty-eight days, and the remaining part can be carried into "
    whole += "the next year when the manager agrees. Nobody has to ask twice."
    assert told(found.blocks) == [
        ("heading 1", "page 1", "Leave policy"),
        ("heading 2", "page 1", "1 Introduction"),
        ("paragraph", "page 1", whole),
        ("heading 2", "page 2", "2 Details"),
        ("paragraph", "page 2", whole),
        ("paragraph", "page 2", "Another paragraph stands here, after a gap."),
    ]
    assert found.title == "Leave policy"


def test_a_word_that_has_a_hyphen_elsewhere_keeps_it_at_a_lines_end(tmp_path: Path) -> None:
    lines = ["A well-known rule holds for all of the people here, and it is well-", "known that it does."]
    found = document(tmp_path, "a.pdf", pdf([lines_at(57, 700, 10, lines)]))
    assert texts(found)[0].endswith("it is well-known that it does.")


def prose(mark: str, count: int) -> list[str]:
    return [f"{mark}{number} wide prose that fills its whole column" for number in range(count)]


def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    page = [(57.0, 790.0, 20.0, "*A title that stands across both of the columns")]
    for number in range(12):  # Drawn line by line across the gutter, as some programs do.
        page.append((57.0, 750.0 - 14 * number, 10.0, prose("l", 12)[number]))
        page.append((310.0, 750.0 - 14 * number, 10.0, prose("r", 12)[number]))
    text = " ".join(texts(document(tmp_path, "a.pdf", pdf([page]))))
    assert re.findall(r"[lr]\d+", text) == [f"{side}{number}" for side in "lr" for number in range(12)]


def test_a_sentence_goes_on_over_a_page(tmp_path: Path) -> None:
    pages = [
        lines_at(57, 100, 10, ["This sentence is long, and it is not at its end when"]),
        lines_at(57, 700, 10, ["the page is. It ends here."]),
    ]
    assert told(document(tmp_path, "a.pdf", pdf(pages)).blocks) == [
        (
            "paragraph",
            "page 1",
            "This sentence is long, and it is not at its end when the page is. It ends here.",
        )
    ]


def test_running_heads_and_page_numbers_are_left_out(tmp_path: Path) -> None:
    pages = [
        [
            (57.0, 810.0, 8.0, "Firm AS - Annual report"),
            *lines_at(57, 600, 10, [f"Text of page number {'abc'[number]} that says a thing."]),
            (500.0, 30.0, 8.0, f"Page {number + 1} of 3"),
        ]
        for number in range(3)
    ]
    found = document(tmp_path, "a.pdf", pdf(pages))
    assert texts(found) == [f"Text of page number {letter} that says a thing." for letter in "abc"]


def test_lines_that_run_by_chapters_are_left_out_too(tmp_path: Path) -> None:
    pages = [
        [
            (57.0, 810.0, 8.0, f"Chapter {'one' if number < 4 else 'two'}"),
            *lines_at(57, 600, 10, [f"Text of page {'abcdefgh'[number]} that says a thing."]),
        ]
        for number in range(8)
    ]
    found = document(tmp_path, "a.pdf", pdf(pages))
    assert texts(found) == [f"Text of page {letter} that says a thing." for letter in "abcdefgh"]


def test_a_table_of_contents_is_left_out_with_a_note(tmp_path: Path) -> None:
    entries = [f"{number} Chapter {'.' * 60} {3 * number}" for number in range(1, 6)]
    prices = [f"Coffee {'.' * 60} {price}" for price in (4, 2, 3, 1, 5)]
    found = document(tmp_path, "a.pdf", pdf([lines_at(57, 700, 10, entries), lines_at(57, 700, 10, prices)]))
    assert found.notes == ("its table of contents was left out",)
    assert "Chapter" not in " ".join(texts(found))
    assert "Coffee" in " ".join(texts(found))


ROWS = [("Region", "2022", "2023"), ("Nordics", "1,575", "1,801"), ("Iberia", "1,385", "1,573")]
SEEN = ["Region: Nordics; 2022: 1,575; 2023: 1,801", "Region: Iberia; 2022: 1,385; 2023: 1,573"]


def cells(rows: list[tuple[str, ...]], top: float, step: float = 16) -> list[tuple[float, float, float, str]]:
    return [
        (60.0 + 120 * column, top - step * number, 9.5, text)
        for number, row in enumerate(rows)
        for column, text in enumerate(row)
    ]


def test_a_table_without_rules_is_found_by_its_columns(tmp_path: Path) -> None:
    page = [*lines_at(57, 760, 10, LONG), *cells(ROWS, 690), *lines_at(57, 600, 10, LONG)]
    found = document(tmp_path, "a.pdf", pdf([page]))
    assert texts(found, BlockKind.ROW) == SEEN
    row = next(block for block in found.blocks if block.kind is BlockKind.ROW)
    assert (row.place.page, row.table) == (1, "table 1")
    assert [(cell.column, cell.text, cell.place.page) for cell in row.cells][1] == ("2022", "1,575", 1)
    assert [block.kind for block in found.blocks] == [
        BlockKind.PARAGRAPH,
        BlockKind.ROW,
        BlockKind.ROW,
        BlockKind.PARAGRAPH,
    ]


def test_an_unruled_table_of_words_has_a_head_only_in_bold_type(tmp_path: Path) -> None:
    rows = [("mode", "what it does"), ("-d", "default settings"), ("-s", "slow start")]
    plain = document(tmp_path, "a.pdf", pdf([cells(rows, 690)]))
    assert texts(plain) == ["mode; what it does", "-d; default settings", "-s; slow start"]
    bold = [(f"*{rows[0][0]}", f"*{rows[0][1]}"), *rows[1:]]
    found = document(tmp_path, "b.pdf", pdf([cells(bold, 690)]))
    assert texts(found)[0] == "mode: -d; what it does: default settings"


def grid(xs: list[float], ys: list[float]) -> list[tuple[float, float, float, float]]:
    across = [(xs[0], y, xs[-1], y) for y in ys]
    return across + [(x, ys[0], x, ys[-1]) for x in xs]


def test_a_ruled_table_keeps_cells_of_several_lines(tmp_path: Path) -> None:
    page = [
        *lines_at(57, 760, 10, LONG),
        *[(60.0, 690.0, 9.0, "*Record"), (200.0, 690.0, 9.0, "*Kept for")],
        *[(60.0, 672.0, 9.0, "Measurements of"), (60.0, 660.0, 9.0, "customers")],
        *[(200.0, 672.0, 9.0, "until the contract ends,"), (200.0, 660.0, 9.0, "and 90 days")],
        *[(60.0, 642.0, 9.0, "Door logs"), (200.0, 642.0, 9.0, "60 days")],
    ]
    rules = grid([57, 195, 400], [702, 684, 654, 636])
    found = document(tmp_path, "a.pdf", pdf([page], rules=rules))
    assert texts(found, BlockKind.ROW) == [
        "Record: Measurements of customers; Kept for: until the contract ends, and 90 days",
        "Record: Door logs; Kept for: 60 days",
    ]


def test_a_table_goes_on_over_a_page_with_its_headings(tmp_path: Path) -> None:
    more = [("Baltics", "638", "726"), ("Overseas", "807", "968"), ("Benelux", "101", "102")]
    found = document(tmp_path, "a.pdf", pdf([cells(ROWS, 690), cells(more, 690)]))
    rows = [block for block in found.blocks if block.kind is BlockKind.ROW]
    assert [block.text for block in rows[:3]] == [*SEEN, "Region: Baltics; 2022: 638; 2023: 726"]
    assert {block.table for block in rows} == {"table 1"}
    assert [block.place.page for block in rows] == [1, 1, 2, 2, 2]


def test_pages_that_are_turned_are_read_upright(tmp_path: Path) -> None:
    page = [(57.0, 560.0, 16.0, "*A wide table"), *lines_at(57, 530, 10, LONG), *cells(ROWS, 470)]
    rules = grid([57, 175, 295, 420], [482, 466, 450, 434])
    upright, turned = (
        document(tmp_path, "a.pdf", pdf([page], rules=rules, turned=turned)).blocks
        for turned in (False, True)
    )
    assert told(turned) == told(upright)
    assert [block.text for block in turned if block.kind is BlockKind.ROW] == SEEN


def test_list_items_are_apart(tmp_path: Path) -> None:
    page = [
        *lines_at(57, 760, 10, LONG),
        *[(60.0, 700.0, 10.0, "•"), (75.0, 700.0, 10.0, "the first point of a list that goes on in")],
        *[(75.0, 687.0, 10.0, "the second line")],
        *[(60.0, 674.0, 10.0, "•"), (75.0, 674.0, 10.0, "the second point")],
    ]
    found = document(tmp_path, "a.pdf", pdf([page]))
    assert texts(found, BlockKind.LIST_ITEM) == [
        "the first point of a list that goes on in the second line",
        "the second point",
    ]


@pytest.mark.parametrize(
    ("title", "taken"), [("Annual report", "Annual report"), ("Microsoft Word - draft3.docx", "Heading")]
)
def test_the_title_of_its_properties_counts_unless_it_is_a_programs(
    tmp_path: Path, title: str, taken: str
) -> None:
    page = [(57.0, 780.0, 20.0, "*Heading"), *lines_at(57, 740, 10, LONG)]
    assert document(tmp_path, "a.pdf", pdf([page], title=title)).title == taken


def test_the_words_are_those_that_another_program_reads() -> None:
    """An independent reader (kreuzberg, which reads text only) finds the same words in the example's PDFs."""
    kreuzberg = pytest.importorskip("kreuzberg")
    from cape.knowledge.extraction import extract

    documents = Path(__file__).parents[3] / "examples/handbook/documents"
    files = sorted(documents.rglob("*.pdf"))
    assert files
    for file in files:
        found = extract(file.name, file)
        ours = set(re.findall(r"\w{4,}", " ".join(texts(found))))  # type: ignore[arg-type]
        theirs = set(re.findall(r"\w{4,}", kreuzberg.extract_file_sync(str(file)).content))
        assert len(theirs - ours) <= 6, (file.name, theirs - ours)
        assert ours <= theirs, (file.name, ours - theirs)
