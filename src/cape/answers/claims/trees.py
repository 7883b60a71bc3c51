"""Gradient-boosted trees that were trained elsewhere, evaluated here.

Owns the form in which trees are kept: JSON of numbers, so that reading them runs nothing. How they were
grown is `training/`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tree:
    """A binary tree as columns. A row goes left where its `feature` is at most `threshold`.

    `left` and `right` are node numbers; below 0 a leaf: `leaves[-1 - number]`. A tree of one leaf has no
    node.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaves: tuple[float, ...]

    def value(self, row: Sequence[float]) -> float:
        """What the tree adds for a row."""
        node = 0 if self.feature else -1
        while node >= 0:
            goes_left = row[self.feature[node]] <= self.threshold[node]
            node = self.left[node] if goes_left else self.right[node]
        return self.leaves[-1 - node]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """Trees whose sum is log-odds. `features` names the columns of a row, in order."""

    features: tuple[str, ...]
    trees: tuple[Tree, ...]

    def log_odds(self, row: Sequence[float]) -> float:
        """The log-odds of a row, `len(features)` numbers."""
        return sum(tree.value(row) for tree in self.trees)

    def probability(self, row: Sequence[float]) -> float:
        """The probability that a row stands for, in [0, 1]."""
        return sigmoid(self.log_odds(row))


def sigmoid(value: float) -> float:
    """Log-odds as a probability.

    >>> sigmoid(0.0)
    0.5
    """
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)


def forest_of(fields: Mapping[str, Any]) -> Forest:
    """A forest out of its JSON: `{"features": [...], "trees": [[feature, threshold, left, right, leaves],
    ...]}`.

    Raises `ValueError`, `KeyError` or `TypeError` where it is none.
    """
    features = tuple(str(name) for name in fields["features"])
    trees = tuple(_tree(columns, len(features)) for columns in fields["trees"])
    return Forest(features=features, trees=trees)


def _tree(columns: Sequence[Sequence[Any]], width: int) -> Tree:
    feature, threshold, left, right, leaves = columns
    if not len(feature) == len(threshold) == len(left) == len(right) == len(leaves) - 1:
        raise ValueError("the columns of a tree differ in length")
    if any(not 0 <= one < width for one in feature):
        raise ValueError("a tree asks for a feature that there is not")
    if any(not -len(leaves) <= one < len(feature) for one in (*left, *right)):
        raise ValueError("a tree leads to a node that there is not")
    return Tree(
        tuple(map(int, feature)),
        tuple(map(float, threshold)),
        tuple(map(int, left)),
        tuple(map(int, right)),
        tuple(map(float, leaves)),
    )
