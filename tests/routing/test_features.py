"""What is measured of a question does not depend on what it is about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.routing.features import FEATURES, parts_of, question_row


def measured(question: str) -> dict[str, float]:
    return dict(zip(FEATURES, question_row(question), strict=True))


def test_choices_are_told_from_the_question() -> None:
    text, choices = parts_of(
        "A ship sails.\nWhere to?\nA. to the north\nof the bay\nB) home\n(C) away\nAnswer:"
    )
    assert text == "A ship sails.\nWhere to?"
    assert choices == ("to the north\nof the bay", "home", "away")


@pytest.mark.parametrize("question", ["What is it?", "", "A. only one", "B. that\nC. this"])
def test_a_question_without_choices_has_none(question: str) -> None:
    assert parts_of(question)[1] == ()


def test_figures_negations_and_alike_choices_show() -> None:
    easy = measured("What is a bay?\nA. water\nB. wood\nC. a song\nD. bread")
    hard = measured(
        "If 3 ships sail 20 km in 4 h, which is NOT true?\n"
        "A. the mean is 5 km per h\nB. the mean is 6 km per h"
    )
    for name in ("figures", "negated", "conditions", "choice_likeness", "figures_in_choices"):
        assert hard[name] > easy[name], name


@given(st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_text_has_a_finite_row(question: str) -> None:
    row = question_row(question)
    assert len(row) == len(FEATURES)
    assert all(abs(value) < 1e6 for value in row)


def test_a_question_of_a_hundred_thousand_characters_is_measured() -> None:
    assert len(question_row("how far? " * 12_000)) == len(FEATURES)
