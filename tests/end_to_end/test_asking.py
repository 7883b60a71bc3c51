"""`cape ask`, `cape usage` and `cape evaluate questions|answers` as a user meets them, by words alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import INPUT, INTEGRITY, NO, STATE, USAGE, Project

MANIFEST = """\
schema = 1

[environment]
name = "manual"
systems = ["x86_64-linux", "aarch64-linux"]

[knowledge.manual]
sources = ["docs/**/*.md", "docs/**/*.csv"]
access = "access.toml"
questions = "questions.toml"
answer-from = 40
"""
ACCESS = """\
default = "everyone"
[users]
astrid = ["hr"]
jonas = []
[[rules]]
documents = ["docs/hr/**"]
groups = ["hr"]
"""
DOCUMENTS = {
    "docs/anchor.md": (
        "# Anchors\\n\\nThe anchor holds in sand. It drags in weed.\\n\\n"
        "Every anchor is inspected by Olav Brekke in the first week of May.\\n"
    ),
    "docs/hr/pay.md": "# Pay\\n\\nThe harbour master is paid 52,000 EUR a year.\\n",
    "docs/buoys.csv": "Name,Colour,Weight (kg)\\nNorth,yellow,95\\nSouth,red,80\\n",
}
QUESTIONS = """\
[[questions]]
id = "inspection"
half = "calibrate"
kind = "person"
question = "Who inspects every anchor?"
answer = ["Olav Brekke"]
sources = ["docs/anchor.md"]

[[questions]]
id = "north"
half = "calibrate"
kind = "cells"
question = "What is the weight of the North buoy?"
answer = ["95"]
sources = ["docs/buoys.csv"]

[[questions]]
id = "pay"
half = "test"
kind = "hidden"
question = "How much is the harbour master paid a year?"
as = "jonas"
"""


def write(project: Project, files: dict[str, str]) -> None:
    for path, text in files.items():
        (project.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (project.directory / path).write_text(text.replace("\\n", "\n"))


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An indexed base of three documents, for all tests of this module: they leave it as it is."""
    return indexed(tmp_path_factory.mktemp("asking"))


def indexed(place: Path) -> Project:
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "CAPE_STORE": str(place / "store"),
        "XDG_CONFIG_HOME": str(place / "config"),
    }
    (place / "manual").mkdir()
    project = Project(directory=place / "manual", environment=variables)
    write(project, {**DOCUMENTS, "cape.toml": MANIFEST, "access.toml": ACCESS, "questions.toml": QUESTIONS})
    project.cape("lock").succeeded()
    project.cape("index").succeeded()
    return project


def asked(project: Project, *words: str) -> dict[str, Any]:
    found = json.loads(project.cape("ask", *words, "--json").succeeded().stdout)
    assert isinstance(found, dict)
    return found


def test_an_answer_is_cited_by_document_and_lines(manual: Project) -> None:
    done = manual.cape("ask", "Who inspects every anchor?").succeeded()
    assert "inspected by Olav Brekke" in done.stdout
    assert "[1] docs/anchor.md, line 5" in done.stdout


def test_the_base_may_be_named(manual: Project) -> None:
    assert asked(manual, "manual", "Who inspects every anchor?")["base"] == "manual"
    manual.cape("ask", "manuel", "Who?").failed(INPUT, "there is no knowledge base `manuel`", "`manual`")


def test_a_cell_is_cited_and_json_has_every_field(manual: Project) -> None:
    answer = asked(manual, "What is the weight of the North buoy?")
    assert answer["verdict"] == "found"
    assert "95" in answer["text"]
    assert answer["citations"][0]["document"] == "docs/buoys.csv"
    assert answer["tokens_to_writer"] == 0
    assert answer["tokens_whole_documents"] > 0
    assert answer["explanation"] is None
    assert set(answer["citations"][0]["place"]) == {"page", "lines", "sheet", "cells", "span"}


def test_what_an_asker_may_not_see_is_not_found(manual: Project) -> None:
    question = "How much is the harbour master paid a year?"
    assert "52,000 EUR" in asked(manual, question, "--as", "astrid")["text"]
    for words in ((question, "--as", "jonas"), (question,)):
        answer = asked(manual, *words)
        assert answer["verdict"] == "not-found"
        assert answer["text"] == "Not found in what you may see."
        assert answer["citations"] == []
    assert "pay.md" not in manual.cape("ask", question, "--explain").succeeded().stdout


def test_a_hidden_document_changes_no_byte_of_an_answer(tmp_path: Path) -> None:
    project = indexed(tmp_path)

    def told() -> list[str]:
        answers = [
            asked(project, question, "--as", "jonas", "--explain")
            for question in (
                "Who inspects every anchor?",
                "What is the weight of the North buoy?",
                "Who pays?",
            )
        ]
        return [json.dumps({**answer, "ms": None, "id": None}) for answer in answers]

    before = told()
    secret = "# Anchor\n\nEvery anchor is inspected by Solveig in June, and the North buoy weighs 7 kg.\n"
    write(project, {f"docs/hr/{name}.md": secret for name in ("a", "anchor", "zz")})
    project.cape("index").succeeded()
    assert told() == before


def test_explain_shows_ranking_evidence_and_reasons(manual: Project) -> None:
    done = manual.cape("ask", "Who painted the ceiling of the chapel?", "--explain").succeeded()
    assert done.stdout.startswith("Not found in what you may see.")
    assert "not found: " in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("ask",), USAGE, "wants WORDS"),
        (("ask", ""), INPUT, "the question is empty"),
        (("ask", " \t\x07 "), INPUT, "the question is empty"),
        (("ask", "?!"), INPUT, "no word"),
        (("ask", "who", "pays", "what"), USAGE, "put the question in quotes"),
        (("ask", "Who?", "--as", "jonnas"), INPUT, "did you mean `jonas`?"),
        (("ask", "Who?", "-k", "0"), USAGE, "a number from 1 to 200"),
        (("ask", "Who?", "-k", "x"), USAGE, "a number from 1 to 200"),
        (("evaluate", "questions", "--require", "2"), USAGE, "a share from 0 to 1"),
        (("evaluate", "questions", "--half", "both"), USAGE, "`calibrate` or `test`"),
        (("evaluate", "answers", "none.jsonl"), INPUT, "cannot be read"),
        (("evaluate", "answers", "access.toml"), INPUT, "access.toml:1"),
    ],
)
def test_a_bad_request_is_refused(manual: Project, words: tuple[str, ...], code: int, said: str) -> None:
    manual.cape(*words).failed(code, said)


@pytest.mark.parametrize(
    "question", ["Hva veier bøyen?", "ブイの重さは？", "a" * 3000, "'; DROP TABLE chunks; --", "-1 OR NOT *"]
)
def test_any_text_is_a_question(manual: Project, question: str) -> None:
    manual.cape("ask", "manual", question).succeeded()


def test_a_question_of_100_000_characters_is_cut_in_bounded_time(manual: Project) -> None:
    started = time.monotonic()
    done = manual.cape("ask", "Who inspects every anchor? " * 3_700).succeeded()
    assert "only the first 2000 characters" in done.stderr
    assert time.monotonic() - started < 30


def test_asking_before_indexing_says_what_to_do(tmp_path: Path) -> None:
    project = indexed(tmp_path)
    (project.directory / ".cape/knowledge/manual/index.sqlite").unlink()
    project.cape("ask", "Who?").failed(STATE, "has no index", "cape index manual")


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    project = indexed(tmp_path)
    (project.directory / ".cape/knowledge/manual/index.sqlite").write_bytes(b"not a database" * 100)
    project.cape("ask", "Who?").failed(INTEGRITY, "damaged", "--rebuild")


def test_usage_counts_answers_and_keeps_no_question(tmp_path: Path) -> None:
    project = indexed(tmp_path)
    assert "no answers yet" in project.cape("usage").succeeded().stdout
    project.cape("ask", "Who inspects every anchor?").succeeded()
    project.cape("ask", "Who painted the ceiling?").succeeded()
    project.cape("evaluate", "questions").succeeded()
    totals = json.loads(project.cape("usage", "--json").succeeded().stdout)["totals"]
    assert [(one["base"], one["answers"], one["found"]) for one in totals] == [("manual", 2, 1)]
    assert totals[0]["saved_money"] is None
    table = project.cape("usage", CAPE_USAGE_PRICE="3").succeeded().stdout
    assert "saved money" in table
    assert "anchor" not in (project.directory / ".cape/knowledge/answers.jsonl").read_text()


def test_questions_are_scored_by_kind_and_half(manual: Project) -> None:
    done = manual.cape("evaluate", "questions", "--json").succeeded()
    report = json.loads(done.stdout)
    assert (report["right"], report["questions"], report["met"]) == (3, 3, True)
    assert [half["half"] for half in report["halves"]] == ["calibrate", "test", "both"]
    assert report["proposed"]["wrong"] == 0
    manual.cape("evaluate", "questions", "--half", "test", "--require", "1").succeeded()


def test_a_bar_that_is_not_met_fails(tmp_path: Path) -> None:
    project = indexed(tmp_path)
    write(project, {"questions.toml": QUESTIONS.replace("Olav Brekke", "Solveig")})
    done = project.cape("evaluate", "questions", "--require", "0.9")
    done.failed(NO, "66.7% are right, and 90.0% are required")
    assert "wrong-text: `inspection`" in done.stdout


def test_a_reading_test_is_scored(manual: Project) -> None:
    sentences = ["The tower was built in 1889 .", "It is painted every seven years ."]
    passage = {"title": "Tower", "text": " ".join(sentences), "sentences": sentences}
    good = {"answer": "The tower was built in 1889.", "selected_sentences": sentences[:1]}
    none = {"answer": "", "selected_sentences": []}
    rows = [
        {"id": "1", "input": "when was the tower built", "passages": [passage], "output": [good]},
        {"id": "2", "input": "who owns the zoo in Riga", "passages": [passage], "output": [none]},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (manual.directory / "reading.jsonl").write_text(text)
    report = json.loads(manual.cape("evaluate", "answers", "reading.jsonl", "--json").succeeded().stdout)
    assert (report["rows"], report["answerable"], report["embedder"]) == (2, 1, None)
    assert report["baseline_f1"] == 1.0
    assert report["auroc"] == 1.0
    assert report["at_bar"]["answered_without"] == 0.0
    assert 0.0 < report["at_bar"]["bar"] < 1.0
    assert "token F1" in manual.cape("evaluate", "answers", "reading.jsonl").succeeded().stdout
