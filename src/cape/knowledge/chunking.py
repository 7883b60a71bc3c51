"""Cutting a document into chunks by its structure.

Owns where one chunk ends and the next begins, and the measure of their size. Pure: the same document gives
the same chunks everywhere. What a chunk is searched by is `documents`'; reading files is elsewhere.

The size of a text is counted in *pieces*, which approximates the word pieces of a MiniLM-class embedder:
a run of letters or digits counts one piece per started seven characters, and each other visible character
counts one. A chunk has at most `LIMIT` pieces, unless it is one single sentence that is longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cape.knowledge.addresses import column_letters, column_number
from cape.knowledge.documents import Block, BlockKind, Cell, Chunk, ExtractedDocument, Part, Place

CHUNKER_VERSION = 1
"""Part of an index's recipe: raised whenever some document gives other chunks."""

LIMIT = 200
"""Pieces of a chunk's text, at most; a sentence is never cut for it."""

LEAD_IN = 40
"""Pieces of the text before a table that still stand in a chunk with its first rows: units, a caption."""

LONGEST_SENTENCE = 3 * LIMIT
"""Pieces of what is still taken for a sentence; what goes on longer is cut between words."""

_PIECE = re.compile(r"\w+|[^\w\s]")
_LETTERS_PER_PIECE = 7
_SENTENCE_END = re.compile(r"""[.!?…。！？]+["'”’)\]]*(?=\s)\s+|[。！？]""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|No|Nos|Fig|Figs|Eq|Sec|Art|pp|vs|cf|al|etc|approx|dept|"
    r"e\.g|i\.e|Inc|Ltd|Co|Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec))\.\Z"
)
_OPENS_SENTENCE = re.compile(r"""["'“‘(\[]?[^a-z\s,;:)\]]""")
_WORD = re.compile(r"\S+\s*")


def pieces(text: str) -> int:
    """The size of a text, as a MiniLM-class tokenizer would roughly count it.

    >>> pieces("Parental leave: 16 weeks.")
    8
    """
    return sum(1 + (len(word) - 1) // _LETTERS_PER_PIECE for word in _PIECE.findall(text))


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """The sentences of a text as half-open ranges, in order, without the white space around them.

    All that is not white space is in exactly one. An abbreviation, or a full stop before a small letter,
    ends none.

    >>> [("It costs 4 EUR. Dr. No pays.")[a:b] for a, b in sentence_spans("It costs 4 EUR. Dr. No pays.")]
    ['It costs 4 EUR.', 'Dr. No pays.']
    """
    starts = [0]
    for end in _SENTENCE_END.finditer(text):
        if _ends_sentence(text, end):
            starts.append(end.end())
    ends = [*starts[1:], len(text)]
    spans = (_trimmed(text, start, stop) for start, stop in zip(starts, ends, strict=True))
    return [span for span in spans if span[0] < span[1]]


def _ends_sentence(text: str, end: re.Match[str]) -> bool:
    mark = end.group().rstrip()
    if mark[0] in "。！？":
        return True
    if mark != ".":
        return bool(_OPENS_SENTENCE.match(text, end.end()))
    head = text[max(0, end.start() - 12) : end.start() + 1]
    return not _ABBREVIATION.search(head) and bool(_OPENS_SENTENCE.match(text, end.end()))


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return start, stop


# -- units: what is not cut further -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unit:
    """A stretch of one block, `block.text[start:end]`, and its size in pieces."""

    block: Block
    start: int
    end: int
    size: int
    cells: tuple[Cell, ...] = ()

    @property
    def text(self) -> str:
        return self.block.text[self.start : self.end]


_Group = list[_Unit]
"""Units that stay together where they fit: a paragraph's sentences, a list with its lead-in."""


def _units(block: Block) -> _Group:
    """The smallest stretches of a block that a chunk may begin or end with."""
    text = block.text
    start, end = _trimmed(text, 0, len(text))
    if start == end:
        return []
    whole = pieces(text)
    if whole <= LIMIT:
        return [_Unit(block, start, end, whole, block.cells)]
    if block.kind is BlockKind.ROW and (cut := _cell_units(block)):
        return cut
    spans = _line_spans(text) if block.kind is BlockKind.CODE else sentence_spans(text)
    return [unit for span in spans for unit in _not_too_long(block, *span)]


def _line_spans(text: str) -> list[tuple[int, int]]:
    """Lines that are not empty, with their indentation."""
    spans = []
    at = 0
    for line in text.splitlines(keepends=True):
        length = len(line.rstrip())
        if length:
            spans.append((at, at + length))
        at += len(line)
    return spans


def _cell_units(block: Block) -> _Group:
    """One unit for each cell of a long row; empty where the row's text is not made of its cells."""
    units = []
    at = 0
    for cell in block.cells:
        piece = f"{cell.column}: {cell.text}" if cell.column else cell.text
        found = block.text.find(piece, at)
        if not piece.strip() or found < 0 or block.text[at:found].strip("; \n"):
            return []
        at = found + len(piece)
        units.append(_Unit(block, found, at, pieces(piece), (cell,)))
    if block.text[at:].strip("; \n") or any(unit.size > LONGEST_SENTENCE for unit in units):
        return []
    return units


def _not_too_long(block: Block, start: int, end: int) -> Iterator[_Unit]:
    """A sentence, or its parts of at most `LIMIT` pieces if it is no sentence any more."""
    size = pieces(block.text[start:end])
    if size <= LONGEST_SENTENCE:
        yield _Unit(block, start, end, size, block.cells)
        return
    begun, total = start, 0
    for at, stop in _word_spans(block.text, start, end):
        size = pieces(block.text[at:stop])
        if total and total + size > LIMIT:
            yield _unit_of(block, begun, at)
            begun, total = at, 0
        total += size
    yield _unit_of(block, begun, end)


def _unit_of(block: Block, start: int, end: int) -> _Unit:
    start, end = _trimmed(block.text, start, end)
    return _Unit(block, start, end, pieces(block.text[start:end]), block.cells)


def _word_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Words with the white space behind them; what has no white space is cut every `LIMIT` characters."""
    for word in _WORD.finditer(text, start, end):
        for at in range(word.start(), word.end(), LIMIT):
            yield at, min(at + LIMIT, word.end())


# -- groups and sections ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Section:
    """What stands below one heading, before the next."""

    path: tuple[str, ...]
    heading: Block | None
    blocks: list[Block]
    has_children: bool = False


def _sections(document: ExtractedDocument) -> list[_Section]:
    title = (document.title,) if document.title.strip() else ()
    sections = [_Section(title, None, [])]
    open_headings: list[tuple[int, str, _Section]] = []
    for block in document.blocks:
        if block.kind is not BlockKind.HEADING:
            sections[-1].blocks.append(block)
            continue
        level, text = max(1, block.level), " ".join(block.text.split())
        while open_headings and open_headings[-1][0] >= level:
            open_headings.pop()
        for _, _, above in open_headings:
            above.has_children = True
        path = _path(title, [*(name for _, name, _ in open_headings), text])
        sections.append(_Section(path, block, []))
        open_headings.append((level, text, sections[-1]))
    return sections


def _path(title: tuple[str, ...], headings: Sequence[str]) -> tuple[str, ...]:
    """Title and headings, outermost first; a heading that only repeats the title is not said twice."""
    if title and headings and headings[0].casefold() == title[0].casefold():
        headings = headings[1:]
    return (*title, *(heading for heading in headings if heading))


def _groups(blocks: Sequence[Block]) -> Iterator[tuple[str | None, _Group]]:
    """The groups of a section in order, each with the name of its table, if it is a row of one."""
    together: _Group = []
    for block in blocks:
        units = _units(block)
        if block.kind is BlockKind.LIST_ITEM:
            together += units
            continue
        if together:
            yield None, together
            together = []
        if block.kind is BlockKind.ROW:
            yield block.table, units
        elif block.kind is BlockKind.PARAGRAPH and block.text.rstrip().endswith(":"):
            together = units
        elif units:
            yield None, units
    if together:
        yield None, together


# -- packing ------------------------------------------------------------------------------------------


def chunk(document: ExtractedDocument) -> tuple[Chunk, ...]:
    """The chunks of a document in reading order.

    Every stretch of text that is not white space is in one chunk, once; a heading's text is in the title
    path of what stands below it, and in a chunk of its own if nothing does. Rows of a table share chunks
    with rows of the same table alone, the first ones also with a short text before them; each row carries
    its columns' headings. Pure.
    """
    chunks: list[Chunk] = []
    for section in _sections(document):
        for packed in _packed(section):
            chunks.append(_chunk_of(document.path, len(chunks), section.path, packed))
    return tuple(chunks)


def _packed(section: _Section) -> Iterator[_Group]:
    """The units of each chunk of a section."""
    if not any(block.text.strip() for block in section.blocks):
        if section.heading is not None and not section.has_children:
            yield _units(section.heading)
        return
    packed: _Group = []
    size = 0
    table: str | None = None
    for its_table, group in _groups(section.blocks):
        needed = sum(unit.size for unit in group)
        if packed and _begins_anew(table, its_table, size, needed):
            yield packed
            packed, size = [], 0
        table = its_table
        for unit in group:
            if packed and size + unit.size > LIMIT:
                yield packed
                packed, size = [], 0
            packed.append(unit)
            size += unit.size
    if packed:
        yield packed


def _begins_anew(table: str | None, its_table: str | None, size: int, needed: int) -> bool:
    """Whether a group of `needed` pieces begins a chunk, behind `size` pieces that are of `table`."""
    if its_table != table and not (table is None and size <= LEAD_IN):
        return True
    # What would have to be cut anyway may begin in a chunk that is less than half full.
    return size + needed > LIMIT and (needed <= LIMIT or size * 2 > LIMIT)


def _chunk_of(path: str, ordinal: int, title_path: tuple[str, ...], units: Sequence[_Unit]) -> Chunk:
    text = ""
    parts: list[Part] = []
    for run in _runs(units):
        block, start, end = run[0].block, run[0].start, run[-1].end
        text += "\n" if text else ""
        begin = len(text)
        text += block.text[start:end]
        parts.append(
            Part(
                start=begin,
                end=len(text),
                kind=block.kind,
                place=_place_within(block, start, end),
                cells=tuple(dict.fromkeys(cell for unit in run for cell in unit.cells)),
                table=block.table,
            )
        )
    place = covering(part.place for part in parts)
    return Chunk(
        document=path, ordinal=ordinal, title_path=title_path, text=text, place=place, parts=tuple(parts)
    )


def _runs(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    """Neighbouring units of one block together."""
    run: list[_Unit] = []
    for unit in units:
        if run and (run[-1].block is not unit.block or unit.start < run[-1].end):
            yield run
            run = []
        run.append(unit)
    if run:
        yield run


def _place_within(block: Block, start: int, end: int) -> Place:
    """The place of a stretch of a block: its span exactly, its lines where the text has them all."""
    place = block.place
    if (start, end) == (0, len(block.text)):
        return place
    if place.span is not None:
        place = replace(place, span=(place.span[0] + start, place.span[0] + end))
    lines = place.lines
    if lines is not None and block.text.count("\n") == lines[1] - lines[0]:
        first = lines[0] + block.text.count("\n", 0, start)
        place = replace(place, lines=(first, first + block.text.count("\n", start, end)))
    return place


_ADDRESS = re.compile(r"\$?([A-Z]{1,3})\$?(\d+)\Z")


def covering(places: Iterable[Place]) -> Place:
    """The smallest place that all of them lie in: the first page, all lines, the cells of one sheet."""
    known = list(places)
    first = known[0] if known else Place()
    pages = [place.page for place in known if place.page is not None]
    spans = [place.span for place in known if place.span is not None]
    lines = [place.lines for place in known if place.lines is not None]
    one_sheet = all(place.sheet == first.sheet for place in known)
    return Place(
        page=pages[0] if pages else None,
        lines=(min(a for a, _ in lines), max(b for _, b in lines)) if lines else None,
        sheet=first.sheet if one_sheet else None,
        cells=_range_of([place.cells for place in known if place.cells]) if one_sheet else None,
        span=(min(a for a, _ in spans), max(b for _, b in spans)) if spans else None,
    )


def _range_of(cells: Sequence[str]) -> str | None:
    """The range that covers addresses and ranges in A1 notation; None where one is neither."""
    corners = [_ADDRESS.match(corner) for address in cells for corner in address.split(":")]
    found = [(column_number(corner[1]), int(corner[2])) for corner in corners if corner]
    if not found or len(found) != len(corners):
        return None
    left, right = min(column for column, _ in found), max(column for column, _ in found)
    top, bottom = min(row for _, row in found), max(row for _, row in found)
    one, other = f"{column_letters(left)}{top}", f"{column_letters(right)}{bottom}"
    return one if one == other else f"{one}:{other}"
