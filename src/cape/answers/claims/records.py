"""Claims against records: a claim that speaks of a key is laid beside the key's value.

Owns the rules of records: a value that is unknown, a "no" told as a "yes", another number, other hours of a
weekday. The words of the claim decide what it speaks of; nothing here is of one kind of record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cape.answers.claims.claim import Finding, Rule
from cape.answers.claims.evidence import Evidence, Fact, negated, spoken
from cape.answers.claims.quantities import WEEKDAYS, quantities_of
from cape.answers.words import is_stop, stem, words_of

_CLAUSE = re.compile(
    r"[,;:()]\s*|\s+[–—-]\s+|\s+(?:but|while|although|though|however|whereas|and also|yet)\s+", re.IGNORECASE
)
_DAYS = re.compile(
    rf"\b({'|'.join(WEEKDAYS)})s?(?:\s*(?:to|through|thru|until|till|-|–|—)\s*({'|'.join(WEEKDAYS)})s?)?\b|"
    r"\b(weekdays?|weekends?|every ?day|daily|seven days|7 days|all week|each day)\b",
    re.IGNORECASE,
)
_WEAK_KEYS = frozenset(
    stem(word)
    for word in [
        "name",
        "value",
        "id",
        "type",
        "info",
        "attribute",
        "text",
        "date",
        "key",
        "data",
        "title",
        "hour",
        "day",
    ]
)
_SCALE = re.compile(r"\b(?:out of|over|based on|from)\s*(?:a (?:total|possible) )?$|/\s*$", re.IGNORECASE)
"""What stands before the top of a scale, or a count of those who rated."""
_TIME = re.compile(r"^t:")


def record_findings(text: str, evidence: Evidence) -> Iterator[Finding]:
    """What records say otherwise, or do not know, of a claim's text."""
    if not evidence.facts:
        return
    clauses = list(_clauses(text))
    for fact in evidence.facts:
        for start, end in clauses:
            yield from _of_clause(text, start, end, fact, evidence)
    yield from _hours(text, evidence.facts)


def _clauses(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _CLAUSE.finditer(text):
        if match.start() > start:
            yield start, match.start()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _of_clause(text: str, start: int, end: int, fact: Fact, evidence: Evidence) -> Iterator[Finding]:
    """What one fact says to one clause, if the clause has all words of the fact's last key."""
    place = _mention(text, start, end, fact)
    if place is None or not _names_the_set(text[start:end], fact, evidence):
        return
    denied = negated(text[start:end])
    name = " ".join(fact.path)
    if fact.value is None and not _known_elsewhere(fact, evidence):
        yield _finding(place, f"the record does not know `{name}`", contradicts=False)
    elif isinstance(fact.value, bool) and fact.value == denied and not _told_elsewhere(fact, evidence):
        yield _finding(place, f"`{name}` is {spoken(fact.value)}", contradicts=True)
    elif isinstance(fact.value, (int, float)) and not isinstance(fact.value, bool):
        numbers = [one for one in quantities_of(text[start:end]) if not one.dated]
        others = {key for other in evidence.facts if _last(other) == _last(fact) for key in _keys(other)}
        for one in numbers:
            scale = _SCALE.search(text[: start + one.start])
            if others.isdisjoint(one.keys) and one.unit in (None, "star", "%") and not scale:
                place = (start + one.start, start + one.end)
                yield _finding(place, f"`{name}` is {spoken(fact.value)}", contradicts=True)


def _names_the_set(clause: str, fact: Fact, evidence: Evidence) -> bool:
    """Whether a clause has the last word of the key above a fact that is one of several yes and no.

    `Parking: {street: no}` is spoken of by "street parking", not by an address in a street.
    """
    if not isinstance(fact.value, bool) or len(fact.path) < 2 or not fact.path[-2].split():
        return True
    beside = [other for other in evidence.facts if other.path[:-1] == fact.path[:-1]]
    if not all(isinstance(other.value, bool) for other in beside) or len(fact.path[-1].split()) > 1:
        return True
    above = fact.path[-2].split()[-1]
    return above.casefold() == "attributes" or stem(above) in {word.stem for word in words_of(clause)}


def _last(fact: Fact) -> str:
    """The last word of the last key."""
    return stem(fact.path[-1].split()[-1]) if fact.path and fact.path[-1].split() else ""


def _keys(fact: Fact) -> set[str]:
    return {key for one in quantities_of(spoken(fact.value)) for key in one.keys}


def _mention(text: str, start: int, end: int, fact: Fact) -> tuple[int, int] | None:
    """Where a clause speaks of the fact's last key, whole or without its first word; None where it does
    not.
    """
    if not fact.path:
        return None
    parts = fact.path[-1].split()
    for words in (parts, parts[1:]):
        if words and (place := _stand(text, start, end, words)) is not None:
            return place
    return None


def _stand(text: str, start: int, end: int, words: Sequence[str]) -> tuple[int, int] | None:
    """Where all of some words stand in a clause, apart or written as one."""
    wanted = {stem(word) for word in words if not is_stop(word)} - {""}
    if wanted and wanted <= _WEAK_KEYS:
        return None
    if len(words) > 1 and (at := _joined(text[start:end], words)) is not None:
        return start + at[0], start + at[1]
    if not wanted:
        return None
    if (len(wanted) < len(words) and len(wanted) < 2) or any(len(one) < 3 for one in wanted):
        return None
    found = {word.stem: word for word in reversed(words_of(text[start:end])) if word.stem in wanted}
    if len(found) < len(wanted):
        return None
    return start + min(word.start for word in found.values()), start + max(
        word.end for word in found.values()
    )


def _joined(clause: str, words: Sequence[str]) -> tuple[int, int] | None:
    """Where the words stand side by side, with a hyphen, a blank or nothing between them."""
    pattern = r"[-\s]?".join(map(re.escape, words))
    match = re.search(rf"\b{pattern}s?\b", clause, re.IGNORECASE)
    return match.span() if match else None


def _known_elsewhere(fact: Fact, evidence: Evidence) -> bool:
    """Whether other text of the evidence has the key's words, so that the claim may come from there."""
    wanted = {stem(word) for word in fact.path[-1].split() if not is_stop(word)}
    return any(
        unit.fact is not None and unit.fact.path[-1:] != fact.path[-1:] and wanted <= unit.stems
        for unit in evidence.units
    )


def _told_elsewhere(fact: Fact, evidence: Evidence) -> bool:
    """Whether a fact of the same key says the opposite, or the evidence's prose speaks of it."""
    opposite = any(
        other.path[-1:] == fact.path[-1:] and isinstance(other.value, bool) and other.value != fact.value
        for other in evidence.facts
    )
    return opposite or _known_elsewhere(fact, evidence)


def _finding(place: tuple[int, int], detail: str, *, contradicts: bool) -> Finding:
    return Finding(rule=Rule.RECORD, start=place[0], end=place[1], contradicts=contradicts, detail=detail)


# -- hours of weekdays -------------------------------------------------------------------------------


def _hours(text: str, facts: Sequence[Fact]) -> Iterator[Finding]:
    """Times that a claim gives for weekdays and that the record does not have for any of them."""
    table = _timetable(facts)
    if not table:
        return
    days: list[int] = []
    begun = 0
    marks = sorted(_day_marks(text), key=lambda mark: mark[0])
    for at, (start, end, named) in enumerate(marks):
        last = begun > 0 and text[begun:start].strip(" ,&").casefold() in ("", "and")
        days = [*days, *named] if last else named
        begun = end
        until = marks[at + 1][0] if at + 1 < len(marks) else len(text)
        known = {time for day in days for time in table.get(day, ())}
        times = [one for one in quantities_of(text[end:until]) if one.keys[0].startswith("t:")]
        for one in times[:2]:
            if known.isdisjoint(one.keys):
                told = "other hours" if known else "no hours"
                place = (end + one.start, end + one.end)
                yield _finding(place, f"the record has {told} for these days", contradicts=bool(known))


def _timetable(facts: Sequence[Fact]) -> dict[int, set[str]]:
    table: dict[int, set[str]] = {}
    for fact in facts:
        day = fact.path[-1].casefold() if fact.path else ""
        if day in WEEKDAYS and isinstance(fact.value, str):
            times = {key for one in quantities_of(fact.value) for key in one.keys if _TIME.match(key)}
            table.setdefault(WEEKDAYS.index(day), set()).update(times)
    return table


def _day_marks(text: str) -> Iterator[tuple[int, int, list[int]]]:
    for match in _DAYS.finditer(text):
        if match[3]:
            yield match.start(), match.end(), _named(match[3].casefold())
            continue
        first = WEEKDAYS.index(match[1].casefold())
        last = WEEKDAYS.index(match[2].casefold()) if match[2] else first
        yield match.start(), match.end(), [day % 7 for day in range(first, last + 1 + 7 * (last < first))]


def _named(word: str) -> list[int]:
    if word.startswith("weekend"):
        return [5, 6]
    return list(range(5)) if word.startswith("weekday") else list(range(7))
