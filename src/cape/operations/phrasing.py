"""Answers that a model phrases: which writer, from which passages, and what stands of what it wrote.

Joins the quoted answer, the table of writers, the budget and the check of claims. A question whose quoted
answer was not found is not sent to any model; where nothing that a model wrote is supported, or none may or
can be asked, the quotes stand.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cape.errors import CapeError
from cape.operations.asking import AskResult, AskRoute
from cape.operations.project import Project, Workshop
from cape.operations.writers import open_named_writer, writer_row

if TYPE_CHECKING:
    from cape.answers.answer import Answer, Citation
    from cape.answers.retrieval import RankedChunk
    from cape.answers.routing.budget import Account
    from cape.answers.routing.choosing import Ask, Called, Route, RoutingPolicy
    from cape.answers.routing.writers import WriterRow
    from cape.answers.writing import Prompt, Writer, Written
    from cape.manifest import Manifest
    from cape.operations.knowledge import KnowledgeBase

SENT = 6
"""Passages that a writer is sent: those that the quoted answer cites, then the best of the others."""

STRONG_FROM = 0.05
"""The difficulty from which a question goes to the strongest writer: a quarter of the example's have it."""

_TEMPLATE_BYTES = 600
"""What a service puts around a prompt at most, the schema apart."""


def phrase(
    project: Project, result: AskResult, names: Sequence[str], base: KnowledgeBase, workshop: Workshop
) -> AskResult:
    """The answer in a writer's words, as far as its passages support them; else as it was, with a note.

    Of several writers one is chosen by the question's difficulty, their prices, the base's policy and the
    budget; the others are asked where it fails or is of no use. A single one must be there: raises what
    opening it raises, and `DamagedRouter`.
    """
    from cape.answers.routing.choosing import NoWriter, route
    from cape.operations.including import project_manifest
    from cape.operations.spending import ledger_of

    manifest = project_manifest(project)
    rows = [writer_row(manifest, name) for name in names]
    if not result.answer.is_found or result.answer.explanation.query:
        return result  # nothing to phrase: nothing was found, or a query says it exactly
    asking = _asking(result, several=len(rows) > 1)
    try:
        chosen = route(rows, asking.ask, policy_of(base, manifest))
    except NoWriter as error:
        return _quoted(result, error.fact, AskRoute(difficulty=asking.ask.difficulty))
    with contextlib.ExitStack() as stack:
        opened = None
        if len(rows) == 1:
            opened = stack.enter_context(open_named_writer(project, rows[0].name, workshop))
        phrasing = _Phrasing(project, workshop, result, asking, opened)
        return phrasing.done(chosen, ledger_of(project, manifest))


def policy_of(base: KnowledgeBase, manifest: Manifest) -> RoutingPolicy:
    """What a base asks of a route."""
    from cape.answers.routing.choosing import RoutingPolicy
    from cape.operations.spending import has_budget

    return RoutingPolicy(
        strong_from=STRONG_FROM if base.strong_from is None else base.strong_from,
        data=base.data,
        local_only=base.local_only,
        priced_only=has_budget(manifest),
    )


def ask_for(prompt: Prompt, difficulty: float) -> Ask:
    """A prompt as routing sees it. No tokenizer makes more tokens than a text has bytes."""
    import json

    from cape.answers.routing.choosing import Ask
    from cape.answers.tokens import estimated_tokens
    from cape.answers.writing import LONGEST_REPLY_TOKENS, SCHEMA

    schema = json.dumps(SCHEMA)
    sent = prompt.system + prompt.user + schema
    return Ask(
        difficulty=difficulty,
        input_tokens=estimated_tokens(sent),
        output_tokens=LONGEST_REPLY_TOKENS,
        most_input=len(sent.encode("utf-8", "replace")) + _TEMPLATE_BYTES,
    )


def _asking(result: AskResult, *, several: bool) -> _Asking:
    from cape.answers.question import read_question
    from cape.answers.routing.difficulty import shipped_difficulty
    from cape.answers.writing import prompt_for

    question = read_question(result.answer.question).text
    chunks = _sent(result)
    prompt = prompt_for(question, [one.chunk.searchable for one in chunks])
    difficulty = shipped_difficulty()[0].of(question) if several else 0.0
    return _Asking(question=question, chunks=chunks, ask=ask_for(prompt, difficulty))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asking:
    """What writers are asked: the question, the passages, and what both come to."""

    question: str
    chunks: Sequence[RankedChunk]
    ask: Ask


class _Phrasing:
    """One answer, phrased by the writers of a route until one is of use."""

    def __init__(
        self, project: Project, workshop: Workshop, result: AskResult, asking: _Asking, opened: Writer | None
    ) -> None:
        self._project, self._workshop, self._opened = project, workshop, opened
        self._result, self._asking = result, asking
        self._tokens = 0
        self._identity: dict[str, str] = {}

    def done(self, chosen: Route, account: Account) -> AskResult:
        """The phrased answer; the quoted one with a note where no writer was of use."""
        from cape.answers.routing.choosing import write

        difficulty = self._asking.ask.difficulty
        started = time.perf_counter()
        try:
            routed = write(chosen, self._asking.ask, account, self._call)
        except CapeError as error:
            cause = error.__cause__ if len(chosen.writers) == 1 else None
            fact = cause.fact if isinstance(cause, CapeError) else error.fact
            return _quoted(self._result, fact, AskRoute(difficulty=difficulty, left_out=chosen.left_out))
        took = {**self._result.took_ms, "writer": (time.perf_counter() - started) * 1000}
        told = AskRoute(
            difficulty=difficulty,
            writer=routed.writer.name,
            cost=routed.cost if routed.writer.priced else None,
            failures=routed.failures,
            left_out=chosen.left_out,
        )
        result = replace(
            self._result,
            took_ms=took,
            tokens_to_writer=self._result.tokens_to_writer + self._tokens,
            writer=self._identity,
            route=told,
            dropped=routed.value.dropped,
        )
        if routed.problem:
            return replace(result, notes=(*result.notes, f"quoted, because {routed.problem}"))
        if not routed.value.kept:
            return replace(result, notes=(*result.notes, _NO_ANSWER))
        passed = tuple(f"`{name}` was asked first: {why}" for name, why in routed.failures)
        answer = _answer(result.answer, routed.value, self._asking.chunks)
        return replace(result, answer=answer, notes=(*result.notes, *passed))

    def _call(self, row: WriterRow) -> Called[Written]:
        from cape.answers.routing.choosing import Called
        from cape.answers.writing import write

        passages = [one.chunk.searchable for one in self._asking.chunks]
        with contextlib.ExitStack() as stack:
            writer = self._opened or stack.enter_context(
                open_named_writer(self._project, row.name, self._workshop)
            )
            self._identity = dict(writer.identity)
            written = write(writer, self._asking.question, passages, lacking)
        self._tokens += written.tokens_in + written.tokens_out
        return Called(
            value=written, sent=written.tokens_in, came=written.tokens_out, problem=_problem(written)
        )


_NO_ANSWER = "quoted, because the writer found no answer in the passages"


def _problem(written: Written) -> str:
    """Why nothing of a reply is of use. That it found no answer is one."""
    if written.problem or written.kept or not written.dropped:
        return written.problem
    return "the passages support nothing of what the writer said"


def _quoted(result: AskResult, why: str, told: AskRoute) -> AskResult:
    return replace(result, notes=(*result.notes, f"quoted, because {why}"), route=told)


def _sent(result: AskResult) -> list[RankedChunk]:
    cited = {one.chunk for one in result.answer.citations}
    first = [one for one in result.retrieval.chunks if one.chunk.digest in cited]
    others = [one for one in result.retrieval.chunks if one.chunk.digest not in cited]
    return [*first, *others][:SENT]


def lacking(text: str, evidence: Sequence[str]) -> str:
    """What the evidence does not support of a sentence; empty where it supports all of it."""
    from cape.answers.claims.checking import check_answer
    from cape.answers.claims.claim import Verdict

    checked = check_answer(text, evidence)
    if checked.verdict is Verdict.SUPPORTED:
        return ""
    doubted = [text[start:end] for start, end in checked.unsupported]
    shown = ", ".join(f"`{one}`" for one in doubted[:3]) or "it"
    return f"{shown} does not stand in what it cites"


def _answer(quoted: Answer, written: Written, chunks: Sequence[RankedChunk]) -> Answer:
    """The sentences with their marks; each passage that is cited has one mark."""
    numbers: dict[int, int] = {}
    for sentence in written.kept:
        for at in sentence.passages:
            numbers.setdefault(at, len(numbers) + 1)
    text = " ".join(
        f"{one.text} {''.join(f'[{numbers[at]}]' for at in one.passages)}" for one in written.kept
    )
    citations = tuple(_citation(number, chunks[at], quoted) for at, number in numbers.items())
    return replace(quoted, text=text, citations=citations)


def _citation(number: int, ranked: RankedChunk, quoted: Answer) -> Citation:
    """Where a passage stands: the quoted answer's own citation of it is more exact than the passage."""
    from cape.answers.answer import Citation

    chunk = ranked.chunk
    exact = [one for one in quoted.citations if one.chunk == chunk.digest]
    if len(exact) == 1:
        return replace(exact[0], number=number)
    return Citation(
        number=number,
        document=chunk.document,
        place=chunk.place,
        quote=chunk.text,
        chunk=chunk.digest,
        title_path=chunk.title_path,
    )
