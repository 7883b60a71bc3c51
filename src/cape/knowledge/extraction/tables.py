"""From a grid of cells to tables with headings: where each begins, what is its head, what are its rows.

Spreadsheets and delimited texts share this. It reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cape.knowledge.addresses import column_letters
from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.assembly import Assembly

MOST_COLUMNS = 1024
"""Of a table; what stands further right is left out, with a note."""

_MOST_TITLE_ROWS = 4
_PERIOD = re.compile(
    r"""(?:[12][0-9]{3}|q[1-4]|h[12]|fy\s?[0-9]{2,4}|[a-z]{3,9}\.?|w(?:eek)?\s?[0-9]{1,2}|[0-9]{2})
    (?:[\s/'-]*(?:[12][0-9]{3}|q[1-4]|h[12]|[0-9]{2}))?""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class GridCell:
    """A cell that is not empty: what a reader sees, and whether it is a value (number, date) not words."""

    text: str
    typed: bool | None = None
    address: str | None = None
    """Its own address where that is not where it stands: a merged cell is repeated in each row."""

    def address_at(self, index: int, row_number: int) -> str:
        """Its address in A1 notation; `index` counts columns from 0."""
        return self.address or f"{column_letters(index + 1)}{row_number}"

    @property
    def is_typed(self) -> bool:
        return looks_typed(self.text) if self.typed is None else self.typed


Row = list[GridCell | None]
Grid = list[tuple[int, Row]]
"""Rows with their numbers from 1; a row's cells begin at column A."""


def looks_typed(text: str) -> bool:
    """Whether a text is a number, an amount, a percentage or a date, not words."""
    bare = text.strip().strip("%€$£()+-– ").replace(" ", "")
    return bool(bare) and sum(character.isdigit() for character in bare) * 2 >= len(bare)


def add_tables(grid: Grid, assembly: Assembly, *, sheet: str | None) -> None:
    """Append every table of a sheet; tables stand apart by empty rows.

    A few lone lines of words above a table are its title and its remarks.
    """
    tables = _split(grid)
    for table, following in zip(tables, [*tables[1:], []], strict=False):
        if following and len(table) <= _MOST_TITLE_ROWS and _width(table) == 1 < _width(following):
            for number, row in enumerate(table):
                _add_lone(row, assembly, sheet, is_title=number == 0)
        else:
            _add_table(table, assembly, sheet)


def _width(table: Grid) -> int:
    return max((_filled(row) for _, row in table), default=0)


def _split(grid: Grid) -> list[Grid]:
    tables: list[Grid] = []
    last = None
    for number, row in grid:
        if not any(row):
            continue
        if last is None or number > last + 1:
            tables.append([])
        tables[-1].append((number, row))
        last = number
    return tables


def _add_table(table: Grid, assembly: Assembly, sheet: str | None) -> None:
    table = _without_titles(table, assembly, sheet)
    if not table:
        return
    name = assembly.name_table(sheet or "")
    rows = [row for _, row in table]
    head = head_rows(rows)
    columns = headings(rows[:head])
    for row_number, row in table[head:]:
        values = [
            (columns[index] if index < len(columns) else "", cell.text, cell.address_at(index, row_number))
            for index, cell in enumerate(row)
            if cell is not None
        ]
        assembly.add_row(values, table=name, sheet=sheet, cells=_range(row, row_number))


def _range(row: Row, number: int) -> str:
    filled = [index for index, cell in enumerate(row, start=1) if cell is not None]
    first, last = f"{column_letters(filled[0])}{number}", f"{column_letters(filled[-1])}{number}"
    return first if first == last else f"{first}:{last}"


def _without_titles(table: Grid, assembly: Assembly, sheet: str | None) -> Grid:
    """Rows of one wordy cell above or below a wider table are its title and its notes."""
    wide = max(_filled(row) for _, row in table) > 1
    while table and wide and _filled(table[0][1]) == 1:
        _add_lone(table[0], assembly, sheet, is_title=len(table) > 1)
        table = table[1:]
    return table


def _add_lone(row: tuple[int, Row], assembly: Assembly, sheet: str | None, *, is_title: bool) -> None:
    number, cells = row
    for index, cell in enumerate(cells, start=1):
        if cell is not None:
            kind = BlockKind.HEADING if is_title and len(cell.text) < 100 else BlockKind.PARAGRAPH
            level = 2 if kind is BlockKind.HEADING else 0
            address = f"{column_letters(index)}{number}"
            assembly.add(kind, cell.text, sheet=sheet, cells=address, level=level)


def _filled(row: Row) -> int:
    return sum(cell is not None for cell in row)


def head_rows(rows: Sequence[Row]) -> int:
    """How many rows at the top are headings: words above values. 0 for a list without a head.

    A second row of headings needs a first one with gaps, as merged cells leave them.
    """
    if len(rows) < 2 or not _is_head(rows[0]):
        return 0
    has_gaps = _filled(rows[0]) < max(_filled(row) for row in rows[:3])
    under = rows[1]
    if has_gaps and len(rows) > 2 and _is_head(under) and _filled(under) > _filled(rows[0]):
        return 2 if _has_typed(rows[2]) else 1
    return 1


def _is_head(row: Row) -> bool:
    """A head is made of words and of names of periods (`Q1 2023`, `2024`), not of values."""
    cells = [cell for cell in row if cell is not None]
    return bool(cells) and not any(cell.is_typed and not _PERIOD.fullmatch(cell.text) for cell in cells)


def _has_typed(row: Row) -> bool:
    return any(cell is not None and cell.is_typed for cell in row)


def headings(rows: Sequence[Row]) -> list[str]:
    """Each column's heading; rows of headings are joined, a merged one reaches to the next."""
    width = max((len(row) for row in rows), default=0)
    columns = [""] * width
    for number, row in enumerate(rows):
        current = ""
        for index in range(width):
            cell = row[index] if index < len(row) else None
            if cell is not None:
                current = cell.text
            elif number == len(rows) - 1:
                current = ""
            if current and not columns[index].endswith(current):
                columns[index] = f"{columns[index]} {current}".strip()
    return columns
