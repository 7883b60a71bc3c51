"""A table of a document as columns that mean something: rows of cells, read as numbers, dates and words.

Owns which rows are data: a row of totals, a head that is repeated, and an empty one are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from cape.answers.selection import Passage
from cape.answers.words import is_stop, words_of
from cape.figures.values import NOTHING, Dates, Numbers, dates_in, numbers_in, unit_of, years_in
from cape.knowledge.documents import Cell, Chunk

LARGEST = 400_000
"""Cells of one table that are looked at; a larger one is left to the ordinary way."""

_UNIT = re.compile(r"[(\[]\s*(?:in\s+)?([^()\[\]]{1,12}?)\s*[)\]]\s*$|,?\s+in\s+([A-Z]{3}|%|k[A-Z]{3})\s*$")
_TRAILING_CODE = re.compile(r"\s(k?(?:EUR|USD|GBP|CHF|NOK|SEK|DKK|PLN|JPY))\s*$")
_TOTAL = re.compile(
    r"(?:grand |sub-?\s?|overall )?(?:totals?|sum|sums|sum total)(?:\s*[:.])?|overall|average|mean|"
    r"Σ|gesamt|summe",
    re.IGNORECASE,
)
_PERHAPS_TOTAL = re.compile(r"\b(?:sub-?\s?)?totals?\b|\bsum of\b|\bsubtotal\b", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?:id|ids|no|nr|number|code|sku|ref|reference|key|zip|postcode|phone|extension|index|#)\b|#|№",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"%|\b(?:percent|percentage|per|rate|ratio|share|price|margin|score|rating|average|avg|mean|median|"
    r"temperature|age|discount|factor|index|level|cumulative|balance|to date|ytd)\b",
    re.IGNORECASE,
)
_SUMMED = re.compile(r"\b(?:total|line|sum)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"([A-Z]+)(\d+)")


class Kind(StrEnum):
    """What the cells of a column are."""

    NUMBER = "number"
    DATE = "date"
    YEAR = "year"
    KEY = "key"
    WORDS = "words"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its heading, that heading's stems without its unit, and its cells in the rows' order.

    `unit` is what heading or all cells say; empty where nothing does or cells differ.
    """

    at: int
    heading: str
    name: str
    unit: str
    kind: Kind
    cells: tuple[Cell | None, ...]
    numbers: Numbers | None = None
    dates: Dates | None = None

    @cached_property
    def stems(self) -> tuple[str, ...]:
        words = words_of(self.name)
        telling = [word for word in words if not is_stop(word.text)]
        return tuple(word.stem for word in telling or words)

    @cached_property
    def folded(self) -> tuple[str, ...]:
        """The cells' texts as they are compared: stems in order; empty where there is none."""
        return tuple(folded(cell.text) if cell is not None else "" for cell in self.cells)

    @property
    def adds_up(self) -> bool:
        """Whether a sum over rows means something: not of prices, rates and shares."""
        if self.unit == "%" or self.kind is not Kind.NUMBER:
            return False
        return not _RATE.search(self.name) or bool(_SUMMED.search(self.name))


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of data and where it was read: `text` stands so in the chunk `passage`."""

    passage: Passage
    start: int
    end: int
    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        return self.passage.chunk.text[self.start : self.end]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: columns, rows of data, and the stems of all that names it."""

    document: str
    name: str
    sheet: str
    context: frozenset[str]
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    totals: int = 0


@dataclass
class _Gathered:
    chunk: Chunk
    rows: list[TableRow] = field(default_factory=list)
    cells: int = 0


def folded(text: str) -> str:
    """A text as it is compared: `North ` and `NORTH` are one."""
    return " ".join(word.stem for word in words_of(text)) or text.strip().casefold()


def tables_of(passages: Sequence[Passage]) -> tuple[Table, ...]:
    """The tables of one document from all its passages, in order; those that are too large are left out."""
    gathered: dict[str, _Gathered] = {}
    for passage in passages:
        for row in _rows(passage):
            name = _continued(gathered, *row)
            of = gathered.setdefault(name, _Gathered(passage.chunk))
            _append(of, row[1])
    made = (_table(name, of) for name, of in gathered.items() if of.cells <= LARGEST)
    return tuple(one for one in made if one is not None)


def _rows(passage: Passage) -> Iterator[tuple[str, TableRow]]:
    for part in passage.chunk.parts:
        if part.cells:
            yield part.table, TableRow(passage=passage, start=part.start, end=part.end, cells=part.cells)


def _continued(gathered: dict[str, _Gathered], name: str, row: TableRow) -> str:
    """The table that a row is of: rows without headings behind an empty row go on with the table above."""
    if name in gathered or any(cell.column for cell in row.cells) or not gathered:
        return name
    above, of = next(reversed(gathered.items()))
    place, last = row.cells[0].place, of.rows[-1].cells[0].place
    if place.sheet != last.sheet or not place.cells or not any(cell.column for cell in of.rows[0].cells):
        return name
    return above


def _append(of: _Gathered, row: TableRow) -> None:
    """Add a row; what a long row's chunk had no room for is put behind its beginning."""
    of.cells += len(row.cells)
    if of.rows and not any(cell.column for cell in row.cells):
        row = replace(row, cells=_headed(of, row.cells))
    before = of.rows[-1] if of.rows else None
    if before is not None and (number := _number(row)) is not None and number == _number(before):
        of.rows[-1] = replace(before, cells=(*before.cells, *row.cells))
    else:
        of.rows.append(row)


def _headed(of: _Gathered, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Cells of a row without headings, with those of the table's columns that they stand in."""
    named = {_letters(cell): cell.column for row in of.rows for cell in row.cells if cell.column}
    return tuple(replace(cell, column=named.get(_letters(cell), "")) for cell in cells)


def _number(row: TableRow) -> str | None:
    match = _ADDRESS.fullmatch(row.cells[0].place.cells or "")
    return match[2] if match else None


def _table(name: str, of: _Gathered) -> Table | None:
    order = _order(of.rows)
    grid = [_by_column(row, order) for row in of.rows]
    kept = [at for at, cells in enumerate(grid) if not _repeats_head(cells, order)]
    rows, grid = [of.rows[at] for at in kept], [grid[at] for at in kept]
    total = _totals(grid, len(order))
    rows = [row for at, row in enumerate(rows) if at not in total]
    grid = [cells for at, cells in enumerate(grid) if at not in total]
    if not rows or not any(heading for heading, _ in order):
        return None
    columns = tuple(
        _column(at, heading, tuple(cells[at] for cells in grid)) for at, (heading, _) in enumerate(order)
    )
    sheet = next((cell.place.sheet for cell in rows[0].cells if cell.place.sheet), "") or ""
    return Table(
        document=of.chunk.document,
        name=name,
        sheet=sheet,
        context=_context(of.chunk, name, sheet),
        columns=columns,
        rows=tuple(rows),
        totals=len(total),
    )


def _order(rows: Sequence[TableRow]) -> list[tuple[str, str]]:
    """Each column's heading and letters; a column without an address is its heading alone."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        for cell in row.cells:
            found.setdefault((cell.column, _letters(cell)), len(found))
    return sorted(found, key=lambda one: (len(one[1]), one[1], found[one]))


def _letters(cell: Cell) -> str:
    match = _ADDRESS.fullmatch(cell.place.cells or "")
    return match[1] if match else ""


def _by_column(row: TableRow, order: Sequence[tuple[str, str]]) -> list[Cell | None]:
    cells = {(cell.column, _letters(cell)): cell for cell in row.cells}
    return [cells.get(one) for one in order]


def _repeats_head(cells: Sequence[Cell | None], order: Sequence[tuple[str, str]]) -> bool:
    said = [(cell.text, heading) for cell, (heading, _) in zip(cells, order, strict=True) if cell is not None]
    return all(folded(text) == folded(heading) for text, heading in said)


def _totals(grid: Sequence[Sequence[Cell | None]], width: int) -> set[int]:
    """The rows that add others up: by their name, or by their numbers where the name is unsure or missing."""
    columns = [numbers_in([cell.text if cell else "" for cell in column]) for column in _turned(grid, width)]
    found: set[int] = set()
    begin = 0
    for at, cells in enumerate(grid):
        words = [
            cell.text.strip() for cell, column in zip(cells, columns, strict=True) if cell and column is None
        ]
        label = words[0] if words else ""
        by_name = bool(_TOTAL.fullmatch(label)) or (not words and at == len(grid) - 1 and len(grid) > 2)
        unsure = (by_name and not words) or bool(_PERHAPS_TOTAL.search(label) and not by_name)
        if (by_name and words) or (unsure and _adds_up(columns, begin, at, found)):
            found.add(at)
            if label.casefold().startswith("sub"):
                begin = at + 1
    return found


def _turned(grid: Sequence[Sequence[Cell | None]], width: int) -> list[list[Cell | None]]:
    return [[cells[at] for cells in grid] for at in range(width)]


def _adds_up(columns: Sequence[Numbers | None], begin: int, at: int, skip: set[int]) -> bool:
    """Whether a number of the row is the sum of those above it, from `begin` or from the table's first."""
    for column in columns:
        value = column.values[at] if column is not None else None
        if column is None or value is None:
            continue
        for first in {0, begin}:
            above = [column.values[one] for one in range(first, at) if one not in skip]
            summed = [one for one in above if one is not None]
            if len(summed) > 1 and abs(sum(summed, Decimal(0)) - value) <= Decimal("0.01") * len(summed):
                return True
    return False


def _column(at: int, heading: str, cells: tuple[Cell | None, ...]) -> Column:
    texts = [cell.text if cell is not None else "" for cell in cells]
    name, unit = _name_and_unit(heading)
    made = Column(at=at, heading=heading, name=name, unit=unit, kind=Kind.WORDS, cells=cells)
    if (dates := dates_in(texts)) is not None:
        return replace(made, kind=Kind.DATE, dates=dates)
    numbers = numbers_in(texts)
    if numbers is None:
        return made
    if years_in(numbers):
        return replace(made, kind=Kind.YEAR, numbers=numbers)
    if _KEY.search(name) and not re.search(r"\bnumber of\b", name, re.IGNORECASE):
        return replace(made, kind=Kind.KEY)
    units = numbers.distinct_units
    one = next(iter(units)) if len(units) == 1 else ""
    return replace(made, kind=Kind.NUMBER, numbers=numbers, unit=one or ("" if len(units) > 1 else unit))


def _name_and_unit(heading: str) -> tuple[str, str]:
    text = " ".join(heading.split())
    if match := _UNIT.search(text) or _TRAILING_CODE.search(text):
        name = text[: match.start()].strip(" ,")
        if name:
            return name, unit_of(next(filter(None, match.groups()), ""))
    return text, ""


def _context(chunk: Chunk, name: str, sheet: str) -> frozenset[str]:
    file = re.sub(r"[_\-.]+", " ", chunk.document.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    return frozenset(word.stem for word in words_of(" ".join([*chunk.title_path, name, sheet, file])))


def is_nothing(cell: Cell | None) -> bool:
    """Whether a cell holds no value."""
    return cell is None or cell.text.strip().casefold() in NOTHING
