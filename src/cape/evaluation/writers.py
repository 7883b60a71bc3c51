"""Writers measured by how much they are sent: how far they keep to it, and at what cost.

Owns the bands of context, how a passage that answers is hidden among others, and the score of a writer in a
band. Nothing here asks anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from cape.answers.tokens import estimated_tokens
from cape.answers.writing import LONGEST_PASSAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A range of tokens that a writer is sent; `aim` is what is made, by estimate."""

    name: str
    least: int
    most: int
    aim: int


BANDS = (
    Band(name="short", least=0, most=5_000, aim=2_500),
    Band(name="medium", least=5_000, most=25_000, aim=12_000),
    Band(name="long", least=40_000, most=100_000, aim=60_000),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterCase:
    """What a writer made of one question in one band.

    `kept` of its sentences are supported by what they cite, `dropped` are not. `right` is whether what was
    kept has all that the answer must have. `cost` is None without a price; `problem` is why nothing came.
    """

    writer: str
    band: str
    question: str
    kept: int
    dropped: int
    right: bool
    tokens_in: int
    tokens_out: int
    cost: float | None
    seconds: float
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterScore:
    """A writer in a band. `adherence` is the share of its sentences that are supported, None without any.

    `answered` are the questions of which a sentence was kept. Tokens, cost and seconds are means of
    a question.
    """

    writer: str
    band: str
    asked: int
    answered: int
    right: int
    failed: int
    adherence: float | None
    tokens_in: float
    tokens_out: float
    cost: float | None
    seconds: float


def hidden_among(
    needles: Sequence[str], filler: Sequence[str], band: Band, *, seed: str, depth: float
) -> list[str]:
    """The passages of a band: those that answer, `depth` of the way down among others.

    The filler is in an order of its own for each seed, and comes again from its beginning where there is too
    little of it. Equal input gives equal passages.
    """
    left = band.aim - sum(map(_tokens, needles))
    order = list(filler)
    random.Random(seed).shuffle(order)
    taken: list[str] = []
    for text in cycle(order) if order else ():
        if left - (size := _tokens(text)) < 0 or not size:
            break
        taken.append(text)
        left -= size
    at = round(depth * len(taken))
    return [*taken[:at], *needles, *taken[at:]]


def _tokens(text: str) -> int:
    return estimated_tokens(text[:LONGEST_PASSAGE])


def score_writers(cases: Sequence[WriterCase]) -> tuple[WriterScore, ...]:
    """A score for each writer and band that has cases, in their order."""
    groups: dict[tuple[str, str], list[WriterCase]] = {}
    for one in cases:
        groups.setdefault((one.writer, one.band), []).append(one)
    return tuple(_score(writer, band, found) for (writer, band), found in groups.items())


def _score(writer: str, band: str, cases: Sequence[WriterCase]) -> WriterScore:
    def mean(value: Callable[[WriterCase], float]) -> float:
        return sum(map(value, cases)) / len(cases)

    kept, dropped = sum(one.kept for one in cases), sum(one.dropped for one in cases)
    costs = [one.cost for one in cases if one.cost is not None]
    return WriterScore(
        writer=writer,
        band=band,
        asked=len(cases),
        answered=sum(one.kept > 0 for one in cases),
        right=sum(one.right for one in cases),
        failed=sum(bool(one.problem) for one in cases),
        adherence=kept / (kept + dropped) if kept + dropped else None,
        tokens_in=mean(lambda one: one.tokens_in),
        tokens_out=mean(lambda one: one.tokens_out),
        cost=sum(costs) / len(costs) if costs else None,
        seconds=mean(lambda one: one.seconds),
    )
