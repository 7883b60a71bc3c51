"""A question that describes a thing instead of naming it, cut in two.

Owns the rules by which it is cut, and which name of a sentence is the thing that is described. It searches
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cape.answers.answer import Citation
from cape.answers.question import Question, read_question
from cape.answers.selection import Passage
from cape.answers.sentences import units_of
from cape.answers.words import best_likeness, words_of

SAID = 0.6
"""The least share of a description, by weight, that the sentence which names the thing must have."""

_CUT = re.compile(
    r"^(?P<head>(?:who|what|which|when|where|how|whose|(?:in|on|at) which|(?:since|by) when)\b.{4,}?)\s+"
    r"(?:where|that|which|who|whose|(?:in|at|from|to) which)\s+(?P<clause>\S.{7,}?)[\s?.]*$",
    re.IGNORECASE,
)
_TWO_QUESTIONS = re.compile(r"\band\s+(?:who|what|which|when|how)\b", re.IGNORECASE)
_IRREGULAR = {
    "led": "lead", "held": "hold", "kept": "keep", "made": "make", "sold": "sell", "bought": "buy",
    "built": "build", "sent": "send", "paid": "pay", "ran": "run", "won": "win", "wrote": "write",
    "written": "write", "drove": "drive", "driven": "drive", "took": "take", "taken": "take", "gave": "give",
    "given": "give", "met": "meet", "taught": "teach", "drew": "draw", "drawn": "draw",
}  # fmt: skip
"""Forms that no stemmer brings together: `leads` and `led`."""

_APART = re.compile(r"[,;]\s|\s(?:and|but|while|whereas)\s")


@dataclass(frozen=True, slots=True)
class TwoHops:
    """The two halves: what is asked of a thing, and what describes it."""

    head: str
    clause: str

    def about(self, name: str) -> str:
        """The first half of a thing that has a name."""
        return f"{self.head} {name}?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A sentence that says the description, and a name in it which the question lacks."""

    passage: Passage
    start: int
    end: int
    name: str
    share: float


def cut(text: str) -> TwoHops | None:
    """The halves of a question that describes a thing; None for any other.

    >>> cut("Who heads the site where damaged buoys are fixed?")
    TwoHops(head='Who heads the site', clause='damaged buoys are fixed')
    >>> cut("Who approves a trip?") is None
    True
    """
    match = _CUT.match(text.strip())
    if (
        match is None
        or "," in match["head"]
        or re.search(r"\band\s+(?:who|what|which|when|how)\b", text, re.I)
    ):
        return None
    if len([word for word in words_of(match["clause"]) if len(word.text) > 2]) < 2:
        return None
    return TwoHops(match["head"], match["clause"])


def says(part: str, citation: Citation, *, most: float = SAID) -> bool:
    """Whether what is quoted, with its headings, says a part of the question."""
    return share_of(read_question(part), " ".join([*citation.title_path, citation.quote])) >= most


def described(
    hops: TwoHops, passages: Sequence[Passage], names: Sequence[Sequence[tuple[str, int, int]]]
) -> list[Described]:
    """The names that may be the thing, best first; `names` are each passage's, with their characters."""
    question = read_question(hops.clause)
    known = {word.stem for word in (*words_of(hops.head), *words_of(hops.clause))}
    found: list[Described] = []
    for rank, (passage, own) in enumerate(zip(passages, names, strict=True)):
        for unit in units_of(passage.chunk):
            share = share_of(question, f"{unit.text} {unit.heading}")
            if share < SAID:
                continue
            for name in _nearest(question, passage.chunk.text, own, (unit.start, unit.end), known):
                one = Described(
                    passage=passage, start=unit.start, end=unit.end, name=name, share=share - rank / 100
                )
                found.append(one)
    return sorted(found, key=lambda one: -one.share)


def share_of(question: Question, text: str) -> float:
    """The share of a question's words, by weight, that a text has."""
    stems = {_plain(word.stem) for word in words_of(text)}
    having = sum(term.weight * best_likeness(_plain(term.stem), stems) for term in question.terms)
    return having / question.total_weight


def _plain(stem: str) -> str:
    return _IRREGULAR.get(stem, stem)


def _nearest(
    question: Question,
    text: str,
    names: Sequence[tuple[str, int, int]],
    span: tuple[int, int],
    known: set[str],
) -> list[str]:
    """The names in the part of a sentence that says most of it: `buoys in Porto, meters in Bergen`."""
    ranked = []
    for start, end in _parts(text, *span):
        inside = [
            name
            for name, first, last in names
            if start <= first and last <= end and not all(word.stem in known for word in words_of(name))
        ]
        if inside:
            ranked.append((share_of(question, text[start:end]), inside))
    best = max((share for share, _ in ranked), default=0.0)
    leading = [inside for share, inside in ranked if share == best]
    return leading[0] if len(leading) == 1 else []


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for match in _APART.finditer(text, start, end):
        yield begin, match.start()
        begin = match.end()
    yield begin, end
