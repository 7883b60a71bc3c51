"""`cape evaluate questions` and `cape evaluate answers`: operations to scores as text and JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.evaluating import embedder_choice, project_here
from cape.cli.output import count, say, show_json, table
from cape.cli.progress import progress
from cape.errors import UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.evaluation.questions import Judgement, Score
    from cape.evaluation.reading import Point
    from cape.operations.evaluating_questions import QuestionsReport, ReadingReport

_POINTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Shares of the unanswerable at which the curve is printed."""


class BelowRequirement(UsageError):
    """`--require` is no share."""

    slug = "no-share"


def questions(arguments: argparse.Namespace) -> int:
    """`cape evaluate questions [NAME]`; exit code 1 when `--require` is not met."""
    from cape.evaluation.questions import HALVES, score
    from cape.operations.evaluating_questions import evaluate_questions

    required = _share(arguments.require)
    if arguments.half not in (None, *HALVES):
        raise UsageError(f"`--half` is `calibrate` or `test`, not `{arguments.half}`")
    project = find_project(Path.cwd())
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    report = evaluate_questions(project, arguments.name, workshop, half=arguments.half)
    total = score(report.judgements)
    met = required is None or total.share >= required
    if arguments.json:
        show_json(_questions_fields(report, required))
    else:
        _show_questions(report, quiet=arguments.quiet)
        if not met:
            say(f"{total.share:.1%} are right, and {required:.1%} are required")
    return 0 if met else 1


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise BelowRequirement(f"`--require` is a share from 0 to 1, not `{text}`")
    return share


def _show_questions(report: QuestionsReport, *, quiet: bool) -> None:
    from cape.evaluation.questions import scores_by_kind

    how = "words and vectors" if report.by_vectors else "words alone"
    say(f"{report.base}: {count(len(report.judgements), 'question')}, by {how}", quiet=quiet)
    for note in report.notes:
        say(f"note: {note}", quiet=quiet)
    for one in report.judgements:
        if not one.is_right:
            print(_failure(one))
    head = ("kind", *(name for name, _ in _by_half(report)))
    kinds = scores_by_kind(report.judgements)
    halves = [(name, scores_by_kind(found)) for name, found in _by_half(report)]
    rows = [(kind, *(_told(scores.get(kind)) for _, scores in halves)) for kind in kinds]
    last = ("all", *(_told(_score(found)) for _, found in _by_half(report)))
    print(table([head, *rows, last], right=range(1, len(head))))
    if (best := report.proposed) is not None:
        told = f"{best.right} right, {best.wrong} wrong, {best.refused} refused"
        say(f"the calibrate half proposes `answer-from = {best.per_cent}`: {told}", quiet=quiet)
    say(f"p50 {report.p50_ms:.0f} ms, p95 {report.p95_ms:.0f} ms a question", quiet=quiet)


def _score(judgements: list[Judgement]) -> Score:
    from cape.evaluation.questions import score

    return score(judgements)


def _by_half(report: QuestionsReport) -> list[tuple[str, list[Judgement]]]:
    """All questions, and each half that has some."""
    from cape.evaluation.questions import HALVES

    halves = [(half, [one for one in report.judgements if one.question.half == half]) for half in HALVES]
    return [*((half, found) for half, found in halves if found), ("both", list(report.judgements))]


def _told(score: Score | None) -> str:
    return "" if score is None else f"{score.right}/{score.of} {score.share:.0%}"


def _failure(one: Judgement) -> str:
    wanted = (
        "not found" if one.question.wants_refusal else ", ".join(f"`{part}`" for part in one.question.answer)
    )
    text = " ".join(one.text.split())
    text = text if len(text) <= 160 else text[:159] + "…"
    return f"{one.outcome}: `{one.question.id}` {one.question.question}\n  wants {wanted}\n  got {text}"


def _questions_fields(report: QuestionsReport, required: float | None) -> dict[str, object]:
    from cape.evaluation.questions import score, scores_by_kind

    total = score(report.judgements)
    return {
        "base": report.base,
        "by_vectors": report.by_vectors,
        "right": total.right,
        "questions": total.of,
        "share": round(total.share, 6),
        "required": required,
        "met": required is None or total.share >= required,
        "halves": [
            {
                "half": half,
                "right": score(found).right,
                "questions": score(found).of,
                "kinds": [
                    {"kind": kind, "right": one.right, "questions": one.of}
                    for kind, one in scores_by_kind(found).items()
                ],
            }
            for half, found in _by_half(report)
        ],
        "proposed": None
        if report.proposed is None
        else {
            "answer_from": report.proposed.per_cent,
            "right": report.proposed.right,
            "wrong": report.proposed.wrong,
            "refused": report.proposed.refused,
        },
        "p50_ms": round(report.p50_ms, 3),
        "p95_ms": round(report.p95_ms, 3),
        "notes": list(report.notes),
        "answers": [
            {
                "id": one.question.id,
                "half": one.question.half,
                "kind": one.question.kind,
                "outcome": str(one.outcome),
                "text": one.text,
                "cited": list(one.cited),
                "confidence": round(one.confidence, 6),
            }
            for one in report.judgements
        ],
    }


def answers(arguments: argparse.Namespace) -> int:
    """`cape evaluate answers FILE`."""
    from cape.operations.evaluating_questions import evaluate_answers

    choice = embedder_choice(arguments)
    project = project_here()
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    report = evaluate_answers(Path(arguments.test), choice, project=project, workshop=workshop)
    if arguments.json:
        show_json(_answers_fields(report))
    else:
        _show_answers(report, quiet=arguments.quiet)
    return 0


def _show_answers(report: ReadingReport, *, quiet: bool) -> None:
    how = f"words and vectors of `{report.embedder}`" if report.embedder else report.why
    answerable = f"{report.answerable} answerable"
    say(f"{count(report.rows, 'question')}, {answerable}, by {how}", quiet=quiet)
    rows = [
        ("token F1", f"{report.f1:.3f}"),
        ("token F1 of the sentence that BM25 puts first", f"{report.baseline_f1:.3f}"),
        ("token recall", f"{report.recall:.3f}"),
        ("right if all were let through", f"{report.right:.1%}"),
        ("AUROC of the confidence", f"{report.auroc:.3f}"),
    ]
    print(table(rows, right=(1,)))
    head = ("", "bar", "answerable right", "answerable wrong", "unanswerable answered")
    points = [("at the calibrated bar", report.at_bar)]
    points += [("best within 5 %", report.best)] if report.best else []
    points += [("", point) for point in _sampled(report.curve)]
    print()
    print(table([head, *(_point_row(name, point) for name, point in points)], right=(1, 2, 3, 4)))


def _point_row(name: str, point: Point) -> tuple[str, ...]:
    shares = (point.right, point.wrong, point.answered_without)
    return name, f"{point.bar:.3f}", *(f"{share:.1%}" for share in shares)


def _sampled(curve: tuple[Point, ...]) -> list[Point]:
    """For each share of the unanswerable that is printed, the last point that does not pass it."""
    found = []
    for share in _POINTS:
        within = [point for point in curve if point.answered_without <= share]
        if within and within[-1] not in found:
            found.append(within[-1])
    return found


def _point_fields(point: Point | None) -> dict[str, object] | None:
    if point is None:
        return None
    return {
        "bar": round(point.bar, 6),
        "right": round(point.right, 6),
        "wrong": round(point.wrong, 6),
        "answered_without": round(point.answered_without, 6),
    }


def _answers_fields(report: ReadingReport) -> dict[str, object]:
    return {
        "rows": report.rows,
        "answerable": report.answerable,
        "embedder": report.embedder,
        "why_no_embedder": report.why,
        "f1": round(report.f1, 6),
        "recall": round(report.recall, 6),
        "baseline_f1": round(report.baseline_f1, 6),
        "right": round(report.right, 6),
        "auroc": round(report.auroc, 6),
        "at_bar": _point_fields(report.at_bar),
        "best": _point_fields(report.best),
        "curve": [_point_fields(point) for point in report.curve],
        "answers": [
            {
                "id": one.id,
                "answerable": one.is_answerable,
                "confidence": round(one.confidence, 6),
                "found": one.found,
                "right": one.right,
                "f1": round(one.f1, 6),
                "recall": round(one.recall, 6),
                "text": one.text,
            }
            for one in report.results
        ],
    }
