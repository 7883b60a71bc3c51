"""The stages from a PDF's bytes to blocks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.missing import load
from cape.knowledge.extraction.pdf.aligned import with_tables
from cape.knowledge.extraction.pdf.geometry import Element, Grid, Page
from cape.knowledge.extraction.pdf.grids import grids_of
from cape.knowledge.extraction.pdf.layout import in_reading_order, rows_of, segments_of
from cape.knowledge.extraction.pdf.prose import (
    Piece,
    Typography,
    across_breaks,
    pieces_of,
    without_contents,
    without_running_lines,
)
from cape.knowledge.extraction.pdf.words import rules_of, words_of
from cape.knowledge.extraction.reading import Unreadable
from cape.knowledge.extraction.tables import GridCell, Row, head_rows, headings

_TAIL = 2048
_SAME_PLACE = 6.0
_RUBBISH_TITLE = re.compile(
    r"\(?(?:untitled|anonymous|unspecified|document\d*|title)\)?|microsoft (?:word|powerpoint|excel) - .*"
    r"|.*\.(?:docx?|pdf|tex|indd|odt|xlsx?|pptx?|rtf|dvi)",
    re.IGNORECASE,
)


def extract_pdf(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """Paragraphs, headings, list items and tables' rows with their pages. Raises `Unreadable`."""
    document = _open(data)
    try:
        title = document.get_metadata_value("Title").strip()
        assembly.title = "" if _RUBBISH_TITLE.fullmatch(title) else title
        pages = list(_pages(document, assembly, limits))
        count = len(document)
    finally:
        document.close()
    if not any(page.segments or page.grids for page in pages):
        raise Unreadable("has no text: its pages are empty or pictures, and cape reads no pictures")
    if b"%%EOF" not in data[-_TAIL:]:
        assembly.note("its end is missing; what could be recovered was read")
    _note_pictures(pages, assembly)
    if count > limits.pages:
        assembly.note(f"only its first {limits.pages:,} of {count:,} pages were read")
    pages = without_running_lines(pages)
    shorter = [without_contents(page) for page in pages]
    if shorter != pages:
        assembly.note("its table of contents was left out")
    _add_pages(shorter, assembly)


def _open(data: bytes) -> Any:
    pdfium = load("pypdfium2", "pypdfium2")
    try:
        document = pdfium.PdfDocument(io.BytesIO(data))
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise Unreadable("is encrypted") from error
        raise Unreadable("is broken: it is no whole PDF") from error
    if len(document) == 0:
        document.close()
        raise Unreadable("is broken: it has no pages")
    return document


def _pages(document: Any, assembly: Assembly, limits: Limits) -> Iterator[Page]:
    pdfium = load("pypdfium2", "pypdfium2")
    for index in range(min(len(document), limits.pages)):
        try:
            page = document[index]
        except pdfium.PdfiumError:
            assembly.note(f"page {index + 1} is broken and was not read")
            continue
        try:
            yield _page(page, index + 1)
        finally:
            page.close()


def _page(page: Any, number: int) -> Page:
    words = words_of(page)
    grids, words = grids_of(words, *rules_of(page)) if words else ([], words)
    return Page(number, page.get_height(), tuple(segments_of(words)), tuple(grids))


def _note_pictures(pages: Sequence[Page], assembly: Assembly) -> None:
    bare = [str(page.number) for page in pages if not page.segments and not page.grids]
    if bare:
        shown = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        assembly.note(f"{len(bare)} of its {len(pages)} pages have no text ({shown})")


def _add_pages(pages: Sequence[Page], assembly: Assembly) -> None:
    typography = Typography.of(pages)
    tables = _Tables(assembly)
    sequence = list(_sequence(pages, typography))
    page = 1
    for piece in across_breaks((item for _, item in sequence), typography.words):
        if isinstance(piece, Grid):
            tables.add(piece, next(number for number, item in sequence if item is piece))
        else:
            page = piece.page
            tables.end()
            assembly.add(piece.kind, piece.text, page=page, level=piece.level)


def _sequence(pages: Sequence[Page], typography: Typography) -> Iterator[tuple[int, Piece | Grid | None]]:
    """All pieces with their pages, and None where a column or a page ends."""
    for page in pages:
        elements: list[Element] = [*page.segments, *page.grids]
        for flow in in_reading_order(elements):
            for piece in pieces_of(with_tables(rows_of(flow)), page.number, typography):
                yield page.number, piece
            yield page.number, None


class _Tables:
    """Writes tables as rows; one that goes on over a page keeps its name and its headings."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._last: Grid | None = None
        self._name = ""
        self._columns: list[str] = []
        self._head: tuple[tuple[str, ...], ...] = ()

    def end(self) -> None:
        """Something else follows: the next table is a new one."""
        self._last = None

    def add(self, table: Grid, page: int) -> None:
        rows = table.rows
        goes_on = self._last is not None and _aligned(self._last, table)
        if goes_on and rows[: len(self._head)] == self._head:
            rows = rows[len(self._head) :]
        elif not goes_on:
            self._begin(table)
            rows = rows[len(self._head) :]
        for row in rows:
            columns = [*self._columns, *[""] * len(row)]
            values = [(column, text, None) for column, text in zip(columns, row, strict=False)]
            self._assembly.add_row(values, table=self._name, page=page)
        self._last = table

    def _begin(self, table: Grid) -> None:
        self._name = self._assembly.name_table()
        grid: list[Row] = [[GridCell(text) if text else None for text in row] for row in table.rows]
        count = head_rows(grid) if table.ruled or _has_values(grid) else 0
        count = count or int(table.bold_head and len(grid) > 1)
        self._head = table.rows[:count]
        self._columns = headings(grid[:count])


def _has_values(grid: Sequence[Row]) -> bool:
    """Without values below, and without rules, nothing but bold type tells a head from a first row."""
    return any(cell is not None and cell.is_typed for row in grid[1:] for cell in row)


def _aligned(above: Grid, below: Grid) -> bool:
    """Whether two tables have the same columns: each begins, ends, or has its middle at the same place."""
    if len(above.columns) != len(below.columns):
        return False
    return all(
        min(abs(a - c), abs(b - d), abs(a + b - c - d) / 2) < _SAME_PLACE
        for (a, b), (c, d) in zip(above.columns, below.columns, strict=True)
    )
