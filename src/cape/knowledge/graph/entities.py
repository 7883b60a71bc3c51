"""The entities that a document's chunks mention, and the relations that its sentences and rows say.

Owns the rules: names, codes, addresses of mail, terms that are defined, and cells of rows. What is a name at
the beginning of a sentence is decided by the rest of the document. Pure; equal chunks give equal mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from cape.knowledge.chunking import sentence_spans
from cape.knowledge.documents import BlockKind, Cell, Chunk, Part

VERSION = 1
"""Raised when the same document gives other mentions or relations."""

MOST_IN_SENTENCE = 12
"""Mentions of one sentence that are related to each other, the first ones."""

LONGEST_NAME = 80
_LONGEST_PHRASE = 60

_WORD = r"[A-ZÀ-ÖØ-ÞŁŚŻŹĆŃĄĘÓ][\w'’-]*"
_NAME = re.compile(rf"{_WORD}(?:(?:[ \u00a0](?:(?:of|de|da|do|van|von|der|&)[ ])?{_WORD})|[ ]\d{{1,5}}\b)*")
_CODE = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Z][\w]*(?:-[\w]+)*\b")
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_AMOUNT = re.compile(
    r"(?:[€$£]\s?)?\d[\d,.\u202f]*\d?\s?(?:%|per cent|k?(?:EUR|USD|GBP)|[€$£]|(?:working |business )?"
    r"(?:days?|weeks?|months?|years?|hours?|minutes?)|km|kg|mm|cm|metres|litres)"
)
_DEFINED = re.compile(r"[\"“”„]([^\"“”„]{2,40})[\"“”]\s+(?:means|is|refers to)\b")
_ALIAS = re.compile(rf"({_WORD}(?:[ ]{_WORD})+)\s+\(([A-Z][A-Z0-9]{{1,7}})\)")
_VALUE = re.compile(r"^[\s(+\-−–€$£~≈]*\d[\d.,\s\u202f':-]*\s*(?:%|[a-zA-Z€$£/²³]{0,6})\)?\s*$")
_APART = re.compile(r"[^\w]+")
_EMPTY_WORDS = """
    the a an this that these those it its he she they we you i in on at of for from by with and or but if when
    while where who what which why how all any each every no not yes our your their his her my as to is are
    was were be been do does did has have had may can must should will would there here then than so also only
    please see note before after during since until once both either neither some most many few more less
    other another monday tuesday wednesday thursday friday saturday sunday january february march april june
    july august september october november december jan feb mar apr jun jul aug sep sept oct
    nov dec mr mrs ms dr
    eur usd gbp chf ok faq pdf url http https am pm re fw fwd dear hello hi regards best subject date cc new
    first second third fourth last next one two three four five six seven eight nine ten q1 q2 q3 q4
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())


class Kind(StrEnum):
    """What an entity is."""

    NAME = "name"
    CODE = "code"
    MAIL = "mail"
    TERM = "term"
    CELL = "cell"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity in a chunk: `name` as it stands there, from `start` to `end`; -1 in its headings."""

    chunk: int
    name: str
    kind: Kind
    start: int
    end: int

    @property
    def key(self) -> str:
        return key_of(self.name)


@dataclass(frozen=True, slots=True)
class Relation:
    """Two entities that a sentence or row of a chunk relates; `says` is the phrase between, or the column.

    `start` and `end` are the sentence's or row's characters.
    """

    chunk: int
    source: str
    target: str
    says: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a document's chunks give; `chunk` counts from 0 in both."""

    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...]


def key_of(name: str) -> str:
    """A name as it is compared: `Porto's ` and `porto` are one."""
    plain = re.sub(r"['’]s\b", "", name).casefold()
    return " ".join(plain.replace("\u00a0", " ").split()).strip(" .,;:'’\"()")


def entities_of(chunks: Sequence[Chunk]) -> Found:
    """The mentions and relations of one document, in order."""
    names = _Names(chunks)
    mentions: list[Mention] = []
    relations: list[Relation] = []
    for number, chunk in enumerate(chunks):
        titled = list(_titled(number, chunk, names))
        mentions += titled
        for part in chunk.parts or (_whole(chunk),):
            if part.cells:
                found, related = _of_row(number, chunk, part)
            else:
                found, related = _of_text(number, chunk, part, names)
            mentions += found
            relations += related
            relations += _below(number, titled, found, part)
    return Found(tuple(_once(mentions)), tuple(dict.fromkeys(relations)))


def _whole(chunk: Chunk) -> Part:
    return Part(start=0, end=len(chunk.text), kind=BlockKind.PARAGRAPH, place=chunk.place)


def _once(mentions: Sequence[Mention]) -> Iterator[Mention]:
    """Each entity of a chunk where it stands first."""
    seen: set[tuple[int, str]] = set()
    for one in mentions:
        if one.key and (one.chunk, one.key) not in seen:
            seen.add((one.chunk, one.key))
            yield one


class _Names:
    """What a document tells about names: which words stand in capitals within sentences, or in small."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._lower: set[str] = set()
        self._inside: set[str] = set()
        for chunk in chunks:
            for start, end in sentence_spans(chunk.text):
                words = re.findall(r"[^\W\d_][\w'’-]*", chunk.text[start:end])
                self._lower |= {word for word in words if word[0].islower()}
                self._inside |= {word.casefold() for word in words[1:] if word[0].isupper()}

    def is_name(self, text: str, *, begins: bool) -> bool:
        """Whether a capitalised stretch is a name; one word that begins a sentence must be one elsewhere."""
        words = [word for word in _APART.split(text) if word]
        if len(text) > LONGEST_NAME or all(word.casefold() in _EMPTY or word.isdigit() for word in words):
            return False
        if len(words) > 1:
            return True
        plain = words[0].casefold()
        if len(plain) < 2:
            return False
        return not begins or (plain in self._inside and plain not in self._lower)

    def in_text(self, text: str) -> Iterator[tuple[int, int, Kind]]:
        """The entities of one sentence in order, none within another."""
        taken: list[tuple[int, int]] = []
        for kind, pattern in ((Kind.MAIL, _MAIL), (Kind.TERM, _DEFINED)):
            for match in pattern.finditer(text):
                group = 1 if kind is Kind.TERM else 0
                taken.append(match.span(group))
                yield (*match.span(group), kind)
        for match in _NAME.finditer(text):
            start, end = _trimmed(text, *match.span())
            if start >= end or any(start < last and first < end for first, last in taken):
                continue
            begins = not text[:start].strip(" \t\"'“(*-–•0123456789.")
            stretch = text[start:end]
            if self.is_name(stretch, begins=begins):
                taken.append((start, end))
                yield start, end, Kind.CODE if _CODE.fullmatch(stretch) else Kind.NAME
        for pattern, kind in ((_CODE, Kind.CODE), (_AMOUNT, Kind.VALUE)):
            for match in pattern.finditer(text):
                if not any(match.start() < last and first < match.end() for first, last in taken):
                    taken.append(match.span())
                    yield (*match.span(), kind)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A stretch without words at its ends that name nothing: `The Skerry` is `Skerry`."""
    words = [
        (start + match.start(), start + match.end()) for match in re.finditer(r"[^\s]+", text[start:end])
    ]
    while words and text[slice(*words[0])].casefold().strip(".,'’") in _EMPTY:
        words.pop(0)
    while words and text[slice(*words[-1])].casefold().strip(".,'’") in _EMPTY:
        words.pop()
    return (words[0][0], words[-1][1]) if words else (end, end)


def _titled(number: int, chunk: Chunk, names: _Names) -> Iterator[Mention]:
    """The names in a chunk's headings: what it says is said of them."""
    for heading in chunk.title_path:
        for start, end, kind in sorted(names.in_text(heading)):
            if kind is not Kind.VALUE:
                yield Mention(number, heading[start:end], kind, -1, -1)


def _of_text(number: int, chunk: Chunk, part: Part, names: _Names) -> tuple[list[Mention], list[Relation]]:
    mentions: list[Mention] = []
    relations: list[Relation] = []
    text = chunk.text[part.start : part.end]
    for start, end in sentence_spans(text):
        sentence = text[start:end]
        at = part.start + start
        found = [
            Mention(number, sentence[first:last], kind, at + first, at + last)
            for first, last, kind in sorted(names.in_text(sentence))
        ]
        mentions += found
        span = (at, part.start + end)
        relations += _said(number, chunk.text, found[:MOST_IN_SENTENCE], span)
        for match in _ALIAS.finditer(sentence):
            relations.append(Relation(number, key_of(match[1]), key_of(match[2]), "also called", *span))
    return mentions, relations


def _said(number: int, text: str, found: Sequence[Mention], span: tuple[int, int]) -> Iterator[Relation]:
    """Neighbours by what stands between them; the first of a sentence with all others by standing there."""
    for one, other in pairwise(found):
        phrase = " ".join(text[one.end : other.start].split()).strip(" ,;:–-()")
        if one.kind is not Kind.VALUE or other.kind is not Kind.VALUE:
            says = phrase if 0 < len(phrase) <= _LONGEST_PHRASE else "together with"
            yield from _related(number, one, other, says, span)
    for other in found[2:]:
        yield from _related(number, found[0], other, "together with", span)


def _related(
    number: int, one: Mention, other: Mention, says: str, span: tuple[int, int]
) -> Iterator[Relation]:
    if one.key and other.key and one.key != other.key:
        yield Relation(number, one.key, other.key, says, *span)


def _of_row(number: int, chunk: Chunk, part: Part) -> tuple[list[Mention], list[Relation]]:
    """A row: its first cell of words is what the others are about, each by its column."""
    mentions: list[Mention] = []
    at = part.start
    pairs: list[tuple[Cell, Mention]] = []
    for cell in part.cells:
        start = chunk.text.find(cell.text, at, part.end)
        if start < 0 or len(cell.text) > LONGEST_NAME:
            continue
        at = start + len(cell.text)
        kind = _kind_of(cell.text)
        pairs.append((cell, Mention(number, cell.text, kind, start, at)))
    mentions = [mention for _, mention in pairs]
    subject = next((one for one in mentions if one.kind is not Kind.VALUE), None)
    relations: list[Relation] = []
    for cell, mention in pairs:
        if subject is not None and mention is not subject:
            says = cell.column or "in the same row"
            relations += _related(number, subject, mention, says, (part.start, part.end))
    return mentions, relations


def _kind_of(text: str) -> Kind:
    if _VALUE.match(text):
        return Kind.VALUE
    return Kind.MAIL if _MAIL.fullmatch(text) else Kind.CELL


def _below(
    number: int, titled: Sequence[Mention], found: Sequence[Mention], part: Part
) -> Iterator[Relation]:
    """What stands below a heading is about what the nearest one names."""
    if titled:
        for other in found:
            if other.kind is not Kind.VALUE:
                yield from _related(number, titled[-1], other, "has in its section", (part.start, part.end))
