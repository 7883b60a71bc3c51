"""XLSX, streamed by openpyxl: true to the cell, with numbers as a reader sees them."""

from __future__ import annotations

import datetime
import functools
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cape.knowledge.addresses import column_letters, column_number
from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.archive import open_office, refuse_document_types
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import MIB, Limits
from cape.knowledge.extraction.missing import load
from cape.knowledge.extraction.reading import Unreadable
from cape.knowledge.extraction.tables import MOST_COLUMNS, Grid, GridCell, Row, add_tables

_MOST_EMPTY_ROWS = 10_000
_LARGEST_MARKUP = 64 * MIB
_MOST_MERGED = 10_000
_MERGED = re.compile(rb"<mergeCell\s[^>]*?ref=\"([A-Z0-9:]+)\"")
_UNCOMPUTED = re.compile(rb"(?:</f>|<f\b[^>]*/>)\s*(?:<v\s*/>|<v></v>)?\s*</c>")
_RANGE = re.compile(r"([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})")
_CURRENCY = re.compile(r"\[\$([^\]-]*)[^\]]*\]|([€$£¥])|\"([^\"]{1,4})\"")
_LITERALS = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.')


def extract_spreadsheet(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """The tables of every visible sheet. Raises `Unreadable`."""
    with open_office(data, limits) as archive:
        refuse_document_types(archive)
        openpyxl = load("openpyxl", "openpyxl")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
                _read_sheets(workbook, archive, assembly, limits)
        except _FAILURES as error:
            raise Unreadable(f"is broken: {error}") from error


# What openpyxl lets through when a workbook is not as the standard says. SyntaxError is its XML parser's.
_FAILURES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    SyntaxError,
    OverflowError,
)


def _read_sheets(workbook: Any, archive: zipfile.ZipFile, assembly: Assembly, limits: Limits) -> None:
    left = limits.rows
    for sheet in workbook.worksheets:
        if sheet.sheet_state != "visible":
            assembly.note(f"its hidden sheet `{sheet.title}` was not read")
            continue
        if left <= 0:
            assembly.note(f"its sheet `{sheet.title}` was not read: the limit is {limits.rows:,} rows")
            continue
        markup = _Markup.of(archive, sheet)
        if markup.uncomputed:
            assembly.note(
                f"{markup.uncomputed:,} formulas of its sheet `{sheet.title}` have no stored value: "
                "open it in a spreadsheet program and save it"
            )
        grid = _with_merged(_grid(sheet, assembly, left, limits.cells), markup.merged)
        left -= len(grid)
        if grid:
            assembly.add(BlockKind.HEADING, sheet.title, sheet=sheet.title, level=1)
        add_tables(grid, assembly, sheet=sheet.title)
    assembly.title = _title(workbook, assembly)


def _title(workbook: Any, assembly: Assembly) -> str:
    """The workbook's own title, else the one above its first table; a sheet's name says too little."""
    own = (workbook.properties.title if workbook.properties else "") or ""
    titles = [block.text for block in assembly.blocks[:2] if block.level == 2]
    return own or (titles[0] if titles else assembly.stem)


@dataclass(frozen=True, slots=True)
class _Markup:
    """What a sheet's XML says that its streamed cells do not: merged ranges, formulas without a value."""

    merged: tuple[tuple[int, int, int, int], ...] = ()
    uncomputed: int = 0

    @classmethod
    def of(cls, archive: zipfile.ZipFile, sheet: Any) -> _Markup:
        """Empty for a sheet that is too large to be looked through twice."""
        name = str(getattr(sheet, "_worksheet_path", "")).lstrip("/")
        try:
            if archive.getinfo(name).file_size > _LARGEST_MARKUP:
                return cls()
            text = archive.read(name)
        except KeyError:
            return cls()
        merged = [_bounds(match[1].decode()) for match in _MERGED.finditer(text)]
        kept = tuple(bounds for bounds in merged[:_MOST_MERGED] if bounds is not None)
        return cls(kept, sum(1 for _ in _UNCOMPUTED.finditer(text)))


def _bounds(reference: str) -> tuple[int, int, int, int] | None:
    """First column, first row, last column, last row of a range in A1 notation."""
    cells = _RANGE.fullmatch(reference)
    if cells is None:
        return None
    return column_number(cells[1]), int(cells[2]), column_number(cells[3]), int(cells[4])


def _with_merged(grid: Grid, merged: Sequence[tuple[int, int, int, int]]) -> Grid:
    """A cell that reaches down over rows is part of each of them; its address stays its own."""
    rows = dict(grid)
    for first_column, first_row, _, last_row in merged:
        top = rows.get(first_row)
        if last_row == first_row or top is None or len(top) < first_column:
            continue
        cell = top[first_column - 1]
        if cell is None:
            continue
        address = f"{column_letters(first_column)}{first_row}"
        for number in range(first_row + 1, min(last_row, first_row + _MOST_MERGED) + 1):
            row = rows.get(number)
            if row is not None and len(row) >= first_column and row[first_column - 1] is None:
                row[first_column - 1] = GridCell(cell.text, cell.typed, address)
    return grid


def _grid(sheet: Any, assembly: Assembly, left: int, most_cells: int) -> Grid:
    """The sheet's rows that hold anything, as far as the limit."""
    sheet.reset_dimensions()
    grid: Grid = []
    empty = 0
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        row: Row = [_cell(cell) for cell in cells[:MOST_COLUMNS]]
        if len(cells) > MOST_COLUMNS:
            assembly.note(f"only the first {MOST_COLUMNS:,} columns of its sheet `{sheet.title}` were read")
        if not any(row):
            empty += 1
            if empty > _MOST_EMPTY_ROWS:
                break
            continue
        if len(grid) >= left or most_cells <= 0:
            assembly.note(f"only the first {len(grid):,} rows of its sheet `{sheet.title}` were read")
            break
        empty = 0
        most_cells -= len(row)
        grid.append((number, row))
    return grid


def _cell(cell: Any) -> GridCell | None:
    value = cell.value
    if value is None or value == "":
        return None
    text = shown(value, cell.number_format)
    return GridCell(text, not isinstance(value, str)) if text.strip() else None


def shown(value: object, number_format: str) -> str:
    """A cell's value as its reader sees it: `12.5 %` for .125, `1,204` in thousands, dates as ISO 8601."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        letters = set(_LITERALS.sub("", number_format).lower())
        if midnight and "y" in letters and "d" not in letters:
            return f"{value:%Y-%m}" if "m" in letters else f"{value:%Y}"
        return value.date().isoformat() if midnight else value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    if isinstance(value, int | float):
        return _number_shown(value, number_format or "General")
    return str(value)


def _number_shown(value: float, number_format: str) -> str:
    style = _NumberStyle.of(number_format)
    if style.percent:
        return f"{value * 100:.{style.decimals}f}%"
    if style.general:
        return _plain_number(value)
    return style.prefix + f"{value / style.divisor:{style.grouping}.{style.decimals}f}" + style.suffix


def _plain_number(value: float) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class _NumberStyle:
    """What a number format asks for. Its section for negative numbers is passed over: a minus says enough."""

    general: bool = False
    percent: bool = False
    decimals: int = 0
    divisor: int = 1
    grouping: str = ""
    prefix: str = ""
    suffix: str = ""

    @classmethod
    @functools.lru_cache(maxsize=1000)
    def of(cls, number_format: str) -> _NumberStyle:
        """The style of a format in the notation of spreadsheets: `#,##0.00 "EUR"`, `0.0%`, `General`."""
        positive = number_format.split(";")[0]
        pattern = _LITERALS.sub("", positive)
        fraction = re.search(r"\.([0#?]+)", pattern)
        decimals = len(fraction[1]) if fraction else 0
        if "%" in pattern:
            return cls(percent=True, decimals=decimals)
        digits = re.search(r"[0#?](,*)[^0#?,]*\Z", pattern)
        if "E+" in pattern.upper() or "/" in pattern or digits is None:
            return cls(general=True)
        before, after = _currency(positive)
        return cls(
            decimals=decimals,
            divisor=1000 ** len(digits[1]),
            grouping="," if re.search(r"[#0],[#0]", pattern) else "",
            prefix=before,
            suffix=after,
        )


def _currency(positive: str) -> tuple[str, str]:
    """A format's currency or unit, as it stands before or after the number."""
    found, digit = _CURRENCY.search(positive), re.search(r"[0#]", positive)
    sign = (found[1] or found[2] or found[3] or "").strip() if found else ""
    if found is None or digit is None or not sign:
        return "", ""
    if found.start() > digit.start():
        return "", f" {sign}"
    return (sign if len(sign) == 1 else f"{sign} "), ""
