"""Reading tests: their files, token scores, the baseline and the curve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.answers.selection import WordsOnly
from cape.evaluation.reading import (
    BadReadingTest,
    ReadingResult,
    auroc,
    best_within,
    bm25_sentence,
    curve,
    point_at,
    read_rows,
    result_of,
    token_scores,
)
from cape.operations.evaluating_questions import read_answer

SENTENCES = ["The tower was built in 1889 .", "It is painted every seven years .", "Many people visit it ."]
ROW = {
    "id": "1",
    "input": "when was the tower built",
    "passages": [{"title": "Tower", "text": " ".join(SENTENCES), "sentences": SENTENCES}],
    "output": [{"answer": "The tower was built in 1889.", "selected_sentences": SENTENCES[:1]}],
}


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_read_and_answered(tmp_path: Path) -> None:
    (row,) = read_rows(written(tmp_path / "a.jsonl", ROW))
    assert row.is_answerable
    result = result_of(row, read_answer(row, WordsOnly()))
    assert result.right
    assert result.f1 > 0.5
    assert result.baseline_f1 == 1.0


def test_all_files_of_a_directory_are_read(tmp_path: Path) -> None:
    written(tmp_path / "b.jsonl", {**ROW, "id": "2", "output": [{"answer": "", "selected_sentences": []}]})
    written(tmp_path / "a.jsonl", ROW)
    assert [(row.id, row.is_answerable) for row in read_rows(tmp_path)] == [("1", True), ("2", False)]


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        {**ROW, "input": None},
        {**ROW, "passages": [{"title": "x"}]},
        {**ROW, "output": [{}]},
        {**ROW, "output": None},
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, row: object) -> None:
    with pytest.raises(BadReadingTest) as raised:
        read_rows(written(tmp_path / "a.jsonl", ROW, row))
    assert raised.value.where == f"{tmp_path / 'a.jsonl'}:2"


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl", written(tmp_path / "empty.txt")):
        with pytest.raises(BadReadingTest):
            read_rows(path)


@given(st.text(max_size=40), st.text(max_size=40))
def test_token_scores_are_shares_and_f1_is_symmetric(one: str, other: str) -> None:
    f1, recall = token_scores(one, other)
    assert 0.0 <= f1 <= 1.0
    assert 0.0 <= recall <= 1.0
    assert f1 == pytest.approx(token_scores(other, one)[0])


def test_bm25_puts_the_sentence_with_the_rare_words_first() -> None:
    assert bm25_sentence("how often do they paint it", SENTENCES) == SENTENCES[1]
    assert bm25_sentence("nothing of it", []) == ""


def result(confidence: float, *, answerable: bool, right: bool = False) -> ReadingResult:
    return ReadingResult(
        id="1",
        question="?",
        is_answerable=answerable,
        confidence=confidence,
        found=True,
        text="",
        f1=0.0,
        recall=0.0,
        right=right,
        baseline_f1=0.0,
    )


RESULTS = [
    result(0.9, answerable=True, right=True),
    result(0.8, answerable=True),
    result(0.7, answerable=False),
    result(0.6, answerable=True, right=True),
    result(0.1, answerable=False),
]


def test_the_curve_counts_right_and_wrong() -> None:
    """By hand: at .6 two of three are answered right, one wrong, and one of two unanswerable is answered."""
    point = point_at(RESULTS, 0.6)
    assert (point.right, point.wrong, point.answered_without) == (2 / 3, 1 / 3, 1 / 2)
    assert [one.bar for one in curve(RESULTS)] == [0.9, 0.8, 0.7, 0.6, 0.1]
    best = best_within(curve(RESULTS), 0.05)
    assert best is not None
    assert best.right == 1 / 3


def test_auroc_counts_pairs() -> None:
    """By hand: of six pairs five are in order."""
    assert auroc(RESULTS) == pytest.approx(5 / 6)
    assert auroc(RESULTS[:2]) == 0.0
