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
_COMMENT = re.compile(r"\s*(?:#(?!!|include|define|if|endif|pragma)|//+|--|;+|/?\*+/?|\"\"\"|''')\s?")
_DEFINES = re.compile(
    r"(?:export |pub |public |private |static |async |abstract |final )*"
    r"(?:def|class|fn|func|function|interface|struct|enum|trait|impl|type|module|namespace)\s+\w+"
)


def extract_code(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """Cut a source file into blocks of whole lines; a leading comment of a block is a paragraph."""
    lines = limited_text(data, assembly, limits).split("\n")
    for first, end in _blocks(lines):
        prose = _leading_comment(lines, first, end)
        if prose > first:
            text = " ".join(_COMMENT.sub("", line, count=1) for line in lines[first:prose])
            assembly.add(BlockKind.PARAGRAPH, text.strip("\"'*/ "), lines=(first + 1, prose))
        if prose < end:
            assembly.add(BlockKind.CODE, "\n".join(lines[prose:end]), lines=(prose + 1, end))


def _blocks(lines: list[str]) -> list[tuple[int, int]]:
    """Half-open ranges of lines without blank lines at their ends."""
    blocks: list[tuple[int, int]] = []
    start: int | None = None
    blank = True
    for number, line in enumerate(lines):
        if not line.strip():
            blank = True
            continue
        if start is None:
            start = number
        elif (blank and not line[0].isspace() and _is_new(line)) or (number - start >= _LONG and blank):
            blocks.append((start, number))
            start = number
        blank = False
    if start is not None:
        blocks.append((start, len(lines)))
    return [(first, _trimmed(lines, first, end)) for first, end in blocks]


def _is_new(line: str) -> bool:
    return line[0] not in ")]}"


def _trimmed(lines: list[str], first: int, end: int) -> int:
    while end > first and not lines[end - 1].strip():
        end -= 1
    return end


def _leading_comment(lines: list[str], first: int, end: int) -> int:
    """Where the comment that a block begins with ends; `first` when it begins with none."""
    for quote in ('"""', "'''", "/*"):
        opening = lines[first].lstrip("rbuRBU ")
        if opening.startswith(quote):
            close = "*/" if quote == "/*" else quote
            if close in opening[len(quote) :]:
                return first + 1
            for number in range(first + 1, end):
                if close in lines[number]:
                    return number + 1
            return first
    number = first
    while number < end and _COMMENT.match(lines[number]) and not lines[number].lstrip().startswith("#!"):
        number += 1
    return number
