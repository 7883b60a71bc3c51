"""Words and rules of a page, through PDFium's C interface. The only module that touches it page by page."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from cape.knowledge.extraction.missing import load
from cape.knowledge.extraction.pdf.geometry import Rule, Word

_LINE_END_HYPHENS = (0x02, 0xFFFE)
"""What PDFium gives for a hyphen at a line's end; the next line's letters follow without a space."""

_THICKEST = 3.0
_SHORTEST = 6.0
_MOST_PATHS = 20_000
_BOLD_NAMES = ("bold", "black", "heavy", "demi")
_FIXED_NAMES = ("mono", "courier", "cmtt", "consolas", "typewriter", "sltt", "nimbusmon")
_BOLD_WEIGHT = 600


def words_of(page: Any) -> list[Word]:
    """The words of a page in the order that it draws them."""
    raw = load("pypdfium2.raw", "pypdfium2")
    text_page = page.get_textpage()
    try:
        return _Reader(raw, text_page.raw, _Frame.of(page)).words()
    finally:
        text_page.close()


@dataclass(frozen=True, slots=True)
class _Frame:
    """The part of a page that is seen, and how it is turned: 0, 90, 180 or 270 degrees clockwise."""

    left: float
    bottom: float
    right: float
    top: float
    rotation: int

    @classmethod
    def of(cls, page: Any) -> _Frame:
        left, bottom, right, top = page.get_cropbox()
        return cls(left, bottom, right, top, page.get_rotation())

    def seen(self, x: float, y: float) -> tuple[float, float]:
        """A point as its reader sees it, from the lower left corner."""
        if self.rotation == 90:
            return y - self.bottom, self.right - x
        if self.rotation == 180:
            return self.right - x, self.top - y
        if self.rotation == 270:
            return self.top - y, x - self.left
        return x - self.left, y - self.bottom

    def box(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """A box likewise: its left, bottom, right and top."""
        (x0, y0), (x1, y1) = self.seen(left, bottom), self.seen(right, top)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


class _Reader:
    def __init__(self, raw: Any, text_page: Any, frame: _Frame) -> None:
        self._raw = raw
        self._frame = frame
        self._page = text_page
        self._box = raw.FS_RECTF()
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._name = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()

    def words(self) -> list[Word]:
        raw, page = self._raw, self._page
        unicode_at = raw.FPDFText_GetUnicode
        found: list[Word] = []
        letters: list[str] = []
        first = line = 0
        count = raw.FPDFText_CountChars(page)
        for index in range(count + 1):
            code = unicode_at(page, index) if index < count else 0x20
            if code in _LINE_END_HYPHENS and letters:
                found.append(self._word("".join(letters) + "-", first, index, line))
                letters.clear()
                line += 1
                continue
            if code > 0x20 and code != 0xA0:
                if not letters:
                    first = index
                letters.append(chr(code) if code < 0x110000 else "\ufffd")
                continue
            if letters:
                found.append(self._word("".join(letters), first, index - 1, line))
                letters.clear()
            line += code == 0x0A
        return found

    def _word(self, text: str, first: int, last: int, line: int) -> Word:
        raw, page, box = self._raw, self._page, self._box
        raw.FPDFText_GetCharOrigin(page, first, self._x, self._y)
        raw.FPDFText_GetLooseCharBox(page, first, box)
        x0, bottom, x1, top = self._frame.box(box.left, box.bottom, box.right, box.top)
        if last != first:
            raw.FPDFText_GetLooseCharBox(page, last, box)
            x1 = self._frame.box(box.left, box.bottom, box.right, box.top)[2]
        bold, fixed = self._style(first)
        return Word(
            text=_whole(text),
            x0=x0,
            x1=max(x1, x0),
            baseline=self._frame.seen(self._x.value, self._y.value)[1],
            size=max(top - bottom, 0.1),
            bold=bold,
            fixed=fixed,
            line=line,
        )

    def _style(self, index: int) -> tuple[bool, bool]:
        """Whether a letter is bold, and whether its font has letters of one width."""
        size = self._raw.FPDFText_GetFontInfo(self._page, index, self._name, 128, self._flags)
        name = self._name.raw[: max(0, min(size, 128) - 1)].decode("latin-1").lower()
        bold = any(mark in name for mark in _BOLD_NAMES)
        bold = bold or self._raw.FPDFText_GetFontWeight(self._page, index) >= _BOLD_WEIGHT
        return bold, any(mark in name for mark in _FIXED_NAMES) or bool(self._flags.value & 1)


def _whole(text: str) -> str:
    """Letters beyond the basic plane come as two halves."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def rules_of(page: Any) -> tuple[list[Rule], list[Rule]]:
    """The horizontal and the vertical rules that a page draws."""
    raw = load("pypdfium2.raw", "pypdfium2")
    frame = _Frame.of(page)
    horizontal: list[Rule] = []
    vertical: list[Rule] = []
    for index in range(min(raw.FPDFPage_CountObjects(page.raw), _MOST_PATHS)):
        item = raw.FPDFPage_GetObject(page.raw, index)
        if raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_PATH:
            for box in _boxes(raw, item):
                _add_rules(*frame.box(*box), horizontal, vertical)
    return horizontal, vertical


def _add_rules(
    x0: float, y0: float, x1: float, y1: float, horizontal: list[Rule], vertical: list[Rule]
) -> None:
    """A thin box is a rule, a thick one has four at its edges."""
    wide, high = x1 - x0, y1 - y0
    if high <= _THICKEST and wide >= _SHORTEST:
        horizontal.append(Rule((y0 + y1) / 2, x0, x1))
    elif wide <= _THICKEST and high >= _SHORTEST:
        vertical.append(Rule((x0 + x1) / 2, y0, y1))
    elif wide >= _SHORTEST and high >= _SHORTEST:
        horizontal += [Rule(y0, x0, x1), Rule(y1, x0, x1)]
        vertical += [Rule(x0, y0, y1), Rule(x1, y0, y1)]


def _boxes(raw: Any, item: Any) -> list[tuple[float, float, float, float]]:
    """The boxes of a path's straight pieces: one for a simple path, one a line for a larger one."""
    if raw.FPDFPath_CountSegments(item) <= 6:
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        if not raw.FPDFPageObj_GetBounds(item, left, bottom, right, top):
            return []
        return [(left.value, bottom.value, right.value, top.value)]
    return _lines_of_path(raw, item)


def _lines_of_path(raw: Any, item: Any) -> list[tuple[float, float, float, float]]:
    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(item, matrix)
    x, y = ctypes.c_float(), ctypes.c_float()
    boxes: list[tuple[float, float, float, float]] = []
    before: tuple[float, float] | None = None
    for index in range(min(raw.FPDFPath_CountSegments(item), _MOST_PATHS)):
        segment = raw.FPDFPath_GetPathSegment(item, index)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        here = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        if before is not None and raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_LINETO:
            (x0, x1), (y0, y1) = sorted((before[0], here[0])), sorted((before[1], here[1]))
            boxes.append((x0, y0, x1, y1))
        before = here
    return boxes
