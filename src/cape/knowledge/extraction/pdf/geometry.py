"""The values of a page: words, segments of lines, rules. Points, y upwards, as in the PDF."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one line without a wide gap between them. `size` is the height of its font.

    `fixed` says that its letters are all of one width, as in a program.
    """

    text: str
    x0: float
    x1: float
    baseline: float
    size: float
    bold: bool
    fixed: bool

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
    fixed: bool
    line: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A drawn line, horizontal or vertical: at `at`, from `start` to `end`."""

    at: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the text of its cells, row by row, and from where to where each column reaches."""

    x0: float
    x1: float
    top: float
    bottom: float
    rows: tuple[tuple[str, ...], ...]
    bold_head: bool
    ruled: bool
    columns: tuple[tuple[float, float], ...]


Element = Segment | Grid


@dataclass(frozen=True, slots=True)
class Page:
    """A page before its order is known."""

    number: int
    height: float
    segments: tuple[Segment, ...]
    grids: tuple[Grid, ...]
