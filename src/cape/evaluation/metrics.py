"""Metrics of rankings, as trec_eval defines them. Pure; a ranking is document ids, best first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], relevance: Mapping[str, int], *, depth: int = 10) -> float:
    """Normalised discounted cumulative gain, in [0, 1]: linear gains, the ideal over all that is relevant.

    An id that `relevance` lacks gains nothing. 0 where nothing is relevant.

    >>> round(ndcg(["a", "x", "b"], {"a": 1, "b": 1}), 4)
    0.9197

    Source: Järvelin and Kekäläinen, TOIS 2002; discount 1 / log2(rank + 1), as trec_eval's `ndcg_cut`.
    """
    ideal = _gain(sorted((grade for grade in relevance.values() if grade > 0), reverse=True)[:depth])
    return _gain([max(0, relevance.get(one, 0)) for one in ranking[:depth]]) / ideal if ideal else 0.0


def _gain(grades: Sequence[int]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def recall(ranking: Sequence[str], relevance: Mapping[str, int], *, depth: int = 100) -> float:
    """The share of the relevant documents among the first `depth`; 0 where nothing is relevant.

    >>> recall(["a", "x"], {"a": 1, "b": 2, "c": 0})
    0.5
    """
    relevant = {one for one, grade in relevance.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevance: Mapping[str, int], *, depth: int = 10) -> float:
    """One over the rank of the first relevant document; 0 if there is none among the first `depth`.

    >>> reciprocal_rank(["x", "a", "b"], {"a": 1, "b": 1})
    0.5
    """
    for rank, one in enumerate(ranking[:depth], start=1):
        if relevance.get(one, 0) > 0:
            return 1 / rank
    return 0.0


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; 0 of nothing.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5)
    2.0
    """
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
