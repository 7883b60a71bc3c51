"""Chunks and an index of them for tests: small documents, written by hand, with who may see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from cape.answers.selection import Passage
from cape.evaluation.memory import MemoryIndex
from cape.knowledge.documents import BlockKind, Cell, Chunk, Part, Place
from cape.knowledge.protocol import EVERYONE, Hit

ALL = frozenset({EVERYONE})


def prose(document: str, *paragraphs: str, title: tuple[str, ...] = (), page: int | None = None) -> Chunk:
    """A chunk of paragraphs; one that begins with `- ` is a list item, one with `# ` a heading."""
    kinds = {"- ": BlockKind.LIST_ITEM, "# ": BlockKind.HEADING}
    text, parts = "", []
    for paragraph in paragraphs:
        kind = kinds.get(paragraph[:2], BlockKind.PARAGRAPH)
        words = paragraph[2:] if kind is not BlockKind.PARAGRAPH else paragraph
        text += "\n" if text else ""
        place = Place(page=page, span=(len(text), len(text) + len(words)))
        parts.append(Part(start=len(text), end=len(text) + len(words), kind=kind, place=place))
        text += words
    return Chunk(
        document=document,
        ordinal=0,
        title_path=title,
        text=text,
        place=Place(page=page, span=(0, len(text))),
        parts=tuple(parts),
    )


def table(
    document: str, sheet: str, columns: Sequence[str], *rows: Sequence[str], first_row: int = 2
) -> Chunk:
    """A chunk of a sheet's rows; the first row of values stands in row 2."""
    text, parts = "", []
    for number, row in enumerate(rows, start=first_row):
        cells = tuple(
            Cell(column=column, text=value, place=Place(sheet=sheet, cells=f"{chr(65 + at)}{number}"))
            for at, (column, value) in enumerate(zip(columns, row, strict=True))
        )
        words = "; ".join(f"{cell.column}: {cell.text}" for cell in cells)
        text += "\n" if text else ""
        place = Place(sheet=sheet, cells=f"A{number}:{chr(64 + len(row))}{number}")
        parts.append(
            Part(
                start=len(text),
                end=len(text) + len(words),
                kind=BlockKind.ROW,
                place=place,
                cells=cells,
                table=sheet,
            )
        )
        text += words
    place = Place(sheet=sheet)
    return Chunk(
        document=document, ordinal=0, title_path=(sheet,), text=text, place=place, parts=tuple(parts)
    )


def passages(*chunks: Chunk) -> list[Passage]:
    return [Passage(id=number, chunk=chunk) for number, chunk in enumerate(chunks)]


class GroupedIndex:
    """Chunks with the groups that see them: searches look only at what the asker may see."""

    def __init__(self, chunks: Sequence[tuple[Chunk, frozenset[str]]]) -> None:
        self._all = sorted(chunks, key=lambda one: (one[0].document, one[0].ordinal))
        self._seen = lru_cache(self._of)

    def _of(self, groups: frozenset[str]) -> tuple[MemoryIndex, tuple[int, ...]]:
        ids = tuple(at for at, (_, sees) in enumerate(self._all) if sees & groups)
        return MemoryIndex([self._all[at][0] for at in ids]), ids

    def count(self, groups: frozenset[str]) -> int:
        return self._seen(groups)[0].count(groups)

    def search_words(self, text: str, groups: frozenset[str], k: int) -> Sequence[Hit]:
        index, ids = self._seen(groups)
        return [Hit(ids[hit.chunk], hit.score) for hit in index.search_words(text, groups, k)]

    def search_vector(self, vector: Any, groups: frozenset[str], k: int) -> Sequence[Hit]:
        return ()

    def chunks(self, ids: Sequence[int]) -> Mapping[int, Chunk]:
        return {one: self._all[one][0] for one in ids}

    def chunks_of(self, document: str, groups: frozenset[str]) -> Sequence[int]:
        return [
            at for at, (chunk, sees) in enumerate(self._all) if chunk.document == document and sees & groups
        ]
