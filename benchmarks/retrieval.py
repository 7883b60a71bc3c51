"""Ways to rank the documents of test collections, side by side.

    .venv/bin/python benchmarks/retrieval.py DIR... [--model FILE --tokenizer FILE] [--tune]

Each DIR is a collection as `cape evaluate retrieval` takes it. The table has each way's nDCG@10 on each
collection, and their mean. Below, for what `cape` does against the better of words and vectors alone, how
often it is at least as good (less .005) on random halves of the queries. `--tune` adds ways that were tried
and left. Vectors are kept in the store, so that only the first run embeds. Without `--model`, the embedder
is that of the project around the working directory.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cape.answers import retrieval
from cape.answers.retrieval import (
    POOL,
    RankedChunk,
    bounded,
    fuse,
    question_vector,
    rank_documents,
    retrieve,
    standings,
)
from cape.cli.output import table
from cape.evaluation.metrics import mean
from cape.evaluation.retrieval import evaluate_ranking
from cape.knowledge.protocol import EVERYONE, Embedder, Hit
from cape.names import Digest
from cape.operations.evaluating import EmbedderChoice, PreparedCollection, prepare_collection
from cape.operations.project import NoProject, Workshop, find_project

GROUPS = frozenset({EVERYONE})
Scores = Mapping[int, float]
HALVES = 2_000


class Remembering:
    """An embedder that does no text twice: every way asks the same questions."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def digest(self) -> Digest:
        return self._embedder.digest

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return np.array([self._known[text] for text in texts])


def words(prepared: PreparedCollection, question: str) -> Sequence[Hit]:
    return prepared.index.search_words(bounded(question), GROUPS, POOL)


def vectors(prepared: PreparedCollection, question: str, *, sentences: bool = True) -> Sequence[Hit]:
    assert prepared.embedder is not None
    searched = bounded(question)
    if sentences:
        vector = question_vector(prepared.embedder, searched)
    else:
        vector = prepared.embedder.embed([searched])[0]
    return prepared.index.search_vector(vector, GROUPS, POOL)


def by_score(hits: Sequence[Hit]) -> Scores:
    return {hit.chunk: hit.score for hit in hits}


def reciprocal(*runs: Sequence[Hit]) -> Scores:
    """Reciprocal rank fusion with its authors' k of 60."""
    scores: dict[int, float] = {}
    for run in runs:
        for rank, hit in enumerate(run, start=1):
            scores[hit.chunk] = scores.get(hit.chunk, 0.0) + 1 / (60 + rank)
    return scores


def spread(*runs: tuple[float, Sequence[Hit]]) -> Scores:
    """Weighted scores, each run's stretched to [0, 1]."""
    scores: dict[int, float] = {}
    for weight, run in runs:
        low, high = (run[-1].score, run[0].score) if run else (0.0, 0.0)
        for hit in run:
            stretched = (hit.score - low) / (high - low or 1.0)
            scores[hit.chunk] = scores.get(hit.chunk, 0.0) + weight * stretched
    return scores


def documents(prepared: PreparedCollection, scores: Scores, share: float) -> list[tuple[str, float]]:
    """Documents by their best chunk, moved by `share` towards the second."""
    best = sorted(scores, key=lambda one: (-scores[one], one))
    contents = prepared.index.chunks(best)
    chunks = [
        RankedChunk(id=one, chunk=contents[one], score=scores[one], words=None, vectors=None) for one in best
    ]
    kept, retrieval.SECOND_SHARE = retrieval.SECOND_SHARE, share
    try:
        found = rank_documents(prepared.index, GROUPS, chunks, scores)
    finally:
        retrieval.SECOND_SHARE = kept
    return [(one.path, one.score) for one in found]


def ours(prepared: PreparedCollection, question: str) -> list[tuple[str, float]]:
    found = retrieve(prepared.index, prepared.embedder, question, GROUPS, 2 * POOL)
    return [(one.path, one.score) for one in found.documents]


def standardised(weight: float, *, sentences: bool = True) -> Callable[[PreparedCollection, str], Scores]:
    def rank(prepared: PreparedCollection, question: str) -> Scores:
        by_words = standings(words(prepared, question), min(POOL, prepared.chunks))
        by_vectors = standings(vectors(prepared, question, sentences=sentences), 0)
        kept, retrieval.VECTORS_SHARE = retrieval.VECTORS_SHARE, weight
        try:
            return fuse(by_words, by_vectors, min(POOL, prepared.chunks))
        finally:
            retrieval.VECTORS_SHARE = kept

    return rank


Way = Callable[[PreparedCollection, str], list[tuple[str, float]]]


def way(scores: Callable[[PreparedCollection, str], Scores], share: float = retrieval.SECOND_SHARE) -> Way:
    return lambda prepared, question: documents(prepared, scores(prepared, question), share)


def plain_vectors(prepared: PreparedCollection, question: str) -> Scores:
    return by_score(vectors(prepared, question, sentences=False))


WORDS = "words alone"
VECTORS = "vectors alone"
OURS = "cape: standardised, sentences, vectors .65, second .3"
WAYS: dict[str, Way] = {
    WORDS: way(lambda prepared, question: by_score(words(prepared, question))),
    VECTORS: way(plain_vectors),
    "reciprocal ranks, k 60": way(
        lambda prepared, question: reciprocal(
            words(prepared, question), vectors(prepared, question, sentences=False)
        )
    ),
    "standardised, without sentences": way(standardised(retrieval.VECTORS_SHARE, sentences=False)),
    OURS: ours,
}
TUNING: dict[str, Way] = {
    "vectors alone, sentences": way(lambda prepared, question: by_score(vectors(prepared, question))),
    **{f"standardised, vectors {weight}": way(standardised(weight)) for weight in (0.5, 0.6, 0.7, 0.8)},
    **{
        f"standardised, second {share}": way(standardised(retrieval.VECTORS_SHARE), share)
        for share in (0.0, 0.1, 0.2, 0.4)
    },
    **{
        f"stretched to [0, 1], vectors {weight}": way(
            lambda prepared, question, weight=weight: spread(  # type: ignore[misc]
                (weight, vectors(prepared, question)), (1 - weight, words(prepared, question))
            )
        )
        for weight in (0.5, 0.6, 0.7)
    },
}


def halves_kept(scores: Mapping[str, list[float]]) -> float:
    """The share of random halves of the queries on which ours is at or above the better one, less .005."""
    picker = random.Random(20)
    count, kept = len(scores[OURS]), 0
    for _ in range(HALVES):
        half = picker.sample(range(count), max(1, count // 2))
        of = {name: mean([values[at] for at in half]) for name, values in scores.items()}
        kept += of[OURS] >= max(of[WORDS], of[VECTORS]) - 0.005
    return kept / HALVES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--tune", action="store_true")
    arguments = parser.parse_args()
    try:
        project = find_project(Path.cwd())
    except NoProject:
        project = None
    choice = EmbedderChoice(model=arguments.model, tokenizer=arguments.tokenizer)
    ways = WAYS | (TUNING if arguments.tune else {})
    scores: dict[str, dict[str, list[float]]] = {}
    for directory in arguments.directories:
        prepared = prepare_collection(directory, choice, project=project, workshop=Workshop.open())
        if prepared.embedder is None:
            raise SystemExit(f"nothing to compare: {prepared.why}")
        prepared = replace(prepared, embedder=Remembering(prepared.embedder))
        of = scores[prepared.collection.name] = {}
        for name, rank in ways.items():
            result = evaluate_ranking(
                prepared.collection, lambda question, rank=rank, held=prepared: rank(held, question)
            )
            of[name] = [one.ndcg_10 for one in result.queries]
    rows = [("nDCG@10", *scores, "mean")]
    for name in ways:
        means = [mean(of[name]) for of in scores.values()]
        rows.append((name, *(f"{one:.4f}" for one in means), f"{mean(means):.4f}"))
    rows.append(("halves where cape keeps up", *(f"{halves_kept(of):.3f}" for of in scores.values()), ""))
    print(table(rows, right=tuple(range(1, len(rows[0])))))


if __name__ == "__main__":
    main()
