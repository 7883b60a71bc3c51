"""A claim laid beside the evidence: which units speak of it, and which of its words they have.

Owns matching by words. What a difference means is not said here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from cape.answers.claims.claim import Claim
from cape.answers.claims.evidence import Evidence, telling
from cape.answers.claims.quantities import Quantity, quantities_of
from cape.answers.claims.spellings import other_spellings
from cape.answers.words import Word, is_stop, likeness, same_meaning, words_of

NEAR = 4
"""Units that a claim is laid beside."""

NEARLY = 0.1
"""How far, of itself, a number may be from one that is told as about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignedWord:
    """A word of a claim: how far the whole evidence has it, and how far the units beside the claim; in [0,
    1].

    `in_pair` and `in_triple`: it ends two or three neighbouring words that stand so in the evidence.
    """

    word: Word
    is_stop: bool
    weight: float
    anywhere: float
    near: float
    in_pair: bool
    in_triple: bool


class Alignment:
    """A claim, its words, and the units beside it, best first.

    `units` are numbers of `evidence.units`; `shares` say how much of the claim's weight each one has.
    """

    def __init__(self, claim: Claim, evidence: Evidence) -> None:
        self.claim, self.evidence = claim, evidence
        self.raw = words_of(claim.text)
        self.content = [word for word in self.raw if not is_stop(word.text)]
        self._content_stems = frozenset(word.stem for word in self.content)
        self.quantities: tuple[Quantity, ...] = quantities_of(claim.text)
        self._found = {word.stem: self._anywhere(word) for word in self.raw}
        self.units, self.shares = self._nearest()

    def _anywhere(self, word: Word) -> float:
        """How far the evidence has a word: itself, another spelling, a form of it, or one of its meaning."""
        evidence, stem = self.evidence, word.stem
        if stem in evidence.holders:
            return 1.0
        if any(other in evidence.holders for other in other_spellings(word.text)):
            return 0.9
        best = 0.6 if any(other in evidence.holders for other in same_meaning(stem)) else 0.0
        for other in evidence.heads.get(stem[:4], ()):
            best = max(best, likeness(stem, other))
        return best

    def _weights(self) -> dict[str, float]:
        """The claim's stems, each with its weight: the rarer in the evidence, the more."""
        count = max(1, len(self.evidence.units))
        weights: dict[str, float] = {}
        for word in self.content:
            having = len(self.evidence.holders.get(word.stem, ()))
            weights[word.stem] = telling(word) * (1.0 - 0.7 * having / count)
        return weights

    def _nearest(self) -> tuple[list[int], list[float]]:
        """Units in the order in which each adds most to what those before it have."""
        weights = self._weights()
        total = sum(weights.values())
        if not total:
            return [], []
        having: dict[int, list[str]] = {}
        for stem in weights:
            for number in self.evidence.holders.get(stem, ()):
                having.setdefault(number, []).append(stem)
        left = dict(weights)
        units: list[int] = []
        shares: list[float] = []
        while having and len(units) < NEAR:
            best = max(
                having,
                key=lambda number: (
                    sum(left.get(stem, 0.15 * weights[stem]) for stem in having[number])
                    - 0.01 * len(self.evidence.units[number].stems) ** 0.5,
                    -number,
                ),
            )
            stems = having.pop(best)
            gained = sum(left.pop(stem, 0.0) for stem in stems)
            if units and gained < 0.04 * total:
                break
            units.append(best)
            shares.append(sum(weights[stem] for stem in stems) / total)
        return units, shares

    @cached_property
    def window(self) -> frozenset[str]:
        """The stems of the units beside the claim, and of those next to the best."""
        numbers = set(self.units)
        for best in self.units[:1]:
            numbers |= {best - 1, best + 1} & set(range(len(self.evidence.units)))
        found: set[str] = set()
        for number in numbers:
            found |= self.evidence.units[number].stems
        return frozenset(found)

    @cached_property
    def window_keys(self) -> frozenset[str]:
        """The quantities of the units beside the claim, and of those next to the best."""
        found: set[str] = set()
        for number in self.units:
            for near in (number - 1, number, number + 1):
                if 0 <= near < len(self.evidence.units):
                    found |= self.evidence.units[near].keys
        return frozenset(found)

    @cached_property
    def words(self) -> tuple[AlignedWord, ...]:
        """The claim's words in order."""
        stems = [word.stem for word in self.raw]
        return tuple(
            AlignedWord(
                word=word,
                is_stop=is_stop(word.text),
                weight=telling(word),
                anywhere=self._found[word.stem],
                near=self._near(word.stem),
                in_pair=at > 0 and (stems[at - 1], word.stem) in self.evidence.pairs,
                in_triple=at > 1 and (stems[at - 2], stems[at - 1], word.stem) in self.evidence.triples,
            )
            for at, word in enumerate(self.raw)
        )

    def _near(self, stem: str) -> float:
        if stem in self.window:
            return 1.0
        if not self._found[stem]:
            return 0.0
        return nearness(stem, self.window)

    def key_found(self, quantity: Quantity) -> bool:
        """Whether the evidence has the quantity in any spelling, or one near to it if it is told so."""
        if any(key in self.evidence.key_holders for key in quantity.keys):
            return True
        if not quantity.about or not quantity.keys[0].startswith("n:"):
            return False
        wanted = float(quantity.keys[0][2:])
        return any(abs(number - wanted) <= NEARLY * wanted for number in self.evidence.numbers)

    def key_near(self, quantity: Quantity) -> bool:
        """Whether a unit beside the claim has it."""
        return any(key in self.window_keys for key in quantity.keys)

    def company(self, numbers: Collection[int]) -> float:
        """The most of the claim's content that one of these units has with its neighbours, in [0, 1]."""
        wanted = self._content_stems
        if not wanted:
            return 1.0
        return max((len(wanted & self.evidence.around(number)) for number in numbers), default=0) / len(
            wanted
        )


def nearness(stem: str, stems: Collection[str]) -> float:
    """How far some stems have another that they lack: a form of it, or a word of its meaning."""
    best = 0.6 if not same_meaning(stem).isdisjoint(stems) else 0.0
    head = stem[:4]
    for other in stems:
        if other[:4] == head:
            best = max(best, likeness(stem, other))
    return best
