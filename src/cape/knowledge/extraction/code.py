"""Source code and configuration: blocks of lines, and the prose in comments and docstrings.

Knows no grammar. A block ends at a blank line before something that begins at the left margin, which is
how people lay out functions, sections and tables in every language at hand.
"""

from __future__ import annotations

import re

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.plain import limited_text

_LONG = 60
_LONGEST_COMMENT = 500
_COMMENT = re.compile(r"\s*(?:#(?!include|define|if|endif|pragma|\[)|//|--|;|%)")
_MARKS = re.compile(r"\A\s*(?:#+!?|//+!?|--+|;+|%+|/?\*+/?|\"\"\"|'''|<!--)?\s?|(?:\*/|-->|\"\"\"|''')\s*\Z")
_ORNAMENT = re.compile(r"[-=*#~/_ ]+")


def extract_code(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """Cut a source file into blocks of whole lines; the comment that a block begins with is prose."""
    lines = limited_text(data, assembly, limits).split("\n")
    if lines[0].startswith("#!"):
        lines[0] = ""
    for first, end in _blocks(lines):
        prose = _leading_comment(lines, first, end)
        _add_prose(lines, first, prose, assembly)
        while prose < end and not lines[prose].strip():
            prose += 1
        if prose < end:
            assembly.add(BlockKind.CODE, "\n".join(lines[prose:end]), lines=(prose + 1, end))


def _add_prose(lines: list[str], first: int, end: int, assembly: Assembly) -> None:
    """A comment's paragraphs, without its marks; ornaments (`-----`) are none."""
    start = first
    for number in range(first, end + 1):
        bare = _MARKS.sub("", lines[number]).strip() if number < end else ""
        if bare and not _ORNAMENT.fullmatch(bare):
            continue
        text = " ".join(_MARKS.sub("", line).strip() for line in lines[start:number]).strip("\"'*/ ")
        assembly.add(BlockKind.PARAGRAPH, text, lines=(start + 1, max(start + 1, number)))
        start = number + 1


def _blocks(lines: list[str]) -> list[tuple[int, int]]:
    """Half-open ranges of lines without blank lines at their ends."""
    blocks: list[tuple[int, int]] = []
    start: int | None = None
    blank = True
    comment_end = -1
    for number, line in enumerate(lines):
        if number <= comment_end:
            continue
        if not line.strip():
            blank = True
            continue
        if start is None:
            start = number
        elif (blank and not line[0].isspace() and line[0] not in ")]}") or (
            blank and number - start >= _LONG
        ):
            blocks.append((start, number))
            start = number
        if start == number:
            comment_end = _comment_end(lines, number) - 1
        blank = False
    if start is not None:
        blocks.append((start, len(lines)))
    return [(first, _trimmed(lines, first, end)) for first, end in blocks]


def _trimmed(lines: list[str], first: int, end: int) -> int:
    while end > first and not lines[end - 1].strip():
        end -= 1
    return end


def _comment_end(lines: list[str], first: int) -> int:
    """Where the docstring or the `/* */` ends that begins in this line; `first` when none does."""
    opening = lines[first].lstrip("rbuRBU ")
    last = min(len(lines), first + _LONGEST_COMMENT)
    for quote, close in (('"""', '"""'), ("'''", "'''"), ("/*", "*/"), ("<!--", "-->")):
        if opening.startswith(quote):
            if close in opening[len(quote) :]:
                return first + 1
            ends = (number + 1 for number in range(first + 1, last) if close in lines[number])
            return next(ends, first)
    return first


def _leading_comment(lines: list[str], first: int, end: int) -> int:
    """Where the comment that a block begins with ends; `first` when it begins with none."""
    number = min(_comment_end(lines, first), end)
    while number == first or (number < end and number > first):
        if number >= end or not _COMMENT.match(lines[number]):
            return number
        if (ended := _comment_end(lines, number)) > number:
            return min(ended, end)
        number += 1
    return number
