"""One point of a parameter sweep: a logistic regression, trained with the rate and penalty of this task."""

import itertools
import json
import os
import time
from pathlib import Path

import numpy as np

RATES, PENALTIES = (0.01, 0.1, 1.0, 10.0), (0.0, 0.01)
POINTS = list(itertools.product(RATES, PENALTIES))


def data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in 20 dimensions, of two classes with some noise between."""
    made = np.random.default_rng(seed)
    points = made.normal(size=(rows, 20))
    direction = np.random.default_rng(0).normal(size=20)
    return points, (points @ direction + made.normal(scale=2.0, size=rows) > 0).astype(float)


def trained(rate: float, penalty: float) -> float:
    """Accuracy on points that were not trained on."""
    points, classes = data(4000, seed=1)
    weights = np.zeros(20)
    for _ in range(300):
        guesses = 1 / (1 + np.exp(-np.clip(points @ weights, -30, 30)))
        weights -= rate * (points.T @ (guesses - classes) / len(classes) + penalty * weights)
    points, classes = data(4000, seed=2)
    return float((((points @ weights) > 0) == classes).mean())


def main() -> None:
    task, tasks = int(os.environ["CAPE_TASK"]), int(os.environ["CAPE_TASKS"])
    for number in range(task, len(POINTS), tasks):
        rate, penalty = POINTS[number]
        began = time.monotonic()
        accuracy = trained(rate, penalty)
        print(f"rate {rate:g}, penalty {penalty:g}: {accuracy:.4f} in {time.monotonic() - began:.2f} s")
        row = {"rate": rate, "penalty": penalty, "accuracy": accuracy}
        (Path(os.environ["CAPE_OUTPUTS"]) / f"{number}.json").write_text(json.dumps(row))


main()
