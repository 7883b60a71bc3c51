"""Retrieval: the passages of an index that a question is about, found by words and by vectors and fused.

Owns the fusion and the documents' order. Pure but for what the index and the embedder do. Choosing a
sentence, and whether a passage answers at all, is decided elsewhere.

Both searches give their best `POOL` chunks. Scores of either are standardised within its list: distance
from the list's mean in its standard deviations, where a list of words is filled up with zeros. So a
question whose words stand in few chunks trusts words, one whose words are everywhere trusts vectors, with
nothing learnt from any collection.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.knowledge.chunking import sentence_spans
from cape.knowledge.documents import Chunk
from cape.knowledge.protocol import ChunkIndex, Embedder, Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POOL = 500
"""Chunks that each search gives, at most, whatever number is asked for: scores do not depend on it."""

VECTORS_SHARE = 0.65
"""The weight of a standardised cosine; words have the rest."""

SECOND_SHARE = 0.3
"""A document's score is its best chunk's, moved by this share towards its second best's."""

LONGEST_QUESTION = 8_192
"""Characters of a question that are searched for."""

MOST_SENTENCES = 8
"""Sentences of a question that are embedded each, at most, besides the whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a chunk stands in one search: its rank from 1, the search's score, and the standardised one."""

    rank: int
    score: float
    standard: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedChunk:
    """A chunk that was found. `words` or `vectors` is None where that search did not give it."""

    id: int
    chunk: Chunk
    score: float
    words: Standing | None
    vectors: Standing | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedDocument:
    """A document, its score, and its chunks among those found, best first."""

    path: str
    score: float
    chunks: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """What was found for a question: chunks and documents, best first, ties by id and by path.

    `searched` is the part of the question that was searched for, all of it unless it is very long.
    `by_vectors` is false where there is no embedder, or no vector in the index.
    """

    question: str
    searched: str
    chunks: tuple[RankedChunk, ...]
    documents: tuple[RankedDocument, ...]
    by_vectors: bool


def retrieve(
    index: ChunkIndex, embedder: Embedder | None, question: str, groups: frozenset[str], k: int
) -> Retrieval:
    """The `k` chunks that fit a question best, of those that somebody in `groups` may see.

    Without an embedder, or in an index without vectors, words decide alone. Documents are those of these
    chunks; no score depends on `k`. What the asker may not see has no part in any number. Pure.
    """
    searched = bounded(question)
    words = index.search_words(searched, groups, POOL)
    vectors: Sequence[Hit] = ()
    if embedder is not None and searched:
        vectors = index.search_vector(question_vector(embedder, searched), groups, POOL)
    size = min(POOL, index.count(groups))
    by_words, by_vectors = standings(words, size), standings(vectors, len(vectors))
    scores = fuse(by_words, by_vectors, size)
    best = sorted(scores, key=lambda one: (-scores[one], one))[: max(0, k)]
    contents = index.chunks(best)
    chunks = tuple(
        RankedChunk(
            id=one,
            chunk=contents[one],
            score=scores[one],
            words=by_words.get(one),
            vectors=by_vectors.get(one),
        )
        for one in best
        if one in contents
    )
    return Retrieval(
        question=question,
        searched=searched,
        chunks=chunks,
        documents=rank_documents(index, groups, chunks, scores),
        by_vectors=bool(vectors),
    )


def bounded(question: str) -> str:
    """A question without white space around it, cut between words when it is longer than what counts."""
    text = question.strip()
    if len(text) <= LONGEST_QUESTION:
        return text
    head = text[: LONGEST_QUESTION + 1]
    return (head.rsplit(maxsplit=1)[0] if len(head.split(maxsplit=1)) > 1 else head)[:LONGEST_QUESTION]


def question_vector(embedder: Embedder, question: str) -> NDArray[np.float32]:
    """The vector that a question is searched by, L2-normalised.

    A question of several sentences often asks for several things; its vector is the middle between the
    whole's and the mean of its sentences'.
    """
    sentences = [question[start:end] for start, end in sentence_spans(question)[:MOST_SENTENCES]]
    whole, *each = embedder.embed([question, *(sentences if len(sentences) > 1 else ())])
    return _unit(whole + _unit(sum(each[1:], each[0]))) if each else whole


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = math.sqrt(math.fsum(one * one for one in vector.tolist()))
    return vector / length if length else vector


def standings(hits: Sequence[Hit], size: int) -> dict[int, Standing]:
    """Each hit's standing, by chunk id, in a list that is filled up with zeros to `size`."""
    mean, deviation = _spread([hit.score for hit in hits], size)
    return {
        hit.chunk: Standing(rank=rank, score=hit.score, standard=(hit.score - mean) / deviation)
        for rank, hit in enumerate(hits, start=1)
    }


def _spread(scores: Sequence[float], size: int) -> tuple[float, float]:
    """Mean and standard deviation of scores and as many zeros as `size` wants; never a deviation of 0."""
    count = max(size, len(scores), 1)
    mean = math.fsum(scores) / count
    squares = math.fsum((score - mean) ** 2 for score in scores) + (count - len(scores)) * mean * mean
    return mean, math.sqrt(squares / count) or 1.0


def fuse(words: Mapping[int, Standing], vectors: Mapping[int, Standing], size: int) -> dict[int, float]:
    """The fused score of every chunk that either search gave.

    A chunk that one search did not give stands there where the list ends: at its last, or at a filled-up
    zero. With one search alone its standardised scores are the result.
    """
    if not vectors:
        return {one: standing.standard for one, standing in words.items()}
    if not words:
        return {one: standing.standard for one, standing in vectors.items()}
    no_words, no_vectors = _end(words, size), _end(vectors, 0)
    fused = {}
    for one in words.keys() | vectors.keys():
        word = words[one].standard if one in words else no_words
        vector = vectors[one].standard if one in vectors else no_vectors
        fused[one] = VECTORS_SHARE * vector + (1 - VECTORS_SHARE) * word
    return fused


def _end(found: Mapping[int, Standing], size: int) -> float:
    """The standardised score at the end of a list that was filled up to `size`."""
    if len(found) < size:
        mean, deviation = _spread([standing.score for standing in found.values()], size)
        return -mean / deviation
    return min(standing.standard for standing in found.values())


def rank_documents(
    index: ChunkIndex, groups: frozenset[str], chunks: Sequence[RankedChunk], scores: Mapping[int, float]
) -> tuple[RankedDocument, ...]:
    """The documents of chunks that are given best first; `scores` are of all chunks that were found.

    The second best chunk of a document with several counts as the last one found, where it was not found.
    A document's only chunk is its second best, too.
    """
    by_path: dict[str, list[int]] = {}
    for one in chunks:
        by_path.setdefault(one.chunk.document, []).append(one.id)
    found, end = sorted(scores), min(scores.values(), default=0.0)
    documents = []
    for path, ids in by_path.items():
        of = index.chunks_of(path, groups)
        mine = found[bisect_left(found, of[0]) : bisect_right(found, of[-1])] if of else ids
        best, *others = sorted((scores[one] for one in mine), reverse=True)
        second = others[0] if others else end if len(of) > 1 else best
        score = (1 - SECOND_SHARE) * best + SECOND_SHARE * second
        documents.append(RankedDocument(path=path, score=score, chunks=tuple(ids)))
    return tuple(sorted(documents, key=lambda one: (-one.score, one.path)))
