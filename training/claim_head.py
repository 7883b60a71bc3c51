"""A small head over a frozen embedder's last states: which words of a claim are not supported.

Owns its form, its fit and what it adds to the features of claims. It is a rung of the ladder that is measured and not
shipped: on claims that people wrote it adds nothing to what sentences and aligned words tell already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cape.answers.claims.meaning import Meaning

HEAD_FEATURES = ("head_max", "head_second", "head_mean")


class Head:
    """A layer of tanh over projected states and a word's features: log-odds that a word is not supported.

    Raises `ValueError` or `KeyError` where its arrays do not fit each other.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.projection = np.array(fields["projection"], dtype=np.float32)
        self.mean = np.array(fields["mean"], dtype=np.float32)
        self.scale = np.array(fields["scale"], dtype=np.float32)
        self.hidden = np.array(fields["hidden"], dtype=np.float32)
        self.hidden_bias = np.array(fields["hidden_bias"], dtype=np.float32)
        self.out = np.array(fields["out"], dtype=np.float32)
        self.out_bias = float(fields["out_bias"])
        if self.hidden.shape != (len(self.mean), len(self.out)) or len(self.hidden_bias) != len(self.out):
            raise ValueError("the arrays of the head do not fit each other")

    def probabilities(self, meaning: Meaning, rows: Sequence[Sequence[float]]) -> list[float]:
        """For each word of a claim; `rows` are its `WORD_FEATURES`."""
        inputs = (head_inputs(meaning, rows, self.projection) - self.mean) / self.scale
        hidden = np.tanh(np.clip(inputs, -6, 6) @ self.hidden + self.hidden_bias)
        odds = hidden @ self.out + self.out_bias
        return [float(one) for one in 1.0 / (1.0 + np.exp(-odds))]


def head_inputs(
    meaning: Meaning, rows: Sequence[Sequence[float]], projection: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the head reads, a row per word: both states projected, product and distance, and the features."""
    own, nearest = meaning.own @ projection, meaning.nearest @ projection
    inputs: NDArray[np.float32] = np.concatenate(
        [own, own * nearest, np.abs(own - nearest), meaning.cosines[:, None], np.array(rows)], axis=1
    ).astype(np.float32)
    return inputs


def head_row(doubts: Sequence[float]) -> list[float]:
    """The `HEAD_FEATURES` of a claim, from the head's probabilities."""
    ordered = sorted(doubts, reverse=True)
    return [
        ordered[0] if ordered else 0.0,
        ordered[1] if len(ordered) > 1 else 0.0,
        sum(ordered) / max(1, len(ordered)),
    ]
