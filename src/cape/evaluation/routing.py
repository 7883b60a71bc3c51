"""Tests of routing: questions with what a weak and a strong writer made of them, by subject.

Owns the shape of such files and the score. A row: `{"subject", "prompt", "weak", "strong"}`, the last two
true where that writer was right; a row without them can be predicted, not scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.errors import InputError

HINT = 'a row is {"subject", "prompt", "weak": true or false, "strong": true or false}'


class BadRoutingTest(InputError):
    """A row of a test of routing is not one."""

    slug = "bad-routing-test"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingRow:
    """A question; `weak` and `strong` are None where what the writers made of it is not known."""

    subject: str
    prompt: str
    weak: bool | None
    strong: bool | None
    id: str


def read_routing(directory: Path) -> list[RoutingRow]:
    """The rows of all `*.jsonl` of a directory in the order of their names. Raises `BadRoutingTest`."""
    files = sorted(directory.glob("*.jsonl")) if directory.is_dir() else [directory]
    rows = [row for file in files for row in _rows(file)]
    if not rows:
        raise BadRoutingTest("there is no row", where=str(directory), hint=HINT)
    return rows


def _rows(file: Path) -> Iterator[RoutingRow]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRoutingTest("the file cannot be read as text", where=str(file)) from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(line, file, number)


def _row(line: str, file: Path, number: int) -> RoutingRow:
    where = f"{file}:{number}"
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRoutingTest("the line is no JSON", where=where, hint=HINT) from error
    if not isinstance(fields, dict) or not isinstance(fields.get("prompt"), str):
        raise BadRoutingTest("the row has no `prompt`", where=where, hint=HINT)
    for key in ("weak", "strong"):
        if not isinstance(fields.get(key), (bool, type(None))):
            raise BadRoutingTest(f"`{key}` is neither true nor false", where=where, hint=HINT)
    return RoutingRow(
        subject=str(fields.get("subject", file.stem)),
        prompt=fields["prompt"],
        weak=fields.get("weak"),
        strong=fields.get("strong"),
        id=str(fields.get("id", f"{file.stem}:{number}")),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingScore:
    """What an order of questions is worth.

    `apgr` is the mean share of the gap between both writers that is closed, over all shares of questions
    that go to the strong one, 0 to 1. `half` and `most` are the shares of calls that close 50 and 80 % of
    the gap; None where no share does.
    """

    rows: int
    weak: float
    strong: float
    apgr: float
    half: float | None
    most: float | None


def routed(rows: Sequence[RoutingRow], difficulties: Sequence[float]) -> RoutingScore | None:
    """The score of an order; None where nothing is known or the strong writer is not better.

    Source: Ong et al., RouteLLM, 2024, section 3.3 (average performance gap recovered).
    """
    known = [
        (row, value)
        for row, value in zip(rows, difficulties, strict=True)
        if row.weak is not None and row.strong is not None
    ]
    gains = [
        int(bool(row.strong)) - int(bool(row.weak)) for row, _ in sorted(known, key=lambda pair: -pair[1])
    ]
    gap = sum(gains)
    if not known or gap <= 0:
        return None
    shares, total = [0.0], 0
    for gain in gains:
        total += gain
        shares.append(total / gap)
    return RoutingScore(
        rows=len(known),
        weak=sum(bool(row.weak) for row, _ in known) / len(known),
        strong=sum(bool(row.strong) for row, _ in known) / len(known),
        apgr=sum(shares) / len(shares),
        half=_first(shares, 0.5),
        most=_first(shares, 0.8),
    )


def _first(shares: Sequence[float], wanted: float) -> float | None:
    return next((at / (len(shares) - 1) for at, share in enumerate(shares) if share >= wanted), None)
