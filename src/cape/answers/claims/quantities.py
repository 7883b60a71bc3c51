"""Numbers, dates, times and units of a text, in one spelling each.

Owns their normal form: `1,000`, `1000` and `one thousand` are one key, `9 PM` and `21:00` another. It judges
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_UNITS = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_ORDINALS = {
    word: number
    for number, word in enumerate(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
        ],
        start=1,
    )
}
_SCALES = {
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "dozen": 12.0,
    "k": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "bn": 1e9,
}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sept sep",
            "october oct",
            "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MEASURES = {
    "%": "% percent per-cent pct percentage",
    "$": "$ dollar dollars usd us$",
    "€": "€ euro euros eur",
    "£": "£ pound pounds gbp",
    "km": "km kilometre kilometres kilometer kilometers",
    "mile": "mile miles mi",
    "m": "metre metres meter meters",
    "foot": "foot feet ft",
    "inch": "inch inches",
    "cm": "cm centimetre centimetres centimeter centimeters",
    "kg": "kg kilogram kilograms kilo kilos",
    "lb": "lb lbs",
    "ton": "ton tons tonne tonnes",
    "second": "second seconds sec",
    "minute": "minute minutes min mins",
    "hour": "hour hours hr hrs",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years",
    "decade": "decade decades",
    "star": "star stars",
    "degree": "degree degrees",
    "people": "people persons person",
}
_MEASURE_OF = {word: unit for unit, words in _MEASURES.items() for word in words.split()}

_NUMBER_WORD = "|".join((*_UNITS, *_TENS))
_SCALE_WORD = "hundred|thousand|million|billion|trillion|dozen"
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_CLOCK = re.compile(
    r"\b(\d{1,2})[:.](\d{1,2})(?::\d{2})?\s?([ap]\.m\.?|[ap]m)(?![a-z])|\b(\d{1,2}):(\d{1,2})(?!\d)|"
    r"\b(\d{1,2})\s?([ap]\.m\.?|[ap]m)(?![a-z])|\b(noon|midday|midnight)\b",
    re.IGNORECASE,
)
_MONTH = re.compile(rf"\b({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?", re.IGNORECASE)
_WEEKDAY = re.compile(rf"\b({'|'.join(WEEKDAYS)})s?\b", re.IGNORECASE)
_FIGURE = re.compile(
    r"(?<![\w.])([$€£])?\s?(\d{1,3}(?:[,\u202f\u00a0]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)*)"
    r"(?:\s?(hundred|thousand|million|billion|trillion|dozen|k|mn|bn|m)\b)?"
    r"(?:st|nd|rd|th|s)?(?:[\s-]?(%|[A-Za-z$€£]+))?",
    re.IGNORECASE,
)
_SPELLED = re.compile(
    rf"\b(?:(?:{_NUMBER_WORD})(?:[\s-]+)?|(?:{_SCALE_WORD})(?:[\s-]+(?:and[\s-]+)?)?)+(?![a-z])(?:\s*(%|[a-z]+))?",
    re.IGNORECASE,
)
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS)})\b", re.IGNORECASE)
_TIMES = {"twice": 2, "thrice": 3}
_OFTEN = re.compile(rf"\b({'|'.join(_TIMES)})\b", re.IGNORECASE)
SMALL = 12.0
"""Numbers up to this one are often counted by who writes, not read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A number, date or time where it stands.

    `keys` are its spellings in normal form: one of them in the evidence is enough. `unit` is None where the
    text names none. `minor` quantities are small counts and ordinals, which may have been counted. `about`:
    told as near to the number, as in "nearly", "more than".
    """

    keys: tuple[str, ...]
    start: int
    end: int
    unit: str | None
    minor: bool
    dated: bool
    about: bool = False


_ABOUT = re.compile(
    r"\b(?:about|around|roughly|approximately|nearly|almost|some|over|under|close to|just|up to|at least|"
    r"(?:more|less|fewer) than)\s+(?:an?\s+)?[$€£]?$",
    re.IGNORECASE,
)


@lru_cache(maxsize=8192)
def quantities_of(text: str) -> tuple[Quantity, ...]:
    """The quantities of a text in order, each character in at most one.

    >>> [one.keys for one in quantities_of("One thousand people came on 3 May at 9 PM; 1,000 left.")]
    [('n:1000',), ('n:3',), ('m:5',), ('t:1260',), ('n:1000',)]
    """
    if not _MAY_HAVE.search(text):
        return ()
    taken = [False] * len(text)
    found: list[Quantity] = []
    for reader in (_dates, _clocks, _months, _figures, _spelled, _ordinals):
        for one in reader(text):
            if not any(taken[one.start : one.end]):
                taken[one.start : one.end] = [True] * (one.end - one.start)
                found.append(one)
    return tuple(sorted(found, key=lambda one: one.start))


_MAY_HAVE = re.compile(
    rf"\d|\b(?:{_NUMBER_WORD}|{_SCALE_WORD}|{'|'.join(_ORDINALS)}|{'|'.join(_MONTHS)}|"
    rf"{'|'.join(_TIMES)}|noon|midday|midnight|{'|'.join(WEEKDAYS)})",
    re.IGNORECASE,
)


def _made(
    match: re.Match[str],
    *keys: str,
    group: int = 0,
    unit: str | None = None,
    minor: bool = False,
    dated: bool = False,
) -> Quantity:
    start, end = match.span(group)
    return Quantity(keys=keys, start=start, end=end, unit=unit, minor=minor, dated=dated)


def _dates(text: str) -> Iterator[Quantity]:
    for match in _ISO.finditer(text):
        yield _made(match, f"n:{int(match[1])}", group=1, dated=True)
        yield _made(match, f"m:{int(match[2])}", group=2, dated=True)
        yield _made(match, f"n:{int(match[3])}", group=3, dated=True)


def _clocks(text: str) -> Iterator[Quantity]:
    for match in _CLOCK.finditer(text):
        minutes = _minutes(match)
        if minutes is not None:
            yield _made(match, f"t:{minutes}", dated=True)


def _minutes(match: re.Match[str]) -> int | None:
    """Minutes since midnight; None where it is no time of day."""
    if match[8]:
        return 0 if match[8].casefold() == "midnight" else 720
    hour, minute = int(match[1] or match[4] or match[6]), int(match[2] or match[5] or 0)
    half = (match[3] or match[7] or "").casefold()[:1]
    if hour > 24 or minute > 59:
        return None
    hour = hour % 12 + 12 * (half == "p") if half else hour % 24
    return 60 * hour + minute


def _months(text: str) -> Iterator[Quantity]:
    for match in _MONTH.finditer(text):
        name = match[1]
        if name.casefold() in ("may", "march", "mar", "sep", "dec", "jan") and not name[0].isupper():
            continue
        if (
            name == "May"
            and not re.search(
                r"\d|\b(?:in|of|since|until|by|last|next|this)\s*$",
                text[max(0, match.start() - 6) : match.start()],
            )
            and not re.match(r",?\s*\d", text[match.end() :])
        ):
            continue
        yield _made(match, f"m:{_MONTHS[name.casefold()]}", group=1, dated=True)
    for match in _WEEKDAY.finditer(text):
        yield _made(match, f"w:{WEEKDAYS.index(match[1].casefold())}", group=1, dated=True)


def _figures(text: str) -> Iterator[Quantity]:
    for match in _FIGURE.finditer(text):
        values = _values(match[2])
        metres = (match[3] or "").casefold() == "m" and not match[1]
        scale = 1.0 if metres else _SCALES.get((match[3] or "").casefold(), 1.0)
        unit = "m" if metres else _MEASURE_OF.get((match[1] or match[4] or "").casefold())
        end = match.end(3) if match[3] and not metres else match.end(2)
        keys = tuple(dict.fromkeys(f"n:{value * scale:.10g}" for value in values))
        value = values[0] * scale
        yield Quantity(
            keys=keys,
            start=match.start(2),
            end=end,
            unit=unit,
            minor=value <= SMALL and value == int(value) and unit not in ("%", "$", "€", "£"),
            dated=len(match[2]) == 4 and match[2].isdigit() and 1000 <= value <= 2100,
            about=bool(_ABOUT.search(text, max(0, match.start(2) - 20), match.start(2))),
        )


def _values(digits: str) -> list[float]:
    """What digits with marks may mean: `1,000` a thousand, `1.000` one or a thousand, `3,5` three and a
    half.
    """
    plain = re.sub(r"[\u202f\u00a0]", "", digits)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        return [float(plain.replace(",", ""))]
    if re.fullmatch(r"\d+(?:\.\d+)?", plain):
        grouped = [float(plain.replace(".", ""))] if re.fullmatch(r"\d{1,3}\.\d{3}", plain) else []
        return [float(plain), *grouped]
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", plain) or re.fullmatch(r"\d+,\d+", plain):
        return [float(plain.replace(".", "").replace(",", "."))]
    return [float(re.split(r"[.,]", plain)[0])]


def _spelled(text: str) -> Iterator[Quantity]:
    for match in _SPELLED.finditer(text):
        words = re.findall(r"[a-z]+", match[0].casefold())
        unit = _MEASURE_OF.get((match[1] or "").casefold())
        words = [
            word for word in words if word in _UNITS or word in _TENS or (word in _SCALES and len(word) > 2)
        ]
        if not words or (words == ["one"]) or (len(words) == 1 and words[0] in _SCALES):
            continue
        value = _spelled_value(words)
        end = match.start(1) if match[1] else match.end()
        end = match.start() + len(text[match.start() : end].rstrip(" -"))
        yield Quantity(
            keys=(f"n:{value:.10g}",),
            start=match.start(),
            end=end,
            unit=unit,
            minor=value <= SMALL,
            dated=False,
            about=bool(_ABOUT.search(text, max(0, match.start() - 20), match.start())),
        )


def _spelled_value(words: list[str]) -> float:
    total, part = 0.0, 0.0
    for word in words:
        if word in _UNITS:
            part += _UNITS[word]
        elif word in _TENS:
            part += _TENS[word]
        elif word in ("hundred", "dozen"):
            part = max(part, 1.0) * _SCALES[word]
        else:
            total += max(part, 1.0) * _SCALES[word]
            part = 0.0
    return total + part


def _ordinals(text: str) -> Iterator[Quantity]:
    for match in _ORDINAL.finditer(text):
        yield _made(match, f"n:{_ORDINALS[match[1].casefold()]}", minor=True)
    for match in _OFTEN.finditer(text):
        yield _made(match, f"n:{_TIMES[match[1].casefold()]}", minor=True)
