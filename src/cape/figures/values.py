"""What the texts of a column's cells mean: numbers with units, dates, or words.

Owns the notations: `1,204.50`, `1.204,50 €`, `(12)`, `12.5%`, `2024-03-01`, `3/12/2024`, `Mar 2024`. How an
unclear one is meant is decided by its whole column; a column that stays unclear is not read as numbers.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import IntEnum

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip

NOTHING = frozenset({"", "-", "–", "—", "n/a", "na", "n.a.", "none", "null", "tbd", "?", "#n/a"})
"""Texts of cells that hold no value."""

_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_NUMBER = re.compile(
    r"(?P<open>\()?\s*(?P<minus>[-−–+])?\s*(?P<before>[€$£¥]|[A-Za-z]{2,4}(?=[\s\d]))?\s*(?P<sign>[-−–])?"
    r"(?P<core>\d[\d.,'’\s\u00a0\u202f]*)"
    r"\s*(?P<after>%|[€$£¥]|[A-Za-z°][\w°/.²³]{0,11})?\s*(?P<close>\))?"
)
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})+")
_ISO = re.compile(r"(\d{4})-(\d{1,2})(?:-(\d{1,2}))?(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?")
_SLASHED = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})")
_NAMES = "|".join(f"{one[:3]}(?:{one[3:]})?" for one in MONTHS)
_DAY_FIRST = re.compile(rf"(\d{{1,2}})\.?\s*({_NAMES})\.?,?\s+(\d{{4}})", re.IGNORECASE)
_MONTH_FIRST = re.compile(rf"({_NAMES})\.?\s+(\d{{1,2}}),?\s+(\d{{4}})", re.IGNORECASE)
_MONTH = re.compile(rf"({_NAMES})\.?[\s/-]+(\d{{4}})", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")


class Grain(IntEnum):
    """How exact a date is."""

    YEAR = 1
    MONTH = 2
    DAY = 3


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column read as numbers: one for each cell, None where it holds none; `units` are those of the cells.

    `odd` counts cells with words where a number should be.
    """

    values: tuple[Decimal | None, ...]
    units: tuple[str, ...]
    odd: int

    @property
    def distinct_units(self) -> frozenset[str]:
        """The units of the cells that hold a number."""
        pairs = zip(self.values, self.units, strict=True)
        return frozenset(unit for value, unit in pairs if value is not None)


@dataclass(frozen=True, slots=True)
class Dates:
    """A column read as dates, each as its first day; `grain` is that of the least exact one."""

    values: tuple[datetime.date | None, ...]
    grain: Grain


@dataclass(frozen=True, slots=True)
class _Written:
    """A number as written: digits and separators, its unit, and whether it is negative."""

    core: str
    unit: str
    negative: bool


def unit_of(text: str) -> str:
    """A unit's name: `€` and `EUR` are one."""
    return _SIGNS.get(text, text.upper() if len(text) == 3 and text.isalpha() else text)


def _written(text: str) -> _Written | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    core = re.sub(r"[\s'’\u00a0\u202f]", "", match["core"]).rstrip(".,")
    negative = bool(match["open"]) or (match["minus"] or match["sign"] or "+") in "-−–"
    return _Written(core, unit_of(match["before"] or match["after"] or ""), negative)


def _decimal_mark(core: str) -> str | None:
    """The mark before the decimals, as far as this number alone tells: `.`, `,`, or None where it is unclear.

    A number without separators says nothing, and neither does one like `1,204`.
    """
    if "." in core and "," in core:
        return max(".,", key=core.rfind)
    mark = next((one for one in ".," if one in core), None)
    if mark is None:
        return None
    if core.count(mark) > 1:
        return "," if mark == "." else "."
    return None if _GROUPED.fullmatch(core) else mark


def _amount(core: str, mark: str) -> Decimal | None:
    other = "," if mark == "." else "."
    whole, _, decimals = core.partition(mark)
    if (other in whole and not _GROUPED.fullmatch(whole)) or other in decimals or mark in decimals:
        return None
    try:
        return Decimal(f"{whole.replace(other, '')}.{decimals or '0'}")
    except InvalidOperation:
        return None


def numbers_in(texts: Sequence[str]) -> Numbers | None:
    """The numbers of a column's cells; None for a column of words, or one whose notation is unclear.

    >>> [str(one) for one in numbers_in(["1.204,50 €", "12,00 €"]).values]
    ['1204.50', '12.00']
    """
    present = [text.strip() for text in texts if text.strip().casefold() not in NOTHING]
    written = {text: _written(text) for text in present}
    read = [one for one in written.values() if one is not None]
    if not present or len(read) < 0.9 * len(written) or not read:
        return None
    marks = {mark for one in read if (mark := _decimal_mark(one.core)) is not None}
    if len(marks) > 1:
        return None
    mark = marks.pop() if marks else "."
    values: list[Decimal | None] = []
    units: list[str] = []
    for text in texts:
        one = written.get(text.strip())
        amount = _amount(one.core, mark) if one is not None else None
        if one is not None and amount is None:
            return None
        values.append(-amount if amount is not None and one is not None and one.negative else amount)
        units.append(one.unit if one is not None else "")
    return Numbers(tuple(values), tuple(units), sum(written[text] is None for text in present))


def number_in(text: str) -> Decimal | None:
    """The number that a question says: `5,000`, `12.5`."""
    found = numbers_in([text])
    return found.values[0] if found else None


def month_number(name: str) -> int | None:
    """1 for `January` and for `Jan`; None for any other word."""
    short = name.casefold().rstrip(".")
    if len(short) < 3:
        return None
    return next((at for at, one in enumerate(MONTHS, 1) if one == short or one[:3] == short), None)


def dates_in(texts: Sequence[str]) -> Dates | None:
    """The dates of a column's cells; None for a column that has others, or none.

    `3/4/2024` is read as the column's other cells tell; where none tells, the year alone is known.
    """
    present = [text.strip() for text in texts if text.strip().casefold() not in NOTHING]
    if not present:
        return None
    slashed = [match for text in present if (match := _SLASHED.fullmatch(text))]
    first = any(int(match[1]) > 12 for match in slashed)
    second = any(int(match[3]) > 12 for match in slashed)
    if first and second:
        return None
    dotted = bool(slashed) and all(match[2] == "." for match in slashed)
    day_first = True if first or dotted else False if second else None
    found: dict[str, tuple[datetime.date, Grain]] = {}
    for text in present:
        read = _date(text, day_first)
        if read is None:
            return None
        found[text] = read
    grain = min(one for _, one in found.values())
    return Dates(tuple(found[text.strip()][0] if text.strip() in found else None for text in texts), grain)


def _date(text: str, day_first: bool | None) -> tuple[datetime.date, Grain] | None:
    if match := _ISO.fullmatch(text):
        return _made(match[1], match[2], match[3])
    if match := _DAY_FIRST.fullmatch(text):
        return _made(match[3], str(month_number(match[2])), match[1])
    if match := _MONTH_FIRST.fullmatch(text):
        return _made(match[3], str(month_number(match[1])), match[2])
    if match := _MONTH.fullmatch(text):
        return _made(match[2], str(month_number(match[1])), None)
    if match := _SLASHED.fullmatch(text):
        if day_first is None:
            return datetime.date(int(match[4]), 1, 1), Grain.YEAR
        day, month = (match[1], match[3]) if day_first else (match[3], match[1])
        return _made(match[4], month, day)
    return None


def _made(year: str, month: str, day: str | None) -> tuple[datetime.date, Grain] | None:
    try:
        return datetime.date(int(year), int(month), int(day or 1)), Grain.DAY if day else Grain.MONTH
    except ValueError:
        return None


def years_in(numbers: Numbers) -> bool:
    """Whether all numbers of a column are years."""
    values = [one for one in numbers.values if one is not None]
    return bool(values) and all(one == int(one) and _YEAR.fullmatch(str(int(one))) for one in values)
