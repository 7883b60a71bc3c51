"""Asking a knowledge base: retrieval and the extractive answer on an open index, and what it cost.

Joins an index, an embedder and the answers' pure part. Wording for people is the command line's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.names import Digest
from cape.operations.knowledge import AskableBase, ModelUnavailable, find_base, open_for_asking
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.answers.answer import Answer
    from cape.answers.retrieval import Retrieval
    from cape.answers.selection import Passage, Similarities
    from cape.answers.writing import Sentence
    from cape.knowledge.protocol import ChunkIndex, Embedder

PASSAGES = 20
"""Passages that are retrieved for a question where none is asked for."""

WHOLE_TABLE_CHUNKS = 200
"""Chunks of one document that are looked through for rows which the ranking left out."""

LONGEST_ASKED = 1_000_000
"""Characters of a question that are taken at all."""


class QuestionTooLong(InputError):
    """A question that no one can have meant as one."""

    slug = "question-too-long"


@dataclass(frozen=True, kw_only=True, slots=True)
class AskRoute:
    """How an answer came to its writer: the question's difficulty (0 where there was one writer alone), who
    was left out and who failed, each with the reason, and what all calls cost (None: there are
    no prices). `writer` is None where none answered.
    """

    difficulty: float
    writer: str | None = None
    cost: float | None = None
    failures: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AskResult:
    """An answer, the ranking that it was read from, and what it took.

    `tokens_to_writer` is 0 where no model wrote. `tokens_whole_documents` is what a writer would have
    read had it been sent, whole, just the documents that the answer cites (of an answer that was not found,
    the first passage's); so it is the least that sending documents would have cost. `took_ms` has `search`
    and `answer`, and `writer` where one phrased it: `writer` is then what identifies that one, and `dropped`
    are its sentences that the passages do not support. `user` is None for everyone.
    """

    base: str
    user: str | None
    answer: Answer
    retrieval: Retrieval
    tokens_to_writer: int
    tokens_whole_documents: int
    took_ms: Mapping[str, float]
    notes: tuple[str, ...]
    writer: Mapping[str, str] | None = None
    dropped: tuple[Sentence, ...] = ()
    route: AskRoute | None = None

    @property
    def question_digest(self) -> Digest:
        return Digest.of(self.answer.question.encode("utf-8", "surrogatepass"))


@contextlib.contextmanager
def open_named(project: Project, name: str | None, workshop: Workshop) -> Iterator[AskableBase]:
    """The knowledge base of that name, or the only one, open for questions.

    Raises what `find_base` and `open_for_asking` raise.
    """
    from cape.lock import read_lock
    from cape.operations.including import project_manifest

    base = find_base(project_manifest(project), name)
    lock = read_lock(project.lock_path)
    with open_for_asking(project, base, lock, workshop) as askable:
        yield askable


def ask(
    askable: AskableBase,
    question: str,
    *,
    user: str | None = None,
    k: int = PASSAGES,
    bar: float | None = None,
    two_hops: bool = True,
) -> AskResult:
    """The answer that a user gets from an open base; without a user, what everyone may see.

    `bar` is the confidence from which an answer is let through; None: what the manifest says, else what was
    calibrated. With `two_hops` a question that describes a thing is also answered by way of its name.

    Where the embedder's files are not on this machine, words decide alone and a note says so. Two askers who
    may see the same get equal bytes, whatever else is in the index.

    Raises `UnknownUser`, `EmptyQuestion`, `QuestionTooLong`, and what embedding raises.
    """
    from cape.answers.question import EmptyQuestion, normalised, read_question
    from cape.operations.hops import by_two_hops, with_second_passages
    from cape.operations.reranking import looked_at_again

    if len(question) > LONGEST_ASKED:
        raise QuestionTooLong(f"a question may have {LONGEST_ASKED:,} characters, not {len(question):,}")
    groups = askable.index.policy.groups_of_user(user)
    text = normalised(question)
    if not text:
        raise EmptyQuestion("the question is empty", hint='ask as in `cape ask "Who pays the train?"`')
    searched = read_question(text).text
    notes = list(askable.notes)
    embedder = askable.embedder
    started = time.perf_counter()
    try:
        retrieval = _retrieve(askable, embedder, searched, groups, k)
    except ModelUnavailable as error:
        notes.append(f"searching by words alone: {error}")
        embedder = None
        retrieval = _retrieve(askable, None, searched, groups, k)
    if two_hops:
        retrieval = with_second_passages(askable.index, searched, retrieval, groups, k)
    retrieval, why = looked_at_again(askable, retrieval)
    notes += why
    found = time.perf_counter()
    if bar is None and askable.base.answer_from is not None:
        bar = askable.base.answer_from / 100
    answer = answer_from(askable.index, embedder, text, retrieval, groups, bar=bar)
    answer = _with_figures(askable.index, text, retrieval, groups, answer)
    if two_hops:
        answer = by_two_hops(
            text,
            answer,
            lambda part: _retrieve(askable, embedder, part, groups, PASSAGES),
            lambda part, its: answer_from(askable.index, embedder, part, its, groups, bar=bar),
        )
    ended = time.perf_counter()
    return AskResult(
        base=askable.base.name,
        user=user,
        answer=answer,
        retrieval=retrieval,
        tokens_to_writer=0,
        tokens_whole_documents=_whole_tokens(askable.index, answer, retrieval, groups),
        took_ms={"search": (found - started) * 1000, "answer": (ended - found) * 1000},
        notes=(*notes, *answer.notes),
    )


def _with_figures(
    index: ChunkIndex, text: str, retrieval: Retrieval, groups: frozenset[str], quoted: Answer
) -> Answer:
    """The answer that was computed over rows, where one is; else the quoted one, if rows can say that."""
    from cape.operations.figures import figures_for, without_rows

    computed, notes = figures_for(index, text, retrieval, groups)
    if computed is None:
        return without_rows(text, quoted, notes)
    if computed.is_quoted_by(quoted):
        return quoted
    return replace(computed.answer, passages=quoted.passages, has_vectors=quoted.has_vectors)


def _retrieve(
    askable: AskableBase, embedder: Embedder | None, text: str, groups: frozenset[str], k: int
) -> Retrieval:
    from cape.answers.retrieval import retrieve

    return retrieve(askable.index, embedder, text, groups, k)


def answer_from(
    index: ChunkIndex,
    embedder: Embedder | None,
    text: str,
    retrieval: Retrieval,
    groups: frozenset[str],
    *,
    bar: float | None = None,
) -> Answer:
    """The answer that a ranking gives; `bar` as in `ask`."""
    from cape.answers.answering import answer_question
    from cape.answers.retrieval import retrieve
    from cape.answers.selection import Passage
    from cape.answers.weights import BY_VECTORS, BY_WORDS

    by_vectors = embedder if retrieval.by_vectors else None

    def whole(document: str) -> Sequence[Passage]:
        ids = list(index.chunks_of(document, groups))[:WHOLE_TABLE_CHUNKS]
        chunks = index.chunks(ids)
        return [Passage(id=one, chunk=chunks[one]) for one in ids if one in chunks]

    def search(clause: str) -> Sequence[Passage]:
        return passages_of(retrieve(index, by_vectors, clause, groups, max(1, len(retrieval.chunks))))

    weighing = BY_VECTORS if by_vectors is not None else BY_WORDS
    if bar is not None:
        weighing = replace(weighing, bar=bar)
    return answer_question(
        text,
        passages_of(retrieval),
        similarities_by(by_vectors),
        whole=whole,
        weighing=weighing,
        search=search,
    )


def passages_of(retrieval: Retrieval) -> list[Passage]:
    """What is read for an answer: the ranking's chunks with their cosines, 0 where there is none."""
    from cape.answers.selection import Passage

    return [
        Passage(id=one.id, chunk=one.chunk, nearness=one.vectors.score if one.vectors else 0.0)
        for one in retrieval.chunks
    ]


def similarities_by(embedder: Embedder | None) -> Similarities:
    """How sentences are compared: by vectors where there is an embedder."""
    from cape.answers.selection import Vectors, WordsOnly

    return WordsOnly() if embedder is None else Vectors(embedder)


def _whole_tokens(index: ChunkIndex, answer: Answer, retrieval: Retrieval, groups: frozenset[str]) -> int:
    from cape.answers.tokens import estimated_tokens

    first = tuple(one.chunk.document for one in retrieval.chunks[:1])
    total = 0
    for document in answer.documents or first:
        chunks = index.chunks(index.chunks_of(document, groups))
        total += sum(estimated_tokens(chunk.text) for chunk in chunks.values())
    return total
