"""Claims beside evidence by an embedder: what is embedded, and what is made of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from cape.answers.claims.alignment import Alignment
from cape.answers.claims.checking import Checker
from cape.answers.claims.claim import Verdict
from cape.answers.claims.evidence import read_evidence
from cape.answers.claims.meaning import MOST_UNITS, UNITS, meanings
from cape.answers.claims.splitting import claims_of

WORD = re.compile(r"\w+")


class ByLetters:
    """An embedder whose pieces are words, each with a vector of its own; it counts what it is given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def embed_pieces(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        self.given += texts
        return [
            np.stack([vector("["), *(vector(word.casefold()) for word in WORD.findall(text)), vector("]")])
            for text in texts
        ]

    def piece_spans(self, text: str) -> list[tuple[int, int]]:
        return [(0, 0), *(match.span() for match in WORD.finditer(text)), (0, 0)]


def vector(word: str) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).normal(size=32).astype(np.float32)


def laid(answer: str, *evidence: str) -> list[Alignment]:
    read = read_evidence(evidence)
    return [Alignment(claim, read) for claim in claims_of(answer)]


def test_a_copied_claim_is_nearest_to_its_sentence() -> None:
    (same,) = meanings(
        laid("The ferry leaves at nine.", "The ferry leaves at nine. Boats are blue."), ByLetters()
    )
    assert same is not None
    assert same.row[0] == pytest.approx(1.0, abs=1e-5)
    assert same.row[3] == pytest.approx(1.0, abs=1e-5)


def test_a_word_that_the_evidence_lacks_has_nothing_near() -> None:
    (found,) = meanings(laid("The ferry leaves at midnight.", "The ferry leaves at nine."), ByLetters())
    assert found is not None
    cosines = dict(zip(["The", "ferry", "leaves", "at", "midnight"], found.cosines, strict=True))
    assert cosines["ferry"] == pytest.approx(1.0, abs=1e-5)
    assert min(cosines, key=lambda word: float(cosines[word])) == "midnight"


def test_few_texts_are_embedded_and_each_once() -> None:
    sentences = [f"The ferry number {at} leaves pier {at} at nine." for at in range(100)]
    embedder = ByLetters()
    found = meanings(laid(" ".join(sentences), " ".join(sentences)), embedder)
    assert len(embedder.given) == len(set(embedder.given)) <= MOST_UNITS * 2 + UNITS
    assert any(one is not None for one in found)
    assert found[-1] is None


def test_a_claim_that_shares_nothing_is_left_to_its_words() -> None:
    embedder = ByLetters()
    assert meanings(laid("Purple elephants sing.", "The ferry leaves at nine."), embedder) == [None]
    assert embedder.given == []


def test_the_checker_tells_that_vectors_took_part() -> None:
    checker = Checker(embedder=ByLetters())
    check = checker.check("The ferry leaves at nine.", ["The ferry leaves at nine. Boats are blue."])
    assert check.checker.startswith("words and vectors sha256:")
    assert check.verdict is Verdict.SUPPORTED
    assert Checker().name.startswith("words sha256:")
