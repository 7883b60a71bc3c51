"""The record of answers: whole lines, bounded, without the question's text unless that is wanted."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cape.answers.answer import NOT_FOUND, Answer, Explanation, Verdict
from cape.answers.question import Asked
from cape.answers.retrieval import Retrieval
from cape.configuration import BadConfiguration, Configuration
from cape.operations import usage
from cape.operations.asking import AskResult
from cape.operations.project import Project
from cape.operations.usage import record, usage_file, usage_of

QUESTION = "Who pays the secret train?"
PLAIN = Configuration({})


def result(*, found: bool = False, whole: int = 1000) -> AskResult:
    answer = Answer(
        question=QUESTION,
        asked=Asked.PERSON,
        verdict=Verdict.FOUND if found else Verdict.NOT_FOUND,
        text=NOT_FOUND,
        citations=(),
        confidence=0.5,
        passages=1,
        has_vectors=False,
        explanation=Explanation(),
    )
    return AskResult(
        base="handbook",
        user="jonas",
        answer=answer,
        retrieval=Retrieval(question=QUESTION, searched=QUESTION, chunks=(), documents=(), by_vectors=False),
        tokens_to_writer=0,
        tokens_whole_documents=whole,
        took_ms={"search": 2.0, "answer": 3.0},
        notes=(),
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_answers_are_counted_by_base_and_month(project: Project) -> None:
    assert record(project, result(found=True), PLAIN)
    assert record(project, result(whole=500), PLAIN)
    (total,) = usage_of(project, PLAIN).totals
    assert (total.base, total.answers, total.found) == ("handbook", 2, 1)
    assert (total.tokens_to_writer, total.tokens_whole_documents, total.saved_tokens) == (0, 1500, 1500)
    assert total.mean_ms == 5.0
    assert total.saved_money is None
    assert len(total.period) == len("2026-03")
    assert len(usage_of(project, PLAIN, daily=True).totals[0].period) == len("2026-03-14")


def test_a_price_makes_money_of_tokens(project: Project) -> None:
    record(project, result(whole=500_000), PLAIN)
    priced = usage_of(project, Configuration({"usage.price": ("3",)}))
    assert priced.price == 3.0
    assert priced.totals[0].saved_money == 1.5


def test_a_price_that_is_none_is_refused(project: Project) -> None:
    with pytest.raises(BadConfiguration, match="number above 0"):
        usage_of(project, Configuration({"usage.price": ("cheap",)}))


def test_neither_question_nor_asker_is_kept(project: Project) -> None:
    record(project, result(), PLAIN)
    text = usage_file(project).read_text()
    assert "secret" not in text
    assert "jonas" not in text
    assert json.loads(text)["question"].startswith("sha256:")
    assert os.stat(usage_file(project)).st_mode & 0o077 == 0


def test_the_question_is_kept_where_the_user_wants_it(project: Project) -> None:
    record(project, result(), Configuration({"usage.questions": ("text",)}))
    assert json.loads(usage_file(project).read_text())["text"] == QUESTION


def test_lines_of_many_writers_stay_whole(project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: record(project, result(), PLAIN), range(80)))
    assert usage_of(project, PLAIN).totals[0].answers == 80
    assert usage_of(project, PLAIN).unreadable == 0


def test_a_line_half_written_spoils_no_other(project: Project) -> None:
    record(project, result(), PLAIN)
    with open(usage_file(project), "ab") as stream:
        stream.write(b'{"time_s": 17')
    record(project, result(), PLAIN)
    found = usage_of(project, PLAIN)
    assert found.unreadable == 1
    assert found.totals[0].answers == 2


def test_the_record_is_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "FULL_BYTES", 1000)
    for _ in range(50):
        record(project, result(), PLAIN)
    kept = sum(file.stat().st_size for file in usage_file(project).parent.iterdir())
    assert kept < 3000
    assert usage_of(project, PLAIN).totals[0].answers >= 4


def test_a_project_that_cannot_be_written_is_still_answered(project: Project) -> None:
    project.state.write_text("a file is in the way")
    assert not record(project, result(), PLAIN)
    assert usage_of(project, PLAIN).totals == ()
