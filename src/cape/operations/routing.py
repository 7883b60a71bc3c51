"""Routing measured: the difficulty of a test's questions, and how well it orders them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import InputError

if TYPE_CHECKING:
    from cape.answers.routing.difficulty import Difficulty
    from cape.evaluation.routing import RoutingRow, RoutingScore


class TooFewSubjects(InputError):
    """A test of routing lacks what leave-one-subject-out needs."""

    slug = "too-few-subjects"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingReport:
    """The difficulties of a test's questions, in its order, by the router `router`; `score` is None where
    outcomes are not known.
    """

    rows: tuple[RoutingRow, ...]
    difficulties: tuple[float, ...]
    score: RoutingScore | None
    router: str


def evaluate_routing(directory: Path, *, shipped: bool) -> RoutingReport:
    """Order the questions by the router that comes with cape, or leave each subject out of a fit in turn.

    A test without known outcomes is ordered by the router that comes with cape, too.

    Raises `BadRoutingTest`, `TooFewSubjects`, `DamagedRouter`.
    """
    from cape.answers.routing.difficulty import shipped_difficulty
    from cape.answers.routing.features import question_row
    from cape.evaluation.routing import read_routing, routed

    rows = read_routing(directory)
    measured = [question_row(row.prompt) for row in rows]
    if shipped or all(row.weak is None or row.strong is None for row in rows):
        difficulty, digest = shipped_difficulty()
        found = [difficulty.of_row(row) for row in measured]
        router = f"shipped {digest}"
    else:
        found = _left_out(rows, measured, directory)
        router = "leave-one-subject-out"
    return RoutingReport(
        rows=tuple(rows), difficulties=tuple(found), score=routed(rows, found), router=router
    )


def _left_out(rows: list[RoutingRow], measured: list[list[float]], directory: Path) -> list[float]:
    """Each question's difficulty by a fit that saw no question of its subject."""
    subjects = sorted({row.subject for row in rows})
    known = [at for at, row in enumerate(rows) if row.weak is not None and row.strong is not None]
    if len({rows[at].subject for at in known}) < 2:
        raise TooFewSubjects(
            "to leave a subject out, two with known outcomes are needed",
            where=str(directory),
            hint="measure the router that comes with cape: `--shipped`",
        )
    found = [0.0] * len(rows)
    for subject in subjects:
        difficulty = fitted([rows[at] for at in known if rows[at].subject != subject],
                            [measured[at] for at in known if rows[at].subject != subject])  # fmt: skip
        for at, row in enumerate(rows):
            if row.subject == subject:
                found[at] = difficulty.of_row(measured[at])
    return found


def fitted(rows: list[RoutingRow], measured: list[list[float]]) -> Difficulty:
    """The estimate that fits rows with known outcomes; `measured` are their features."""
    from cape.answers.routing.difficulty import fit_difficulty

    return fit_difficulty(measured, [bool(row.weak) for row in rows], [bool(row.strong) for row in rows])


def routing_predictions(report: RoutingReport) -> list[dict[str, object]]:
    """A line per question: `{"id", "subject", "difficulty"}`; what is hard should go to the strong writer."""
    return [
        {"id": row.id, "subject": row.subject, "difficulty": round(value, 6)}
        for row, value in zip(report.rows, report.difficulties, strict=True)
    ]
