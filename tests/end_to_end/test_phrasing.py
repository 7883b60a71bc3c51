"""`cape ask` with a writer: a service on loopback that says what each test lets it say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import INPUT, SOURCE, Project
from tests.end_to_end.test_asking import indexed
from tests.mirrors.loopback import unused_url
from tests.writers.service import Answer, service

QUESTION = "Who inspects every anchor?"
KEY = "sk-not-to-be-told"
WRITERS = """
[writers.big]
api = "chat"
model = "large-2"
key = "WRITER_KEY"

[secrets]
SHOPS_KEY = { command = "printf %s sk-of-the-shop" }
"""


def says(*rows: tuple[str, list[int]], **more: Any) -> Answer:
    told = json.dumps({"sentences": [{"text": text, "passages": cited} for text, cited in rows]})
    choice = {"message": {"role": "assistant", "content": told}, "finish_reason": "stop", **more}
    return Answer(body={"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": 9}})


GOOD = says(("Olav Brekke inspects every anchor in the first week of May.", [1]))


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = indexed(tmp_path_factory.mktemp("phrasing"))
    with open(project.manifest, "a") as stream:
        stream.write(WRITERS)
    return project


@pytest.fixture
def manual(settled: Project, tmp_path: Path) -> Project:
    shutil.copytree(settled.directory, tmp_path / "copy", symlinks=True)
    return Project(directory=tmp_path / "copy", environment={**settled.environment, "WRITER_KEY": KEY})


def asked(project: Project, url: str, *words: str) -> dict[str, Any]:
    done = project.cape("ask", QUESTION, "--writer", "big", "--json", *words, CAPE_WRITERS=f"big={url}/v1")
    found = json.loads(done.succeeded().stdout)
    assert isinstance(found, dict)
    return found


def test_what_the_passages_support_is_printed_with_its_mark_and_its_cost(manual: Project) -> None:
    with service(GOOD) as running:
        found = asked(manual, running.url)
    assert found["text"] == "Olav Brekke inspects every anchor in the first week of May. [1]"
    assert [one["document"] for one in found["citations"]] == ["docs/anchor.md"]
    assert found["citations"][0]["where"] == "line 5"
    assert found["tokens_to_writer"] == 59
    assert found["writer"] == {"api": "chat", "model": "large-2"}
    ((_, headers, body),) = running.asked
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "inspected by Olav Brekke" in body["messages"][1]["content"]
    assert "52,000" not in json.dumps(body), "a passage that the asker may not see was sent"
    told = json.loads(manual.cape("usage", "--json").succeeded().stdout)
    assert told["totals"][0]["tokens_to_writer"] == 59


def test_what_the_passages_do_not_support_is_dropped_and_said(manual: Project) -> None:
    bad = ("Sigrid Aune inspects every anchor on 3 October 2019.", [1])
    with service(says(("Every anchor is inspected by Olav Brekke.", [1]), bad)) as running:
        found = asked(manual, running.url)
    assert "Sigrid" not in found["text"] and "Olav Brekke" in found["text"]
    assert [one["text"] for one in found["dropped"]] == [bad[0]]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (says(("Sigrid Aune does it on 3 October 2019.", [1])), "support nothing of what the writer said"),
        (says(), "the writer found no answer"),
        (Answer(body={"choices": [{"message": {"content": "No idea."}}]}), "not of the form"),
        (Answer(status=500), "answered 500"),
        (Answer(status=401, body={"error": {"message": "bad key"}}), "answered 401: bad key"),
        (Answer(body="<html>"), "no JSON object"),
    ],
)
def test_the_quotes_stand_where_the_writer_is_of_no_use(manual: Project, answer: Answer, note: str) -> None:
    quoted = json.loads(manual.cape("ask", QUESTION, "--quote", "--json").succeeded().stdout)
    with service(answer) as running:
        found = asked(manual, running.url)
    assert (found["text"], found["citations"]) == (quoted["text"], quoted["citations"])
    assert any("quoted, because" in one and note in one for one in found["notes"]), found["notes"]


def test_a_writer_that_is_down_costs_an_answer_nothing_but_a_note(manual: Project) -> None:
    found = asked(manual, unused_url())
    assert "Olav Brekke" in found["text"]
    assert any("did not answer" in one for one in found["notes"])


def test_a_question_without_an_answer_is_sent_to_nobody(manual: Project) -> None:
    with service(GOOD) as running:
        done = manual.cape(
            *("ask", "How many cats live in the lighthouse tower?", "--writer", "big"),
            CAPE_WRITERS=f"big={running.url}/v1",
        )
    assert done.succeeded().stdout.startswith("Not found")
    assert running.asked == []


def test_the_manifest_names_the_writer_and_a_secret_holds_its_key(manual: Project) -> None:
    with service(GOOD) as running:
        text = manual.manifest.read_text().replace("answer-from = 40", 'answer-from = 40\nwriter = "big"')
        text = text.replace('key = "WRITER_KEY"', f'key = "SHOPS_KEY"\nendpoint = "{running.url}/v1"')
        manual.manifest.write_text(text)
        done = manual.cape("ask", QUESTION).succeeded()
        assert done.stdout.startswith("Olav Brekke inspects")
        assert running.asked[0][1]["authorization"] == "Bearer sk-of-the-shop"
        manual.cape("ask", QUESTION, "--quote").succeeded()
        assert len(running.asked) == 1
    assert "sk-of-the-shop" not in (manual.directory / ".cape/knowledge/answers.jsonl").read_text()


def test_a_writer_that_cannot_be_opened_is_said_before_anything_is_sent(manual: Project) -> None:
    manual.cape("ask", QUESTION, "--writer", "other").failed(INPUT, "no writer `other`", "`big`")
    manual.cape("ask", QUESTION, "--writer", "big").failed(INPUT, "has no address", "cape config writers")
    without = manual.with_variables(WRITER_KEY="")
    without.cape("ask", QUESTION, "--writer", "big", CAPE_WRITERS="big=http://127.0.0.1:9").failed(
        SOURCE, "`$WRITER_KEY` is not set"
    )


TABLE = """
[writers.small]
api = "chat"
model = "small-1"
endpoint = "{small}/v1"
input-price = 1
output-price = 2
strength = 0.3
timeout = {patience}

[writers.large]
api = "chat"
model = "large-2"
endpoint = "{large}/v1"
input-price = 10
output-price = 30
strength = 0.9
data = ["internal"]
{more}
"""


def routing(
    project: Project, small: str, large: str, *, base: str = "", more: str = "", patience: int = 20
) -> Project:
    """The project with a table of two writers, both of the base."""
    text = project.manifest.read_text().replace(
        "answer-from = 40", f'answer-from = 40\nwriter = ["small", "large"]\n{base}'
    )
    table = TABLE.format(small=small, large=large, more=more, patience=patience)
    project.manifest.write_text(text + table)
    return project


def routed(project: Project, *words: str) -> dict[str, Any]:
    found = json.loads(project.cape("ask", QUESTION, "--json", *words).succeeded().stdout)
    assert isinstance(found, dict)
    return found


def test_the_router_asks_the_cheap_writer_first_and_usage_tells_what_it_cost(manual: Project) -> None:
    with service(GOOD) as small, service(GOOD) as large:
        found = routed(routing(manual, small.url, large.url))
        assert (len(small.asked), len(large.asked)) == (1, 0)
    assert found["route"]["writer"] == "small" and found["route"]["failures"] == []
    assert found["route"]["cost"] == pytest.approx((50 + 2 * 9) / 1e6)
    told = json.loads(manual.cape("usage", "--json").succeeded().stdout)
    (row,) = told["writers"]
    assert (row["writer"], row["calls"], row["tokens_sent"], row["tokens_written"]) == ("small", 1, 50, 9)
    assert row["cost"] == pytest.approx(68 / 1e6)


def test_a_hard_question_goes_to_the_strong_writer_first(manual: Project) -> None:
    with service(GOOD) as small, service(GOOD) as large:
        found = routed(routing(manual, small.url, large.url, base="strong-from = -5"))
        assert (len(small.asked), len(large.asked)) == (0, 1)
    assert found["route"]["writer"] == "large"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(status=503), "answered 503"),
        (says(finish_reason="length", message={"content": "I cannot."}), "not of the form"),
        (says(("Sigrid Aune inspects every anchor on 3 October 2019.", [1])), "support nothing"),
        (Answer(body={"choices": []}), "without a text"),
        (Answer(body=GOOD.body, wait_s=4), "cannot be used"),
    ],
)
def test_the_next_writer_is_asked_where_one_is_down_or_slow_or_says_junk(
    manual: Project, answer: Answer, why: str
) -> None:
    with service(answer) as small, service(GOOD) as large:
        found = routed(routing(manual, small.url, large.url, patience=1))
    assert found["route"]["writer"] == "large"
    ((failure),) = found["route"]["failures"]
    assert failure["writer"] == "small" and why in failure["why"]
    assert any("`small` was asked first" in note for note in found["notes"])
    assert found["text"].startswith("Olav Brekke inspects every anchor in the first week")


def test_a_writer_that_was_never_reached_costs_nothing(manual: Project) -> None:
    with service(GOOD) as large:
        found = routed(routing(manual, unused_url(), large.url))
    assert found["route"]["writer"] == "large"
    assert found["route"]["cost"] == pytest.approx((50 * 10 + 9 * 30) / 1e6)
    told = json.loads(manual.cape("usage", "--json").succeeded().stdout)["writers"]
    assert [(one["writer"], one["failed"], one["cost"] > 0) for one in told] == [
        ("large", 0, True),
        ("small", 1, False),
    ]


def test_a_class_of_data_that_no_writer_may_see_is_sent_to_nobody(manual: Project) -> None:
    with service(GOOD) as small, service(GOOD) as large:
        found = routed(routing(manual, small.url, large.url, base='data = "secret"'))
        assert small.asked == large.asked == []
    assert "Olav Brekke" in found["text"]
    (note,) = [one for one in found["notes"] if "quoted, because" in one]
    assert "`large` may not see `secret`" in note and "`small` may not see `secret`" in note


def test_data_of_a_class_goes_to_who_may_see_it(manual: Project) -> None:
    with service(GOOD) as small, service(GOOD) as large:
        found = routed(routing(manual, small.url, large.url, base='data = "internal"'))
        assert small.asked == []
    assert found["route"]["writer"] == "large"
    assert found["route"]["left_out"] == [{"writer": "small", "why": "may not see `internal`"}]


def test_what_must_stay_here_is_sent_to_nobody_elsewhere(manual: Project) -> None:
    with service(GOOD) as small, service(GOOD) as large:
        found = routed(routing(manual, small.url, large.url, base="local-only = true"))
        assert small.asked == large.asked == []
    assert any("`small` is not on this machine" in note for note in found["notes"])


def test_a_budget_lets_no_call_through_that_it_may_not_cover(manual: Project) -> None:
    """A call to `small` may cost some 0.01, to `large` ten times as much; each does cost 68 millionths."""
    with service(GOOD) as small, service(GOOD) as large:
        project = routing(manual, small.url, large.url, more="[budget]\nday = 0.0001")
        found = routed(project)
        assert small.asked == large.asked == []
        assert any("of the day's 0.0001 is left" in note for note in found["notes"]), found["notes"]
        text = project.manifest.read_text()
        project.manifest.write_text(text.replace("day = 0.0001", "day = 0.02"))
        assert routed(project)["route"]["writer"] == "small"
    told = json.loads(project.cape("usage", "--json").succeeded().stdout)
    (day,) = told["budget"]
    assert (day["limit"], day["spent"]) == (0.02, pytest.approx(68 / 1e6))
    shown = project.cape("usage").succeeded().stdout
    assert "of 0.02 this day" in shown


def test_a_question_of_100_000_characters_is_cut_before_it_is_sent(manual: Project) -> None:
    with service(GOOD) as small, service(GOOD) as large:
        project = routing(manual, small.url, large.url)
        long = QUESTION + " " + "and the anchor " * 6_666
        done = project.cape("ask", long, "--json").succeeded()
        sent = small.asked + large.asked
    assert len(long) > 100_000 - 10 and len(json.loads(done.stdout)["question"]) == 2_000
    assert sent
    assert all(len(body["messages"][1]["content"]) < 20_000 for _, _, body in sent)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("input-price = -1\noutput-price = 1", "`input-price` of the writer"),
        ("input-price = nan\noutput-price = 1", "`input-price` of the writer"),
        ("strength = 1.5", "`strength` of the writer"),
        ("input-price = 1", "has one price of two"),
        ("window = 0", "`window` of the writer"),
        ("[budget]\nday = -1", "`day` of the budget"),
        ("[budget]\nweek = 1", "week"),
    ],
)
def test_a_table_of_writers_with_a_wrong_number_is_told_with_its_line(
    manual: Project, more: str, says: str
) -> None:
    text = manual.manifest.read_text()
    manual.manifest.write_text(text + f'\n[writers.other]\napi = "chat"\nmodel = "m"\n{more}\n')
    manual.cape("ask", QUESTION).failed(INPUT, says, "cape.toml:")
