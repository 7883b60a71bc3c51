"""The metrics of a question, the file of an evaluation, and when a metric fell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.evaluation.gate import (
    METRICS,
    BadEvaluation,
    Evaluation,
    Measured,
    Seen,
    compare,
    measure,
    read_evaluation,
)
from cape.evaluation.report import page
from cape.knowledge.access import parse_access
from cape.knowledge.documents import Place
from tests.evaluation.test_questions import HOTEL, found

SEEN = Seen(documents=("travel.docx", "other.md"), lost=frozenset(), verbatim=(True,), forbidden=0, tokens=0)
PAGE = ("travel.docx", Place(page=3))


def row(number: int, value: float, **more: float) -> Measured:
    return Measured(
        id=f"q{number}",
        kind="look-up",
        question="a" * 12,
        answer="b" * 12,
        outcome="right",
        values={"right": value, **more},
        tokens=0,
    )


def evaluation(values: list[float], **parts: str) -> Evaluation:
    rows = tuple(row(number, value) for number, value in enumerate(values))
    return Evaluation(base="manual", parts=parts, rows=rows)


def test_a_right_answer_at_its_page_has_all_metrics() -> None:
    measured = measure(HOTEL, found("165 EUR [1]", PAGE), SEEN)
    assert set(measured.values) == set(METRICS)
    assert set(measured.values.values()) == {1.0}


@pytest.mark.parametrize(
    ("text", "place", "seen", "lost"),
    [
        ("99 EUR [1]", PAGE, SEEN, {"facts", "right"}),
        ("165 EUR [1]", ("travel.docx", Place(page=4)), SEEN, {"citation", "right"}),
        ("165 EUR [1]", PAGE, replace(SEEN, documents=("other.md",) * 12), {"retrieval", "rank"}),
        ("165 EUR [1]", PAGE, replace(SEEN, verbatim=(True, False)), {"support"}),
        ("165 EUR [1]", PAGE, replace(SEEN, forbidden=1), {"sealed"}),
        ("165 EUR [1]", PAGE, replace(SEEN, lost=frozenset({"travel.docx"})), {"sources"}),
    ],
)
def test_each_fault_lowers_its_own_metric(
    text: str, place: tuple[str, Place], seen: Seen, lost: set[str]
) -> None:
    measured = measure(HOTEL, found(text, place), seen)
    assert {name for name, value in measured.values.items() if value < 1} == lost


def test_silence_is_right_where_nothing_may_be_found() -> None:
    hidden = replace(HOTEL, kind="hidden", answer=(), sources=(), place=None)
    silent = measure(hidden, found(""), replace(SEEN, verbatim=()))
    assert silent.values == {"abstention": 1.0, "sealed": 1.0, "right": 1.0}
    told = measure(hidden, found("165 EUR", PAGE), SEEN)
    assert (told.values["abstention"], told.values["sealed"], told.values["right"]) == (0.0, 0.0, 0.0)


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=20))
def test_a_file_gives_back_its_evaluation(values: list[float]) -> None:
    made = evaluation(values, index="x", access="y")
    assert read_evaluation(made.text, where="f") == made
    assert read_evaluation(made.text, where="f").text == made.text


def test_separators_that_only_unicode_knows_end_no_line() -> None:
    rows = tuple(replace(one, id="a\u2028b") for one in evaluation([1.0]).rows)
    made = replace(evaluation([1.0]), rows=rows)
    assert read_evaluation(made.text, where="f") == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no evaluation of this version"),
        ('{"evaluation": 99}\n', "no evaluation of this version"),
        ('{"evaluation": 1, "base": "x"}\n', "lacks `'parts'`"),
        ('{"evaluation": 1, "base": "x", "parts": {}, "policy": {}}\n{"id": "x"}\n', "lacks `'kind'`"),
        ('{"evaluation": 1, "base": "x", "parts": {}}\nnot json\n', "f:2"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadEvaluation) as caught:
        read_evaluation(text, where="f")
    assert said in str(caught.value)


def test_equal_evaluations_have_no_regression() -> None:
    made = evaluation([1.0, 0.0] * 50)
    told = compare(made, made)
    assert told.regressions == ()
    assert [(one.difference, one.doubt) for one in told.changes] == [(0.0, 1.0)]


def test_a_drop_of_many_questions_is_a_regression_and_names_them() -> None:
    before, now = evaluation([1.0] * 100), evaluation([0.0] * 9 + [1.0] * 91)
    (change,) = compare(before, now).regressions
    assert change.fallen == tuple(f"q{number}" for number in range(8))
    assert change.low < change.difference < change.high < 0


def test_one_question_among_many_and_as_many_gains_as_losses_are_none() -> None:
    before = evaluation([1.0] * 100)
    assert compare(before, evaluation([0.0] + [1.0] * 99)).regressions == ()
    mixed = compare(evaluation([1.0] * 5 + [0.0] * 95), evaluation([0.0] * 5 + [1.0] * 5 + [0.0] * 90))
    assert mixed.regressions == ()


def test_one_leak_is_always_a_regression() -> None:
    def with_leaks(count: int) -> Evaluation:
        rows = (row(number, 1.0, sealed=float(number >= count)) for number in range(500))
        return Evaluation(base="manual", parts={}, rows=tuple(rows))

    assert [one.metric for one in compare(with_leaks(0), with_leaks(1)).regressions] == ["sealed"]


def test_a_policy_that_lets_somebody_see_more_is_worse_and_one_that_lets_see_less_is_not() -> None:
    def ruled(groups: str) -> Evaluation:
        policy = parse_access(
            f'default = "everyone"\n[users]\nann = ["hr"]\nbo = []\n'
            f'[[rules]]\ndocuments = ["pay/**"]\ngroups = ["{groups}"]\n'
        )
        return replace(evaluation([1.0]), policy=policy.to_json())

    documents = ("pay/2024.md", "open.md")
    wider = compare(ruled("hr"), ruled("everyone"), documents)
    assert wider.is_worse
    assert [(one.user, one.documents) for one in wider.widened] == [
        (None, ("pay/2024.md",)),
        ("bo", ("pay/2024.md",)),
    ]
    assert not compare(ruled("everyone"), ruled("hr"), documents).is_worse


def test_questions_that_only_one_has_or_that_were_reworded_do_not_count() -> None:
    before, now = evaluation([1.0] * 10, index="a"), evaluation([0.0] * 12, index="b")
    reworded = replace(now, rows=tuple(replace(one, question="c" * 12) for one in now.rows))
    assert compare(before, reworded).changes == ()
    told = compare(before, now)
    assert (told.parts, told.only_before, told.only_now) == (("index",), (), ("q10", "q11"))


def test_the_page_is_one_file_and_escapes_what_it_is_given() -> None:
    rows = tuple(replace(one, id="<script>") for one in evaluation([0.0] * 20).rows)
    now = replace(evaluation([0.0] * 20), base="a<b", rows=rows)
    before = replace(now, rows=tuple(replace(one, values={"right": 1.0}) for one in rows))
    html = page(now, compare(before, now))
    assert "<script>" not in html and "a&lt;b" in html
    assert "http" not in html and "<svg" in html and "Fell: right." in html
    assert html == page(now, compare(before, now))
