"""How well a collection's queries find what answers them, and how quickly.

Owns running a ranker over a collection, its scores and its run file. Making the index is not done here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cape.evaluation.collections import Collection
from cape.evaluation.metrics import mean, ndcg, percentile, recall, reciprocal_rank

RUN_DEPTH = 1_000
"""Documents of a query that are kept, at most."""

Ranking = Sequence[tuple[str, float]]
"""Document ids with scores, best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """One query's ranking, its metrics, and what it took."""

    query: str
    ranking: Ranking
    ndcg_10: float
    recall_100: float
    mrr_10: float
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalResult:
    """All queries of a collection, in its order. The properties are means, or percentiles of times."""

    collection: str
    queries: tuple[QueryResult, ...]

    @property
    def ndcg_10(self) -> float:
        return mean([one.ndcg_10 for one in self.queries])

    @property
    def recall_100(self) -> float:
        return mean([one.recall_100 for one in self.queries])

    @property
    def mrr_10(self) -> float:
        return mean([one.mrr_10 for one in self.queries])

    @property
    def p50_s(self) -> float:
        return percentile([one.seconds for one in self.queries], 0.5)

    @property
    def p95_s(self) -> float:
        return percentile([one.seconds for one in self.queries], 0.95)


def evaluate_ranking(collection: Collection, rank: Callable[[str], Ranking]) -> RetrievalResult:
    """Asks every query of a collection and scores what `rank` gives; a document given twice counts once."""
    results = []
    for query, text in collection.queries.items():
        begun = time.perf_counter()
        ranking = rank(text)
        seconds = time.perf_counter() - begun
        results.append(_scored(query, ranking, collection.relevance[query], seconds))
    return RetrievalResult(collection=collection.name, queries=tuple(results))


def _scored(query: str, ranking: Ranking, relevance: Mapping[str, int], seconds: float) -> QueryResult:
    first: dict[str, float] = {}
    for document, score in ranking:
        first.setdefault(document, score)
    ids = list(first)
    return QueryResult(
        query=query,
        ranking=tuple(first.items())[:RUN_DEPTH],
        ndcg_10=ndcg(ids, relevance, depth=10),
        recall_100=recall(ids, relevance, depth=100),
        mrr_10=reciprocal_rank(ids, relevance, depth=10),
        seconds=seconds,
    )


def run_lines(result: RetrievalResult, *, tag: str = "cape") -> Iterator[str]:
    """The rankings in TREC's form, a line each: `query Q0 document rank score tag`, rank from 1.

    Scores are printed so that they fall strictly with the rank: tools that sort by score and break ties in
    their own way see the same order.
    """
    for one in result.queries:
        above = float("inf")
        for rank, (document, score) in enumerate(one.ranking, start=1):
            above = min(score, above - 1e-6)
            yield f"{one.query} Q0 {document} {rank} {above:.6f} {tag}"
