"""Puts blocks together into a document: keeps their spans, their notes, and finds its title.

Every format ends here, so what all documents have in common (clean text, spans, rows' texts) is here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from cape.knowledge.documents import Block, BlockKind, Cell, ExtractedDocument, Place
from cape.knowledge.extraction.decoding import hygienic, one_line
from cape.knowledge.instructions import instruction_notes
from cape.names import Digest

_LONGEST_TITLE = 200
_TITLE_SEPARATORS = "|·:»«-–—"
_BETWEEN_CELLS = "; "
_SEPARATORS = re.compile(r"[\s_-]+")
_TRAILING = re.compile(r"[ \t]+(?=\n)|\s+\Z")


def readable_stem(path: str) -> str:
    """A file's name as a title: `q1_sales-report.pdf` is `q1 sales report`."""
    stem = PurePosixPath(path).stem
    return _SEPARATORS.sub(" ", stem).strip() or stem


class Assembly:
    """Collects a document's blocks in reading order; `stem` is its file's name, made readable."""

    def __init__(self, stem: str = "") -> None:
        self.stem = stem
        self.blocks: list[Block] = []
        self.notes: list[str] = []
        self.title = ""
        self.attachment = ""
        """The name of the attachment that blocks come from now; its lines are not those of the file."""
        self._offset = 0
        self._tables: dict[str, int] = {}

    def add(
        self,
        kind: BlockKind,
        text: str,
        *,
        page: int | None = None,
        lines: tuple[int, int] | None = None,
        sheet: str | None = None,
        cells: str | None = None,
        level: int = 0,
    ) -> None:
        """Append a block, unless nothing is left of its text. Code keeps its line breaks and indents."""
        is_code = kind is BlockKind.CODE
        text = _TRAILING.sub("", hygienic(text)).lstrip("\n") if is_code else one_line(text)
        if not text:
            return
        place = self._place(page, lines, sheet, cells, self._span(text))
        self.blocks.append(Block(kind=kind, text=text, place=place, level=level))

    def add_row(
        self,
        values: Sequence[tuple[str, str, str | None]],
        *,
        table: str,
        page: int | None = None,
        lines: tuple[int, int] | None = None,
        sheet: str | None = None,
        cells: str | None = None,
    ) -> None:
        """Append a row of (column's heading, text, address) triples; empty cells are left out."""
        at = self._offset
        parts: list[str] = []
        row: list[Cell] = []
        for heading, text, address in values:
            column, text = one_line(heading), one_line(text)
            if not text:
                continue
            label = f"{column}: " if column else ""
            first = at + len(label)
            parts.append(label + text)
            span = (first, first + len(text))
            at = span[1] + len(_BETWEEN_CELLS)
            row.append(
                Cell(
                    column=column,
                    text=text,
                    place=self._place(page, lines, sheet, address, span),
                )
            )
        if not row:
            return
        text = _BETWEEN_CELLS.join(parts)
        place = self._place(page, lines, sheet, cells, self._span(text))
        self.blocks.append(Block(kind=BlockKind.ROW, text=text, place=place, cells=tuple(row), table=table))

    def _place(
        self,
        page: int | None,
        lines: tuple[int, int] | None,
        sheet: str | None,
        cells: str | None,
        span: tuple[int, int],
    ) -> Place:
        if self.attachment:
            lines = None
            sheet = " ".join(filter(None, (self.attachment, sheet))) if cells or sheet else None
        return Place(page=page, lines=lines, sheet=sheet, cells=cells, span=span)

    def name_table(self, name: str = "") -> str:
        """A name for a new table that no other of the document has: `name`, or `table 1`, `table 2`."""
        base = one_line(name) or "table"
        count = self._tables[base] = self._tables.get(base, 0) + 1
        return base if name and count == 1 else f"{base} {count}"

    def note(self, sentence: str) -> None:
        """Remember a sentence for the user, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _span(self, text: str) -> tuple[int, int]:
        start, self._offset = self._offset, self._offset + len(text) + 1
        return start, start + len(text)

    def finish(self, path: str, digest: Digest, size_bytes: int, extractor: str) -> ExtractedDocument:
        """The document. Its title: the format's own, else its first heading, else its file's name."""
        return ExtractedDocument(
            path=path,
            digest=digest,
            size_bytes=size_bytes,
            title=(self._own_title() or self._first_heading() or readable_stem(path))[:_LONGEST_TITLE],
            blocks=tuple(self.blocks),
            extractor=extractor,
            notes=(*self.notes, *instruction_notes(self.blocks)),
        )

    def _own_title(self) -> str:
        """The format's own; a site's name around a page's first heading (`Leave | Intranet`) is left off."""
        title, heading = one_line(self.title), self._first_heading()
        before, found, after = title.partition(heading) if heading else (title, "", "")
        apart = before.strip()[-1:] in _TITLE_SEPARATORS and after.strip()[:1] in _TITLE_SEPARATORS
        return heading if found and apart else title

    def _first_heading(self) -> str:
        headings = [block for block in self.blocks if block.kind is BlockKind.HEADING]
        best = min(headings, key=lambda block: block.level, default=None)
        return best.text if best and best.level <= 2 else (headings[0].text if headings else "")
