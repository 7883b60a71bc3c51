"""Questions that describe a thing: cut in two, answered by way of its name, and never by another one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cape.answers.answer import Answer
from cape.answers.bridging import TAKEN, bridges
from cape.answers.hops import TwoHops, cut
from cape.answers.question import read_question
from cape.answers.retrieval import Retrieval, retrieve
from cape.knowledge.documents import Chunk
from cape.operations.asking import answer_from
from cape.operations.hops import FoundNames, by_two_hops, with_second_passages
from tests.answers.passages import ALL, GroupedIndex, prose

WARRANTY = prose(
    "warranty.md", "Damaged buoys are repaired in Porto, flow meters in Bergen.", title=("Warranty",)
)
PORTO = prose("porto.md", "The office in Porto is led by Duarte Salvaterro.", title=("Offices", "Porto"))
BERGEN = prose("bergen.md", "The office in Bergen is led by Linnea Strandmoe.", title=("Offices", "Bergen"))
OTHERS = [prose(f"o{at}.md", f"The canteen of house {at} opens at noon.") for at in range(30)]
QUESTION = "Who leads the office where damaged buoys are repaired?"


def asked(question: str, chunks: Sequence[tuple[Chunk, frozenset[str]]], bar: float = 0.3) -> Answer:
    index = GroupedIndex(chunks)

    def find(text: str) -> Retrieval:
        return retrieve(index, None, text, ALL, 8)

    def answer(text: str, found: Retrieval) -> Answer:
        return answer_from(index, None, text, found, ALL, bar=bar)

    direct = answer_from(index, None, question, find(question), ALL, bar=0.999)
    return by_two_hops(question, direct, find, answer)


def open_to_all(*chunks: Chunk) -> list[tuple[Chunk, frozenset[str]]]:
    return [(one, ALL) for one in chunks]


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        (QUESTION, TwoHops("Who leads the office", "damaged buoys are repaired")),
        ("Who approves a trip?", None),
        ("What is the fee, and who pays what was ordered late?", None),
    ],
)
def test_only_a_question_that_describes_a_thing_is_cut(text: str, hops: TwoHops | None) -> None:
    assert cut(text) == hops


def test_the_thing_is_named_by_one_document_and_told_of_by_another() -> None:
    answer = asked(QUESTION, open_to_all(WARRANTY, PORTO, BERGEN, *OTHERS))
    assert "Duarte Salvaterro" in answer.text
    assert "Linnea" not in answer.text
    assert {one.document for one in answer.citations} == {"porto.md", "warranty.md"}
    assert "answered in two steps, by way of `Porto`" in answer.notes
    for number, citation in enumerate(answer.citations, start=1):
        assert f"[{number}]" in answer.text
        assert citation.number == number


def test_a_hidden_first_document_leads_nowhere() -> None:
    hidden = [(WARRANTY, frozenset({"hr"})), *open_to_all(PORTO, BERGEN, *OTHERS)]
    assert not asked(QUESTION, hidden).is_found


def test_a_thing_that_nothing_describes_is_not_found() -> None:
    question = "Who leads the office where wooden ladders are painted?"
    assert not asked(question, open_to_all(WARRANTY, PORTO, BERGEN, *OTHERS)).is_found


def test_a_place_whose_page_does_not_say_it_is_not_answered_by_another() -> None:
    bare = replace(PORTO, text="The office in Porto has a yard.", parts=())
    assert not asked(QUESTION, open_to_all(WARRANTY, bare, BERGEN, *OTHERS)).is_found


def test_second_passages_share_a_name_that_the_question_lacks() -> None:
    index = GroupedIndex(open_to_all(WARRANTY, PORTO, BERGEN, *OTHERS))
    ranked = retrieve(index, None, QUESTION, ALL, 20)
    found = bridges(index, FoundNames(index, ALL), read_question(QUESTION), ranked.chunks)
    assert 0 < len(found) <= TAKEN
    assert "porto" in {one.name for one in found}


def test_a_short_ranking_is_left_as_it_is() -> None:
    index = GroupedIndex(open_to_all(WARRANTY, PORTO, *OTHERS))
    ranked = retrieve(index, None, QUESTION, ALL, 5)
    assert with_second_passages(index, QUESTION, ranked, ALL, 5) == ranked
