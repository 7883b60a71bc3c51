"""`cape evaluate writers`: an operation to scores as text and JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import count, say, show_json, table
from cape.cli.progress import progress
from cape.errors import UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.evaluation.writers import WriterScore

_QUESTIONS = 10


def writers(arguments: argparse.Namespace) -> int:
    """`cape evaluate writers [NAME]`."""
    from cape.evaluation.writers import BANDS
    from cape.operations.evaluating_writers import case_fields, evaluate_writers

    bands = arguments.band or []
    names = [one.name for one in BANDS]
    if unknown := [one for one in bands if one not in names]:
        listed = ", ".join(f"`{one}`" for one in names)
        raise UsageError(f"`--band` is one of {listed}, not `{unknown[0]}`")
    report = evaluate_writers(
        find_project(Path.cwd()),
        arguments.name,
        Workshop.open(progress(quiet=arguments.quiet)),
        writers=arguments.writer or (),
        bands=bands,
        questions=_count(arguments.questions),
    )
    if arguments.json:
        show_json(
            {
                "base": report.base,
                "scores": [_fields(one) for one in report.scores],
                "cases": list(case_fields(report.cases)),
                "left_out": [{"what": what, "why": why} for what, why in report.left_out],
            }
        )
        return 0
    say(f"{report.base}: {count(len(report.cases), 'question')}", quiet=arguments.quiet)
    if report.scores:
        print(_table(report.scores))
    for what, why in report.left_out:
        say(f"not run: {what}: {why}", quiet=arguments.quiet)
    return 0


def _count(text: str | None) -> int:
    if text is None:
        return _QUESTIONS
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"`--questions` is a number from 1, not `{text}`")
    return int(text)


def _fields(one: WriterScore) -> dict[str, object]:
    return {
        "writer": one.writer,
        "band": one.band,
        "asked": one.asked,
        "answered": one.answered,
        "right": one.right,
        "failed": one.failed,
        "adherence": one.adherence,
        "tokens_in": one.tokens_in,
        "tokens_out": one.tokens_out,
        "cost": one.cost,
        "seconds": round(one.seconds, 3),
    }


def _table(scores: tuple[WriterScore, ...]) -> str:
    head = (
        *("writer", "band", "asked", "answered", "right", "failed", "adherence"),
        *("tokens in", "out", "cost", "s"),
    )
    rows = [
        (
            one.writer,
            one.band,
            str(one.asked),
            str(one.answered),
            str(one.right),
            str(one.failed),
            "" if one.adherence is None else f"{one.adherence:.0%}",
            f"{one.tokens_in:,.0f}",
            f"{one.tokens_out:,.0f}",
            "" if one.cost is None else f"{one.cost:.6f}",
            f"{one.seconds:.1f}",
        )
        for one in scores
    ]
    return table([head, *rows], right=range(2, len(head)))
