"""The picture of `cape usage`: what writers cost, and how many tokens went, by day and writer, as SVG.

Owns the picture's form; equal input gives equal bytes. Nothing is fetched, nothing runs in it. What the
numbers mean is `spending`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from html import escape
from pathlib import Path

from cape.names import write_atomically
from cape.operations.project import project_files
from cape.operations.spending import SpentDay

_COLOURS = ("#4a7ab5", "#e0a030", "#5a9a5a", "#a05aa0", "#c0604a", "#4aa5a5", "#8a7a50", "#777777")
_LEFT, _WIDTH, _HEIGHT, _APART, _LEGEND = 70, 720, 150, 50, 22
MOST_DAYS = 90
"""Days that are drawn: the last ones."""


def write_picture(file: Path, days: Sequence[SpentDay]) -> None:
    """Draw into a file. Raises `DirectoryNotWritable`, `DiskFull`."""
    with project_files(file.parent):
        write_atomically(file, usage_picture(days).encode())


def usage_picture(days: Sequence[SpentDay]) -> str:
    """Two panels, one below the other: money, and tokens sent and written; a bar for each day.

    A writer has the same colour in both. Days without a call are there too, up to `MOST_DAYS` of them.
    """
    writers = sorted({one.writer for one in days})
    shown = _days(days)
    rows = len(writers) or 1
    height = 2 * (_HEIGHT + _APART) + _LEGEND * rows + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" '
        f'width="{_LEFT + _WIDTH + 20}" height="{height}" font-family="sans-serif" font-size="12">',
        "<title>What writers cost, by day</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    kinds: tuple[tuple[str, Callable[[SpentDay], float]], ...] = (
        ("cost", lambda one: one.cost),
        ("tokens", lambda one: float(one.sent + one.came)),
    )
    for number, (name, value) in enumerate(kinds):
        parts += _panel(name, 30 + number * (_HEIGHT + _APART), shown, writers, days, value)
    parts += _legend(2 * (_HEIGHT + _APART) + 10, writers, days)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _days(days: Sequence[SpentDay]) -> list[str]:
    """Each day from the first with a call to the last, or the last `MOST_DAYS` of them."""
    if not days:
        return []
    last = date.fromisoformat(max(one.day for one in days))
    first = date.fromisoformat(min(one.day for one in days))
    count = min(MOST_DAYS, (last - first).days + 1)
    return [(last - timedelta(days=back)).isoformat() for back in reversed(range(count))]


def _panel(
    name: str,
    top: float,
    shown: Sequence[str],
    writers: Sequence[str],
    days: Sequence[SpentDay],
    value: Callable[[SpentDay], float],
) -> Iterator[str]:
    sums = {day: sum(value(one) for one in days if one.day == day) for day in shown}
    most = max(sums.values(), default=0.0)
    yield f'<text x="{_LEFT}" y="{top - 10:g}" font-weight="bold">{name} by day</text>'
    for share in (0.0, 0.5, 1.0):
        y = top + _HEIGHT * (1 - share)
        yield f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y:g}" y2="{y:g}" stroke="#dddddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{_amount(most * share)}</text>'
    if not most:
        yield f'<text x="{_LEFT + 10}" y="{top + _HEIGHT / 2:g}" fill="#777777">none</text>'
        return
    wide = _WIDTH / len(shown)
    for at, day in enumerate(shown):
        yield from _bar(
            _LEFT + at * wide, wide, top, [one for one in days if one.day == day], writers, value, most
        )
        if at in (0, len(shown) - 1):
            middle = _LEFT + (at + 0.5) * wide
            anchor = "middle" if len(shown) == 1 else ("end" if at else "start")
            yield f'<text x="{middle:.1f}" y="{top + _HEIGHT + 16:g}" text-anchor="{anchor}">{day}</text>'


def _bar(
    left: float,
    wide: float,
    top: float,
    day: Sequence[SpentDay],
    writers: Sequence[str],
    value: Callable[[SpentDay], float],
    most: float,
) -> Iterator[str]:
    bottom = top + _HEIGHT
    for one in sorted(day, key=lambda one: one.writer):
        tall = _HEIGHT * value(one) / most
        bottom -= tall
        told = escape(f"{one.day}, {one.writer}: {_amount(value(one))}, {one.calls} calls")
        yield (
            f'<rect x="{left + 0.1 * wide:.1f}" y="{bottom:.1f}" width="{min(0.8 * wide, 60):.1f}" '
            f'height="{tall:.1f}" fill="{_colour(writers.index(one.writer))}"><title>{told}</title></rect>'
        )


def _legend(top: float, writers: Sequence[str], days: Sequence[SpentDay]) -> Iterator[str]:
    for number, writer in enumerate(writers):
        mine = [one for one in days if one.writer == writer]
        cost, calls = sum(one.cost for one in mine), sum(one.calls for one in mine)
        tokens = sum(one.sent + one.came for one in mine)
        y = top + number * _LEGEND
        yield f'<rect x="{_LEFT}" y="{y:g}" width="12" height="12" fill="{_colour(number)}"/>'
        told = escape(f"{writer}: {calls:,} calls, {tokens:,} tokens, {_amount(cost)}")
        yield f'<text x="{_LEFT + 20}" y="{y + 11:g}">{told}</text>'


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
