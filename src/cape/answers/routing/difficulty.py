"""How likely a weak writer errs on a question: a linear estimate over how the question is put.

Owns the fit (ridge regression, in closed form) and the weights that come with cape, a data file of numbers
beside this module. A difficulty orders questions; it is no probability.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from cape.answers.routing.features import FEATURES, question_row
from cape.errors import IntegrityError
from cape.names import Digest

PENALTY = 300.0
"""How strongly weights are held small, in questions; .588 to .589 from 30 to 300 of it."""

BENEFIT = 0.5
"""What a strong writer's being right where the weak one errs counts beside the weak one's erring."""
_FURTHEST = 4.0
"""Standard deviations at which a feature is cut: one odd question must not decide by itself."""


class DamagedRouter(IntegrityError):
    """The weights of the router that come with cape are not what was trained."""

    slug = "damaged-router"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difficulty:
    """An estimate: each feature less its mean, over its deviation, times its weight, and the bias."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def of(self, question: str) -> float:
        """The difficulty of a question; the higher, the more a strong writer helps."""
        return self.of_row(question_row(question))

    def of_row(self, row: Sequence[float]) -> float:
        """The difficulty of a row of `FEATURES`."""
        return self.bias + sum(
            weight * min(max((value - mean) / deviation, -_FURTHEST), _FURTHEST)
            for value, mean, deviation, weight in zip(
                row, self.means, self.deviations, self.weights, strict=True
            )
        )

    def fields(self) -> dict[str, object]:
        """The estimate as JSON values, features by name; what `difficulty_of` reads."""
        return {
            "features": list(FEATURES),
            "means": list(self.means),
            "deviations": list(self.deviations),
            "weights": list(self.weights),
            "bias": self.bias,
        }


def fit_difficulty(
    rows: Sequence[Sequence[float]], weak: Sequence[bool], strong: Sequence[bool]
) -> Difficulty:
    """The estimate that fits questions whose outcome with both writers is known.

    Deterministic; the order of the rows does not matter beyond rounding. Needs numpy.
    """
    import numpy as np

    matrix = np.array(rows, dtype=np.float64)
    wrong = 1.0 - np.array(weak, dtype=np.float64)
    wanted = wrong + BENEFIT * (np.array(strong, dtype=np.float64) - 1.0 + wrong)
    means, deviations = matrix.mean(axis=0), matrix.std(axis=0) + 1e-6
    scaled = np.clip((matrix - means) / deviations, -_FURTHEST, _FURTHEST)
    design = np.hstack([scaled, np.ones((len(scaled), 1))])
    held = PENALTY * np.eye(design.shape[1])
    held[-1, -1] = 0.0
    weights = np.linalg.solve(design.T @ design + held, design.T @ wanted)
    return Difficulty(
        means=tuple(map(float, means)),
        deviations=tuple(map(float, deviations)),
        weights=tuple(map(float, weights[:-1])),
        bias=float(weights[-1]),
    )


def difficulty_of(fields: Mapping[str, Any]) -> Difficulty:
    """An estimate out of its JSON. Raises `ValueError`, `KeyError` or `TypeError` where it is none."""
    if tuple(fields["features"]) != FEATURES:
        raise ValueError("the weights are of other features")
    columns = [tuple(map(float, fields[key])) for key in ("means", "deviations", "weights")]
    if any(len(column) != len(FEATURES) for column in columns):
        raise ValueError("there is not one number for each feature")
    return Difficulty(means=columns[0], deviations=columns[1], weights=columns[2], bias=float(fields["bias"]))


@lru_cache(maxsize=1)
def shipped_difficulty() -> tuple[Difficulty, Digest]:
    """The estimate that comes with cape, and the digest of its file. Raises `DamagedRouter`."""
    place = files("cape.answers.routing") / "weights.json"
    try:
        text = place.read_bytes()
        return difficulty_of(json.loads(text)), Digest.of(text)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedRouter(
            "the weights of the router cannot be read", where=str(place), hint="install cape again"
        ) from error
