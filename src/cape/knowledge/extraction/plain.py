"""Plain text: paragraphs, list items, underlined headings, each with its lines.

Also reStructuredText and logs, as text. Source code is `code`'s.
"""

from __future__ import annotations

import re

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.decoding import decode
from cape.knowledge.extraction.limits import Limits

_UNDERLINE = re.compile(r"([=\-~^\"'`#*+:.])\1{2,}\s*\Z")
_ITEM = re.compile(r"\s*(?:[-*+•‣–]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_WRAPPED_AT = 45
_DEEPEST_HEADING = 6
_LONGEST_HEADING = 120


def limited_text(data: bytes, assembly: Assembly, limits: Limits) -> str:
    """The decoded text, cut with a note where it is longer than the limit."""
    text, notes = decode(data)
    for note in notes:
        assembly.note(note)
    if len(text) > limits.text_chars:
        end = text.rfind("\n", 0, limits.text_chars)
        text = text[: end if end > 0 else limits.text_chars]
        lines = text.count("\n") + 1
        assembly.note(f"only its first {lines:,} lines were read: the text is too long")
    return text


def extract_text(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """Cut a text into paragraphs at its blank lines."""
    add_text(limited_text(data, assembly, limits), assembly)


def add_text(text: str, assembly: Assembly, *, first_line: int | None = 1, page: int | None = None) -> None:
    """Append the blocks of a plain text; without `first_line` they have no lines."""
    adorned: list[str] = []
    paragraph: list[str] = []
    start = 0
    for number, line in enumerate([*text.split("\n"), ""]):
        if line.strip():
            if not paragraph:
                start = number
            paragraph.append(line)
        elif paragraph:
            _add_paragraph(paragraph, start, assembly, adorned, first_line, page)
            paragraph = []


def _add_paragraph(
    lines: list[str],
    start: int,
    assembly: Assembly,
    adorned: list[str],
    first_line: int | None,
    page: int | None,
) -> None:
    def place(first: int, last: int) -> tuple[int, int] | None:
        return None if first_line is None else (first_line + start + first, first_line + start + last)

    used = 0
    while (heading := _heading_at(lines, used)) is not None:
        text, mark, taken = heading
        if mark not in adorned:
            adorned.append(mark)
        level = min(adorned.index(mark) + 1, _DEEPEST_HEADING)
        assembly.add(BlockKind.HEADING, text, lines=place(used, used + taken - 1), level=level, page=page)
        used += taken
    for kind, first, last in _pieces(lines, used):
        text = "\n".join(lines[first : last + 1])
        if kind is BlockKind.LIST_ITEM:
            text = _ITEM.sub("", text, count=1)
        assembly.add(kind, text, lines=place(first, last), page=page)


def _heading_at(lines: list[str], at: int) -> tuple[str, str, int] | None:
    """A heading here in a paragraph: its text, its kind of adornment, and the lines that it takes."""
    over, title, under = (*lines[at : at + 3], "", "", "")[:3]
    if _is_rule(title) == _is_rule(over):
        return None
    if _is_rule(over):
        closed = _is_rule(under) and over[0] == under[0]
        return (title.strip(), over[0] * 2, 3) if closed else None
    long_enough = len(title.rstrip()) >= min(len(over.strip()), 4)
    if long_enough and not _ITEM.match(over) and 0 < len(over.strip()) < _LONGEST_HEADING:
        return over.strip(), title[0], 2
    return None


def _is_rule(line: str) -> bool:
    return _UNDERLINE.match(line) is not None


def _pieces(lines: list[str], start: int) -> list[tuple[BlockKind, int, int]]:
    """List items with their continuation lines; wrapped lines as one paragraph, short ones each alone."""
    wrapped = all(len(line.rstrip()) >= _WRAPPED_AT for line in lines[start:-1])
    pieces: list[tuple[BlockKind, int, int]] = []
    for number, line in enumerate(lines[start:], start):
        if _is_rule(line):
            continue
        if _ITEM.match(line):
            pieces.append((BlockKind.LIST_ITEM, number, number))
        elif pieces and pieces[-1][2] == number - 1 and _continues(pieces[-1][0], line, wrapped):
            kind, first, _ = pieces[-1]
            pieces[-1] = (kind, first, number)
        else:
            pieces.append((BlockKind.PARAGRAPH, number, number))
    return pieces


def _continues(kind: BlockKind, line: str, wrapped: bool) -> bool:
    return wrapped if kind is BlockKind.PARAGRAPH else wrapped or line[:1].isspace()
