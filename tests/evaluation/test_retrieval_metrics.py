"""Metrics against hand-worked tables and against the textbook's formulas written another way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.evaluation.metrics import mean, ndcg, percentile, recall, reciprocal_rank


def test_ndcg_is_that_of_the_worked_example_with_grades() -> None:
    """Grades 3, 2, 3, 0, 1, 2 in this order, two more documents of grades 3 and 2 not found.

    DCG is 3 + 1.2619 + 1.5 + 0 + .3869 + .7124 = 6.8612; the ideal order 3, 3, 3, 2, 2, 2 has
    3 + 1.8928 + 1.5 + .8614 + .7737 + .7124 = 8.7403. The example is a well-known encyclopaedia's.
    """
    relevance = {"a": 3, "b": 2, "c": 3, "d": 0, "e": 1, "f": 2, "g": 3, "h": 2}
    assert ndcg(list("abcdef"), relevance, depth=6) == pytest.approx(6.8612 / 8.7403, abs=1e-4)


@pytest.mark.parametrize(
    ("ranking", "ndcg_10", "recall_100", "mrr_10"),
    [
        (["r1", "r2", "r3"], 1.0, 1.0, 1.0),
        (["x", "r1"], 0.6309 / 2.1309, 1 / 3, 0.5),
        (["x"] * 9 + ["r3"], 0.2891 / 2.1309, 1 / 3, 0.1),
        (["x"] * 10 + ["r1", "r2", "r3"], 0.0, 1.0, 0.0),
        ([], 0.0, 0.0, 0.0),
    ],
)
def test_metrics_of_three_relevant_documents(
    ranking: list[str], ndcg_10: float, recall_100: float, mrr_10: float
) -> None:
    """Discounts by hand: 1, .6309, .5 for ranks 1 to 3, .2891 for rank 10."""
    relevance = {"r1": 1, "r2": 1, "r3": 1}
    assert ndcg(ranking, relevance) == pytest.approx(ndcg_10, abs=1e-4)
    assert recall(ranking, relevance) == pytest.approx(recall_100)
    assert reciprocal_rank(ranking, relevance) == pytest.approx(mrr_10)


def other_ndcg(ranking: list[str], relevance: dict[str, int], depth: int) -> float:
    """With natural logarithms, pairwise sums, and the ideal found by trying ranks from the last up."""
    total, best = 0.0, 0.0
    for at in range(min(depth, len(ranking)) - 1, -1, -1):
        total += relevance.get(ranking[at], 0) * math.log(2) / math.log(at + 2)
    grades = sorted(relevance.values())
    for at in range(min(depth, len(grades))):
        best += grades[-1 - at] * math.log(2) / math.log(at + 2)
    return total / best if best else 0.0


@given(st.permutations("abcdefghijklmno"), st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3)))
@settings(max_examples=80)
def test_ndcg_agrees_with_another_way_to_write_it(ranking: list[str], relevance: dict[str, int]) -> None:
    assert ndcg(ranking, relevance) == pytest.approx(other_ndcg(ranking, relevance, 10))


@given(st.permutations("abcdefghij"), st.sets(st.sampled_from("abcdef"), min_size=1))
@settings(max_examples=40)
def test_putting_a_relevant_document_higher_never_lowers_a_metric(
    ranking: list[str], relevant: set[str]
) -> None:
    relevance = dict.fromkeys(relevant, 1)
    at = next(at for at, one in enumerate(ranking) if one in relevant)
    better = [ranking[at], *ranking[:at], *ranking[at + 1 :]]
    for metric in (ndcg, reciprocal_rank, recall):
        assert metric(better, relevance) >= metric(ranking, relevance)


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(one) for one in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 1.0)] == [50.0, 95.0, 100.0]
    assert percentile([], 0.5) == 0.0
    assert mean([]) == 0.0
