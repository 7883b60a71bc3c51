"""An older issue of a document gives way to the one that counts."""

from __future__ import annotations

import pytest

from cape.answers.issues import newest
from cape.answers.question import read_question
from cape.knowledge.documents import Chunk
from tests.answers.passages import passages, prose

PLAIN = prose("rules/diving.md", "A dive lasts 40 minutes.", title=("Diving rules",))
OTHER = prose("rules/boats.md", "A boat carries six divers.", title=("Boats",))


def kept(question: str, *chunks: Chunk) -> list[str]:
    return [one.chunk.document for one in newest(read_question(question), passages(*chunks))]


@pytest.mark.parametrize(
    "sentence",
    [
        "This rule book is no longer in force.",
        "This page was superseded by the diving rules.",
        "The diving rules of the harbour replace nothing, but the council's book supersedes it.",
    ],
)
def test_a_document_that_says_it_was_replaced_gives_way(sentence: str) -> None:
    old = prose("rules/old.md", f"{sentence} A dive lasts 55 minutes.", title=("Rules of the divers",))
    assert kept("How long does a dive last?", old, PLAIN, OTHER) == ["rules/diving.md", "rules/boats.md"]
    assert "rules/old.md" in kept("How long did a dive last under the old rules?", old, PLAIN)
    assert kept("How long does a dive last?", old) == ["rules/old.md"]


@pytest.mark.parametrize("words", ["Replaces the rules of 3 May 2019.", "It supersedes the diving handbook."])
def test_a_document_that_another_one_replaces_gives_way(words: str) -> None:
    old = prose("diving-2019.md", "A dive lasts 55 minutes.", title=("Diving handbook and rules 2019",))
    new = prose("diving.md", f"{words} A dive lasts 40 minutes.", title=("Diving",))
    assert kept("How long does a dive last?", old, new, OTHER) == ["diving.md", "rules/boats.md"]
    assert "diving-2019.md" in kept("How long did a dive last in 2019?", old, new)


def test_what_is_replaced_in_a_text_is_no_document() -> None:
    pump = prose(
        "pump.md", "The new pump replaces the boat's bilge. This filter was replaced.", title=("Pump",)
    )
    assert kept("How many divers does a boat carry?", pump, OTHER) == ["pump.md", "rules/boats.md"]


def test_the_beginning_of_a_document_tells_though_another_part_was_found() -> None:
    head = prose("old.md", "This book has been withdrawn.", title=("Divers",))
    part = prose("old.md", "A dive lasts 55 minutes.", title=("Divers",))
    found = newest(
        read_question("How long does a dive last?"), passages(part, PLAIN), lambda name: passages(head)
    )
    assert [one.chunk.document for one in found] == ["rules/diving.md"]
