"""The values that documents become on their way into an index: blocks with places, then chunks.

Owns these types and nothing that reads a file or a database. A place always points into the document as
its author knows it (page, line, sheet and cell), so that a citation can be followed by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cape.names import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where something stands in its document; what a format does not have is None.

    `page` counts from 1, as do `lines` (first and last, inclusive). `cells` is an address or a range in
    A1 notation within `sheet`. `span` is the half-open range of characters in the document's extracted
    text: all its blocks' texts, each followed by one newline.
    """

    page: int | None = None
    lines: tuple[int, int] | None = None
    sheet: str | None = None
    cells: str | None = None
    span: tuple[int, int] | None = None

    def __str__(self) -> str:
        """As a citation says it: `page 3`, `lines 4-6`, `Metrics!B7`; empty when nothing is known."""
        parts = []
        if self.cells is not None:
            parts.append(f"{self.sheet}!{self.cells}" if self.sheet else self.cells)
        if self.page is not None:
            parts.append(f"page {self.page}")
        if self.lines is not None:
            first, last = self.lines
            parts.append(f"line {first}" if first == last else f"lines {first}-{last}")
        return ", ".join(parts)


class BlockKind(StrEnum):
    """What a block is in its document's structure."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list-item"
    ROW = "row"
    CODE = "code"
    FIELD = "field"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell of a table: its column's heading, its text as a reader sees it, and its own place."""

    column: str
    text: str
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One piece of a document in reading order.

    `level` is a heading's depth from 1. A row has `cells`, and `table` names the table that it belongs to
    (rows of one table stand together); its `text` is the cells' as `column: text; column: text`. A field is
    one of a message's head lines (`From: ...`).
    """

    kind: BlockKind
    text: str
    place: Place
    level: int = 0
    cells: tuple[Cell, ...] = ()
    table: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractedDocument:
    """A document after reading: its title, and its blocks in reading order.

    `path` is relative to the project, with `/`. `digest` is of the file's bytes that were read. `extractor`
    names what read it, with its version (`cape-pdf 1 (pypdfium2 5.15.2)`); an index is only comparable with
    one made by the same. `notes` are sentences for the user about what was left out.
    """

    path: str
    digest: Digest
    size_bytes: int
    title: str
    blocks: tuple[Block, ...]
    extractor: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadDocument:
    """A document that could not be read: broken, encrypted, too large, or changed meanwhile.

    `reason` is a sentence for the user. It is remembered with the digest, so that the same bytes are not
    tried again; None when the bytes themselves could not be read.
    """

    path: str
    digest: Digest | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A stretch of a chunk's text that came from one block: `text[start:end]` stands at `place`."""

    start: int
    end: int
    kind: BlockKind
    place: Place
    cells: tuple[Cell, ...] = ()
    table: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A passage of a document, the unit of retrieval.

    `title_path` is the document's title and the headings that it stands below, outermost first; `text` is
    the passage alone, made of `parts` in order. `ordinal` counts the document's chunks from 0. `place`
    covers the passage.
    """

    document: str
    ordinal: int
    title_path: tuple[str, ...]
    text: str
    place: Place
    parts: tuple[Part, ...]

    @property
    def searchable(self) -> str:
        """What is searched and embedded: the title path, then the passage."""
        return "\n".join([" > ".join(self.title_path), self.text]) if self.title_path else self.text

    @property
    def digest(self) -> Digest:
        """Of document, headings, text and places: equal chunks of two indices have equal ones."""
        lines = [self.document, *self.title_path, self.text, repr(self.place), *map(repr, self.parts)]
        return Digest.of_lines(lines)
