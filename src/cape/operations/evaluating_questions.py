"""Measuring answers: a knowledge base on its own questions, and reading tests that bring their passages.

Joins test sets with what answers them. The rules of judging are `evaluation`'s, printing is the command
line's.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.operations.asking import PASSAGES, ask, open_named, similarities_by
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.answers.answer import Answer
    from cape.answers.selection import Similarities
    from cape.evaluation.questions import Judgement, ProposedBar
    from cape.evaluation.reading import Point, ReadingResult, ReadingRow
    from cape.knowledge.protocol import Embedder
    from cape.operations.evaluating import EmbedderChoice


class NoQuestionsNamed(InputError):
    """A knowledge base names no file of questions."""

    slug = "no-questions-named"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionsReport:
    """What became of a base's questions, in the file's order.

    `by_vectors`: whether vectors took part. `proposed` is the bar that the `calibrate` half proposes.
    """

    base: str
    judgements: tuple[Judgement, ...]
    by_vectors: bool
    proposed: ProposedBar | None
    p50_ms: float
    p95_ms: float
    notes: tuple[str, ...]


def evaluate_questions(
    project: Project, name: str | None, workshop: Workshop, *, half: str | None = None
) -> QuestionsReport:
    """Ask a base its questions (of one half, if it is named), each as the user that it names.

    Nothing of it is recorded as use. Raises `NoQuestionsNamed`, `BadQuestions`, `UnknownUser`, and what
    opening a base raises.
    """
    from cape.evaluation.questions import judge, propose_bar, read_questions

    with open_named(project, name, workshop) as askable:
        if askable.base.questions is None:
            raise NoQuestionsNamed(
                f"the knowledge base `{askable.base.name}` names no questions",
                where=str(project.manifest_path),
                hint=f'add `questions = "questions.toml"` to `[knowledge.{askable.base.name}]`',
            )
        questions = read_questions(project.directory / askable.base.questions)
        questions = [one for one in questions if half in (None, one.half)]
        for one in questions:
            askable.index.policy.groups_of_user(one.asked_as)
        workshop.progress.start("asking", len(questions), unit="")
        judgements, times, notes = [], [], dict.fromkeys(askable.notes)
        unbarred = []
        by_vectors = False
        for one in questions:
            result = ask(askable, one.question, user=one.asked_as, k=PASSAGES)
            judgements.append(judge(one, result.answer))
            if one.half == "calibrate":
                free = (
                    result
                    if result.answer.is_found
                    else ask(askable, one.question, user=one.asked_as, bar=0.0)
                )
                unbarred.append(judge(one, free.answer))
            times.append(sum(result.took_ms.values()))
            notes.update(dict.fromkeys(result.notes))
            by_vectors = by_vectors or result.answer.has_vectors
            workshop.progress.advance(1)
        workshop.progress.finish()
        return QuestionsReport(
            base=askable.base.name,
            judgements=tuple(judgements),
            by_vectors=by_vectors,
            proposed=propose_bar(unbarred),
            p50_ms=_quantile(times, 0.5),
            p95_ms=_quantile(times, 0.95),
            notes=tuple(notes),
        )


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingReport:
    """What a reading test scored.

    Means are over the answerable rows. `at_bar` is at the calibrated bar, `best` the point with most right
    answers among those that answer at most 5 % of the unanswerable, None where there is none. `embedder` is
    None where words decided alone, and `why` then says so.
    """

    rows: int
    answerable: int
    f1: float
    recall: float
    baseline_f1: float
    right: float
    auroc: float
    at_bar: Point
    best: Point | None
    curve: tuple[Point, ...]
    results: tuple[ReadingResult, ...]
    embedder: str | None
    why: str | None


ALLOWED_WITHOUT = 0.05
"""Share of the unanswerable that may be answered."""


def evaluate_answers(
    path: Path, choice: EmbedderChoice, *, project: Project | None, workshop: Workshop
) -> ReadingReport:
    """Answer the rows of a reading test from their own passages, and score what comes out.

    Raises `BadReadingTest`, and what choosing an embedder raises.
    """
    from cape.evaluation.reading import auroc, best_within, curve, point_at, read_rows, result_of
    from cape.operations.evaluating import embedder_for

    rows = read_rows(path)
    embedder, why = embedder_for(choice, project, workshop)
    similarities = similarities_by(embedder)
    bar = _bar(embedder)
    workshop.progress.start("answering", len(rows), unit="")
    results = []
    for row in rows:
        result = result_of(row, read_answer(row, similarities))
        results.append(replace(result, found=result.confidence >= bar))
        workshop.progress.advance(1)
    workshop.progress.finish()
    having = [one for one in results if one.is_answerable]
    points = curve(results)
    decided = [replace(one, confidence=float(one.found)) for one in results]
    return ReadingReport(
        rows=len(results),
        answerable=len(having),
        f1=_mean([one.f1 for one in having]),
        recall=_mean([one.recall for one in having]),
        baseline_f1=_mean([one.baseline_f1 for one in having]),
        right=_mean([float(one.right) for one in having]),
        auroc=auroc(results),
        at_bar=replace(point_at(decided, 0.5), bar=bar),
        best=best_within(points, ALLOWED_WITHOUT),
        curve=tuple(points),
        results=tuple(results),
        embedder=embedder.name if embedder is not None else None,
        why=why,
    )


def read_answer(row: ReadingRow, similarities: Similarities) -> Answer:
    """The answer to a row from its own passages, whatever its confidence; nearest passages first."""
    from cape.answers.answering import answer_question
    from cape.answers.weights import BY_VECTORS, BY_WORDS

    near = similarities.of(row.question, [one.chunk.searchable for one in row.passages])
    passages = [
        replace(one, nearness=max(0.0, how.cosine)) for one, how in zip(row.passages, near, strict=True)
    ]
    passages.sort(key=lambda one: (-one.nearness, one.id))
    weighing = BY_VECTORS if similarities.has_vectors else BY_WORDS
    return answer_question(row.question, passages, similarities, weighing=replace(weighing, bar=0.0))


def _bar(embedder: Embedder | None) -> float:
    from cape.answers.weights import BY_VECTORS, BY_WORDS

    return (BY_VECTORS if embedder is not None else BY_WORDS).bar


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0
