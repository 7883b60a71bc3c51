"""Claims against timetables: what a claim tells of opening hours is laid beside the weekdays of a record.

Owns which days and times a claim speaks of, and what of them the record lacks. Other values are not known
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cape.answers.claims.claim import Finding, record_finding
from cape.answers.claims.evidence import Fact, negated
from cape.answers.claims.quantities import WEEKDAYS, quantities_of
from cape.answers.words import stem

_DAYS = re.compile(
    rf"\b({'|'.join(WEEKDAYS)})s?(?:\s*(?:to|through|thru|until|till|-|–|—)\s*({'|'.join(WEEKDAYS)})s?)?\b|"
    r"\b(weekdays?|weekends?|every ?day(?: of the week)?|daily|seven days(?: a week)?|7 days(?: a week)?|"
    r"all week|each day|(?:most|other|the other|every other|all other|remaining) days|otherwise|"
    r"the rest of the week)\b",
    re.IGNORECASE,
)
_TIME = re.compile(r"^t:")
_EXCEPT = re.compile(r"^\s*,?\s*(?:except|but|excluding|other than)(?:\s+(?:for|on))?\s+$", re.IGNORECASE)
_DIRECTLY = re.compile(r"^\s*(?:on|from|every|each)?\s*$", re.IGNORECASE)
_JOINED = re.compile(r"^\s*(?:,|&|and|,\s*and)\s*$", re.IGNORECASE)
_CLOSED = re.compile(r"\b(?:closed|not open|isn['’]t open|does(?: not|n['’]t) open)\b", re.IGNORECASE)
_OPENS = re.compile(r"\b(?:open(?:s|ing)?|clos(?:es?|ing)|operat(?:es?|ing)|hours)\b", re.IGNORECASE)
_SPAN_OF_DAY = re.compile(
    r"\b(?:a\.?m|p\.?m|\d{1,2}:\d\d|midnight|noon|dawn|morning|evening|night|24 hours|24/7|round the clock|"
    r"late|early|every ?day|daily|seven days|weekdays?|weekends?)\b",
    re.IGNORECASE,
)


_SPANS = re.compile(r"\b(?:until|till|from|between)\b|[–—-]", re.IGNORECASE)
_NAMED = (*WEEKDAYS, "weekday", "weekend")
_EXACT = (*WEEKDAYS, "every", "daily", "seven", "7", "all week", "each")
"""How days begin that are all meant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Days:
    """Days that a text names together, and where.

    `closed` if it says that nothing opens then; `exact` unless it speaks of weekdays or weekends.
    """

    start: int
    end: int
    days: frozenset[int]
    closed: bool
    exact: bool


def timetable_findings(text: str, facts: Sequence[Fact]) -> Iterator[Finding]:
    """Times that a claim gives for weekdays and that the record does not have for any of them."""
    table = _timetable(facts)
    if not table:
        yield from _unknown_hours(text, facts)
        return
    marks = _marks(text)
    if _speaks_of_opening(text):
        for mark in marks:
            yield from _closed_days(mark, table)
    opens = _speaks_of_opening(text) or bool(_SPANS.search(text))
    said = [one for one in quantities_of(text) if opens and one.keys[0].startswith("t:")]
    for one in said:
        told_for = _mark_of(text, marks, one.start, one.end)
        if told_for is None or told_for.closed:
            continue
        known = {time for day in told_for.days for time in table.get(day, ())}
        if known.isdisjoint(one.keys):
            told = "other hours" if known else "no hours"
            yield record_finding(
                (one.start, one.end), f"the record has {told} for these days", contradicts=bool(known)
            )


def _unknown_hours(text: str, facts: Sequence[Fact]) -> Iterator[Finding]:
    """Hours that a claim tells though the record says that they are not known."""
    unknown = [one for one in facts if one.value is None and _ends_in_hours(one)]
    if unknown and _speaks_of_opening(text) and (told := _SPAN_OF_DAY.search(text)) and not negated(text):
        yield record_finding(
            told.span(), f"the record does not know `{' '.join(unknown[0].path)}`", contradicts=False
        )


def _ends_in_hours(fact: Fact) -> bool:
    return bool(fact.path and fact.path[-1].split()) and stem(fact.path[-1].split()[-1]) == "hour"


def _speaks_of_opening(text: str) -> bool:
    return bool(_OPENS.search(text) or _CLOSED.search(text))


def _closed_days(mark: _Days, table: dict[int, set[str]]) -> Iterator[Finding]:
    """Days told as closed that are in the timetable, or many told as open of which some are not in it."""
    place = (mark.start, mark.end)
    if mark.closed and any(day in table for day in mark.days):
        yield record_finding(place, "the record has hours for this day", contradicts=True)
    elif (
        mark.exact and not mark.closed and len(mark.days) > 1 and (lacking := sorted(mark.days - set(table)))
    ):
        named = WEEKDAYS[lacking[0]].capitalize()
        yield record_finding(place, f"the record has no hours for {named}", contradicts=True)


def _mark_of(text: str, marks: Sequence[_Days], start: int, end: int) -> _Days | None:
    """The days that a time may be told for: those right after it, else those before it and the next ones."""
    before = [mark for mark in marks if mark.end <= start]
    after = [mark for mark in marks if mark.start >= end]
    if after and _DIRECTLY.match(text[end : after[0].start]):
        return after[0]
    if before and after:
        return replace(before[-1], days=before[-1].days | after[0].days)
    return before[-1] if before else (after[0] if after else None)


def _marks(text: str) -> list[_Days]:
    """The days that a text names, joined ones together, without those that it excepts."""
    found: list[_Days] = []
    for start, end, named in sorted(_day_marks(text), key=lambda mark: mark[0]):
        between = text[found[-1].end : start] if found else ""
        if found and _JOINED.match(between) and text[start:end].casefold().startswith(_NAMED):
            last = found.pop()
            found.append(replace(last, end=end, days=last.days | frozenset(named)))
            continue
        if found and _EXCEPT.match(between):
            last = found.pop()
            found.append(replace(last, days=last.days - frozenset(named)))
        exact = text[start:end].casefold().startswith(_EXACT)
        found.append(
            _Days(start=start, end=end, days=frozenset(named), closed=_is_closed(text, start), exact=exact)
        )
    return found


def _is_closed(text: str, start: int) -> bool:
    """Whether the words right before a day say that it is closed then."""
    return bool(_CLOSED.search(text[max(0, start - 24) : start].rpartition(",")[2]))


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
