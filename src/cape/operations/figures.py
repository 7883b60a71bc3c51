"""Questions for figures on an open index: which documents' tables are looked at, and the computed answer.

Joins an index and the room `figures`. Every table is read through the asker's groups, so a hidden sheet has
no part in any number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cape.answers.answer import NOT_FOUND, Answer, Verdict
from cape.figures.answering import Computed, compute, is_said_by, wants_figures
from cape.figures.query import is_here
from cape.figures.tables import Table, tables_of

if TYPE_CHECKING:
    from cape.answers.retrieval import Retrieval
    from cape.knowledge.protocol import ChunkIndex

DOCUMENTS = 12
"""Documents with tables that a question is tried on, at most: those that its words find first."""

HITS = 400
"""Chunks whose documents are looked at for tables."""

LONGEST = 20_000
"""Chunks of one document that are read for its tables; a longer one is left to the ordinary way."""

MISSING = 'sums and counts over rows need DuckDB: `pip install "cape[tables]"`'


def figures_for(
    index: ChunkIndex, text: str, retrieval: Retrieval, groups: frozenset[str]
) -> tuple[Computed | None, tuple[str, ...]]:
    """The computed answer to a question, None where there is none; and notes about what was lacking."""
    if not wants_figures(text):
        return None, ()
    if not is_here():
        return None, (MISSING,)
    tables: list[Table] = []
    for document in _documents(index, text, retrieval, groups):
        tables += _tables(index, document, groups)
    return compute(text, tables), ()


def without_rows(text: str, quoted: Answer, notes: tuple[str, ...]) -> Answer:
    """The quoted answer, refused where it quotes rows that cannot be the figure which was asked for."""
    if quoted.is_found and is_said_by(text, quoted):
        return quoted
    if quoted.is_found:
        reason = "the question asks for something over several rows, and no table fits all of its words"
        quoted = replace(
            quoted,
            verdict=Verdict.NOT_FOUND,
            text=NOT_FOUND,
            citations=(),
            explanation=replace(quoted.explanation, reasons=(reason,)),
        )
    return replace(quoted, notes=(*quoted.notes, *notes))


def _documents(index: ChunkIndex, text: str, retrieval: Retrieval, groups: frozenset[str]) -> Sequence[str]:
    """The documents that have rows among what the question finds, best first."""
    found: dict[str, None] = {}
    for one in retrieval.chunks:
        if any(part.cells for part in one.chunk.parts):
            found[one.chunk.document] = None
    hits = [hit.chunk for hit in index.search_words(text, groups, HITS)]
    for at in range(0, len(hits), 50):
        chunks = index.chunks(hits[at : at + 50])
        for number in hits[at : at + 50]:
            if number in chunks and any(part.cells for part in chunks[number].parts):
                found.setdefault(chunks[number].document)
        if len(found) >= DOCUMENTS:
            break
    return list(found)[:DOCUMENTS]


def _tables(index: ChunkIndex, document: str, groups: frozenset[str]) -> tuple[Table, ...]:
    from cape.answers.selection import Passage

    ids = index.chunks_of(document, groups)
    if len(ids) > LONGEST:
        return ()
    chunks = index.chunks(ids)
    return tables_of([Passage(id=one, chunk=chunks[one]) for one in ids if one in chunks])
