"""Questions over rows: which rows a question names, which columns it asks for, and the cells that answer.

Owns matching of a question's words with column names, row values, quarters and dates. It adds nothing up: a
question for a sum or an extreme over rows gets no cell from here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cape.answers.mentions import mentions_of
from cape.answers.question import QUARTERS, Asked, Question, Term
from cape.answers.selection import Passage, missing_from_row
from cape.answers.sentences import Unit, units_of
from cape.answers.words import best_likeness, likeness, stem, weight, words_of
from cape.knowledge.addresses import column_number
from cape.knowledge.documents import Cell, Place

MOST_ROWS = 8
"""Rows that one answer shows; a question that leaves more has not said which it means."""

_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})(?:-\d{2})?\b")
_NUMERIC = re.compile(r"^[\s(+\-−–€$£~≈]*\d[\d.,\s\u202f']*\s*(?:%|[a-zA-Z€$£]{0,4})\)?\s*$")
_UNIT = re.compile(r"\([^()]*\)")
_SUMMING = re.compile(r"\b(?:total|sum|average|overall|all)\b", re.IGNORECASE)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class RowAnswer:
    """A row that the question names, and of it the cells that say which row it is and those that answer.

    `coverage` is the weight of the question's words that row, columns and headings have, in [0, 1]. `exact`
    tells that the columns were named by the question.
    """

    passage: Passage
    rank: int
    unit: Unit
    keys: tuple[Cell, ...]
    values: tuple[Cell, ...]
    coverage: float
    exact: bool

    @property
    def text(self) -> str:
        """`Nordics, Q1 2023: Revenue: 4.1; Headcount: 37`."""
        keys = ", ".join(cell.text for cell in self.keys)
        values = "; ".join(
            f"{cell.column}: {cell.text}" if cell.column else cell.text for cell in self.values
        )
        return f"{keys} - {values}" if keys else values

    @property
    def place(self) -> Place:
        """The value cells, as one address or range where they stand side by side."""
        return cells_place(self.values)


@dataclass(frozen=True, slots=True)
class _Row:
    passage: Passage
    rank: int
    unit: Unit
    context: frozenset[str]

    @property
    def table(self) -> tuple[str, str, tuple[str, ...]]:
        return self.passage.chunk.document, self.unit.table, tuple(cell.column for cell in self.unit.cells)


def rows_for(question: Question, passages: Sequence[Passage]) -> tuple[RowAnswer, ...]:
    """The rows of one table that the question names, in the table's order; empty when it names none.

    Of several tables the one whose rows cover the question best is taken, then the one ranked first.
    """
    question = by_value(question)
    tables: dict[tuple[str, str, tuple[str, ...]], list[_Row]] = {}
    for row in _rows(passages):
        tables.setdefault(row.table, []).append(row)
    answers = [found for rows in tables.values() if (found := _in_table(question, rows))]
    best: tuple[RowAnswer, ...] = ()
    for found in answers:
        if not best or max(one.coverage for one in found) > max(one.coverage for one in best) + 1e-9:
            best = found
    return best


def by_value(question: Question) -> Question:
    """The question with quarters as values: `the third quarter` is `Q3`, no column called `Quarter`."""
    if not question.quarters:
        return question
    said = {stem(word) for word in ("quarter", *QUARTERS)} | {one.casefold() for one in question.quarters}
    terms = [term for term in question.terms if term.stem not in said]
    times = [Term(one.casefold(), one, weight(one)) for one in sorted(question.quarters)]
    return replace(question, terms=(*terms, *times))


def _rows(passages: Sequence[Passage]) -> list[_Row]:
    found, seen = [], set()
    for rank, passage in enumerate(passages):
        for unit in units_of(passage.chunk):
            key = (passage.chunk.document, str(unit.place), unit.text)
            if unit.cells and key not in seen:
                seen.add(key)
                found.append(_Row(passage, rank, unit, _context(passage, unit)))
    return found


def _context(passage: Passage, unit: Unit) -> frozenset[str]:
    sheet = next((cell.place.sheet for cell in unit.cells if cell.place.sheet), "") or ""
    name = passage.chunk.document.rsplit("/", 1)[-1].replace("_", " ").replace("-", " ")
    around = " ".join([*passage.chunk.title_path, unit.heading, unit.table, sheet, name])
    return frozenset(word.stem for word in words_of(around))


def stems_of_value(text: str) -> frozenset[str]:
    """The stems of a cell's text; a date in ISO form also stands for its month and its quarter."""
    stems = {word.stem for word in words_of(text)}
    for year, month in _ISO_DATE.findall(text):
        if 1 <= int(month) <= 12:
            stems |= {year, f"q{(int(month) + 2) // 3}", stem(_MONTHS[int(month) - 1])}
    return frozenset(stems)


def _in_table(question: Question, rows: Sequence[_Row]) -> tuple[RowAnswer, ...]:
    """The rows that have every word of the question which tells this table's rows apart."""
    values = [[stems_of_value(cell.text) for cell in row.unit.cells] for row in rows]
    filters = _filters(question, values)
    if not filters:
        return ()
    kept = [
        (row, cells)
        for row, cells in zip(rows, values, strict=True)
        if all(_near(term.stem, frozenset().union(*cells)) for term in filters)
    ]
    if not kept or len(kept) > MOST_ROWS or _would_add_up(question, [row for row, _ in kept]):
        return ()
    return tuple(found for row, cells in kept if (found := _answer(question, row, cells, filters)))


def _filters(question: Question, values: Sequence[Sequence[frozenset[str]]]) -> tuple[Term, ...]:
    """The question's terms that some rows of the table have as a value and others lack.

    Of a table with one row, those that its values have.
    """
    flat = [frozenset().union(*cells) for cells in values]
    found = []
    for term in question.terms:
        having = sum(_near(term.stem, stems) for stems in flat)
        if having > 0 and (having < len(flat) or len(flat) == 1):
            found.append(term)
    return tuple(found)


def _near(wanted: str, stems: frozenset[str]) -> bool:
    return any(likeness(wanted, one) >= 0.8 for one in stems)


def _would_add_up(question: Question, rows: Sequence[_Row]) -> bool:
    """Whether an answer needs several rows at once, which the row of a total spares."""
    return question.is_aggregate and not (len(rows) == 1 and _SUMMING.search(rows[0].unit.text))


def _answer(
    question: Question, row: _Row, cells: Sequence[frozenset[str]], filters: Sequence[Term]
) -> RowAnswer | None:
    pairs = list(zip(row.unit.cells, cells, strict=True))
    keys = tuple(cell for cell, stems in pairs if any(_near(term.stem, stems) for term in question.terms))
    others = tuple(cell for cell, _ in pairs if cell not in keys and cell.text.strip())
    rest = [term for term in question.terms if term not in filters]
    named = _named_columns(rest, others)
    values = named or _unnamed(question, others)
    if not values:
        return None
    columns = {word.stem for cell in values for word in words_of(cell.column)}
    reached = columns | set(row.context) | set().union(*cells)
    covered = sum(term.weight * best_likeness(term.stem, reached) for term in question.terms)
    times = {one.casefold() for one in question.years | question.quarters}
    if not times <= reached or missing_from_row(question, row.passage.chunk, row.unit):
        return None
    return RowAnswer(
        passage=row.passage,
        rank=row.rank,
        unit=row.unit,
        keys=keys,
        values=values,
        coverage=covered / question.total_weight,
        exact=bool(named) or question.wants_all,
    )


def cells_in_row(question: Question, passage: Passage, rank: int, unit: Unit) -> RowAnswer | None:
    """Of a row that was chosen as a sentence is, the cells whose columns the question names; None: none."""
    question = by_value(question)
    row = _Row(passage, rank, unit, _context(passage, unit))
    cells = [stems_of_value(cell.text) for cell in unit.cells]
    filters = [term for term in question.terms if _near(term.stem, frozenset().union(*cells))]
    found = _answer(question, row, cells, filters)
    if found is None or not found.exact or question.wants_all:
        return None
    return found if found.keys else replace(found, keys=unit.cells[:1])


def _named_columns(terms: Sequence[Term], cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells whose column the terms name best; empty when they name none.

    Of columns that are named as well the one with the fewest other words is meant: `orders` names `Orders`
    before `Order intake`. A unit in brackets is no word.
    """

    def worth(cell: Cell) -> tuple[float, float]:
        stems = [word.stem for word in words_of(_UNIT.sub(" ", cell.column))]
        named = sum(term.weight * best_likeness(term.stem, stems) for term in terms)
        fitting = sum(best_likeness(one, wanted) >= 0.6 for one in stems)
        return round(named, 9), fitting / len(stems) if stems else 0.0

    wanted = {term.stem for term in terms}
    best = max((worth(cell) for cell in cells), default=(0.0, 0.0))
    return tuple(cell for cell in cells if best[0] > 0.0 and worth(cell) == best)


def _unnamed(question: Question, cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells that can answer when no column is named: those of the kind asked for, else all."""
    if question.wants_all:
        return tuple(cells)
    if question.asked is Asked.AMOUNT:
        return tuple(cell for cell in cells if _NUMERIC.match(cell.text))
    known = frozenset(word.text.casefold() for word in words_of(question.text))
    typed = tuple(cell for cell in cells if any(mentions_of(question.asked, f"- {cell.text}", known)))
    return typed or tuple(cells)


_ADDRESS = re.compile(r"^([A-Z]+)(\d+)$")


def cells_place(cells: Sequence[Cell]) -> Place:
    """The place of some cells of one row: `B7`, or `B7:D7` from the first to the last.

    Cells without addresses have the place of the first.
    """
    first = cells[0].place
    addresses = [match for cell in cells if (match := _ADDRESS.match(cell.place.cells or ""))]
    if len(addresses) != len(cells) or len(cells) == 1:
        return first
    ordered = sorted(addresses, key=lambda match: column_number(match.group(1)))
    spans = [cell.place.span for cell in cells if cell.place.span]
    span = (min(one[0] for one in spans), max(one[1] for one in spans)) if spans else None
    return replace(first, cells=f"{ordered[0].group()}:{ordered[-1].group()}", span=span)
