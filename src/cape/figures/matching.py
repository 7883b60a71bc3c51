"""A question and a table to a plan: which words name columns, values, times, or the table itself.

Owns the rule that makes an answer safe: every word of the question that tells something must be found in
the operation, in a column's heading, in a cell, in a time, or in what names the table. One that is not, or
that may mean two columns, ends it: the table then gives no plan.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cape.answers.words import best_likeness, is_number, is_stop, likeness, listed, stem, weight
from cape.figures.intent import GENERIC, Intent, Limit, Time
from cape.figures.plan import Bound, Condition, Grain, InMonths, OneOf, Operation, Plan, Shape, Within
from cape.figures.tables import Column, Kind, Table
from cape.figures.values import Grain as Exactness
from cape.figures.values import month_number

_SAME = tuple(
    frozenset(stem(word) for word in words.split())
    for words in (
        "quantity units unit pieces qty items",
        "amount value sum spend cost expense total price paid spending charge charges",
        "revenue sales turnover income takings proceeds",
        "staff headcount employees people",
        "hours time",
        "rep representative salesperson seller agent",
        "employee colleague person staff member",
        "site location branch place",
        "category type kind group class",
        "customer client buyer account",
        "supplier vendor",
        "weight mass",
        "distance kilometres km",
        "stock inventory",
        "country nation market",
        "warehouse depot store",
        "department division unit",
        "consumption usage use",
    )
)
_PERSON = re.compile(
    r"\b(?:employee|name|person|colleague|sales ?(?:person|rep|man)|rep|agent|owner|assignee|staff|manager|"
    r"driver|technician|engineer|traveller|traveler|member|contact)\b",
    re.IGNORECASE,
)
_MONEY = frozenset({"EUR", "USD", "GBP", "CHF", "JPY", "NOK", "SEK", "DKK", "PLN", "KEUR"})
_MONEY_SAID = {stem(one): unit for words, unit in (("euro euros", "EUR"), ("dollar dollars", "USD"),
               ("pound pounds", "GBP")) for one in words.split()}  # fmt: skip
_SPENDING = frozenset(map(stem, listed("spend spent pay paid cost costs earn earned worth money")))
_CHIEF = re.compile(r"\b(?:amount|total|value|revenue|sales|turnover|net)\b", re.IGNORECASE)
_SELLING = frozenset(map(stem, listed("sell sold buy bought ship shipped order ordered")))
_QUALIFIED = frozenset(
    stem(word)
    for word in listed(
        "forecast target budget plan planned draft old template example estimate estimated projection "
        "previous goal scenario archive copy backup expected"
    )
)
_LONGEST_VALUE = 8
_MOST_EACH = 40


@dataclass
class _Match:
    """One attempt: which words are accounted for, how well, and the conditions so far."""

    intent: Intent
    table: Table
    told: dict[int, float] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)
    failed: bool = False

    def tell(self, tokens: Iterable[int], quality: float) -> None:
        for at in tokens:
            self.told[at] = max(self.told.get(at, 0.0), quality)

    def stem(self, at: int) -> str:
        return self.intent.words[at].stem

    @property
    def open(self) -> list[int]:
        """The words that nothing accounts for yet."""
        return [at for at in range(len(self.intent.words)) if at not in self.told]


def plan_for(intent: Intent, table: Table) -> Plan | None:
    """The one plan that the question means on this table; None where it means none for sure."""
    match = _Match(intent, table)
    match.tell(intent.said, 0.0)
    grouped = _grouping(match)
    if grouped is None:
        return None
    by, grain = grouped
    shape = Shape.ONE if intent.shape is Shape.EACH and by is None else intent.shape
    values = _values(match)
    if match.failed or not _times(match) or not _compared_values(match, values):
        return None
    pair = None
    if intent.shape in (Shape.DIFFERENCE, Shape.WHETHER_MORE, Shape.WHETHER_LESS):
        found = _pair(match)
        if found is None:
            return None
        by, grain, pair = found
    limited = _near_limits(match)
    measured = _measure(match, limited)
    if limited is None or measured is None:
        return None
    operation, measure = measured
    if not _limits(match, measure, limited) or not _rest(match, measure, by):
        return None
    if not _adds_up(match, operation, measure, by, grain):
        return None
    return Plan(
        table=table, operation=operation, shape=shape, measure=measure, by=by, grain=grain, pair=pair,
        conditions=tuple(match.conditions), fit=_fit(match, measure),
    )  # fmt: skip


# -- words and columns --------------------------------------------------------------------------------


def _like(wanted: str, stems: Sequence[str]) -> float:
    """How far a word of the question stands for one of some stems."""
    if wanted in stems:
        return 1.0
    near = max((likeness(wanted, one) for one in stems), default=0.0)
    if near >= 0.8:
        return near
    same = any(wanted in group and not group.isdisjoint(stems) for group in _SAME)
    return 0.6 if same or (best_likeness(wanted, stems) >= 0.6 and near == 0.0) else 0.0


def _named(match: _Match, column: Column, tokens: Iterable[int]) -> tuple[dict[int, float], float]:
    """The words that name a column, each with its likeness, and the share of the heading that is named."""
    words = match.intent.words
    telling = [at for at in tokens if not is_stop(words[at].text) or at in match.intent.said]
    found = {at: like for at in telling if (like := _like(match.stem(at), column.stems)) > 0.0}
    said = [match.stem(at) for at in found]
    reached = [max((_like(one, (wanted,)) for one in said), default=0.0) for wanted in column.stems]
    return found, sum(reached) / len(reached) if reached else 0.0


def _best(
    match: _Match, columns: Sequence[Column], tokens: Sequence[int], *, needs: bool = True
) -> tuple[Column, dict[int, float]] | None:
    """The one column that the words name best; None where none or two are named as well."""
    ranked = []
    for column in columns:
        named, share = _named(match, column, tokens)
        # A word that also names the table, as `orders` does in a list of orders, tells less.
        fresh = {
            at: like / 2 if match.stem(at) in match.table.context else like
            for at, like in named.items()
            if at not in match.intent.said
        }
        if fresh or (not needs and named):
            ranked.append(((round(sum(fresh.values()), 6), round(share, 6)), column, named))
    ranked.sort(key=lambda one: one[0], reverse=True)
    if not ranked:
        return None
    equal = [one for one in ranked if one[0] == ranked[0][0]]
    if len(equal) > 1:
        equal = [one for one in equal if _follows(match, one[2])]
    return (equal[0][1], equal[0][2]) if len(equal) == 1 else None


def _follows(match: _Match, named: Iterable[int]) -> bool:
    """Whether one of these words stands right behind the words of the operation: `total VALUE of stock`."""
    words = match.intent.words
    for at in match.intent.said:
        later = next((one for one in range(at + 1, len(words)) if not is_stop(words[one].text)), None)
        if later is not None and later not in match.intent.said and later in named:
            return True
    return False


def _columns(table: Table, *kinds: Kind) -> list[Column]:
    return [column for column in table.columns if column.kind in kinds and column.stems]


# -- groups -------------------------------------------------------------------------------------------


def _grouping(match: _Match) -> tuple[Column | None, Grain] | None:
    """The column that groups are told apart by: (None, none) where none is wanted, None where unclear."""
    intent, table = match.intent, match.table
    tokens = intent.group or intent.each
    if not tokens:
        return None, Grain.NONE
    first = intent.words[tokens[0]]
    if first.text.casefold() == "who":
        people = [one for one in _columns(table, Kind.WORDS) if _PERSON.search(one.name)]
        match.tell(tokens, 0.6)
        return (people[0], Grain.NONE) if len(people) == 1 else None
    groupable = _columns(table, Kind.WORDS, Kind.KEY, Kind.YEAR)
    best = _best(match, groupable, tokens)
    if best is not None:
        match.tell(best[1], 1.0)
        return best[0], Grain.NONE
    dates = _columns(table, Kind.DATE)
    for at in tokens:
        grain = {"month": Grain.MONTH, "quarter": Grain.QUARTER, "year": Grain.YEAR}.get(match.stem(at))
        if grain and len(dates) == 1 and dates[0].dates is not None:
            exact = dates[0].dates.grain >= (Exactness.YEAR if grain is Grain.YEAR else Exactness.MONTH)
            match.tell((at,), 1.0)
            return (dates[0], grain) if exact else None
    # `sold by Anna` names no group: the word must then be a cell's text.
    is_by = intent.each and intent.words[max(0, tokens[0] - 1)].text.casefold() == "by"
    return (None, Grain.NONE) if is_by else None


def _pair(match: _Match) -> tuple[Column, Grain, tuple[str, str]] | None:
    """The two groups that are compared: two values of one column, or two years."""
    pairs = [one for one in match.conditions if isinstance(one, OneOf) and len(one.values) == 2]
    if len(pairs) == 1:
        first, second = pairs[0].values
        return pairs[0].column, Grain.NONE, (first, second)
    return None


# -- values -------------------------------------------------------------------------------------------


def _values(match: _Match) -> list[tuple[int, int, Column, str]]:
    """The stretches of the question that are a cell's text, longest first, none within another."""
    words = match.intent.words
    taken = set(match.told)
    timed = {
        at for at, word in enumerate(words) for one in match.intent.times if one.start <= word.start < one.end
    }
    columns = _columns(match.table, Kind.WORDS, Kind.KEY)
    known = {column.at: set(column.folded) - {""} for column in columns}
    found: list[tuple[int, int, Column, str]] = []
    for size in range(min(_LONGEST_VALUE, len(words)), 0, -1):
        for first in range(len(words) - size + 1):
            span = range(first, first + size)
            if any(at in taken or at in timed for at in span) or not _tells(match, span):
                continue
            said = " ".join(words[at].stem for at in span)
            fitting = [column for column in columns if said in known[column.at]]
            if not fitting:
                continue
            column = _meant(match, fitting, span)
            if column is None:
                match.failed = True
                return []
            if size == 1 and _names_measure(match, first, column):
                continue
            taken |= set(span)
            found.append((first, size, column, said))
    return [*found, *_parts_of_names(match, columns, taken | timed)]


def _tells(match: _Match, span: range) -> bool:
    words = [match.intent.words[at] for at in span]
    return any(not is_stop(word.text) for word in words)


def _meant(match: _Match, columns: Sequence[Column], span: range) -> Column | None:
    """The column that a text which several have belongs to: the one that is named beside it."""
    if len(columns) == 1:
        return columns[0]
    beside = [at for at in (span.start - 1, span.stop) if 0 <= at < len(match.intent.words)]
    named = [one for one in columns if any(_like(match.stem(at), one.stems) >= 0.8 for at in beside)]
    return named[0] if len(named) == 1 else None


def _names_measure(match: _Match, at: int, column: Column) -> bool:
    """Whether a word that is a cell's text is rather the heading of numbers: `sales` of a department."""
    numbers = _columns(match.table, Kind.NUMBER)
    if not any(match.stem(at) in one.stems for one in numbers):
        return False
    beside = [one for one in (at - 1, at + 1) if 0 <= one < len(match.intent.words)]
    return not any(_like(match.stem(one), column.stems) >= 0.8 for one in beside)


def _parts_of_names(
    match: _Match, columns: Sequence[Column], taken: set[int]
) -> list[tuple[int, int, Column, str]]:
    """A capitalised word that just one text of the table has, as `Berg` of `Anna Berg`."""
    found = []
    for at, word in enumerate(match.intent.words):
        if at in taken or at == 0 or not word.is_capitalised or is_stop(word.text):
            continue
        having = {
            (column.at, text)
            for column in columns
            for text in column.folded
            if f" {word.stem} " in f" {text} "
        }
        if len(having) == 1:
            number, text = having.pop()
            found.append((at, 1, match.table.columns[number], text))
    return found


def _compared_values(match: _Match, values: Sequence[tuple[int, int, Column, str]]) -> bool:
    """Turn values into conditions, those of one column into one; in the order of the question."""
    by_column: dict[int, list[str]] = {}
    for first, size, column, said in sorted(values, key=lambda one: one[0]):
        match.tell(range(first, first + size), 1.0)
        texts = by_column.setdefault(column.at, [])
        if said not in texts:
            texts.append(said)
    for number, texts in by_column.items():
        column = match.table.columns[number]
        shown = tuple(_shown(column, text) for text in texts)
        _tell_beside(match, column)
        match.conditions.append(OneOf(column=column, values=tuple(texts), shown=shown))
    return True


def _tell_beside(match: _Match, column: Column) -> None:
    """A column's name beside one of its texts says no more than that: `the North region`."""
    for at in match.open:
        beside = [one for one in (at - 1, at + 1) if match.told.get(one, 0.0) >= 1.0]
        if beside and _like(match.stem(at), column.stems) >= 0.8:
            match.tell((at,), 0.8)


def _shown(column: Column, text: str) -> str:
    """A text as most of its cells have it."""
    cells = [
        cell.text.strip()
        for cell, one in zip(column.cells, column.folded, strict=True)
        if cell is not None and one == text
    ]
    return max(sorted(set(cells)), key=cells.count)


# -- times --------------------------------------------------------------------------------------------


def _times(match: _Match) -> bool:
    """Conditions of the question's times, as far as the table has dates, years or periods as rows.

    Where it has none, the words are left: its name or a column's may say them.
    """
    dates, years = _columns(match.table, Kind.DATE), _columns(match.table, Kind.YEAR)
    year_alone = any(time.first and not time.months for time in match.intent.times)
    for time in match.intent.times:
        tokens = [at for at, word in enumerate(match.intent.words) if time.start <= word.start < time.end]
        if dates:
            column = _date_column(match, dates)
            if column is None or not _dated(match, column, time, year_alone):
                return False
            match.tell(tokens, 1.0)
        elif years or time.labels:
            if not _labelled(match, time, tokens, years):
                return False
        else:
            return False
    return True


def _date_column(match: _Match, dates: Sequence[Column]) -> Column | None:
    if len(dates) == 1:
        return dates[0]
    best = _best(match, dates, match.open)
    if best is None:
        return None
    match.tell(best[1], 0.6)
    return best[0]


def _dated(match: _Match, column: Column, time: Time, year_alone: bool) -> bool:
    assert column.dates is not None
    grain = column.dates.grain
    if (time.needs_days and grain < Exactness.DAY) or (time.needs_months and grain < Exactness.MONTH):
        return False
    if not time.months:
        match.conditions.append(Within(column=column, first=time.first, end=time.until))
        return True
    present = {day.year for day in column.dates.values if day is not None and day.month in time.months}
    if len(present) > 1 and not year_alone:
        return False
    match.conditions.append(InMonths(column=column, months=time.months))
    return True


def _labelled(match: _Match, time: Time, tokens: Sequence[int], years: Sequence[Column]) -> bool:
    """A time on columns of years, quarters or months as words."""
    if not time.labels:
        return _by_years(match, time, tokens, years)
    for label in time.labels:
        own = [at for at in tokens if _says(match, at, label)]
        if label.isdigit():
            if len(years) > 1:
                return False
            if years:
                number = years[0].numbers
                assert number is not None
                match.conditions.append(OneOf(column=years[0], values=(label,), shown=(label,)))
                match.tell(own, 1.0)
            continue
        column = _period_column(match, label)
        if column is not None:
            text = next(one for one in column.folded if _same_period(one, label))
            match.conditions.append(OneOf(column=column, values=(text,), shown=(_shown(column, text),)))
            match.tell([*own, *_quarter_words(match, tokens)], 1.0)
    return True


def _says(match: _Match, at: int, label: str) -> bool:
    text = match.intent.words[at].text
    return text.casefold() == label.casefold() or (label.startswith("Q") and not is_number(text))


def _quarter_words(match: _Match, tokens: Sequence[int]) -> list[int]:
    return [at for at in tokens if not match.intent.words[at].text.isdigit()]


def _by_years(match: _Match, time: Time, tokens: Sequence[int], years: Sequence[Column]) -> bool:
    """A range of years on a column of years."""
    if len(years) != 1 or time.months or time.needs_months:
        return False
    for sign, day in ((">=", time.first), ("<", time.until)):
        if day is not None:
            if (day.month, day.day) != (1, 1):
                return False
            match.conditions.append(_year_bound(years[0], sign, day))
    match.tell(tokens, 1.0)
    return True


def _year_bound(column: Column, sign: str, day: datetime.date) -> Bound:
    from decimal import Decimal

    return Bound(column=column, sign=sign, bound=Decimal(day.year))


def _period_column(match: _Match, label: str) -> Column | None:
    """The column of words that has a period as a value."""
    having = [
        one
        for one in _columns(match.table, Kind.WORDS)
        if any(_same_period(text, label) for text in set(one.folded))
    ]
    return having[0] if len(having) == 1 else None


def _same_period(text: str, label: str) -> bool:
    if label.startswith("Q") and label[1:].isdigit():
        return text == label.casefold()
    number = month_number(label)
    return number is not None and text.isalpha() and month_number(text) == number and len(text) <= 9


# -- the measure --------------------------------------------------------------------------------------


def _measure(match: _Match, limited: Mapping[int, Column] | None) -> tuple[Operation, Column | None] | None:
    """What is computed of which column; None where that is unclear. Rows are counted without a column."""
    if match.intent.counts:
        return _counted(match)
    if match.intent.shape in (Shape.MOST, Shape.LEAST) and (counted := _most_rows(match)) is not None:
        return counted
    numbers = _columns(match.table, Kind.NUMBER)
    best = _best(match, numbers, [*match.open, *sorted(match.intent.said)])
    if best is None:
        if any(_named(match, one, match.open)[0] for one in numbers):
            return None
        own = set((limited or {}).values()) if len(set((limited or {}).values())) == 1 else set()
        alone = next(iter(own), None) or _alone(match, numbers)
        return (match.intent.operation, alone) if alone is not None else None
    match.tell([at for at in best[1] if at not in match.intent.said], max(best[1].values()))
    if _names_other(match, numbers, best[0], best[1]):
        return None
    return (match.intent.operation, best[0]) if _one_unit(best[0]) else None


def _names_other(match: _Match, numbers: Sequence[Column], chosen: Column, said: Mapping[int, float]) -> bool:
    """Whether another column is named too, by a word that says neither the chosen one nor the table.

    `budget and actual` are two, though the table be called `Budgets`.
    """
    words = match.intent.words
    joined = {
        at
        for at in range(len(words))
        for by in (-2, 2)
        if at + by in said and words[at + by // 2].stem == "and"
    }
    for other in numbers:
        if other is not chosen:
            named, _ = _named(match, other, match.open)
            telling = {at for at, like in named.items() if like >= 0.8}
            if any(at in joined or match.stem(at) not in match.table.context for at in telling):
                return True
    return False


def _most_rows(match: _Match) -> tuple[Operation, Column | None] | None:
    """Rows are counted where what there is most of is what a row is: `the most tickets`."""
    words, said = match.intent.words, match.intent.said
    nouns = [at for at in match.open if at - 1 in said and not is_stop(words[at].text)]
    if not nouns or any(_named(match, one, match.open)[0] for one in _columns(match.table, Kind.NUMBER)):
        return None
    at = nouns[0]
    keys = _columns(match.table, Kind.KEY, Kind.WORDS)
    if match.stem(at) in match.table.context or any(
        match.stem(at) in one.stems and _is_key(one) for one in keys
    ):
        match.tell((at,), 1.0)
        return Operation.COUNT, None
    return None


def _is_key(column: Column) -> bool:
    """Whether each row has its own text."""
    texts = [text for text in column.folded if text]
    return len(set(texts)) == len(texts)


def _one_unit(column: Column) -> bool:
    return column.numbers is not None and len(column.numbers.distinct_units - {""}) <= 1


def _alone(match: _Match, numbers: Sequence[Column]) -> Column | None:
    """The only column that can be meant where the question names none."""
    wants = match.intent.operation
    usable = [one for one in numbers if one.adds_up or wants not in (Operation.SUM,)]
    stems = {word.stem for word in match.intent.words}
    if stems & _SPENDING or stems & set(_MONEY_SAID) or stems & {one.casefold() for one in _MONEY}:
        money = [one for one in usable if _unit(one) in _MONEY and one.adds_up]
        usable = money or usable
    if len(usable) > 1:
        chief = [one for one in usable if _CHIEF.search(one.name)]
        usable = chief if len(chief) == 1 and not stems & _SELLING else usable
    return usable[0] if len(usable) == 1 and _one_unit(usable[0]) else None


def _unit(column: Column) -> str:
    told = column.numbers.distinct_units - {""} if column.numbers is not None else set()
    return (next(iter(told)) if len(told) == 1 else column.unit).upper()


def _counted(match: _Match) -> tuple[Operation, Column | None] | None:
    """Rows, the different texts of a column, or the sum of a column that counts: `Orders`."""
    tokens = match.open
    numbers = [one for one in _columns(match.table, Kind.NUMBER) if one.adds_up and _unit(one) not in _MONEY]
    best = _best(match, numbers, tokens)
    if (
        best is not None
        and _named(match, best[0], tokens)[1] >= 0.6
        and match.intent.operation is Operation.COUNT
    ):
        match.tell(best[1], max(best[1].values()))
        return (Operation.SUM, best[0]) if _one_unit(best[0]) else None
    texts = _columns(match.table, Kind.WORDS)
    nouns = [at for at in tokens if not is_stop(match.intent.words[at].text)]
    best = _best(match, texts, nouns)
    if best is not None and _is_counted_noun(match, best[1]):
        if not _is_key(best[0]) and _sells(match):
            return None
        match.tell(best[1], 1.0)
        return Operation.DISTINCT, best[0]
    return (Operation.COUNT, None) if match.intent.operation is Operation.COUNT else None


def _is_counted_noun(match: _Match, named: Iterable[int]) -> bool:
    """Whether these words stand right behind `how many` or `number of`."""
    said = sorted(match.intent.said)
    return any(at - 1 in said or at - 2 in said for at in named)


def _sells(match: _Match) -> bool:
    return not _SELLING.isdisjoint(word.stem for word in match.intent.words)


# -- bounds -------------------------------------------------------------------------------------------


def _near_limits(match: _Match) -> dict[int, Column] | None:
    """For each bound, by its number, the column that words beside it name; None where they name two.

    What follows a bound is rather its unit (`500 km`) than what is computed.
    """
    found: dict[int, Column] = {}
    for number, limit in enumerate(match.intent.limits):
        columns = _of_unit(match, limit)
        for near in _beside(match, limit):
            unit = [one for one in columns if any(_is_unit(match, at, one) for at in near)]
            if len(unit) == 1:
                match.tell([at for at in near if _is_unit(match, at, unit[0])], 1.0)
                found[number] = unit[0]
                break
            best = _best(match, columns, near)
            if best is not None:
                match.tell(best[1], max(best[1].values()))
                found[number] = best[0]
                break
            if any(_named(match, one, near)[0] for one in columns):
                return None
    return found


def _beside(match: _Match, limit: Limit) -> tuple[list[int], list[int]]:
    """The words right behind a bound, and those before it."""
    words = match.intent.words
    before = [at for at, word in enumerate(words) if word.end <= limit.start][-3:]
    after = [at for at, word in enumerate(words) if word.start >= limit.end][:1]
    return [at for at in after if at not in match.told], [at for at in before if at not in match.told]


def _is_unit(match: _Match, at: int, column: Column) -> bool:
    return bool(column.unit) and match.intent.words[at].text.casefold() == column.unit.casefold()


def _of_unit(match: _Match, limit: Limit) -> list[Column]:
    numbers = _columns(match.table, Kind.NUMBER)
    return [one for one in numbers if not limit.unit or _unit(one) == limit.unit.upper()]


def _limits(match: _Match, measure: Column | None, near: Mapping[int, Column]) -> bool:
    """The conditions of the question's bounds; False where one has no column for sure."""
    for number, limit in enumerate(match.intent.limits):
        column = near.get(number) or _limited(match, limit, measure)
        if column is None or not _one_unit(column):
            return False
        match.conditions.append(Bound(column=column, sign=limit.sign, bound=limit.number))
    return True


def _limited(match: _Match, limit: Limit, measure: Column | None) -> Column | None:
    """The column whose numbers a bound is for, where no word beside it says so."""
    numbers = _of_unit(match, limit)
    if measure is not None and measure in numbers and match.intent.operation is not Operation.DISTINCT:
        return measure
    usable = [one for one in numbers if one.adds_up]
    if len(usable) > 1:
        usable = [one for one in usable if _CHIEF.search(one.name)]
    return usable[0] if len(usable) == 1 else numbers[0] if len(numbers) == 1 else None


# -- what is left -------------------------------------------------------------------------------------


def _rest(match: _Match, measure: Column | None, by: Column | None) -> bool:
    """Whether the words that are left are in the table's name, in a heading of words, or say nothing."""
    used = {one.column.at for one in match.conditions} | {one.at for one in (measure, by) if one is not None}
    for at in match.open:
        word = match.intent.words[at]
        if is_stop(word.text) and not is_number(word.text):
            continue
        quality = _left(match, at, used, measure)
        if quality is None:
            return False
        match.tell((at,), quality)
    return True


def _left(match: _Match, at: int, used: set[int], measure: Column | None) -> float | None:
    word, table = match.intent.words[at], match.table
    if is_number(word.text) or (word.is_capitalised and at > 0):
        if word.stem in table.context:
            return 1.0
        return 0.5 if measure is not None and word.text.upper() == _unit(measure) else None
    if measure is not None and _MONEY_SAID.get(word.stem) == _unit(measure):
        return 0.5
    context = max((likeness(word.stem, one) for one in table.context), default=0.0)
    if context >= 0.8:
        return context
    others = [one for one in table.columns if one.kind is not Kind.NUMBER or one.at in used]
    if any(_like(word.stem, one.stems) >= 0.6 for one in others):
        return 0.3
    return 0.0 if word.stem in GENERIC else None


def _adds_up(
    match: _Match, operation: Operation, measure: Column | None, by: Column | None, grain: Grain
) -> bool:
    """Whether the operation means something of the column: prices of several rows are not added."""
    if operation is not Operation.SUM or measure is None or measure.adds_up:
        return True
    if by is None:
        return False
    names = [text for text in by.folded if text]
    return grain is Grain.NONE and len(set(names)) == len(names)


def _fit(match: _Match, measure: Column | None) -> tuple[float, ...]:
    """How well the table fits: the weight of the words that it says; less where it is of another kind."""
    words = match.intent.words
    told = sum(quality * weight(words[at].text) for at, quality in match.told.items())
    said = {word.stem for word in words}
    qualified = (match.table.context | set(measure.stems if measure else ())) & _QUALIFIED
    _, share = _named(match, measure, range(len(words))) if measure is not None else ({}, 1.0)
    return (-float(len(qualified - said)), round(told, 6), round(share, 6))
