"""What a question wants computed, from its words alone: the operation, bounds in numbers, and times.

Owns the rules for English. It looks at no table; what it understood is marked, so that whoever matches the
rest with a table knows which words are left.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from cape.answers.words import Word, is_stop, listed, stem, words_of
from cape.figures.plan import Operation, Shape
from cape.figures.values import month_number, number_in, unit_of

_COUNT = re.compile(r"\bhow many\b|\b(?:the )?number of\b|\bcount (?:of|the|all)\b", re.IGNORECASE)
_DISTINCT = re.compile(r"\b(?:different|distinct|unique)\b", re.IGNORECASE)
_SUM = re.compile(
    r"\b(?:(?:grand |sum |overall |combined )?totals?(?: of| up)?|sums? (?:of|up)|sum total|in total|in all|"
    r"altogether|combined|overall|add(?:s|ed)? up(?: to)?|all together|how much)\b",
    re.IGNORECASE,
)
_MEAN = re.compile(r"\b(?:(?:on )?average(?: of)?|averaged|mean(?: of)?)\b", re.IGNORECASE)
_MEDIAN = re.compile(r"\bmedian(?: of)?\b", re.IGNORECASE)
_MOST = re.compile(
    r"\b(?:highest|largest|biggest|greatest|most|maximum|max|top|best|strongest|longest|heaviest|dearest|"
    r"busiest)\b",
    re.IGNORECASE,
)
_LEAST = re.compile(
    r"\b(?:lowest|smallest|least|fewest|minimum|min|worst|weakest|shortest|lightest|cheapest)\b",
    re.IGNORECASE,
)
_MORE = re.compile(r"\b(?:more|higher|larger|bigger|greater|better|above)\b", re.IGNORECASE)
_LESS = re.compile(r"\b(?:less|lower|smaller|fewer|worse)\b", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\bdifferences? (?:in|of|between)\b|"
    r"\bhow (?:much|many) (?:more|less|fewer|higher|lower|larger|smaller)\b|"
    r"\bby how much\b|\bhow far apart\b|\bgap between\b",
    re.IGNORECASE,
)
_WHICH = re.compile(r"\b(?:which|what|whose)\s+(?P<group>(?:[\w-]+\s+){0,2}?[\w-]+)\b", re.IGNORECASE)
_WHETHER = re.compile(r"^(?:is|are|was|were|do|does|did|has|have|had|will|would|can|could)\b", re.IGNORECASE)
_NUMBER = (
    r"(?P<{0}>[€$£¥]?\s?(?:EUR|USD|GBP|CHF)?\s?\d[\d.,']*\d|[€$£¥]?\s?\d)"
    r"(?P<{0}k>\s?(?:k|thousand|million|m)\b)?"
)
_BOUND = re.compile(
    r"\b(?P<sign>over|above|more than|greater than|higher than|larger than|bigger than|exceed(?:s|ed|ing)?|"
    r"at least|no less than|not less than|minimum of|under|below|less than|fewer than|"
    r"lower than|smaller than|cheaper than|at most|no more than|not more than|up to|exactly|equal to|"
    r"of exactly)\s+(?:a |an )?"
    + _NUMBER.format("n")
    + r"(?:\s?(?P<unit>%|per cent|percent|[€$£¥]|EUR|USD|GBP|CHF|NOK|SEK|euros?|dollars?|pounds?))?"
    + r"(?P<orso>\s+or\s+(?:more|less|fewer|above|over))?",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"\bbetween\s+" + _NUMBER.format("a") + r"\s+and\s+" + _NUMBER.format("b")
    + r"(?:\s?(?P<unit>%|per cent|percent|[€$£¥]|EUR|USD|GBP|CHF|NOK|SEK|euros?|dollars?|pounds?))?",
    re.IGNORECASE,
)  # fmt: skip
_OR_MORE = re.compile(
    r"(?<![\w.,])" + _NUMBER.format("n")
    + r"(?:\s?(?P<unit>%|per cent|percent|[€$£¥]|EUR|USD|GBP|CHF|NOK|SEK|euros?|dollars?|pounds?))?"
    r"\s+or\s+(?P<sign>more|less|fewer)",
    re.IGNORECASE,
)  # fmt: skip
_SIGN = {
    "over": ">", "above": ">", "more than": ">", "greater than": ">", "higher than": ">", "larger than": ">",
    "bigger than": ">", "exceeds": ">", "exceed": ">", "exceeded": ">", "exceeding": ">", "at least": ">=",
    "no less than": ">=", "not less than": ">=", "minimum of": ">=", "under": "<", "below": "<",
    "less than": "<", "fewer than": "<", "lower than": "<", "smaller than": "<", "cheaper than": "<",
    "at most": "<=", "no more than": "<=", "not more than": "<=", "up to": "<=", "exactly": "=",
    "equal to": "=", "of exactly": "=", "more": ">=", "less": "<=", "fewer": "<=",
}  # fmt: skip
_UNITS = {"euro": "EUR", "euros": "EUR", "dollar": "USD", "dollars": "USD", "pound": "GBP", "pounds": "GBP",
          "percent": "%", "per cent": "%"}  # fmt: skip
_REFUSED = re.compile(
    r"\b(?:not|except|excluding|exclude|without|besides|other than|apart from|never|neither|nor|ratio|"
    r"share of|percentage of|what proportion|forecast(?:ed)? for|will be|cumulative|running|trend|"
    r"correlat\w+|second|third|2nd|3rd|consecutive|previous|last|next|this|current|today|yesterday|recent|"
    r"latest|earliest|why|how do|how can|if)\b",
    re.IGNORECASE,
)
_QUARTER_NAMES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}
_MONTHS = (
    r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
)
_TIME = re.compile(
    rf"\b(?:(?P<iso>(?:19|20)\d\d-\d\d(?:-\d\d)?)|Q(?P<q>[1-4])(?:[\s/-]*(?:of\s+)?(?P<qy>(?:19|20)\d\d))?|"
    rf"(?P<qn>first|second|third|fourth|1st|2nd|3rd|4th) quarter(?:\s+of)?(?:\s+(?P<qny>(?:19|20)\d\d))?|"
    rf"(?P<h>first|second) half(?:\s+of)?\s+(?P<hy>(?:19|20)\d\d)|"
    rf"(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?)?(?P<m>{_MONTHS})\b\.?"
    rf"(?:\s+(?P<dd>\d{{1,2}})(?:st|nd|rd|th)?,)?"
    rf"(?:\s+(?:of\s+)?(?P<my>(?:19|20)\d\d))?|(?P<y>(?:19|20)\d\d))(?![\w-])",
)
_BEFORE = re.compile(r"\b(?:before|prior to|until|till|up to|by|ahead of)\s+(?:the\s+)?$", re.IGNORECASE)
_AFTER = re.compile(r"\b(?:after|since|from|as of|starting(?: in)?|following)\s+(?:the\s+)?$", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|between)\s+$", re.IGNORECASE)
_TO = re.compile(r"^\s*(?:to|and|through|until|till|-|–)\s*$", re.IGNORECASE)

GENERIC = frozenset(
    stem(word)
    for word in listed(
        """
        row rows entry entries record records line lines item items value values figure figures amount table
        tables sheet list listed spreadsheet workbook file data document according recorded shown give please
        total totals sum overall altogether combined average mean median number count calculate compute add
        adds added spend spent spending pay paid cost costs earn earned sell sold bought buy buys made
        make place
        placed book booked come came report reported show record bring brought generate generated receive
        received use used consume consumed work worked worth exist whole together money all any every each
        have had across within during period year month quarter time single individual much amounted amounts
        log logged register registered take taken took
        handle handled drive drove cover covered hold held account accounted there find out largest
        """
    )
)
"""Stems that a question may have and no table needs: there are rows, or somebody did something."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A bound in numbers, its unit where one is named, and where it stands in the question."""

    sign: str
    number: Decimal
    unit: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Time:
    """A stretch of time, half open; months without a year, where that was not said, have `months` alone.

    `labels` are how a table without dates would say it: `2024`, `Q1`, `March`.
    """

    first: datetime.date | None
    until: datetime.date | None
    months: tuple[int, ...]
    labels: tuple[str, ...]
    needs_days: bool
    needs_months: bool
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What was understood of a question without a table.

    `words` are all its words; `said` marks those that the operation consists of. `group` are the words after
    `which`; `each` tells that a value for each group is wanted.
    """

    text: str
    words: tuple[Word, ...]
    operation: Operation
    shape: Shape
    counts: bool
    limits: tuple[Limit, ...]
    times: tuple[Time, ...]
    said: frozenset[int]
    group: tuple[int, ...]
    each: tuple[int, ...]
    is_single: bool

    @property
    def is_plain(self) -> bool:
        """Whether it may as well be asked for one cell: `how many`, `how much`."""
        said = " ".join(self.words[at].text.casefold() for at in sorted(self.said))
        return said in ("how many", "how much", "number of", "the number of")


def read_intent(text: str) -> Intent | None:
    """What a question wants computed; None where it wants nothing that is computed over rows.

    >>> read_intent("total revenue of North in 2024").operation.value
    'sum'
    >>> read_intent("who approves a trip?") is None
    True
    """
    times = tuple(_times(text))
    rest = _blanked(text, times)
    limits = tuple(_limits(rest))
    bare = _blanked(rest, limits)
    if _REFUSED.search(bare):
        return None
    spans: list[tuple[int, int]] = []
    found = _operation(bare, spans)
    if found is None and limits and re.match(r"\s*(?:which|list|show)\b", bare, re.IGNORECASE):
        return None
    if found is None:
        return None
    operation, shape, counts = found
    words = words_of(text)
    spans += [(one.start, one.end) for one in limits]
    said = frozenset(at for at, word in enumerate(words) if _inside(word, spans))
    group = _group(bare, words) if shape in (Shape.MOST, Shape.LEAST) else ()
    each = _each(bare, words)
    if each and shape is Shape.ONE:
        shape = Shape.EACH
    if shape in (Shape.MOST, Shape.LEAST) and not group:
        return None
    return Intent(
        text=text, words=words, operation=operation, shape=shape, counts=counts, limits=limits, times=times,
        said=said, group=group, each=each if shape is Shape.EACH else (),
        is_single=bool(re.search(r"\bsingle\b|\bindividual\b", bare, re.IGNORECASE)),
    )  # fmt: skip


def _inside(word: Word, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= word.start and word.end <= end for start, end in spans)


def _blanked(text: str, spans: Iterable[Time | Limit]) -> str:
    """The text with blanks in the place of what was understood; all else stays where it is."""
    for one in spans:
        text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    return text


def _operation(text: str, spans: list[tuple[int, int]]) -> tuple[Operation, Shape, bool] | None:
    """The operation, the shape, and whether rows are counted; `spans` gets the characters that say so."""

    def says(pattern: re.Pattern[str]) -> bool:
        found = [match.span() for match in pattern.finditer(text)]
        spans.extend(found)
        return bool(found)

    if says(_DIFFERENCE):
        says(_MORE), says(_LESS)
        base = _base(says)
        return base or Operation.SUM, Shape.DIFFERENCE, bool(_COUNT.search(text) or "many" in text)
    if _WHETHER.match(text) and (_MORE.search(text) or _LESS.search(text)) and re.search(r"\bthan\b", text):
        shape = Shape.WHETHER_MORE if says(_MORE) else Shape.WHETHER_LESS
        says(_LESS)
        return _base(says) or Operation.SUM, shape, False
    most, least = says(_MOST), says(_LEAST)
    if most or least:
        return _extreme(text, says, is_most=most) if most != least else None
    if _MEDIAN.search(text) or _MEAN.search(text):
        says(_COUNT)  # `the average number of hours` is a mean of hours
        base = _base(says)
        return (base, Shape.ONE, False) if base else None
    if says(_COUNT):
        says(_SUM)
        return (Operation.DISTINCT if says(_DISTINCT) else Operation.COUNT), Shape.ONE, True
    base = _base(says)
    return (base, Shape.ONE, False) if base else None


def _base(says: object) -> Operation | None:
    assert callable(says)
    if says(_MEDIAN):
        return Operation.MEDIAN
    if says(_MEAN):
        says(_SUM)
        return Operation.MEAN
    return Operation.SUM if says(_SUM) else None


def _extreme(text: str, says: object, *, is_most: bool) -> tuple[Operation, Shape, bool] | None:
    """`which region has the largest revenue` names a group; `the largest order` a value."""
    assert callable(says)
    shape = Shape.MOST if is_most else Shape.LEAST
    match = _WHICH.search(text)
    names_group = match is not None and not re.match(
        r"(?:is|are|was|were|did|does|do|the|has|had)\b", match["group"], re.IGNORECASE
    )
    if names_group or re.match(r"\s*who\b", text, re.IGNORECASE):
        return _base(says) or Operation.SUM, shape, bool(says(_COUNT))
    if _MEAN.search(text) or _COUNT.search(text):
        return None
    says(_SUM)
    return (Operation.LARGEST if is_most else Operation.SMALLEST), Shape.ONE, False


def _group(text: str, words: tuple[Word, ...]) -> tuple[int, ...]:
    """The words between `which` and the verb; `who` itself where a person is asked for."""
    for at, word in enumerate(words):
        if word.text.casefold() in ("which", "what", "who", "whose") and text[word.start : word.end].strip():
            if word.text.casefold() == "who":
                return (at,)
            found = []
            for later in range(at + 1, min(at + 4, len(words))):
                if is_stop(words[later].text) and words[later].text.casefold() not in ("day",):
                    break
                found.append(later)
            return tuple(found[:3])
    return ()


def _each(text: str, words: tuple[Word, ...]) -> tuple[int, ...]:
    """The words behind `by`, `per`, `for each`: those that a table must have as a column."""
    match = re.search(
        r"\b(?:by|per|(?:for|in|of) (?:each|every)|broken down by|grouped by)\s+", text, re.IGNORECASE
    )
    if match is None:
        return ()
    at = next((number for number, word in enumerate(words) if word.start >= match.end()), None)
    return () if at is None else tuple(range(at, min(at + 2, len(words))))


def _limits(text: str) -> Iterable[Limit]:
    taken: list[tuple[int, int]] = []
    for match in _BETWEEN.finditer(text):
        low, high = _said(match, "a"), _said(match, "b")
        if low is not None and high is not None:
            taken.append(match.span())
            yield _limit(match, ">=", low)
            yield _limit(match, "<=", high)
    for pattern in (_BOUND, _OR_MORE):
        for match in pattern.finditer(text):
            number = _said(match, "n")
            if number is None or any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            yield _limit(match, _SIGN[" ".join(match["sign"].casefold().split())], number)


def _said(match: re.Match[str], name: str) -> Decimal | None:
    number = number_in(re.sub(r"^[€$£¥A-Z\s]+", "", match[name]).rstrip(".,"))
    scale = (match[f"{name}k"] or "").strip().casefold()
    if number is None:
        return None
    return number * {"k": 1000, "thousand": 1000, "million": 1_000_000, "m": 1_000_000}.get(scale, 1)


def _limit(match: re.Match[str], sign: str, number: Decimal) -> Limit:
    unit = (match["unit"] or "").strip()
    before = re.search(r"[€$£¥]|EUR|USD|GBP|CHF", match[0][: -len(unit)] if unit else match[0])
    unit = _UNITS.get(unit.casefold(), unit_of(unit)) if unit else unit_of(before[0]) if before else ""
    return Limit(sign=sign, number=number, unit=unit, start=match.start(), end=match.end())


def _times(text: str) -> Iterable[Time]:
    """The times of a question in order; `from March to May 2024` is one."""
    found = [one for match in _TIME.finditer(text) if (one := _time(match))]
    at = 0
    while at < len(found):
        one = found[at]
        before = text[: one.start]
        other = found[at + 1] if at + 1 < len(found) else None
        if other and _FROM.search(before) and _TO.match(text[one.end : other.start]):
            joined = _joined(one, other)
            if joined is not None:
                yield joined
                at += 2
                continue
        if one.first and one.until and (match := _BEFORE.search(before)):
            inclusive = match[0].split()[0].casefold() in ("until", "till", "up")
            yield _turned(one, first=None, until=one.until if inclusive else one.first, start=match.start())
        elif one.first and one.until and (match := _AFTER.search(before)):
            inclusive = match[0].split()[0].casefold() not in ("after", "following")
            yield _turned(one, first=one.first if inclusive else one.until, until=None, start=match.start())
        else:
            yield one
        at += 1


def _turned(one: Time, *, first: datetime.date | None, until: datetime.date | None, start: int) -> Time:
    return Time(
        first=first, until=until, months=(), labels=(), needs_days=one.needs_days,
        needs_months=one.needs_months, start=start, end=one.end,
    )  # fmt: skip


def _joined(one: Time, other: Time) -> Time | None:
    """From the first day of one to the last of the other; a month without a year has the other's."""
    first, until = one.first, other.until
    if first is None and len(one.months) == 1 and other.first is not None:
        first = datetime.date(other.first.year, one.months[0], 1)
    if first is None and until is None and one.months and other.months and one.months <= other.months:
        months = tuple(range(one.months[0], other.months[-1] + 1))
        return Time(first=None, until=None, months=months, labels=(), needs_days=False, needs_months=True,
                    start=one.start, end=other.end)  # fmt: skip
    if first is None or until is None or first >= until:
        return None
    return Time(
        first=first, until=until, months=(), labels=(), needs_days=one.needs_days or other.needs_days,
        needs_months=one.needs_months or other.needs_months, start=one.start, end=other.end,
    )  # fmt: skip


def _time(match: re.Match[str]) -> Time | None:
    try:
        return _read(match)
    except ValueError:
        return None


def _read(match: re.Match[str]) -> Time | None:
    span = {"start": match.start(), "end": match.end()}
    if match["y"]:
        return _stretch(int(match["y"]), 1, 12, (match["y"],), span, months=False)
    if match["iso"]:
        year, month, *day = (int(one) for one in match["iso"].split("-"))
        return _day(year, month, day[0], span) if day else _stretch(year, month, 1, (), span)
    if match["h"]:
        return _stretch(int(match["hy"]), 1 if match["h"] == "first" else 7, 6, (), span)
    if match["q"] or match["qn"]:
        number = int(match["q"] or _QUARTER_NAMES[match["qn"].casefold()])
        return _of_year(3 * number - 2, 3, f"Q{number}", match["qy"] or match["qny"], span)
    named = month_number(match["m"])
    if named is None:
        return None
    said = match["d"] or match["dd"]
    if said:
        return _day(int(match["my"]), named, int(said), span) if match["my"] else None
    return _of_year(named, 1, match["m"], match["my"], span)


def _of_year(month: int, count: int, label: str, year: str | None, span: dict[str, int]) -> Time:
    """Months of a year, or of any where none is named."""
    if year:
        return _stretch(int(year), month, count, (label, year), span)
    return _months(tuple(range(month, month + count)), (label,), span)


def _day(year: int, month: int, day: int, span: dict[str, int]) -> Time:
    first = datetime.date(year, month, day)
    return Time(
        first=first, until=first + datetime.timedelta(days=1), months=(), labels=(), needs_days=True,
        needs_months=True, **span,
    )  # fmt: skip


def _stretch(
    year: int, month: int, count: int, labels: tuple[str, ...], span: dict[str, int], *, months: bool = True
) -> Time:
    end = month + count
    until = datetime.date(year + (end - 1) // 12, (end - 1) % 12 + 1, 1)
    return Time(
        first=datetime.date(year, month, 1), until=until, months=(), labels=labels, needs_days=False,
        needs_months=months, **span,
    )  # fmt: skip


def _months(months: tuple[int, ...], labels: tuple[str, ...], span: dict[str, int]) -> Time:
    return Time(
        first=None, until=None, months=months, labels=labels, needs_days=False, needs_months=True, **span
    )
