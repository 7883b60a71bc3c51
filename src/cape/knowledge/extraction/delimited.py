"""CSV and TSV: rows with the addresses that a spreadsheet would give their cells."""

from __future__ import annotations

import csv
import io
from collections import Counter

from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.plain import limited_text
from cape.knowledge.extraction.tables import MOST_COLUMNS, Grid, GridCell, Row, add_tables

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50
_LONGEST_FIELD = 1 << 20


def extract_delimited(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """The rows of a delimited text; its delimiter is the one that its lines agree on."""
    text = limited_text(data, assembly, limits)
    delimiter, skipped = _delimiter(text)
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    grid: Grid = []
    left = limits.cells
    try:
        for number, row in enumerate(reader, start=1):
            if number <= skipped:
                continue
            if len(grid) >= limits.rows or left <= 0:
                assembly.note(f"only its first {len(grid):,} rows were read")
                break
            if len(row) > MOST_COLUMNS:
                assembly.note(f"only its first {MOST_COLUMNS:,} columns were read")
            cells: Row = [GridCell(field) if field.strip() else None for field in row[:MOST_COLUMNS]]
            left -= len(cells)
            grid.append((number, cells))
    except csv.Error as error:
        assembly.note(f"its rows from line {reader.line_num:,} on were not read: {error}")
    add_tables(grid, assembly, sheet=None)


def _delimiter(text: str) -> tuple[str, int]:
    """The delimiter, and how many lines at the top only name it (`sep=;`)."""
    lines = [line for line in text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES] if line.strip()]
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].rstrip()) == 5:
        return lines[0][4], 1
    return max(_DELIMITERS, key=lambda mark: _agreement(lines, mark)), 0


def _agreement(lines: list[str], mark: str) -> tuple[float, int]:
    """How many lines have the commonest number of this delimiter outside of quotes, if that is above 0."""
    counts = Counter(sum(part.count(mark) for part in line.split('"')[::2]) for line in lines)
    counts.pop(0, None)
    if not counts:
        return 0.0, 0
    width, lines_with = max(counts.items(), key=lambda item: (item[1], item[0]))
    return lines_with / len(lines), width
