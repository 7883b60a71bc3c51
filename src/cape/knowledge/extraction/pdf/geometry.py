"""The values of a page: words, segments of lines, rules. Points, y upwards, as in the PDF."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one line without a wide gap between them. `size` is the height of its font."""

    text: str
    x0: float
    x1: float
    baseline: float
    size: float
    bold: bool

    @property
    def top(self) -> float:
        return self.baseline + 0.75 * self.size

    @property
    def bottom(self) -> float:
        return self.baseline - 0.25 * self.size

    @property
    def width(self) -> float:
        return self.x1 - self.x0


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it stands; `line` counts the lines in the order that the PDF draws them."""

    text: str
    x0: float
    x1: float
    baseline: float
    size: float
    bold: bool
    line: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A drawn line, horizontal or vertical: at `at`, from `start` to `end`."""

    at: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Grid:
    """A ruled table: the text of its cells, row by row."""

    x0: float
    x1: float
    top: float
    bottom: float
    rows: tuple[tuple[str, ...], ...]
    bold_head: bool

    @property
    def edges(self) -> tuple[float, ...]:
        """What two parts of one table, on two pages, have in common."""
        return (round(self.x0), round(self.x1), float(len(self.rows[0]) if self.rows else 0))


Element = Segment | Grid


@dataclass(frozen=True, slots=True)
class Page:
    """A page before its order is known."""

    number: int
    height: float
    segments: tuple[Segment, ...]
    grids: tuple[Grid, ...]
