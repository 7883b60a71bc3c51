"""Writers of a project on its own documents: each question with its passage hidden among others, by band.

Joins the test set, the open index, the writers, the budget and the check of claims. What the figures mean is
`evaluation.writers`'s.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.errors import CapeError
from cape.operations.asking import open_named
from cape.operations.evaluating_questions import NoQuestionsNamed
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.answers.routing.choosing import Called
    from cape.answers.routing.writers import WriterRow
    from cape.answers.writing import Writer, Written
    from cape.evaluation.questions import TestQuestion
    from cape.evaluation.writers import Band, WriterCase, WriterScore
    from cape.manifest import Manifest
    from cape.operations.knowledge import AskableBase, KnowledgeBase
    from cape.operations.spending import Ledger

_DEPTHS = (0.1, 0.5, 0.9)
"""How far down the passage that answers stands, for one question after the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WritersReport:
    """Scores, all cases, and what was not run, each with the reason: `small, long` and `reads ...`."""

    base: str
    scores: tuple[WriterScore, ...]
    cases: tuple[WriterCase, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Needle:
    """A question, the passages that answer it, and others that its asker may see."""

    question: TestQuestion
    passages: Sequence[str]
    filler: Sequence[str]


def evaluate_writers(
    project: Project,
    name: str | None,
    workshop: Workshop,
    *,
    writers: Sequence[str] = (),
    bands: Sequence[str] = (),
    questions: int = 10,
) -> WritersReport:
    """Ask writers (those of `[writers]` and of the base, where none are named) the first questions of the
    test set whose answer stands in one passage, in each band.

    What it costs comes out of the budget. Raises `NoQuestionsNamed`, `BadQuestions`, `UnknownWriter`, and
    what opening a base and a writer raises.
    """
    from cape.evaluation.writers import BANDS, score_writers
    from cape.operations.including import project_manifest
    from cape.operations.spending import ledger_of

    manifest = project_manifest(project)
    with open_named(project, name, workshop) as askable:
        base = askable.base
        needles = _needles(project, askable, questions)
    chosen = [one for one in BANDS if not bands or one.name in bands]
    wanted = list(writers) or list(dict.fromkeys((*manifest.writers, *base.writers)))
    measuring = _Measuring(project, workshop, manifest, base, ledger_of(project, manifest))
    workshop.progress.start("writing", len(wanted) * len(chosen) * len(needles), unit="")
    for writer in wanted:
        measuring.measure(writer, chosen, needles)
    workshop.progress.finish()
    return WritersReport(
        base=base.name,
        scores=score_writers(measuring.cases),
        cases=tuple(measuring.cases),
        left_out=tuple(measuring.left_out.items()),
    )


def _needles(project: Project, askable: AskableBase, count: int) -> list[_Needle]:
    from cape.evaluation.questions import read_questions

    base = askable.base
    if base.questions is None:
        raise NoQuestionsNamed(
            f"the knowledge base `{base.name}` names no questions",
            where=str(project.manifest_path),
            hint=f'add `questions = "questions.toml"` to `[knowledge.{base.name}]`',
        )
    asked = [one for one in read_questions(project.directory / base.questions) if len(one.sources) == 1]
    found: list[_Needle] = []
    for one in asked:
        if not one.wants_refusal and len(found) < count and (needle := _needle(askable, one)):
            found.append(needle)
    return found


def _needle(askable: AskableBase, question: TestQuestion) -> _Needle | None:
    """The passage of the needed document that has all that the answer must have; None where there is none."""
    from cape.evaluation.questions import folded

    index = askable.index
    groups = index.policy.groups_of_user(question.asked_as)
    visible = sorted(index.documents(groups))
    if question.sources[0] not in visible:
        return None
    own = index.chunks(index.chunks_of(question.sources[0], groups))
    answering = [
        own[at].searchable
        for at in sorted(own)
        if all(folded(part) in folded(own[at].searchable) for part in question.answer)
    ]
    if not answering:
        return None
    filler = []
    for document in visible:
        if document != question.sources[0]:
            chunks = index.chunks(index.chunks_of(document, groups))
            filler += [chunks[at].searchable for at in sorted(chunks)]
    return _Needle(question=question, passages=answering[:1], filler=filler)


class _Measuring:
    """The cases of one run, as they come."""

    def __init__(
        self, project: Project, workshop: Workshop, manifest: Manifest, base: KnowledgeBase, ledger: Ledger
    ) -> None:
        self._project, self._workshop, self._manifest = project, workshop, manifest
        self._base, self._ledger = base, ledger
        self.cases: list[WriterCase] = []
        self.left_out: dict[str, str] = {}

    def measure(self, name: str, bands: Sequence[Band], needles: Sequence[_Needle]) -> None:
        """Ask one writer, as far as policy and its window let it."""
        from cape.operations.writers import open_named_writer, writer_row

        row = writer_row(self._manifest, name)
        with contextlib.ExitStack() as stack:
            writer: Writer | None = None
            for band in bands:
                for number, needle in enumerate(needles):
                    self._workshop.progress.advance(1)
                    passages = _passages(needle, band, number)
                    if why := self._why_not(row, needle, passages):
                        self.left_out[f"{name}, {band.name}"] = why
                        break
                    if writer is None:
                        opening = open_named_writer(self._project, name, self._workshop)
                        writer = stack.enter_context(opening)
                    self.cases.append(self._case(writer, row, band, needle, passages))

    def _why_not(self, row: WriterRow, needle: _Needle, passages: Sequence[str]) -> str:
        """Why a writer is not asked; empty where it is."""
        from cape.answers.routing.choosing import NoWriter, route
        from cape.answers.writing import prompt_for
        from cape.operations.phrasing import ask_for, policy_of

        ask = ask_for(prompt_for(needle.question.question, passages), 0.0)
        try:
            route([row], ask, policy_of(self._base, self._manifest))
        except NoWriter as error:
            return error.fact
        return ""

    def _case(
        self, writer: Writer, row: WriterRow, band: Band, needle: _Needle, passages: Sequence[str]
    ) -> WriterCase:
        from cape.answers.routing.choosing import Called, Route
        from cape.answers.routing.choosing import write as ask_writer
        from cape.answers.writing import prompt_for, write
        from cape.evaluation.questions import folded
        from cape.evaluation.writers import WriterCase
        from cape.operations.phrasing import ask_for, lacking

        question = needle.question

        def call(_: WriterRow) -> Called[Written]:
            written = write(writer, question.question, passages, lacking)
            return Called(
                value=written, sent=written.tokens_in, came=written.tokens_out, problem=written.problem
            )

        started = time.perf_counter()
        written, cost, problem = None, None, ""
        try:
            ask = ask_for(prompt_for(question.question, passages), 0.0)
            routed = ask_writer(Route(writers=(row,), left_out=()), ask, self._ledger, call)
            written, cost, problem = routed.value, routed.cost if row.priced else None, routed.problem
        except CapeError as error:
            problem = error.fact
        said = folded(" ".join(one.text for one in written.kept)) if written else ""
        return WriterCase(
            writer=row.name,
            band=band.name,
            question=question.id,
            kept=len(written.kept) if written else 0,
            dropped=len(written.dropped) if written else 0,
            right=bool(said) and all(folded(part) in said for part in question.answer),
            tokens_in=written.tokens_in if written else 0,
            tokens_out=written.tokens_out if written else 0,
            cost=cost,
            seconds=time.perf_counter() - started,
            problem=problem,
        )


def _passages(needle: _Needle, band: Band, number: int) -> list[str]:
    from cape.evaluation.writers import hidden_among

    depth = _DEPTHS[number % len(_DEPTHS)]
    return hidden_among(needle.passages, needle.filler, band, seed=needle.question.id, depth=depth)


def case_fields(cases: Sequence[WriterCase]) -> Iterator[dict[str, object]]:
    """The cases as JSON fields."""
    for one in cases:
        yield {
            "writer": one.writer,
            "band": one.band,
            "question": one.question,
            "kept": one.kept,
            "dropped": one.dropped,
            "right": one.right,
            "tokens_in": one.tokens_in,
            "tokens_out": one.tokens_out,
            "cost": one.cost,
            "seconds": round(one.seconds, 3),
            "problem": one.problem,
        }
