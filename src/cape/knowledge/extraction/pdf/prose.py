"""Lines to paragraphs, list items and headings, with what the whole document knows of its fonts."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.pdf.geometry import Grid, Page, Segment
from cape.knowledge.extraction.pdf.layout import rows_of

_ITEM = re.compile(r"(?:[•‣▪●○◦·–—*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
_BULLET = re.compile(r"[•‣▪●○◦·–—*-]\s+")
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2})*)\.?\s+\S")
_ENDS = (".", "!", "?", ":", ";", "”", '"', "…")
_LARGER = 1.12
_SAME_SIZE = 0.08
_LONGEST_HEADING = 120
_FEWEST_RUNNING = 6
_WORD_BROKEN = re.compile(r"[^\W\d_]-\Z")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of prose."""

    text: str
    x0: float
    x1: float
    baseline: float
    size: float
    bold: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A paragraph, a list item or a heading, on the page that it begins on."""

    kind: BlockKind
    text: str
    page: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Typography:
    """What is usual in a document: the size of its text, the step between lines, the sizes of headings."""

    body: float
    step: float
    headings: tuple[float, ...]
    words: frozenset[str]

    @classmethod
    def of(cls, pages: Iterable[Page]) -> Typography:
        """Measured over all pages; the size that most letters have is the body's."""
        pages = list(pages)
        letters: Counter[float] = Counter()
        for page in pages:
            for segment in page.segments:
                letters[segment.size] += len(segment.text)
        body = letters.most_common(1)[0][0] if letters else 10.0
        larger = sorted({size for size in letters if size >= body * _LARGER}, reverse=True)
        return cls(body, _usual_step(pages, body), tuple(_distinct(larger)), _broken_words(pages))

    def level(self, line: Line) -> int:
        """The level of the heading that a line may be; 0 when its font is that of the text."""
        for number, size in enumerate(self.headings, start=1):
            if line.size >= size * (1 - _SAME_SIZE / 2):
                return number
        return len(self.headings) + 1 if line.bold and line.size >= self.body * 0.95 else 0


def _distinct(sizes: Sequence[float]) -> list[float]:
    kept: list[float] = []
    for size in sizes:
        if not kept or size < kept[-1] * (1 - _SAME_SIZE):
            kept.append(size)
    return kept[:5]


def _usual_step(pages: Sequence[Page], body: float) -> float:
    steps: Counter[float] = Counter()
    for page in pages:
        lines = sorted((item for item in page.segments if item.size == body), key=lambda item: -item.baseline)
        for above, line in itertools.pairwise(lines):
            step = (above.baseline - line.baseline) / body
            if 0.7 < step < 3 and abs(above.x0 - line.x0) < 5 * body:
                steps[round(step, 1)] += 1
    return steps.most_common(1)[0][0] if steps else 1.2


def _broken_words(pages: Sequence[Page]) -> frozenset[str]:
    """Words with a hyphen inside: one that is broken at its hyphen keeps it."""
    found: set[str] = set()
    for page in pages:
        for segment in page.segments:
            if "-" in segment.text:
                found.update(re.findall(r"[^\W\d_]+-[^\W\d_]+", segment.text.lower()))
    return frozenset(found)


def line_of(row: Sequence[Segment]) -> Line:
    """The pieces of a line that is no table's as one."""
    largest = max(row, key=lambda segment: len(segment.text))
    return Line(
        text=" ".join(segment.text for segment in row),
        x0=row[0].x0,
        x1=row[-1].x1,
        baseline=largest.baseline,
        size=largest.size,
        bold=all(segment.bold for segment in row),
        fixed=all(segment.fixed for segment in row),
    )


def pieces_of(rows: Sequence[list[Segment] | Grid], page: int, typography: Typography) -> list[Piece | Grid]:
    """A column's lines as pieces; its tables stay where they are."""
    pieces: list[Piece | Grid] = []
    lines: list[Line] = []
    right = max((row[-1].x1 for row in rows if isinstance(row, list)), default=0.0)
    left = min((row[0].x0 for row in rows if isinstance(row, list)), default=0.0)

    def end() -> None:
        if lines:
            pieces.extend(_paragraph(lines, page, typography))
            lines.clear()

    for row in rows:
        if isinstance(row, Grid):
            end()
            pieces.append(row)
            continue
        line = line_of(row)
        if lines and _begins_anew(lines, line, typography, left, right):
            end()
        lines.append(line)
    end()
    return pieces


def _begins_anew(lines: list[Line], line: Line, typography: Typography, left: float, right: float) -> bool:
    above = lines[-1]
    if line.fixed and not above.fixed:
        return _ended(above) or _is_short(above, left, right)
    if above.fixed and not line.fixed and all(item.fixed for item in lines):
        return True
    if abs(line.size - above.size) > _SAME_SIZE * max(line.size, above.size) or line.bold != above.bold:
        return not (
            line.size < above.size * 0.8 and not above.bold and abs(line.baseline - above.baseline) < 1
        )
    step = (above.baseline - line.baseline) / max(line.size, 1.0)
    if step < 0 or step > max(typography.step * 1.25, typography.step + 0.12):
        return True
    if _ITEM.match(line.text) and (_BULLET.match(line.text) or line.x0 <= lines[0].x0 + 2):
        return _BULLET.match(line.text) is not None or _ITEM.match(lines[0].text) is not None or _ended(above)
    if _ITEM.match(lines[0].text):
        return line.x0 < lines[0].x0 - 1 or (line.x0 <= lines[0].x0 + 1 and _is_short(above, left, right))
    if line.x0 - lines[0].x0 > 0.7 * line.size and line.x0 - above.x0 > 0.7 * line.size:
        return True
    return _ended(above) and _is_short(above, left, right)


def _ended(line: Line) -> bool:
    return line.text.endswith(_ENDS)


def _is_short(line: Line, left: float, right: float) -> bool:
    return line.x1 < right - 0.2 * (right - left)


def _paragraph(lines: list[Line], page: int, typography: Typography) -> list[Piece]:
    if all(line.fixed for line in lines) and not lines[0].bold:
        return [Piece(BlockKind.CODE, "\n".join(line.text for line in lines), page)]
    text = joined([line.text for line in lines], typography.words)
    level = typography.level(lines[0])
    is_heading = level and len(text) <= _LONGEST_HEADING and not text.endswith((".", ";", ","))
    larger = lines[0].size >= typography.body * _LARGER
    if is_heading and (len(lines) <= 3 if larger else len(lines) == 1) and any(map(str.isalpha, text)):
        return [Piece(BlockKind.HEADING, text, page, level)]
    item = _ITEM.match(text)
    if item:
        return [
            Piece(BlockKind.LIST_ITEM, _BULLET.sub("", text, count=1) if _BULLET.match(text) else text, page)
        ]
    return [Piece(BlockKind.PARAGRAPH, text, page)]


def joined(lines: Sequence[str], hyphenated: frozenset[str]) -> str:
    """Lines as one text; a word that is broken at a line's end is whole again."""
    text = ""
    for line in lines:
        if text and _WORD_BROKEN.search(text) and line[:1].islower():
            before = re.search(r"([^\W\d_]+)-\Z", text)
            after = re.match(r"[^\W\d_]+", line)
            whole = f"{before[1]}-{after[0]}".lower() if before and after else ""
            text = text + line if whole in hyphenated else text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    return text


def across_breaks(pieces: Iterable[Piece | Grid | None], hyphenated: frozenset[str]) -> list[Piece | Grid]:
    """Pieces of the whole document; a sentence that a column or a page breaks is one piece again.

    None stands for such a break. The piece keeps the page that it begins on.
    """
    result: list[Piece | Grid] = []
    after_break = False
    for piece in pieces:
        if piece is None:
            after_break = True
            continue
        last = result[-1] if result else None
        if after_break and isinstance(last, Piece) and isinstance(piece, Piece) and _goes_on(last, piece):
            result[-1] = replace(last, text=joined([last.text, piece.text], hyphenated))
        else:
            result.append(piece)
        after_break = False
    return result


def _goes_on(last: Piece, piece: Piece) -> bool:
    prose = (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM)
    if last.kind not in prose or piece.kind is not BlockKind.PARAGRAPH:
        return False
    return not last.text.endswith(_ENDS) and piece.text[:1].islower()


def without_running_lines(pages: Sequence[Page]) -> list[Page]:
    """Pages without their page numbers, and the lines that stand at the same edge of most of them.

    A line at an edge runs when it, apart from its numbers, stands on half of the pages, or when half of
    the lines at its height stand on several (each chapter has its own).
    """
    marks = Counter(mark for page in pages for mark in {_mark(item) for item in _edge_segments(page)})
    running = {mark for mark, count in marks.items() if count >= max(2, len(pages) // 2)}
    heights: dict[int, list[int]] = {}
    for (_, height), count in marks.items():
        heights.setdefault(height, []).extend([count] * count)
    often = {
        height
        for height, counts in heights.items()
        if len(counts) >= _FEWEST_RUNNING and sum(count > 1 for count in counts) * 2 >= len(counts)
    }
    return [_stripped(page, running, often) for page in pages]


def _mark(segment: Segment) -> tuple[str, int]:
    """A line apart from its numbers, and where it stands."""
    return re.sub(r"\d+|\b[ivxl]+\b", "#", segment.text.lower()), round(segment.baseline / 4)


_PAGE_NUMBER = re.compile(
    r"(?:page |seite |-\s*)?\d{1,4}(?:\s*(?:/|of|von)\s*\d{1,4})?(?:\s*-)?", re.IGNORECASE
)


def _edge_segments(page: Page) -> list[Segment]:
    """The segments of the two outermost lines, at the top and at the bottom, within a page's margins."""
    heights = sorted({round(segment.baseline) for segment in page.segments}, reverse=True)
    outer = {*heights[:2], *heights[-2:]}
    margin = 0.12 * page.height
    return [
        segment
        for segment in page.segments
        if round(segment.baseline) in outer
        and (segment.baseline < margin or segment.baseline > page.height - margin)
    ]


def _stripped(page: Page, running: set[tuple[str, int]], often: set[int]) -> Page:
    dropped = {
        id(segment)
        for segment in _edge_segments(page)
        if _mark(segment) in running
        or _mark(segment)[1] in often
        or (segment.baseline < 0.12 * page.height and _PAGE_NUMBER.fullmatch(segment.text.strip()))
    }
    if not dropped:
        return page
    return replace(page, segments=tuple(item for item in page.segments if id(item) not in dropped))


_LEADER = re.compile(r"(?:\s?[.·…_]){5,}\s*(\d{1,4}|[ivxlc]{1,6})\s*\Z")
_FEWEST_ENTRIES = 4


def without_contents(page: Page) -> Page:
    """A page without its table of contents: lines that lead by dots to page numbers which never fall.

    Its entries are the headings again, and would be found in their place.
    """
    entries: list[Segment] = []
    numbers: list[int] = []
    segments = sorted(page.segments, key=lambda item: (-item.baseline, item.x0))
    for row in rows_of(segments):
        if not isinstance(row, Grid) and (found := _LEADER.search(" ".join(item.text for item in row))):
            entries += row
            numbers.append(int(found[1]) if found[1].isdecimal() else 0)
    if len(numbers) < _FEWEST_ENTRIES or numbers != sorted(numbers):
        return page
    dropped = set(map(id, entries))
    return replace(page, segments=tuple(item for item in page.segments if id(item) not in dropped))
