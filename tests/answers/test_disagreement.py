"""Sources that contradict each other are both shown, each with its place and its date."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cape.answers.answer import Answer
from cape.answers.answering import answer_question
from cape.answers.disagreement import date_of
from cape.answers.selection import Passage, WordsOnly
from cape.knowledge.documents import Chunk
from tests.answers.passages import passages, prose

QUESTION = "How much is the hotel limit a night?"
FIRST = prose(
    "rules/2024-03-01-travel.md", "The hotel limit is 165 EUR a night for everyone.", title=("Travel",)
)


def asked(question: str, *chunks: Chunk) -> Answer:
    found = passages(*chunks)

    def whole(document: str) -> Sequence[Passage]:
        return [one for one in found if one.chunk.document == document]

    return answer_question(question, found, WordsOnly(), whole=whole)


def test_another_figure_for_the_same_thing_is_shown_with_both_dates() -> None:
    other = prose(
        "mail/hotels.eml", "Dear all,", "The hotel limit is 120 EUR a night.", title=("Hotels, 7 May 2022",)
    )
    answer = asked(QUESTION, FIRST, other)
    first, *rest = answer.text.split("\n")
    assert first == "The hotel limit is 165 EUR a night for everyone. [1]"
    assert rest == [
        "Otherwise in another source (of 7 May 2022; the above is of 2024-03-01): "
        "The hotel limit is 120 EUR a night. [2]"
    ]
    assert [one.document for one in answer.citations] == ["rules/2024-03-01-travel.md", "mail/hotels.eml"]


@pytest.mark.parametrize(
    "text",
    [
        "The hotel limit is 165 EUR a night here as well.",  # the same figure
        "The hotel limit in Oslo is 120 EUR a night.",  # of another thing
        "In 2019 the hotel limit was 120 EUR a night.",  # of another time
        "The hotel limit holds for 3 nights in a row.",  # another kind of figure
        "Breakfast is 12 EUR.",  # about something else
    ],
)
def test_what_is_no_contradiction_is_not_called_one(text: str) -> None:
    assert "Otherwise" not in asked(QUESTION, FIRST, prose("other.md", text, title=("Notes",))).text


def test_one_document_does_not_contradict_itself() -> None:
    twice = prose("a.md", "The hotel limit is 165 EUR a night.", "The hotel limit is 120 EUR a night.")
    assert "Otherwise" not in asked(QUESTION, twice).text


@pytest.mark.parametrize(
    ("chunk", "date"),
    [
        (prose("2024-05-21-supplier.eml", "Hello."), "2024-05-21"),
        (prose("a.md", "Hello.", title=("Rules of 2022",)), "2022"),
        (prose("a.md", "Valid from 1 January 2024."), "1 January 2024"),
        (prose("a.md", "Room 20245 is closed."), None),
    ],
)
def test_a_document_is_from_when_it_says(chunk: Chunk, date: str | None) -> None:
    passage = Passage(id=0, chunk=chunk)
    assert date_of(passage, lambda _: [passage]) == date
