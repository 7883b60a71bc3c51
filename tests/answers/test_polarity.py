"""Yes or no is said only where modal words or numbers decide."""

from __future__ import annotations

import pytest

from cape.answers.polarity import Polarity, number_in, polarity_of
from cape.answers.question import read_question

YES, NO = Polarity.YES, Polarity.NO


@pytest.mark.parametrize(
    ("question", "sentence", "wanted"),
    [
        ("May I bring a guest?", "You may bring one guest.", YES),
        ("Can I use a memory stick?", "Memory sticks must not be used.", NO),
        ("Am I allowed to fly business class?", "Business class is only booked above eight hours.", None),
        ("Do I need approval for a trip?", "Every trip must be approved first.", YES),
        ("Do I need a receipt?", "No receipt is needed below 10 EUR.", NO),
        ("Is the course mandatory?", "The course is voluntary.", NO),
        ("May I spend 150 EUR on a hotel?", "A night may cost up to 165 EUR.", YES),
        ("May I spend 200 EUR on a hotel?", "A night may cost up to 165 EUR.", NO),
        ("Can a trainee of 17 drive the van?", "Drivers must be at least 21.", NO),
        ("Is there a canteen?", "The canteen opens at noon.", YES),
        ("Is there a canteen?", "There is no canteen, and there never was one.", NO),
        ("Is it not allowed to smoke?", "Smoking is not allowed.", None),
        ("Does the office close early?", "It closes early if it snows.", None),
    ],
)
def test_polarity_is_read_from_the_sentence(question: str, sentence: str, wanted: Polarity | None) -> None:
    assert polarity_of(read_question(question), sentence) is wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("165", 165.0), ("1,200", 1200.0), ("1.200", 1200.0), ("0.5", 0.5), ("0,5", 0.5), ("1,200,000", 1.2e6)],
)
def test_numbers_are_read_with_either_mark(text: str, wanted: float) -> None:
    assert number_in(text) == wanted
