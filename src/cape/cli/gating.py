"""`cape evaluate` and `cape evaluate generate`: operations to scores as text, JSON and a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import count, say, show_json, table
from cape.cli.progress import progress
from cape.errors import UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.evaluation.gate import Comparison, Evaluation
    from cape.operations.gating import Gate

_PROPOSED = 20
_SHOWN = 3


def evaluate(arguments: argparse.Namespace) -> int:
    """`cape evaluate [NAME]`; exit code 1 when a metric fell against `--compare`."""
    from cape.evaluation.questions import HALVES
    from cape.operations.gating import evaluate_base, write_evaluation, write_page

    if arguments.half not in (None, *HALVES):
        raise UsageError(f"`--half` is `calibrate` or `test`, not `{arguments.half}`")
    gate = evaluate_base(
        find_project(Path.cwd()),
        arguments.name,
        Workshop.open(progress(quiet=arguments.quiet)),
        half=arguments.half,
        base=Path(arguments.compare) if arguments.compare else None,
    )
    if arguments.write:
        write_evaluation(Path(arguments.write), gate.evaluation)
    if arguments.page:
        write_page(Path(arguments.page), gate)
    if arguments.json:
        show_json(_fields(gate))
    else:
        _show(gate, quiet=arguments.quiet)
    return 1 if gate.comparison is not None and gate.comparison.is_worse else 0


def _show(gate: Gate, *, quiet: bool) -> None:
    from cape.evaluation.metrics import percentile

    evaluation = gate.evaluation
    say(f"{evaluation.base}: {count(len(evaluation.rows), 'question')}", quiet=quiet)
    for note in gate.notes:
        say(f"note: {note}", quiet=quiet)
    if gate.comparison is None:
        print(table([("metric", "mean", "questions"), *_means(evaluation)], right=(1, 2)))
    else:
        _show_comparison(gate.comparison)
    tokens = sum(row.tokens for row in evaluation.rows)
    p50, p95 = (percentile(gate.milliseconds, share) for share in (0.5, 0.95))
    cost = "no model wrote" if not tokens else f"{tokens} tokens went to a model"
    say(f"{cost}; p50 {p50:.0f} ms, p95 {p95:.0f} ms a question", quiet=quiet)


def _means(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    from cape.evaluation.gate import METRICS

    found = [(name, evaluation.mean(name)) for name in METRICS]
    return [
        (name, f"{mean:.4f}", str(sum(name in row.values for row in evaluation.rows)))
        for name, mean in found
        if mean is not None
    ]


def _show_comparison(comparison: Comparison) -> None:
    head = ("metric", "before", "now", "difference", "95 of 100", "")
    rows = [
        (
            one.metric,
            f"{one.before:.4f}",
            f"{one.now:.4f}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
            "fell" if one.is_regression else "",
        )
        for one in comparison.changes
    ]
    print(table([head, *rows], right=(1, 2, 3)))
    if comparison.parts:
        say("made with other " + ", ".join(comparison.parts))
    for told, ids in (("gone", comparison.only_before), ("new", comparison.only_now)):
        if ids:
            say(f"{told}: {count(len(ids), 'question')}, which count for nothing here")
    for one in comparison.regressions:
        say(f"`{one.metric}` fell: " + ", ".join(f"`{name}`" for name in one.fallen))
    for seen in comparison.widened:
        whom = f"`{seen.user}`" if seen.user else "everyone"
        shown = ", ".join(f"`{path}`" for path in seen.documents[:_SHOWN])
        more = f" and {len(seen.documents) - _SHOWN} more" if len(seen.documents) > _SHOWN else ""
        say(f"{whom} may see more than before: {shown}{more}")
    if not comparison.is_worse:
        say("nothing fell")


def _fields(gate: Gate) -> dict[str, object]:
    from cape.evaluation.gate import METRICS
    from cape.evaluation.metrics import percentile

    evaluation, comparison = gate.evaluation, gate.comparison
    return {
        "base": evaluation.base,
        "parts": dict(evaluation.parts),
        "metrics": {name: mean for name in METRICS if (mean := evaluation.mean(name)) is not None},
        "questions": [row.fields for row in evaluation.rows],
        "compared": None if comparison is None else _compared(comparison),
        "milliseconds": {
            "p50": percentile(gate.milliseconds, 0.5),
            "p95": percentile(gate.milliseconds, 0.95),
        },
        "notes": list(gate.notes),
    }


def _compared(comparison: Comparison) -> dict[str, object]:
    return {
        "changes": [
            {
                "metric": one.metric,
                "questions": one.questions,
                "before": one.before,
                "now": one.now,
                "low": one.low,
                "high": one.high,
                "regression": one.is_regression,
                "fallen": list(one.fallen),
            }
            for one in comparison.changes
        ],
        "parts": list(comparison.parts),
        "only_before": list(comparison.only_before),
        "only_now": list(comparison.only_now),
        "widened": [{"user": one.user, "documents": list(one.documents)} for one in comparison.widened],
    }


def generate(arguments: argparse.Namespace) -> int:
    """`cape evaluate generate [NAME]`: proposals as text for `questions.toml`."""
    from cape.operations.gating import propose_questions

    wanted = _count(arguments.count)
    found = propose_questions(
        find_project(Path.cwd()),
        arguments.name,
        Workshop.open(progress(quiet=arguments.quiet)),
        count=wanted,
        user=getattr(arguments, "as"),
    )
    print("\n".join(one.text for one in found), end="")
    say(
        f"{count(len(found), 'question')} proposed; append those that you accept to the base's test set, "
        "better in words of your own",
        quiet=arguments.quiet,
    )
    return 0


def _count(text: str | None) -> int:
    try:
        wanted = _PROPOSED if text is None else int(text)
    except ValueError:
        wanted = 0
    if wanted < 1:
        raise UsageError(f"`--count` is a number from 1, not `{text}`")
    return wanted
