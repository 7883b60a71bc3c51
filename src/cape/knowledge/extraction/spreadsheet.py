"""XLSX, streamed by openpyxl: true to the cell, with numbers as a reader sees them."""

from __future__ import annotations

import datetime
import io
import re
import warnings
import zipfile
import zlib
from typing import Any

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.archive import open_office, refuse_document_types
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.missing import load
from cape.knowledge.extraction.reading import Unreadable
from cape.knowledge.extraction.tables import Grid, GridCell, add_tables

_MOST_COLUMNS = 1024
_MOST_EMPTY_ROWS = 10_000
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
            _read_sheets(workbook, assembly, limits)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise Unreadable(f"is broken: {error}") from error
    except (SyntaxError, IndexError, OverflowError) as error:
        raise Unreadable(f"is broken: {error}") from error


def _read_sheets(workbook: Any, assembly: Assembly, limits: Limits) -> None:
    assembly.title = (workbook.properties.title if workbook.properties else "") or ""
    left = limits.rows
    for sheet in workbook.worksheets:
        if sheet.sheet_state != "visible":
            assembly.note(f"its hidden sheet `{sheet.title}` was not read")
            continue
        if left <= 0:
            assembly.note(f"its sheet `{sheet.title}` was not read: the limit is {limits.rows:,} rows")
            continue
        grid = _grid(sheet, assembly, left)
        left -= len(grid)
        if grid:
            assembly.add(BlockKind.HEADING, sheet.title, sheet=sheet.title, level=1)
        add_tables(grid, assembly, sheet=sheet.title)


def _grid(sheet: Any, assembly: Assembly, left: int) -> Grid:
    """The sheet's rows that hold anything, as far as the limit."""
    sheet.reset_dimensions()
    grid: Grid = []
    empty = 0
    for number, cells in enumerate(sheet.iter_rows(max_col=_MOST_COLUMNS), start=1):
        row = [_cell(cell) for cell in cells]
        if not any(row):
            empty += 1
            if empty > _MOST_EMPTY_ROWS:
                break
            continue
        if len(grid) >= left:
            assembly.note(f"only the first {len(grid):,} rows of its sheet `{sheet.title}` were read")
            break
        empty = 0
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
        return value.date().isoformat() if midnight else value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    if isinstance(value, int | float):
        return _number_shown(value, number_format or "General")
    return str(value)


def _number_shown(value: float, number_format: str) -> str:
    positive = number_format.split(";")[0]
    pattern = _LITERALS.sub("", positive)
    if "%" in pattern:
        return f"{value * 100:.{_decimals(pattern)}f}%"
    if "E+" in pattern.upper() or not re.search(r"[0#]", pattern):
        return _plain_number(value)
    thousands = re.search(r"[0#?](,*)[^0#?,]*\Z", pattern)
    scale = len(thousands[1]) if thousands else 0
    comma = "," if re.search(r"[#0],[#0]", pattern) else ""
    return _with_currency(f"{value / 1000**scale:{comma}.{_decimals(pattern)}f}", positive)


def _plain_number(value: float) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _decimals(pattern: str) -> int:
    fraction = re.search(r"\.([0#?]+)", pattern)
    return len(fraction[1]) if fraction else 0


def _with_currency(number: str, positive: str) -> str:
    found = _CURRENCY.search(positive)
    if not found:
        return number
    sign = (found[1] or found[2] or found[3] or "").strip()
    before = found.start() < (re.search(r"[0#]", positive) or found).start()
    if not sign:
        return number
    return (
        f"{sign}{number}"
        if before and len(sign) == 1
        else f"{sign} {number}"
        if before
        else f"{number} {sign}"
    )
