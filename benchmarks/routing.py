"""Ways to order questions for a strong writer, with each subject left out in turn.

    .venv/bin/python benchmarks/routing.py DIR

DIR is a test as `cape evaluate routing` takes it. Beside the router stand chance (ten shuffles), the
question's length, a bag of words by the same ridge regression, and, for scale, two that peek: the order of
each subject's own mean gain, and the best order that there is.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cape.answers.words import words_of
from cape.cli.output import table
from cape.evaluation.routing import RoutingRow, read_routing, routed
from cape.operations.routing import evaluate_routing

WORDS = 1_500


def score(rows: Sequence[RoutingRow], values: Sequence[float]) -> float:
    found = routed(rows, values)
    assert found is not None
    return found.apgr


def by_words(rows: Sequence[RoutingRow]) -> list[float]:
    """Ridge regression on whether the weak writer errs, over the commonest stems; each subject left out."""
    bags = [{word.stem for word in words_of(row.prompt)} for row in rows]
    common = Counter(stem for bag in bags for stem in bag).most_common(WORDS)
    places = {stem: at for at, (stem, _) in enumerate(common)}
    matrix = np.zeros((len(rows), len(places) + 1), dtype=np.float32)
    matrix[:, -1] = 1.0
    for at, bag in enumerate(bags):
        held = [places[stem] for stem in bag if stem in places]
        matrix[at, held] = 1.0 / max(1, len(held)) ** 0.5
    wrong = np.array([not row.weak for row in rows], dtype=np.float32)
    subjects = np.array([row.subject for row in rows])
    found = np.zeros(len(rows))
    for subject in sorted(set(subjects.tolist())):
        rest = subjects != subject
        gram = matrix[rest].T @ matrix[rest] + 5.0 * np.eye(matrix.shape[1], dtype=np.float32)
        weights = np.linalg.solve(gram, matrix[rest].T @ wrong[rest])
        found[~rest] = matrix[~rest] @ weights
    return [float(one) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    rows = read_routing(directory)
    gains = [int(bool(row.strong)) - int(bool(row.weak)) for row in rows]
    chance = random.Random(1)
    shuffled = [score(rows, [chance.random() for _ in rows]) for _ in range(10)]
    means = {
        subject: float(
            np.mean([gain for row, gain in zip(rows, gains, strict=True) if row.subject == subject])
        )
        for subject in {row.subject for row in rows}
    }
    router = evaluate_routing(directory, shipped=False).score
    assert router is not None
    shown = [
        ("chance, ten shuffles", f"{np.mean(shuffled):.3f} (± {np.std(shuffled):.3f})"),
        ("length of the question", f"{score(rows, [len(row.prompt) for row in rows]):.3f}"),
        ("a bag of words", f"{score(rows, by_words(rows)):.3f}"),
        ("the router", f"{router.apgr:.3f}"),
        ("peeking: each subject's mean gain", f"{score(rows, [means[row.subject] for row in rows]):.3f}"),
        ("peeking: the best order", f"{score(rows, gains):.3f}"),
    ]
    print(table([("order", "gap recovered"), *shown], right=(1,)))


if __name__ == "__main__":
    main()
