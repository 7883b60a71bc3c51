"""How much of a passage an answer quotes: one sentence, the list that it begins, the sentences beside it.

Owns the choice of what is added to the best candidate. A span is a run of neighbouring units of one passage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cape.answers.question import Asked, Question
from cape.answers.selection import Candidate, Passage
from cape.answers.sentences import Unit, units_of
from cape.answers.weights import BESIDE, ELSEWHERE
from cape.knowledge.documents import BlockKind, Place

LONGEST_LIST = 15
"""Items; a longer list is cut there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Neighbouring units of a passage, quoted together."""

    passage: Passage
    units: tuple[Unit, ...]

    @property
    def quote(self) -> str:
        return self.passage.chunk.text[self.units[0].start : self.units[-1].end]

    @property
    def place(self) -> Place:
        return joined([unit.place for unit in self.units])


def joined(places: Sequence[Place]) -> Place:
    """One place over several of a document, from the first to the last; the page is the first's."""
    first = places[0]
    if len(places) == 1:
        return first
    lines = [place.lines for place in places if place.lines]
    spans = [place.span for place in places if place.span]
    return replace(
        first,
        lines=(min(one[0] for one in lines), max(one[1] for one in lines)) if lines else None,
        span=(min(one[0] for one in spans), max(one[1] for one in spans)) if spans else None,
    )


def spans_for(question: Question, best: Candidate, candidates: Sequence[Candidate]) -> tuple[Span, ...]:
    """What to quote of the best candidate's passage, in reading order."""
    units = units_of(best.passage.chunk)
    if best.unit.is_row:
        return (Span(passage=best.passage, units=(best.unit,)),)
    chosen = items if (items := _list_of(question, best.unit, units)) else _beside(question, best, candidates)
    if best.features.pronoun and min(chosen) == best.unit.ordinal > 0:
        before = units[best.unit.ordinal - 1]
        if before.part == best.unit.part:
            chosen = chosen | {before.ordinal}
    return tuple(_runs(best.passage, units, sorted(chosen)))


def _list_of(question: Question, unit: Unit, units: Sequence[Unit]) -> set[int]:
    """The items of the list that the unit begins or belongs to, where the question wants all; else empty."""
    introduces = unit.text.rstrip().endswith(":")
    wants = question.asked in (Asked.LIST, Asked.HOW_TO) or question.wants_all
    if not introduces and not (wants and unit.kind is BlockKind.LIST_ITEM):
        return set()
    first = unit.ordinal
    while not introduces and first > 0 and _continues(units[first - 1], unit):
        first -= 1
    last = unit.ordinal
    while last + 1 < len(units) and _continues(units[last + 1], unit) and last - first < LONGEST_LIST:
        last += 1
    if (
        first > 0
        and units[first - 1].text.rstrip().endswith(":")
        and units[first - 1].heading == unit.heading
    ):
        first -= 1
    return set(range(first, last + 1))


def _continues(other: Unit, unit: Unit) -> bool:
    return other.kind is BlockKind.LIST_ITEM and other.heading == unit.heading


def _beside(question: Question, best: Candidate, candidates: Sequence[Candidate]) -> set[int]:
    """The best candidate, and those of its passage that are nearly as good, up to what its kind wants."""
    ratio, most = BESIDE.get(question.asked, BESIDE[Asked.OTHER])
    enough = ratio * likelihood(best.score)
    same = [
        one
        for one in candidates
        if one.passage.id == best.passage.id and not one.unit.is_row and likelihood(one.score) >= enough
    ]
    return {best.unit.ordinal, *(one.unit.ordinal for one in same[:most])}


def likelihood(score: float) -> float:
    """A candidate's score as a probability that annotators would quote it."""
    return 1.0 / (1.0 + math.exp(-score))


def _runs(passage: Passage, units: Sequence[Unit], ordinals: Iterable[int]) -> list[Span]:
    """Neighbouring units as one span each, where nothing but blanks stands between them."""
    runs: list[list[Unit]] = []
    for ordinal in ordinals:
        unit = units[ordinal]
        if runs and _touch(passage.chunk.text, runs[-1][-1], unit):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return [Span(passage=passage, units=tuple(run)) for run in runs]


def _touch(text: str, one: Unit, other: Unit) -> bool:
    return one.ordinal + 1 == other.ordinal and not text[one.end : other.start].strip(" \t\n-*•–0123456789.)")


def others_for(best: Candidate, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Sentences of other passages that are nearly as good as the best: which of them answers is not plain."""
    ratio, most = ELSEWHERE
    enough = ratio * likelihood(best.score)
    found: list[Candidate] = []
    for one in candidates:
        known = {best.passage.id, *(other.passage.id for other in found)}
        if one.passage.id not in known and not one.unit.is_row and likelihood(one.score) >= enough:
            found.append(one)
    return tuple(found[:most])
