"""Ruled tables: rules that cross make cells, and the words between them are their text."""

from __future__ import annotations

from collections.abc import Sequence

from cape.knowledge.extraction.pdf.geometry import Grid, Rule, Segment, Word
from cape.knowledge.extraction.pdf.layout import segments_of

_NEAR = 3.0
_MOST_RULES = 4000
_FEWEST_WORDS = 2


def grids_of(
    words: Sequence[Word], horizontal: Sequence[Rule], vertical: Sequence[Rule]
) -> tuple[list[Grid], list[Word]]:
    """The ruled tables of a page, and the words outside of them."""
    if not vertical or len(horizontal) < 2 or len(horizontal) + len(vertical) > _MOST_RULES:
        return [], list(words)
    grids: list[Grid] = []
    left = list(words)
    for group_h, group_v in _groups(horizontal, vertical):
        ys = _positions(rule.at for rule in group_h)
        xs = _positions(rule.at for rule in group_v)
        if len(ys) < 3 or len(xs) < 3:
            continue
        inside = [word for word in left if _holds(xs, ys, word)]
        if len(inside) < _FEWEST_WORDS:
            continue
        grid = _grid(xs, ys[::-1], inside, group_v)
        if grid is not None:
            grids.append(grid)
            taken = set(map(id, inside))
            left = [word for word in left if id(word) not in taken]
    return grids, left


def _positions(values: object) -> list[float]:
    """Sorted positions, those of one drawn line as one."""
    merged: list[float] = []
    for value in sorted(values):  # type: ignore[call-overload]
        if not merged or value - merged[-1] > _NEAR:
            merged.append(value)
    return merged


def _groups(horizontal: Sequence[Rule], vertical: Sequence[Rule]) -> list[tuple[list[Rule], list[Rule]]]:
    """Rules that cross or touch, directly or by others, belong to one table."""
    rules = [(rule, True) for rule in horizontal] + [(rule, False) for rule in vertical]
    parent = list(range(len(rules)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    count = len(horizontal)
    for first, across in enumerate(horizontal):
        for second, down in enumerate(vertical, start=count):
            if _touch(across, down):
                parent[root(first)] = root(second)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for index, (rule, is_horizontal) in enumerate(rules):
        group = groups.setdefault(root(index), ([], []))
        group[0 if is_horizontal else 1].append(rule)
    return sorted(
        (group for group in groups.values() if group[0] and group[1]),
        key=lambda group: (-max(rule.at for rule in group[0]), min(rule.at for rule in group[1])),
    )


def _touch(across: Rule, down: Rule) -> bool:
    return (
        across.start - _NEAR <= down.at <= across.end + _NEAR
        and down.start - _NEAR <= across.at <= down.end + _NEAR
    )


def _holds(xs: Sequence[float], ys: Sequence[float], word: Word) -> bool:
    middle = (word.x0 + word.x1) / 2
    height = word.baseline + 0.25 * word.size
    return xs[0] - _NEAR <= middle <= xs[-1] + _NEAR and ys[0] - _NEAR <= height <= ys[-1] + _NEAR


def _grid(xs: list[float], ys: list[float], words: list[Word], vertical: Sequence[Rule]) -> Grid | None:
    """`ys` from the top. A word belongs to the cell that its middle is in."""
    cells: dict[tuple[int, int], list[Word]] = {}
    for word in words:
        row = _band(word.baseline + 0.25 * word.size, ys, descending=True)
        column = _band(_start_of(word, xs), xs, descending=False)
        cells.setdefault((row, _leftmost(row, column, xs, ys, vertical)), []).append(word)
    rows = []
    for row in range(len(ys) - 1):
        texts = tuple(_text(cells.get((row, column), [])) for column in range(len(xs) - 1))
        if any(texts):
            rows.append(texts)
    used = [column for column in range(len(xs) - 1) if any(texts[column] for texts in rows)]
    if len(used) < 2 or len(rows) < 2:
        return None
    head = [word for (row, _), found in cells.items() if row == 0 for word in found]
    return Grid(
        x0=xs[0],
        x1=xs[-1],
        top=ys[0],
        bottom=ys[-1],
        rows=tuple(tuple(texts[column] for column in used) for texts in rows),
        ruled=True,
        bold_head=bool(head) and all(word.bold for word in head),
        columns=tuple((xs[column], xs[column + 1]) for column in used),
    )


def _start_of(word: Word, xs: Sequence[float]) -> float:
    return min(max((word.x0 + word.x1) / 2, xs[0]), xs[-1])


def _band(value: float, edges: Sequence[float], *, descending: bool) -> int:
    for index in range(len(edges) - 2):
        if value > edges[index + 1] if descending else value < edges[index + 1]:
            return index
    return len(edges) - 2


def _leftmost(
    row: int, column: int, xs: Sequence[float], ys: Sequence[float], vertical: Sequence[Rule]
) -> int:
    """A cell that reaches over several columns has no rule between them: its text is the first one's."""
    middle = (ys[row] + ys[row + 1]) / 2
    while column > 0 and not any(
        abs(rule.at - xs[column]) <= _NEAR and rule.start - _NEAR <= middle <= rule.end + _NEAR
        for rule in vertical
    ):
        column -= 1
    return column


def _text(words: list[Word]) -> str:
    lines: list[list[Segment]] = []
    for segment in segments_of(words):
        if lines and abs(lines[-1][0].baseline - segment.baseline) < 0.35 * segment.size:
            lines[-1].append(segment)
        else:
            lines.append([segment])
    text = ""
    for line in lines:
        part = " ".join(segment.text for segment in line)
        if len(text) > 1 and text.endswith("-") and text[-2].isalpha() and part[:1].islower():
            text = text[:-1] + part
        else:
            text = f"{text} {part}".strip()
    return text
