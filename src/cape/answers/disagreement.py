"""Sources that say otherwise: another document on the same thing with another figure, and their dates.

Owns when two sentences contradict each other, which is said only of amounts, durations and dates, and when a
document is from. Nothing is decided here about which one is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cape.answers.issues import WholeDocument
from cape.answers.mentions import mentions_of
from cape.answers.question import Asked, Question
from cape.answers.selection import Candidate, Passage
from cape.answers.words import is_number, is_stop, words_of

MOST = 2
"""Sources that are shown to say otherwise."""

_LIKE = 0.4
"""The least share of two sentences' words, but for numbers, that both have."""

_KINDS = (Asked.AMOUNT, Asked.DURATION, Asked.DATE)
_TIMES = re.compile(r"\b(?:(?:19|20)\d\d|Q[1-4])\b")
_MONTHS = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|"
    r"Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
)
_DATES = (
    re.compile(r"(?<!\d)(?:19|20)\d\d-[01]\d(?:-[0-3]\d)?(?!\d)"),
    re.compile(rf"\b[0-3]?\d (?:{_MONTHS}) (?:19|20)\d\d\b"),
    re.compile(rf"\b(?:{_MONTHS}) (?:19|20)\d\d\b"),
    re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)"),
)
_HEAD_CHARACTERS = 600


def otherwise(question: Question, best: Candidate, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The sentences of other documents that give another figure for the same thing, best first."""
    if question.asked not in _KINDS or best.unit.is_row:
        return []
    found: list[Candidate] = []
    seen = {best.passage.chunk.document}
    for one in candidates:
        if one.passage.chunk.document not in seen and _differs(question, best, one):
            seen.add(one.passage.chunk.document)
            found.append(one)
    return found[:MOST]


def _differs(question: Question, best: Candidate, other: Candidate) -> bool:
    if other.unit.is_row or not best.covered or not _covers(other, best):
        return False
    mine, theirs = best.unit.text, other.unit.text
    values, rivals = _values(question, mine), _values(question, theirs)
    if (
        not values
        or not rivals
        or values & rivals
        or {one[1] for one in values} != {one[1] for one in rivals}
    ):
        return False
    if question.asked is not Asked.DATE and set(_TIMES.findall(mine)) != set(_TIMES.findall(theirs)):
        return False
    return _is_alike(mine, theirs) and _names(mine) == _names(theirs)


def _covers(other: Candidate, best: Candidate) -> bool:
    """Whether a sentence with its headings has all words of the question that the best one has."""
    chunk = other.passage.chunk
    around = {word.stem for part in chunk.title_path for word in words_of(part)}
    return best.covered <= other.covered | around


def _values(question: Question, text: str) -> set[tuple[str, str]]:
    """The figures of the kind that is asked for, each with what it counts: (`40`, `EUR`)."""
    known = frozenset(word.text.casefold() for word in words_of(question.text))
    found = set()
    for match in mentions_of(question.asked, text, known):
        words = [word.text.casefold() for word in words_of(match.group())]
        if question.asked is Asked.DATE:
            found.add((" ".join(words), "date"))
        elif any(is_number(word) for word in words):
            number = next(word for word in words if is_number(word))
            found.add((number, " ".join(word for word in words if not is_number(word))))
    return found


def _is_alike(one: str, other: str) -> bool:
    stems = [
        {word.stem for word in words_of(text) if not is_stop(word.text) and not is_number(word.text)}
        for text in (one, other)
    ]
    both = stems[0] & stems[1]
    return len(both) >= 2 and len(both) >= _LIKE * len(stems[0] | stems[1])


def _names(text: str) -> set[str]:
    """Words in capitals within a sentence: two sentences on different things name different ones."""
    return {word.stem for word in words_of(text)[1:] if word.is_capitalised and len(word.text) > 1}


def date_of(passage: Passage, whole: WholeDocument | None = None) -> str | None:
    """When a document is from, as it says itself: in its name, its title, or its beginning; None: nowhere."""
    for text in _dated_texts(passage, whole):
        for pattern in _DATES:
            if match := pattern.search(text):
                return match.group()
    return None


def _dated_texts(passage: Passage, whole: WholeDocument | None) -> Iterator[str]:
    chunk = passage.chunk
    yield chunk.document.rsplit("/", 1)[-1]
    yield from chunk.title_path[:1]
    if whole is not None:
        for head in whole(chunk.document)[:1]:
            yield head.chunk.text[:_HEAD_CHARACTERS]
