"""What checking an answer takes: ten claims, evidence of 5,000 tokens, every text a new one.

    .venv/bin/python benchmarks/claims.py [--model FILE --tokenizer FILE] [--answers N]

How good the verdicts are is measured by `training/claims.py`, which holds each document out in turn.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from cape.answers.claims.checking import Checker
from cape.answers.tokens import estimated_tokens
from cape.cli.output import table
from cape.operations.checking_claims import pieces_of

SUBJECTS = [
    "ferry",
    "bridge",
    "council",
    "harbour",
    "school",
    "market",
    "museum",
    "library",
    "station",
    "garden",
    "theatre",
    "mill",
]
VERBS = [
    "opened",
    "closed",
    "moved",
    "bought",
    "sold",
    "repaired",
    "painted",
    "visited",
    "measured",
    "planned",
    "refused",
    "praised",
]
PLACES = [
    "valley",
    "coast",
    "island",
    "village",
    "town",
    "river",
    "quarter",
    "district",
    "bay",
    "hill",
    "square",
    "forest",
]


def sentence(chance: random.Random) -> str:
    return (
        f"In {chance.randint(1800, 2020)} the {chance.choice(SUBJECTS)} of the {chance.choice(PLACES)} was "
        f"{chance.choice(VERBS)} by {chance.randint(2, 900)} people from the {chance.choice(PLACES)} "
        f"near the "
        f"{chance.choice(SUBJECTS)}."
    )


def measured(checker: Checker, answers: int) -> list[tuple[float, float]]:
    """Seconds of the clock and of the processor for each answer."""
    chance = random.Random(3)
    times = []
    for _ in range(answers):
        evidence = [sentence(chance) for _ in range(240)]
        answer = " ".join(chance.choice((one, sentence(chance))) for one in chance.sample(evidence, 10))
        clock, processor = time.perf_counter(), time.process_time()
        checker.check(answer, [" ".join(evidence)])
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--answers", type=int, default=30)
    arguments = parser.parse_args()
    ways = [("words", Checker())]
    if arguments.model:
        from cape.engines.minilm import open_embedder

        embedder = open_embedder("embedder", arguments.model, arguments.tokenizer)
        ways.append(("words and vectors", Checker(embedder=pieces_of(embedder))))
    chance = random.Random(3)
    tokens = estimated_tokens(" ".join(sentence(chance) for _ in range(240)))
    shown = []
    for name, checker in ways:
        checker.check("It opened.", ["It opened."])
        times = measured(checker, arguments.answers)
        clock, processor = (sorted(column) for column in zip(*times, strict=True))
        middle, late = len(times) // 2, int(0.95 * len(times))
        shown.append(
            (name, *(f"{1000 * one:.0f}" for one in (clock[middle], clock[late], processor[middle])))
        )
    print(f"ten claims, {tokens} tokens of evidence, {arguments.answers} answers; milliseconds")
    print(table([("by", "p50", "p95", "processor, p50"), *shown], right=(1, 2, 3)))


if __name__ == "__main__":
    main()
