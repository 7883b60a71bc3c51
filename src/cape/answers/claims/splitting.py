"""An answer cut into claims, each with the characters where it stands.

Owns where a claim begins and ends, and which sentences claim nothing. Evidence is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cape.answers.claims.claim import Claim
from cape.answers.sentences import sentence_spans

_LINE = re.compile(r"[^\n]+")
_PART = re.compile(r";\s+(?=\w)")
_MARK = re.compile(r"\s*(?:[-*•–#>]+|\(?\d{1,2}[.)]|\*\*)\s+|\s*\*\*(?=\S)")
_UNABLE = re.compile(
    r"\b(?:unable to (?:answer|find|determine)|(?:cannot|can't|can not|could not|couldn't) (?:be )?(?:answer|"
    r"find|found|determine)\w*|(?:does|do|did) not (?:contain|provide|mention|specify|give|include|state|say|"
    r"offer|address|explain|discuss|cover)|not (?:specified|mentioned|provided|stated|given|clear|found|"
    r"available|explicitly) (?:in|from|by)?|no (?:\w+ )?(?:information|mention|details?) (?:\w+ "
    r"){0,3}(?:is|are|"
    r"was|in|about|on|regarding)|(?:isn't|is not) (?:enough|any|sufficient) information|"
    r"based (?:solely )?on (?:the )?(?:given|provided|available|above) (?:passages?|context|information|"
    r"documents?|text)[^.]{0,40}\b(?:not|unable|cannot|no)\b)",
    re.IGNORECASE,
)
_ANNOUNCES = re.compile(
    r"^(?:sure|certainly|of course|okay|ok|here (?:is|are|'s)|below (?:is|are)|the following|i hope|let me|"
    r"please|note that this|in (?:summary|conclusion)$|summary|answer|overview)\b",
    re.IGNORECASE,
)
_LONGEST_HEAD = 8
"""Words up to which a line that ends with a colon is a heading."""


def claims_of(answer: str) -> tuple[Claim, ...]:
    """The claims of an answer in reading order: its sentences, list items and what semicolons part.

    >>> [claim.text for claim in claims_of("It is 3 km long. Dr. Lee drew it; Ada built it.")]
    ['It is 3 km long.', 'Dr. Lee drew it', 'Ada built it.']
    """
    spans = [span for line in _LINE.finditer(answer) for span in _spans(answer, line.start(), line.end())]
    return tuple(
        Claim(
            text=answer[start:end], start=start, end=end, ordinal=number, asserts=_asserts(answer[start:end])
        )
        for number, (start, end) in enumerate(spans)
    )


def _spans(answer: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The claims of one line."""
    mark = _MARK.match(answer, start, end)
    start = mark.end() if mark else start
    for first, last in sentence_spans(answer[start:end]):
        yield from _parts(answer, start + first, start + last)


def _parts(answer: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _PART.finditer(answer, start, end):
        if len(answer[start : match.start()].split()) > 2 and len(answer[match.end() : end].split()) > 2:
            yield start, match.start()
            start = match.end()
    yield start, end


def _asserts(text: str) -> bool:
    words = text.split()
    if text.endswith("?") or (text.rstrip("*").endswith(":") and len(words) <= _LONGEST_HEAD):
        return False
    if _ANNOUNCES.match(text) and (text.rstrip().endswith(":") or len(words) <= _LONGEST_HEAD):
        return False
    return not _UNABLE.search(text)


def declines(text: str) -> bool:
    """Whether a text says that the evidence does not tell."""
    return bool(_UNABLE.search(text))
