"""Words: the analyser's table, and BM25's laws against an implementation without any array."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.knowledge.index.words import (
    DamagedWords,
    WordSegment,
    analyse,
    build_words,
    question_terms,
    search_terms,
    search_words,
)
from cape.knowledge.protocol import Hit

WORDS = ("ferry", "island", "boat", "price", "leave", "nine", "the", "of")
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=25)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Ferries, ferry; FERRY", ["ferri", "ferri", "ferri"]),
        ("data-base e-mail", ["data", "base", "databas", "e", "mail", "email"]),
        ("user_id", ["user", "id", "user_id"]),
        (
            "parseHttpHeader HTTPServer",
            ["pars", "http", "header", "parsehttphead", "http", "server", "httpserver"],
        ),
        ("1,234.50 and 3.5", ["1234.50", "and", "3.5"]),
        ("10kg Q1", ["10kg", "10", "kg", "q1"]),
        ("2024-01-31 v1.2.3", ["2024", "01", "31", "2024-01-31", "v1", "2", "3", "v1.2.3"]),
        ("U.S. don't John's", ["us", "dont", "john"]),
        ("C++ C# C", ["c++", "c#", "c"]),
        ("Zürich Straße café", ["zurich", "strass", "cafe"]),
        ("東京都", ["東京", "京都"]),
        ("ﬁne \u212bngström", ["fine", "angstrom"]),
        ("", []),
        ("... --- !", []),
    ],
)
def test_analyser_gives_these_terms(text: str, terms: list[str]) -> None:
    assert analyse(text) == terms


@given(st.text(max_size=200))
@settings(max_examples=60)
def test_analyser_takes_any_text_and_gives_no_empty_and_no_endless_term(text: str) -> None:
    assert all(0 < len(term) <= 64 for term in analyse(text + "x" * 100))


def test_a_question_leaves_function_words_out_unless_it_has_no_others() -> None:
    assert list(question_terms("What is the price of the ferry?")) == ["price", "ferri"]
    assert list(question_terms("To be or not to be")) == ["to", "be", "or", "not"]


def naive(texts: list[str], visible: list[bool], question: str) -> dict[int, float]:
    """BM25 as the formula says it, over the visible texts, in float64."""
    documents = {at: Counter(analyse(text)) for at, text in enumerate(texts) if visible[at]}
    if not documents:
        return {}
    average = max(1.0, sum(sum(one.values()) for one in documents.values()) / len(documents))
    scores: dict[int, float] = {}
    for term, weight in question_terms(question).items():
        frequency = sum(1 for one in documents.values() if term in one)
        idf = math.log(1 + (len(documents) - frequency + 0.5) / (frequency + 0.5))
        for at, one in documents.items():
            if term in one:
                norm = 0.9 * (1 - 0.4 + 0.4 * sum(one.values()) / average)
                scores[at] = scores.get(at, 0) + weight * idf * one[term] / (one[term] + norm)
    return scores


def found(texts: list[str], visible: list[bool], question: str, k: int, cuts: int = 1) -> list[Hit]:
    """The search's answer, with the texts in `cuts` segments."""
    size = -(-len(texts) // cuts)
    pieces = [texts[at : at + size] for at in range(0, len(texts), size)]
    masks = [np.array(visible[at : at + size]) for at in range(0, len(texts), size)]
    return search_words([build_words(piece) for piece in pieces], masks, question, k)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], list[bool], str]:
    texts = draw(TEXTS)
    visible = draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    return texts, visible, draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join))


@given(collections())
@settings(max_examples=80)
def test_scores_are_those_of_the_formula(case: tuple[list[str], list[bool], str]) -> None:
    texts, visible, question = case
    hits, expected = found(texts, visible, question, 100), naive(texts, visible, question)
    assert {hit.chunk for hit in hits} == set(expected)
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.chunk], rel=1e-5)


@given(collections())
@settings(max_examples=80)
def test_a_hidden_text_changes_no_bit_of_any_score(case: tuple[list[str], list[bool], str]) -> None:
    texts, visible, question = case
    kept = [at for at, seen in enumerate(visible) if seen]
    alone = found([texts[at] for at in kept], [True] * len(kept), question, 100) if kept else []
    assert found(texts, visible, question, 100) == [Hit(kept[hit.chunk], hit.score) for hit in alone]


@given(collections(), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=80)
def test_segments_and_pruning_change_nothing(
    case: tuple[list[str], list[bool], str], cuts: int, k: int
) -> None:
    texts, visible, question = case
    assert found(texts, visible, question, k, cuts) == found(texts, visible, question, 100)[:k]


def test_frequent_words_are_only_looked_up_when_rare_ones_have_decided() -> None:
    texts = [
        f"ferry island {'zebra quagga ' if at % 400 == 7 else ''}{'x ' * (at % 9)}" for at in range(4000)
    ]
    segment, mask = build_words(texts), np.ones(4000, dtype=bool)
    for k in (1, 5, 10):
        everything = search_words([segment], [mask], "zebra quagga ferry island", 4000)
        assert search_words([segment], [mask], "zebra quagga ferry island", k) == everything[:k]


def test_equal_scores_go_by_id() -> None:
    segment = build_words(["boat", "ferry", "boat", "boat"])
    ids = [np.array([9, 8, 3, 5])]
    hits = search_terms([segment], [np.ones(4, dtype=bool)], {"boat": 1.0}, 2, ids=ids)
    assert [hit.chunk for hit in hits] == [3, 5]


def test_a_segment_is_its_bytes() -> None:
    segment = build_words(["The ferry leaves", "", "île 東京 ferry ferry"])
    again = WordSegment.from_bytes(segment.to_bytes())
    assert again.to_bytes() == segment.to_bytes()
    assert [list(part) for part in again.postings("ferri")] == [[0, 2], [1, 2]]
    assert list(again.postings("boat")[0]) == []
    assert list(again.lengths) == [3, 0, 4]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data[1:]])
def test_bytes_that_no_segment_wrote_are_refused(damage: object) -> None:
    data = build_words(["the ferry leaves"]).to_bytes()
    with pytest.raises(DamagedWords):
        WordSegment.from_bytes(damage(data))  # type: ignore[operator]
