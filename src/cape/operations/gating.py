"""The gate: a knowledge base asked its test set, what came out written down, and held against another time.

Joins the open index, the questions and the metrics. What a metric means is `evaluation.gate`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.names import Digest, write_atomically
from cape.operations.asking import PASSAGES, AskResult, ask, open_named
from cape.operations.evaluating_questions import NoQuestionsNamed
from cape.operations.project import Project, Workshop, project_files

if TYPE_CHECKING:
    from cape.answers.answer import Citation
    from cape.evaluation.gate import Comparison, Evaluation, Seen
    from cape.evaluation.proposing import Proposal
    from cape.evaluation.questions import TestQuestion
    from cape.knowledge.access import AccessPolicy
    from cape.operations.knowledge import AskableBase


class EvaluationUnreadable(InputError):
    """The file of an earlier evaluation cannot be read."""

    slug = "evaluation-unreadable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """An evaluation, its comparison with a base if one was named, and what it took.

    `milliseconds` are of each question, in the test set's order; they are in no file.
    """

    evaluation: Evaluation
    comparison: Comparison | None
    milliseconds: tuple[float, ...]
    notes: tuple[str, ...]


def evaluate_base(
    project: Project,
    name: str | None,
    workshop: Workshop,
    *,
    half: str | None = None,
    base: Path | None = None,
) -> Gate:
    """Ask a base its whole test set, or one half of it; nothing of it is recorded as use.

    Raises `NoQuestionsNamed`, `BadQuestions`, `BadEvaluation`, `EvaluationUnreadable`, and what opening a
    base raises.
    """
    from cape.evaluation.gate import Evaluation, compare, measure, read_evaluation
    from cape.evaluation.questions import read_questions

    before = read_evaluation(_text_of(base), where=str(base)) if base else None
    with open_named(project, name, workshop) as askable:
        if askable.base.questions is None:
            raise NoQuestionsNamed(
                f"the knowledge base `{askable.base.name}` names no questions",
                where=str(project.manifest_path),
                hint=f'add `questions = "questions.toml"` to `[knowledge.{askable.base.name}]`; '
                "`cape evaluate generate` proposes some",
            )
        file = project.directory / askable.base.questions
        questions = [one for one in read_questions(file) if half in (None, one.half)]
        policy = _written_policy(project, askable)
        workshop.progress.start("asking", len(questions), unit="")
        rows, times, notes = [], [], dict.fromkeys(askable.notes)
        for one in questions:
            result = ask(askable, one.question, user=one.asked_as, k=PASSAGES)
            rows.append(measure(one, result.answer, _seen(askable, policy, one, result)))
            times.append(sum(result.took_ms.values()))
            notes.update(dict.fromkeys(result.notes))
            workshop.progress.advance(1)
        workshop.progress.finish()
        parts, drifted = _parts(project, askable, file)
        evaluation = Evaluation(
            base=askable.base.name, parts=parts, rows=tuple(rows), policy=policy.to_json()
        )
        documents = tuple(askable.index.contents())
    return Gate(
        evaluation=evaluation,
        comparison=compare(before, evaluation, documents) if before else None,
        milliseconds=tuple(times),
        notes=(*notes, *drifted),
    )


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationUnreadable(
            "the evaluation to compare with cannot be read",
            where=str(file),
            hint="`cape evaluate --write FILE` makes one",
        ) from error


def _written_policy(project: Project, askable: AskableBase) -> AccessPolicy:
    """The policy as the file says it now, whatever the index was made with."""
    from cape.knowledge.access import OPEN_POLICY, read_access

    return read_access(project.directory / askable.base.access) if askable.base.access else OPEN_POLICY


def _seen(askable: AskableBase, policy: AccessPolicy, question: TestQuestion, result: AskResult) -> Seen:
    """What a question was shown, checked against the index and the written policy once more."""
    from cape.evaluation.gate import Seen
    from cape.knowledge.access import sees

    groups = policy.groups_of_user(question.asked_as)
    passages = [one.chunk.document for one in result.retrieval.chunks]
    cited = [one.document for one in result.answer.citations]
    forbidden = sum(not sees(groups, policy.groups_of_document(path)) for path in (*passages, *cited))
    return Seen(
        documents=tuple(passages),
        lost=frozenset(question.sources) - askable.index.contents().keys(),
        verbatim=tuple(_stands(askable, groups, one) for one in result.answer.citations),
        forbidden=forbidden,
        tokens=result.tokens_to_writer,
    )


_CELLS = re.compile(r"; | - |, |\n")


def _stands(askable: AskableBase, groups: frozenset[str], citation: Citation) -> bool:
    """Whether the words of a citation stand in what the index has of its document: of a row, each cell's."""
    from cape.evaluation.questions import folded

    chunks = askable.index.chunks(askable.index.chunks_of(citation.document, groups))
    text = folded("\n".join(chunk.searchable for chunk in chunks.values()))
    if all(folded(line) in text for line in citation.quote.splitlines()):
        return True
    return all(folded(piece) in text for piece in _CELLS.split(citation.quote))


def _parts(project: Project, askable: AskableBase, file: Path) -> tuple[dict[str, str], list[str]]:
    """What the answers were made with, and in what the test set is not the lock's."""
    from cape.lock import read_lock
    from cape.operations.knowledge_lock import answers_drift, is_locked_test_set
    from cape.operations.replaying import made_with

    parts = {**made_with(project, askable), "questions": Digest.of_file(file).hex}
    lock = read_lock(project.lock_path)
    rows = [one for one in lock.knowledge if one.name == askable.base.name] if lock else []
    notes = []
    if rows and not is_locked_test_set(project, askable.base, rows[0]):
        notes.append("the test set is not the one of the lock: `cape index` takes it over")
    if rows and (drifted := answers_drift(project, askable.base, rows[0])):
        notes.append(f"answers are made with other {', '.join(drifted)} than the lock says: `cape index`")
    return parts, notes


def write_evaluation(file: Path, evaluation: Evaluation) -> None:
    """Write an evaluation's file. Raises `DirectoryNotWritable`, `DiskFull`."""
    with project_files(file.parent):
        write_atomically(file, evaluation.text.encode())


def write_page(file: Path, gate: Gate) -> None:
    """Write the page of HTML. Raises `DirectoryNotWritable`, `DiskFull`."""
    from cape.evaluation.report import page

    with project_files(file.parent):
        write_atomically(file, page(gate.evaluation, gate.comparison).encode())


def propose_questions(
    project: Project, name: str | None, workshop: Workshop, *, count: int, user: str | None = None
) -> tuple[Proposal, ...]:
    """Questions that documents of a base answer, for a person to accept; none that its test set has already.

    Only what `user` may see is read (everyone, without one). Raises what opening a base raises.
    """
    from cape.evaluation.proposing import propose
    from cape.evaluation.questions import read_questions

    with open_named(project, name, workshop) as askable:
        known: set[str] = set()
        if askable.base.questions and (project.directory / askable.base.questions).exists():
            known = {one.question for one in read_questions(project.directory / askable.base.questions)}
        groups = askable.index.policy.groups_of_user(user)
        chunks = []
        for document in sorted(askable.index.documents(groups)):
            found = askable.index.chunks(askable.index.chunks_of(document, groups))
            chunks += [found[one] for one in sorted(found)]
        return propose(chunks, count=count, known=known, asked_as=user)
