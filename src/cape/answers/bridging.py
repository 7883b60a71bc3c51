"""A second hop: passages that share a telling name with the first ones, for what those leave unsaid.

Owns which passages are taken in and where. Pure but for what the index and `Names` do, which show what the
asker may see and no more; all counts are of that.

`Who heads the site where buoys are repaired?` finds the passage that buoys are repaired in Porto. It names
Porto, which the question does not; passages of other documents that name it are tried on the words left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cape.answers.question import Question, Term
from cape.answers.retrieval import RankedChunk, Retrieval
from cape.answers.words import best_likeness, words_of
from cape.knowledge.documents import Chunk
from cape.knowledge.protocol import ChunkIndex

FIRST = 4
"""Passages from which a hop is tried: the best ones."""

TAKEN = 3
"""Passages of second hops that are taken in, at most."""

CROWDED = 40
"""An entity that more visible passages mention leads nowhere in particular."""

COVERED = 0.3
"""The least share of what is left of the question that a second passage must have."""


class Names(Protocol):
    """What a second hop asks of a graph."""

    def mentioned(self, chunks: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
        """The keys of the names that visible chunks mention."""
        ...

    def passages(self, keys: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
        """The visible chunks that mention each of some names."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """A second passage, the name that leads to it, and the passage that it comes from."""

    chunk: int
    origin: int
    name: str
    score: float


def bridges(
    index: ChunkIndex, names: Names, question: Question, ranked: Sequence[RankedChunk]
) -> list[Bridge]:
    """The best second passages, best first, one for each document; none of a first passage's own document."""
    first = ranked[:FIRST]
    said = {term.stem for term in question.terms}
    mentioned = names.mentioned([one.id for one in first])
    keys = sorted({key for found in mentioned.values() for key in found if not _is_said(key, said)})
    places = {key: of for key, of in names.passages(keys).items() if 1 < len(of) <= CROWDED}
    contents = index.chunks(sorted({chunk for of in places.values() for chunk in of}))
    found: dict[str, Bridge] = {}
    for rank, one in enumerate(first):
        rest = _left(question, one.chunk)
        if not rest:
            continue
        for key in mentioned.get(one.id, ()):
            for chunk in places.get(key, ()):
                other = contents.get(chunk)
                if other is None or other.document == one.chunk.document:
                    continue
                covered = _covered(rest, other)
                if covered < COVERED:
                    continue
                score = covered * (1 + 1 / math.log2(1 + len(places[key]))) / math.sqrt(1 + rank)
                bridge = Bridge(chunk=chunk, origin=one.id, name=key, score=score)
                best = found.get(other.document)
                if best is None or (score, -chunk) > (best.score, -best.chunk):
                    found[other.document] = bridge
    return sorted(found.values(), key=lambda one: (-one.score, one.chunk))[:TAKEN]


def _is_said(key: str, said: set[str]) -> bool:
    """Whether the question names an entity itself."""
    return all(word.stem in said for word in words_of(key))


def _stems(chunk: Chunk) -> frozenset[str]:
    return frozenset(word.stem for part in (*chunk.title_path, chunk.text) for word in words_of(part))


def _left(question: Question, chunk: Chunk) -> tuple[Term, ...]:
    """The words of the question that a passage does not say, when it says some."""
    stems = _stems(chunk)
    rest = tuple(term for term in question.terms if best_likeness(term.stem, stems) < 0.6)
    return rest if len(rest) < len(question.terms) else ()


def _covered(rest: Sequence[Term], chunk: Chunk) -> float:
    """The share of some words, by weight, that a passage has."""
    stems = _stems(chunk)
    having = sum(term.weight * best_likeness(term.stem, stems) for term in rest)
    return having / (sum(term.weight for term in rest) or 1.0)


def bridged(
    retrieval: Retrieval, found: Sequence[Bridge], contents: Mapping[int, Chunk], k: int
) -> Retrieval:
    """The ranking with second passages at its end, in place of its last ones; those it has already stay."""
    known = {one.id for one in retrieval.chunks}
    fresh = [one for one in found if one.chunk not in known and one.chunk in contents]
    kept = list(retrieval.chunks[: max(1, k - len(fresh))])
    end = kept[-1].score if kept else 0.0
    added = [
        RankedChunk(id=one.chunk, chunk=contents[one.chunk], score=end, words=None, vectors=None)
        for one in fresh
    ]
    return replace(retrieval, chunks=(*kept, *added))
