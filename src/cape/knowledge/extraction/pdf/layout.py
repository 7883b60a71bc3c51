"""From words to segments of lines, and from segments to the order in which a reader takes them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence

from cape.knowledge.extraction.pdf.geometry import Element, Grid, Segment, Word

_SAME_LINE = 0.35
_WIDE_GAP = 0.75
_GAP_BETWEEN_LINES_DRAWN = 0.35
_STEP = 2.0
_FEWEST_LINES = 4
_PROSE_FILLS = 0.55
_DEEPEST = 4


def segments_of(words: Sequence[Word]) -> list[Segment]:
    """Words joined along their lines, as far as no gap is wider than one between words."""
    segments: list[Segment] = []
    for line in _lines(words):
        run: list[Word] = []
        for word in sorted(line, key=lambda item: item.x0):
            if run and _is_apart(run[-1], word):
                segments.append(_joined(run))
                run = []
            run.append(word)
        segments.append(_joined(run))
    return segments


def _lines(words: Sequence[Word]) -> list[list[Word]]:
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda item: (-item.baseline, item.x0)):
        if lines and lines[-1][0].baseline - word.baseline <= _SAME_LINE * max(word.size, lines[-1][0].size):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _is_apart(before: Word, word: Word) -> bool:
    gap, size = word.x0 - before.x1, max(before.size, word.size)
    if word.line != before.line and gap > _GAP_BETWEEN_LINES_DRAWN * size:
        return True
    return gap > _WIDE_GAP * size


def _joined(run: list[Word]) -> Segment:
    """Its size and baseline are those of most of its letters, not of a note's number above the line."""
    largest = max(run, key=lambda word: (len(word.text) * word.size, word.size))
    parts = [run[0].text]
    for before, word in itertools.pairwise(run):
        touches = word.x0 - before.x1 < 0.08 * word.size and word.line == before.line
        parts.append(word.text if touches and word.size < 0.8 * before.size else f" {word.text}")
    return Segment(
        text="".join(parts),
        x0=run[0].x0,
        x1=max(word.x1 for word in run),
        baseline=largest.baseline,
        size=round(largest.size, 1),
        bold=all(word.bold for word in run),
        fixed=all(word.fixed for word in run),
    )


def in_reading_order(elements: Sequence[Element], depth: int = 0) -> list[list[Element]]:
    """The columns of a page, each from top to bottom, in the order in which they are read.

    What reaches across a gutter (a title, a wide table) ends the columns above it.
    """
    if not elements:
        return []
    gutter = _gutter(elements) if depth < _DEEPEST else None
    if gutter is None:
        return [sorted(elements, key=lambda item: (-item.top, item.x0))]
    flows: list[list[Element]] = []
    left: list[Element] = []
    right: list[Element] = []

    def end_columns() -> None:
        for column in (left, right):
            flows.extend(in_reading_order(tuple(column), depth + 1))
            column.clear()

    for element in sorted(elements, key=lambda item: (-item.top, item.x0)):
        if element.x1 <= gutter:
            left.append(element)
        elif element.x0 >= gutter:
            right.append(element)
        else:
            end_columns()
            flows.append([element])
    end_columns()
    return _merged(flows)


def _merged(flows: list[list[Element]]) -> list[list[Element]]:
    """Lines across all columns that follow each other are one flow."""
    merged: list[list[Element]] = []
    for flow in flows:
        if merged and len(flow) == 1 and len(merged[-1]) >= 1 and _is_below(merged[-1][-1], flow[0]):
            merged[-1].extend(flow)
        else:
            merged.append(list(flow))
    return merged


def _is_below(above: Element, element: Element) -> bool:
    similar = abs(above.x0 - element.x0) < 20 and abs(above.x1 - element.x1) < 200
    return similar and above.top > element.top


def _gutter(elements: Sequence[Element]) -> float | None:
    """Where a page is parted into two columns of prose; None when it is not.

    A table has such a gap too, but its cells do not fill their columns as prose does.
    """
    segments = [item for item in elements if isinstance(item, Segment)]
    if len(segments) < 2 * _FEWEST_LINES:
        return None
    x0, x1 = min(item.x0 for item in segments), max(item.x1 for item in segments)
    candidates = _empty_places(segments, x0, x1)
    for place in candidates:
        left = [item for item in segments if item.x1 <= place]
        right = [item for item in segments if item.x0 >= place]
        crossing = len(segments) - len(left) - len(right)
        if min(len(left), len(right)) < _FEWEST_LINES or crossing > (len(left) + len(right)) / 2:
            continue
        if _are_beside(left, right) and _is_prose(left) and _is_prose(right):
            return place
    return None


def _empty_places(segments: Sequence[Segment], x0: float, x1: float) -> list[float]:
    """The middles of the stretches that the fewest segments cross, the best first."""
    steps = int((x1 - x0) / _STEP) + 1
    cover = [0] * (steps + 1)
    for item in segments:
        cover[max(0, int((item.x0 - x0) / _STEP))] += 1
        cover[min(steps, int((item.x1 - x0) / _STEP) + 1)] -= 1
    total = 0
    places: list[tuple[int, float, float]] = []
    start: int | None = None
    level = 0
    for step in range(steps + 1):
        total += cover[step]
        if start is not None and total != level:
            places.append((level, -(step - start), x0 + _STEP * (start + step) / 2))
            start = None
        if start is None:
            start, level = step, total
    width = x1 - x0
    inner = [place for place in places if x0 + 0.15 * width < place[2] < x1 - 0.15 * width]
    return [middle for _, _, middle in sorted(inner)[:4]]


def _are_beside(left: Iterable[Segment], right: Iterable[Segment]) -> bool:
    left_tops, right_tops = [item.top for item in left], [item.top for item in right]
    shared = min(max(left_tops), max(right_tops)) - max(min(left_tops), min(right_tops))
    return shared > 0.3 * min(max(left_tops) - min(left_tops), max(right_tops) - min(right_tops)) > 0


def _is_prose(column: Sequence[Segment]) -> bool:
    x0 = min(item.x0 for item in column)
    x1 = max(item.x1 for item in column)
    if sum(len(item.text) for item in column) / len(column) < 15:
        return False
    return statistics.median(item.width for item in column) >= _PROSE_FILLS * (x1 - x0)


def columns_right(flow: Sequence[Element]) -> float:
    """Where a column ends on the right."""
    return max(item.x1 for item in flow)


def rows_of(flow: Sequence[Element]) -> list[list[Segment] | Grid]:
    """A column's lines: the segments that stand beside each other, and the ruled tables between them."""
    rows: list[list[Segment] | Grid] = []
    for element in flow:
        last = rows[-1] if rows else None
        if isinstance(element, Grid):
            rows.append(element)
        elif isinstance(last, list) and abs(last[0].baseline - element.baseline) <= _SAME_LINE * element.size:
            last.append(element)
        else:
            rows.append([element])
    for row in rows:
        if isinstance(row, list):
            row.sort(key=lambda item: item.x0)
    return rows
