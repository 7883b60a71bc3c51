"""Tables without rules: lines whose pieces stand below each other."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace

from cape.knowledge.extraction.pdf.geometry import Grid, Segment

_MARKER = re.compile(r"(?:[•‣▪●○◦·–—*-]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\Z")
_LEADER = re.compile(r"[.\s…]{5,}")
_LONGEST_CELL = 45
_WIDEST_STEP = 2.6


def with_markers(row: list[Segment]) -> list[Segment]:
    """A list's bullet or number belongs to the text that it stands before."""
    if len(row) >= 2 and _MARKER.match(row[0].text):
        first, second = row[0], row[1]
        joined = replace(second, text=f"{first.text} {second.text}", x0=first.x0)
        return [joined, *row[2:]]
    return row


def with_tables(rows: Sequence[list[Segment] | Grid]) -> list[list[Segment] | Grid]:
    """The same lines, with those that make a table as one."""
    rows = [with_markers(row) if isinstance(row, list) else row for row in rows]
    result: list[list[Segment] | Grid] = []
    index = 0
    while index < len(rows):
        end = _run_end(rows, index)
        run = [row for row in rows[index:end] if isinstance(row, list)]
        table = _table(run) if end - index >= 2 else None
        if table is None:
            result.append(rows[index])
            index += 1
        else:
            result.append(table)
            index = end
    return result


def _run_end(rows: Sequence[list[Segment] | Grid], start: int) -> int:
    """Where the lines end that may be one table with the line at `start`."""
    end = start
    last: list[Segment] | None = None
    multiple = start
    while end < len(rows):
        row = rows[end]
        if not isinstance(row, list) or (last is not None and _step(last, row) > _WIDEST_STEP):
            break
        if len(row) < 2 and (last is None or len(last) < 2):
            break
        if len(row) >= 2:
            multiple = end + 1
        last = row
        end += 1
    return multiple


def _step(above: list[Segment], row: list[Segment]) -> float:
    return (above[0].baseline - row[0].baseline) / max(row[0].size, 1.0)


def _table(run: list[list[Segment]]) -> Grid | None:
    """The lines as a table; None when their pieces are not aligned, or are prose."""
    multiple = [row for row in run if len(row) >= 2]
    widest = max((len(row) for row in multiple), default=0)
    if len(multiple) < 3 and not (len(multiple) == 2 and widest >= 3):
        return None
    pieces = [segment for row in multiple for segment in row]
    if statistics.median(len(segment.text) for segment in pieces) > _LONGEST_CELL:
        return None
    columns = _columns(multiple)
    if len(columns) < 2 or not _fits(multiple, columns):
        return None
    rows = _cells(run, columns)
    return Grid(
        x0=columns[0][0],
        x1=columns[-1][1],
        top=run[0][0].top,
        bottom=run[-1][0].bottom,
        rows=tuple(tuple(row) for row in rows),
        ruled=False,
        bold_head=all(segment.bold for segment in run[0]),
        columns=tuple(columns),
    )


def _columns(rows: list[list[Segment]]) -> list[tuple[float, float]]:
    """The stretches that the pieces of the commonest kind of line cover."""
    common = statistics.multimode(len(row) for row in rows)
    width = max(common)
    spans = sorted((segment.x0, segment.x1) for row in rows if len(row) == width for segment in row)
    columns: list[tuple[float, float]] = []
    for x0, x1 in spans:
        if columns and x0 < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], x1))
        else:
            columns.append((x0, x1))
    return columns


def _fits(rows: list[list[Segment]], columns: Sequence[tuple[float, float]]) -> bool:
    """Whether in most lines each piece has a column of its own."""
    fitting = 0
    for row in rows:
        places = [_column_of(segment, columns) for segment in row]
        fitting += len(set(places)) == len(places)
    return fitting >= 0.8 * len(rows)


def _column_of(segment: Segment, columns: Sequence[tuple[float, float]]) -> int:
    def nearness(index: int) -> tuple[float, float]:
        x0, x1 = columns[index]
        overlap = min(segment.x1, x1) - max(segment.x0, x0)
        return (overlap, -abs((segment.x0 + segment.x1) - (x0 + x1)))

    return max(range(len(columns)), key=nearness)


def _cells(run: list[list[Segment]], columns: Sequence[tuple[float, float]]) -> list[list[str]]:
    """Rows of texts; a line that lacks its first cell goes on with the cells above it."""
    rows: list[list[str]] = []
    steps = [_step(above, row) for above, row in itertools.pairwise(run)]
    usual = statistics.median(steps) if steps else 0.0
    for number, row in enumerate(run):
        texts = [""] * len(columns)
        for segment in row:
            column = _column_of(segment, columns)
            texts[column] = f"{texts[column]} {_LEADER.sub(' ', segment.text)}".strip()
        continues = rows and len(row) < len(columns) and (not texts[0] or steps[number - 1] < 0.8 * usual)
        if continues and steps[number - 1] <= usual + 0.01:
            rows[-1] = [f"{above} {text}".strip() for above, text in zip(rows[-1], texts, strict=True)]
        else:
            rows.append(texts)
    return rows
