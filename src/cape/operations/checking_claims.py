"""Checking: the answers of a file against their evidence, and how well that agrees with people."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cape.errors import InputError
from cape.names import write_atomically

if TYPE_CHECKING:
    from cape.answers.claims.claim import AnswerCheck
    from cape.answers.claims.meaning import LocatingEmbedder
    from cape.evaluation.claims import ClaimsRow, ClaimsScore
    from cape.knowledge.protocol import Embedder
    from cape.operations.evaluating import EmbedderChoice
    from cape.operations.project import Project, Workshop


class PredictionsNotWritten(InputError):
    """The file that predictions should go to cannot be written."""

    slug = "predictions-not-written"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimsReport:
    """The checks of a file's answers, in its order.

    `score` is None where the file has no verdicts. `embedder` is None where words decided alone; `why` then
    says so. `times_s` are seconds of the clock for each answer.
    """

    rows: tuple[ClaimsRow, ...]
    checks: tuple[AnswerCheck, ...]
    score: ClaimsScore | None
    embedder: str | None
    why: str | None
    times_s: tuple[float, ...]


def evaluate_claims(
    path: Path, choice: EmbedderChoice, *, project: Project | None, workshop: Workshop
) -> ClaimsReport:
    """Check each answer of a file. Raises `BadClaimsTest`, `DamagedWeights`, and what opening an embedder
    raises.
    """
    from cape.answers.claims.checking import Checker
    from cape.evaluation.claims import read_claims, scored
    from cape.operations.evaluating import embedder_for

    rows = read_claims(path)
    embedder, why = embedder_for(choice, project, workshop)
    checker = Checker(embedder=pieces_of(embedder))
    checker.check("A first check loads what is loaded once.", ["It loads once."])
    checks, times = [], []
    workshop.progress.start("checking", len(rows), unit="")
    for row in rows:
        began = time.perf_counter()
        checks.append(checker.check(row.answer, row.evidence))
        times.append(time.perf_counter() - began)
        workshop.progress.advance(1)
    workshop.progress.finish()
    return ClaimsReport(
        rows=tuple(rows),
        checks=tuple(checks),
        score=scored(rows, checks),
        embedder=embedder.name if embedder is not None else None,
        why=why,
        times_s=tuple(times),
    )


def pieces_of(embedder: Embedder | None) -> LocatingEmbedder | None:
    """The embedder, if it tells of word pieces; checking by vectors needs them."""
    tells = hasattr(embedder, "embed_pieces") and hasattr(embedder, "piece_spans")
    return cast("LocatingEmbedder", embedder) if tells else None


def claim_predictions(report: ClaimsReport) -> list[dict[str, object]]:
    """A line per answer."""
    from cape.evaluation.claims import prediction

    return [prediction(row, check) for row, check in zip(report.rows, report.checks, strict=True)]


def write_lines(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Write rows as lines of JSON, whole or not at all. Raises `PredictionsNotWritten`."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise PredictionsNotWritten(f"cannot be written: {error.strerror}", where=str(path)) from error
