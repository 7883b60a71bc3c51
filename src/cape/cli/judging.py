"""`cape evaluate claims` and `cape evaluate routing`: operations to scores as text and JSON."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.evaluating import embedder_choice, project_here
from cape.cli.output import count, say, show_json, table
from cape.cli.progress import progress
from cape.operations.project import Workshop

if TYPE_CHECKING:
    from cape.evaluation.claims import ClaimsScore
    from cape.operations.checking_claims import ClaimsReport
    from cape.operations.routing import RoutingReport


def claims(arguments: argparse.Namespace) -> int:
    """`cape evaluate claims FILE`."""
    from cape.operations.checking_claims import claim_predictions, evaluate_claims, write_lines

    choice = embedder_choice(arguments)
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    report = evaluate_claims(Path(arguments.test), choice, project=project_here(), workshop=workshop)
    if arguments.predictions:
        write_lines(claim_predictions(report), Path(arguments.predictions))
    if arguments.json:
        show_json(_claims_fields(report))
    else:
        _show_claims(report, quiet=arguments.quiet)
    return 0


def percentile_ms(times_s: Sequence[float], share: float) -> float:
    """The time in milliseconds that a share of the times does not pass; 0 without times."""
    ordered = sorted(times_s)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _claims_fields(report: ClaimsReport) -> dict[str, object]:
    from cape.operations.checking_claims import claim_predictions

    return {
        "answers": len(report.rows),
        "claims": sum(len(check.claims) for check in report.checks),
        "embedder": report.embedder,
        "why_no_embedder": report.why,
        "checker": report.checks[0].checker,
        "score": _score_fields(report.score),
        "p50_ms": round(percentile_ms(report.times_s, 0.5), 3),
        "p95_ms": round(percentile_ms(report.times_s, 0.95), 3),
        "predictions": claim_predictions(report),
    }


def _score_fields(score: ClaimsScore | None) -> dict[str, object] | None:
    if score is None:
        return None
    return {
        "rows": score.rows,
        "unsupported": score.positive,
        "precision": round(score.precision, 6),
        "recall": round(score.recall, 6),
        "f1": round(score.f1, 6),
        "f1_of_all": round(score.f1_of_all, 6),
        "auroc": None if score.auroc is None else round(score.auroc, 6),
        "span_f1": None if score.span_f1 is None else round(score.span_f1, 6),
    }


def _show_claims(report: ClaimsReport, *, quiet: bool) -> None:
    how = f"words and vectors of `{report.embedder}`" if report.embedder else report.why
    claims_count = sum(len(check.claims) for check in report.checks)
    say(f"{count(len(report.rows), 'answer')}, {count(claims_count, 'claim')}, by {how}", quiet=quiet)
    verdicts = Counter(check.verdict.value for check in report.checks)
    rows = [(verdict, str(number)) for verdict, number in sorted(verdicts.items())]
    if (score := report.score) is not None:
        rows += [
            ("precision of `not supported`", f"{score.precision:.3f}"),
            ("recall", f"{score.recall:.3f}"),
            ("F1", f"{score.f1:.3f}"),
            ("F1 of calling all unsupported", f"{score.f1_of_all:.3f}"),
        ]
        rows += [("AUROC of the score", f"{score.auroc:.3f}")] if score.auroc is not None else []
        rows += (
            [("F1 of unsupported characters", f"{score.span_f1:.3f}")] if score.span_f1 is not None else []
        )
    print(table(rows, right=(1,)))
    p50, p95 = percentile_ms(report.times_s, 0.5), percentile_ms(report.times_s, 0.95)
    say(f"p50 {p50:.0f} ms, p95 {p95:.0f} ms an answer", quiet=quiet)


def routing(arguments: argparse.Namespace) -> int:
    """`cape evaluate routing DIR`."""
    from cape.operations.checking_claims import write_lines
    from cape.operations.routing import evaluate_routing, routing_predictions

    report = evaluate_routing(Path(arguments.tables), shipped=arguments.shipped)
    if arguments.predictions:
        write_lines(routing_predictions(report), Path(arguments.predictions))
    if arguments.json:
        show_json(_routing_fields(report))
    else:
        _show_routing(report, quiet=arguments.quiet)
    return 0


def _routing_fields(report: RoutingReport) -> dict[str, object]:
    score = report.score
    return {
        "questions": len(report.rows),
        "subjects": len({row.subject for row in report.rows}),
        "router": report.router,
        "score": None
        if score is None
        else {
            "rows": score.rows,
            "weak": round(score.weak, 6),
            "strong": round(score.strong, 6),
            "apgr": round(score.apgr, 6),
            "calls_for_half": score.half,
            "calls_for_80_per_cent": score.most,
        },
    }


def _show_routing(report: RoutingReport, *, quiet: bool) -> None:
    subjects = len({row.subject for row in report.rows})
    questions = count(len(report.rows), "question")
    say(f"{questions} of {count(subjects, 'subject')}, by {report.router}", quiet=quiet)
    score = report.score
    if score is None:
        say("nothing to score: no outcomes, or no gap between the writers", quiet=quiet)
        return
    rows = [
        ("right, weak writer", f"{score.weak:.1%}"),
        ("right, strong writer", f"{score.strong:.1%}"),
        ("average gap recovered (chance: .5)", f"{score.apgr:.3f}"),
        ("strong calls that close half of the gap", _share(score.half)),
        ("strong calls that close 80 % of it", _share(score.most)),
    ]
    print(table(rows, right=(1,)))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
