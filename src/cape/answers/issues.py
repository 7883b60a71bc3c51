"""Which of several issues of a document counts: the newest by its title, and what no other one replaces.

Owns the rules by which a passage of an older issue is left out. It reads only passages of the asker's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from cape.answers.question import Question
from cape.answers.selection import Passage
from cape.answers.words import is_number, is_stop, words_of

WholeDocument = Callable[[str], Sequence[Passage]]
"""Gives the passages of a document that the asker may see, in reading order, up to a bound."""

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_ASKS_FOR_OLD = re.compile(
    r"\b(?:old|older|previous|previously|former|formerly|earlier|replaced|superseded|no longer|used to)\b",
    re.IGNORECASE,
)
_DOCUMENT = (
    r"(?:policy|page|document|version|rules?|(?:hand|rule ?)?book|guide|guidelines?|manual|note|plan|edition|"
    r"issue|list|procedure|contract|agreement|text|regulations?|terms)"
)
_WITHDRAWN = re.compile(
    rf"\bthis (?:\w+ ){{0,2}}{_DOCUMENT} (?:is no longer (?:in force|valid|current)|(?:is|was|has been) "
    rf"(?:replaced|superseded|withdrawn))\b|"
    rf"\b{_DOCUMENT}\b.{{0,80}}?\b(?:replaces|supersedes) (?:it|this)\b",
    re.IGNORECASE | re.DOTALL,
)
_REPLACES = re.compile(r"\b(?:replaces|supersedes) (?!it\b|this\b)(?P<what>[^.;()\n]{3,80})", re.IGNORECASE)
_HEADS_READ = 5
"""Passages of whose documents the beginning is read: there it says what it replaces."""
_HEAD = 2
"""Chunks that are a document's beginning."""


def newest(
    question: Question, passages: Sequence[Passage], whole: WholeDocument | None = None
) -> list[Passage]:
    """The passages without those of older issues: `Travel policy 2022` beside `Travel policy`, or `2024`.

    A document is older, too, where its beginning says that it was replaced, or another one's that it replaces
    it. A question that names a year or asks for what was before keeps all, and so do passages that are all of
    older ones.
    """
    if question.years or _ASKS_FOR_OLD.search(question.text):
        return list(passages)
    issues: dict[str, int] = {}
    for one in passages:
        name, year = _issue(one)
        issues[name] = max(year, issues.get(name, 0))
    kept = [one for one in passages if _issue(one)[1] == issues[_issue(one)[0]]]
    replaced = _replaced(kept, [*_heads(kept, whole), *kept])
    return [one for one in kept if one.chunk.document not in replaced] or kept


def _title(passage: Passage) -> str:
    return passage.chunk.title_path[0] if passage.chunk.title_path else passage.chunk.document


def _issue(passage: Passage) -> tuple[str, int]:
    """A document's title without its year, and the year; one without a year is newer than any."""
    title = _title(passage)
    years = _YEAR.findall(title)
    if len(years) != 1:
        return title.casefold(), 9999
    return " ".join(_YEAR.sub(" ", title).casefold().split()), int(years[0])


def _heads(passages: Sequence[Passage], whole: WholeDocument | None) -> Iterator[Passage]:
    if whole is not None:
        for document in dict.fromkeys(one.chunk.document for one in passages[:_HEADS_READ]):
            yield from whole(document)[:_HEAD]


def _replaced(passages: Sequence[Passage], told_by: Sequence[Passage]) -> set[str]:
    """The documents of `passages` that are replaced, by what `told_by` say."""
    told_by = [one for one in told_by if one.chunk.ordinal < _HEAD]
    found = {one.chunk.document for one in told_by if _WITHDRAWN.search(one.chunk.text)}
    for newer in told_by:
        for match in _REPLACES.finditer(newer.chunk.text):
            found |= {one.chunk.document for one in passages if _is_meant(match["what"], newer, one)}
    return found


def _is_meant(what: str, newer: Passage, other: Passage) -> bool:
    """Whether `the policy of 1 March 2022` means another document, by a word of its title and its year.

    Without a year all words must be in that title. Both documents share a word of their titles.
    """
    if other.chunk.document == newer.chunk.document:
        return False
    theirs, ours, said = _telling(_named(other)), _telling(_named(newer)), _telling(what)
    if not said or not theirs & ours:
        return False
    years = set(_YEAR.findall(what))
    if years:
        return bool(years & set(_YEAR.findall(_named(other)))) and bool(said & theirs)
    return said <= theirs


def _named(passage: Passage) -> str:
    """A document's title and its file's name, as words."""
    name = passage.chunk.document.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return f"{_title(passage)} {re.sub(r'[_-]+', ' ', name)}"


def _telling(text: str) -> set[str]:
    return {word.stem for word in words_of(text) if not is_stop(word.text) and not is_number(word.text)}
