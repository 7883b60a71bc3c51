"""The rules: numbers, units, dates, names, negation and records, exact before any weight is asked.

Owns what counts as a difference. A rule says where it stands in the claim, and whether the evidence says
otherwise or only says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cape.answers.claims.alignment import Alignment
from cape.answers.claims.claim import Finding, Rule
from cape.answers.claims.evidence import negated
from cape.answers.claims.quantities import Quantity
from cape.answers.claims.records import record_findings
from cape.answers.words import Word, is_number, is_stop

_CLOSE = 0.6
"""Share of a claim's weight from which the best unit is about the same thing."""

_OPPOSITES = (
    "increase decrease", "rise fall", "rose fell", "grow shrink", "higher lower", "more less", "more fewer",
    "before after", "first last", "open close", "opened closed", "win lose", "won lost", "accept reject",
    "accepted rejected", "allow forbid", "allowed forbidden", "male female", "man woman", "north south",
    "east west", "northern southern", "eastern western", "early late", "earlier later", "older younger",
    "largest smallest", "highest lowest", "best worst", "positive negative", "support oppose", "buy sell",
    "bought sold", "success failure", "guilty innocent", "alive dead", "include exclude", "always never",
    "above below", "over under", "maximum minimum", "begin end", "began ended", "start stop",
    "started stopped",
    "husband wife", "brother sister", "father mother", "son daughter", "left right", "up down",
    "increased decreased",
    "approve deny", "approved denied", "gain loss", "profit loss", "hot cold", "safe dangerous",
    "legal illegal",
    "public private", "true false", "major minor", "top bottom", "summer winter", "morning evening",
)  # fmt: skip
_OPPOSITE: dict[str, frozenset[str]] = {}
for _line in _OPPOSITES:
    _one, _other = _line.split()
    _OPPOSITE[_one] = _OPPOSITE.get(_one, frozenset()) | {_other}
    _OPPOSITE[_other] = _OPPOSITE.get(_other, frozenset()) | {_one}
_SUBTLE = re.compile(r"^(?:mr|mrs|ms|dr|st|am|pm|the|a|an|in|on|at|he|she|it|they|i|we|you)$", re.IGNORECASE)


def findings_of(alignment: Alignment) -> tuple[Finding, ...]:
    """What the rules find in a claim, in reading order."""
    found = [
        *_quantities(alignment),
        *_names(alignment),
        *_negation(alignment),
        *_opposites(alignment),
        *record_findings(alignment.claim.text, alignment.evidence),
    ]
    return tuple(sorted(set(found), key=lambda one: (one.start, one.end, one.rule)))


def _quantities(alignment: Alignment) -> Iterator[Finding]:
    for one in alignment.quantities:
        if one.keys[0].startswith("w:") and alignment.evidence.has_timetable:
            continue  # the rules of records know on which days what is told
        rule = Rule.DATE if one.dated else Rule.NUMBER
        text = alignment.claim.text[one.start : one.end]
        if not alignment.key_found(one):
            rival = _rival(alignment, one)
            yield Finding(
                rule=rule,
                start=one.start,
                end=one.end,
                contradicts=rival and not one.minor,
                detail=f"`{text}` is not in the evidence",
            )
        elif one.unit and not one.minor and (units := _units(alignment, one)) and one.unit not in units:
            said = ", ".join(sorted(units))
            yield Finding(
                rule=Rule.UNIT,
                start=one.start,
                end=one.end,
                contradicts=True,
                detail=f"the evidence has `{text}` in `{said}`, not in `{one.unit}`",
            )


def _rival(alignment: Alignment, quantity: Quantity) -> bool:
    """Whether the unit that is about the claim, but for its numbers, has another one of that kind instead."""
    words = {word.stem for word in alignment.content if not is_number(word.text)}
    if not alignment.units or not words:
        return False
    unit = alignment.evidence.units[alignment.units[0]]
    kind = quantity.keys[0][:2]
    mine = {key for one in alignment.quantities for key in one.keys}
    about = len(words & unit.stems) >= _CLOSE * len(words)
    return about and any(key.startswith(kind) and key not in mine for key in unit.keys)


def _units(alignment: Alignment, quantity: Quantity) -> frozenset[str]:
    """The units that the evidence gives to the number; empty where it also stands without any."""
    units: frozenset[str] = frozenset()
    for key in quantity.keys:
        units |= alignment.evidence.units_of_measure.get(key, frozenset())
    return frozenset() if "" in units else units


def _names(alignment: Alignment) -> Iterator[Finding]:
    """Names of which the evidence has no form."""
    for at, aligned in enumerate(alignment.words):
        if (
            is_name(aligned.word, at)
            and aligned.anywhere < 0.6
            and aligned.word.text.casefold() not in alignment.evidence.names
        ):
            yield Finding(
                rule=Rule.NAME,
                start=aligned.word.start,
                end=aligned.word.end,
                contradicts=False,
                detail=f"`{aligned.word.text}` is not in the evidence",
            )


def is_name(word: Word, at: int) -> bool:
    """Whether a word is written as a name; the first word of a claim only if it says so by more capitals."""
    if is_number(word.text) or not word.is_capitalised or is_stop(word.text) or _SUBTLE.match(word.text):
        return False
    return at > 0 or (len(word.text) > 1 and word.text[1:].lower() != word.text[1:])


def _negation(alignment: Alignment) -> Iterator[Finding]:
    """A claim that denies what the unit about it says, or the other way round."""
    if not alignment.units or alignment.shares[0] < 0.75 or len(alignment.content) < 2:
        return
    unit = alignment.evidence.units[alignment.units[0]]
    if unit.fact is not None and len(unit.text) < 120:
        return
    denies = negated(alignment.claim.text)
    if denies == unit.negated:
        return
    longer = len(unit.words) > 2 * len(alignment.raw)
    if longer and not denies:
        return
    yield Finding(
        rule=Rule.NEGATION,
        start=0,
        end=len(alignment.claim.text),
        contradicts=True,
        detail="the claim denies what the evidence says"
        if denies
        else "the evidence denies what the claim says",
    )


def _opposites(alignment: Alignment) -> Iterator[Finding]:
    """A word in whose place the unit about the claim has its opposite."""
    if not alignment.units or alignment.shares[0] < _CLOSE:
        return
    unit = alignment.evidence.units[alignment.units[0]]
    texts = {word.text.casefold() for word in unit.words}
    mine = {word.text.casefold() for word in alignment.raw}
    for word in alignment.raw:
        folded = word.text.casefold()
        others = _OPPOSITE.get(folded, frozenset()) & texts - mine
        if others and folded not in texts:
            yield Finding(
                rule=Rule.NEGATION,
                start=word.start,
                end=word.end,
                contradicts=True,
                detail=f"the evidence says `{min(others)}`, not `{folded}`",
            )
