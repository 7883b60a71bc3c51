"""Files of questions, and when an answer to one is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cape.answers.answer import NOT_FOUND, Answer, Citation, Explanation, Verdict
from cape.answers.question import Asked
from cape.evaluation.questions import (
    BadQuestions,
    Outcome,
    TestQuestion,
    judge,
    propose_bar,
    read_questions,
    says,
    score,
    scores_by_kind,
)
from cape.knowledge.documents import Place
from cape.names import Digest

GOOD = """
[[questions]]
id = "hotel"
half = "calibrate"
kind = "look-up"
question = "How much may a night cost?"
as = "jonas"
answer = ["165 EUR"]
sources = ["travel.docx"]
place = "page 3"
"""
HOTEL = TestQuestion(
    id="hotel",
    half="calibrate",
    kind="look-up",
    question="How much may a night cost?",
    asked_as="jonas",
    answer=("165 EUR",),
    sources=("travel.docx",),
    place="page 3",
)


def found(text: str, *places: tuple[str, Place]) -> Answer:
    citations = tuple(
        Citation(number=number, document=document, place=place, quote=text, chunk=Digest.of(b""))
        for number, (document, place) in enumerate(places, start=1)
    )
    return Answer(
        question="?",
        asked=Asked.AMOUNT,
        verdict=Verdict.FOUND if places else Verdict.NOT_FOUND,
        text=text if places else NOT_FOUND,
        citations=citations,
        confidence=0.5,
        passages=1,
        has_vectors=False,
        explanation=Explanation(),
    )


def test_questions_are_read(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(GOOD)
    assert read_questions(tmp_path / "q.toml") == [HOTEL]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('half = "calibrate"', 'half = "both"', "`half` of question `hotel` is `both`"),
        ('kind = "look-up"', 'kind = "odd"', "`kind` of question `hotel` is `odd`"),
        ('kind = "look-up"', 'kind = "absent"', "wants no `answer`"),
        ('answer = ["165 EUR"]', "", "wants an `answer`"),
        ('answer = ["165 EUR"]', "answer = [165]", "not a list of texts"),
        ('place = "page 3"', "place = 3", "`place` of question `hotel` is not a text"),
        ('place = "page 3"', 'colour = "red"', "unknown field `colour`"),
        ('id = "hotel"', "", "has no `id`"),
        ("[[questions]]", "[[question]]", "has no `[[questions]]`"),
        ("[[questions]]", "[[questions]", "no TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_question(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "q.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(BadQuestions) as raised:
        read_questions(tmp_path / "q.toml")
    assert said in str(raised.value)


def test_two_questions_of_one_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(GOOD + GOOD)
    with pytest.raises(BadQuestions, match="two questions have the id `hotel`"):
        read_questions(tmp_path / "q.toml")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadQuestions, match="cannot be read"):
        read_questions(tmp_path / "none.toml")


PAGE_3 = ("travel.docx", Place(page=3))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (found("up to 165  eur [1]", PAGE_3), Outcome.RIGHT),
        (found("", *()), Outcome.REFUSED),
        (found("up to 120 EUR", PAGE_3), Outcome.WRONG_TEXT),
        (found("165 EUR", ("other.md", Place(page=3))), Outcome.WRONG_SOURCE),
        (found("165 EUR", ("travel.docx", Place(page=4))), Outcome.WRONG_PLACE),
    ],
)
def test_an_answer_is_judged(answer: Answer, outcome: Outcome) -> None:
    assert judge(HOTEL, answer).outcome is outcome


def test_absent_wants_not_found() -> None:
    absent = replace(HOTEL, kind="hidden", answer=(), sources=(), place=None)
    assert judge(absent, found("", *())).is_right
    assert judge(absent, found("165 EUR", PAGE_3)).outcome is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("place", "wanted", "said"),
    [
        (Place(sheet="Regions", cells="B7:E7"), "Regions!C7", True),
        (Place(sheet="Regions", cells="B7:E7"), "Regions!F7", False),
        (Place(sheet="Regions", cells="B7:E7"), "Metrics!C7", False),
        (Place(sheet="Regions", cells="B7"), "Regions!", True),
        (Place(lines=(4, 6)), "lines 4-6", True),
        (Place(), "page 1", False),
    ],
)
def test_a_place_says_a_cell_within_its_range(place: Place, wanted: str, said: bool) -> None:
    assert says(place, wanted) is said


def test_scores_are_by_kind() -> None:
    judgements = [judge(HOTEL, found("165 EUR", PAGE_3)), judge(HOTEL, found("", *()))]
    assert (score(judgements).right, score(judgements).of, score(judgements).share) == (1, 2, 0.5)
    assert list(scores_by_kind(judgements)) == ["look-up"]
    assert score([]).share == 0.0


def test_the_bar_that_serves_best_is_proposed() -> None:
    """By hand: at 40 two are right and none wrong; at 30 and below one more is wrong."""
    absent = replace(HOTEL, kind="absent", answer=(), sources=(), place=None)
    judgements = [
        replace(judge(HOTEL, found("165 EUR", PAGE_3)), confidence=0.42),
        replace(judge(absent, found("165 EUR", PAGE_3)), confidence=0.3),
    ]
    proposed = propose_bar(judgements)
    assert proposed is not None
    assert (proposed.per_cent, proposed.right, proposed.wrong, proposed.refused) == (40, 2, 0, 1)
    assert propose_bar([]) is None


def test_the_proposed_bar_bounds_what_is_answered_without_an_answer_before_it_counts_right_ones() -> None:
    """By hand: eight right answers below the one that nobody may get do not outweigh it."""
    absent = replace(HOTEL, kind="absent", answer=(), sources=(), place=None)
    right = judge(HOTEL, found("165 EUR", PAGE_3))
    leaked = replace(judge(absent, found("165 EUR", PAGE_3)), confidence=0.52)
    judgements = [replace(right, confidence=0.2)] * 8 + [replace(right, confidence=0.71), leaked]
    proposed = propose_bar(judgements)
    assert proposed is not None
    assert (proposed.per_cent, proposed.right, proposed.wrong) == (70, 2, 0)


def test_where_no_bar_keeps_the_bound_the_proposed_one_answers_as_few_as_any() -> None:
    absent = replace(HOTEL, kind="absent", answer=(), sources=(), place=None)
    leaks = [replace(judge(absent, found("165 EUR", PAGE_3)), confidence=sure) for sure in (1.0, 0.3)]
    right = replace(judge(HOTEL, found("165 EUR", PAGE_3)), confidence=0.4)
    proposed = propose_bar([*leaks, right])
    assert proposed is not None
    assert (proposed.per_cent, proposed.right, proposed.wrong) == (40, 2, 1)
