"""A chunk's sentences, list items, rows and headings, each with its exact characters and its place.

Owns how text is cut: `chunk.text[unit.start:unit.end]` is a unit's text, byte for byte. Nothing here knows a
question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cape.answers.words import listed
from cape.knowledge.documents import BlockKind, Cell, Chunk, Part, Place

_ABBREVIATIONS = listed(
    """
    cl ch para mr mrs ms dr prof st sr jr vs etc no nr fig al cf approx dept est inc ltd co corp gen col sgt
    capt rev hon jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun vol ed
    eds pp p art sec tel ext max min incl excl resp i.e e.g a.m p.m u.s u.k d.c ph.d b.c a.d c ca
    """
)
_END = re.compile(r"(?:[.!?…]+|[。！？])(?: ?(?:''|[\"”’»)\]]))*(?=\s|$)|[。！？]")
_BREAK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•–]|\d{1,2}[.)])\s)")
_LIST_MARK = re.compile(r"(?:^|\n)\s*(?:[-*•–]|\d{1,2}[.)])\s+$")
LONGEST_UNIT = 1_200
"""Characters; text without an end of sentence is cut at a blank near there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """The least that an answer quotes: a sentence, a list item, a row.

    `start` and `end` are in the chunk's text. `ordinal` counts a chunk's units; `part` the parts that they
    come from. `heading` is the nearest heading above it within the chunk, empty when there is none.
    """

    text: str
    start: int
    end: int
    ordinal: int
    part: int
    kind: BlockKind
    place: Place
    heading: str = ""
    cells: tuple[Cell, ...] = ()
    table: str = ""

    @property
    def is_row(self) -> bool:
        return bool(self.cells)


def units_of(chunk: Chunk) -> tuple[Unit, ...]:
    """The units of a chunk in reading order, without its headings. A chunk without parts is one paragraph."""
    parts = chunk.parts or (Part(start=0, end=len(chunk.text), kind=BlockKind.PARAGRAPH, place=chunk.place),)
    return tuple(replace(unit, ordinal=number) for number, unit in enumerate(_units(chunk, parts)))


def _units(chunk: Chunk, parts: tuple[Part, ...]) -> Iterator[Unit]:
    heading = ""
    for number, part in enumerate(parts):
        text = chunk.text[part.start : part.end]
        if part.kind is BlockKind.HEADING:
            heading = text.strip()
            continue
        spans = _whole(text) if part.cells or part.kind is BlockKind.CODE else sentence_spans(text)
        for start, end in spans:
            yield Unit(
                text=text[start:end],
                start=part.start + start,
                end=part.start + end,
                ordinal=0,
                part=number,
                kind=part.kind,
                place=narrowed(part.place, text, start, end),
                heading=heading,
                cells=part.cells,
                table=part.table,
            )


def _whole(text: str) -> list[tuple[int, int]]:
    stripped = text.strip()
    if not stripped:
        return []
    start = text.index(stripped)
    return [(start, start + len(stripped))]


def narrowed(place: Place, text: str, start: int, end: int) -> Place:
    """The place of `text[start:end]` in a part that stands at `place`.

    Characters are exact. Lines are narrowed only where the part kept its line breaks.
    """
    span, lines = place.span, place.lines
    if span is not None and span[1] - span[0] == len(text):
        span = (span[0] + start, span[0] + end)
    if lines is not None and text.rstrip("\n").count("\n") == lines[1] - lines[0]:
        first = lines[0] + text.count("\n", 0, start)
        lines = (first, first + text.count("\n", start, end))
    return replace(place, span=span, lines=lines)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text stand, as half-open ranges without the blanks around them.

    A full stop after an abbreviation, an initial or within a number ends nothing; a blank line and a line
    that begins a list item do.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _paragraphs(text):
        spans.extend(_sentences(text, start, end))
    return spans


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _BREAK.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for match in _END.finditer(text, start, end):
        if match.start() >= begin and _ends(text, begin, match, end):
            yield from _stripped(text, begin, match.end())
            begin = match.end()
    yield from _stripped(text, begin, end)


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST_UNIT:
        cut = text.rfind(" ", start, start + LONGEST_UNIT)
        cut = cut if cut > start else start + LONGEST_UNIT
        yield start, cut
        start = cut + (text[cut] == " ")
    if any(one.isalnum() for one in text[start:end]):
        yield start, end


def _ends(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    """Whether the mark ends a sentence, from the word before it and what follows."""
    rest = text[match.end() : min(end, match.end() + 40)].lstrip()
    if not rest or text[match.start()] not in ".…":
        return not rest or not rest[0].islower()
    before = text[begin : match.start()].rsplit(None, 1)
    word = before[-1].strip("(\"'“‘[").casefold() if before else ""
    if text[match.start() - 1 : match.start()].isspace():
        return not rest[0].islower()
    if word in _ABBREVIATIONS or _LIST_MARK.search(text[begin : match.end()] + " "):
        return False
    if len(word) == 1 and word.isalpha() and rest[0].isupper():
        return False
    return not rest[0].islower()
