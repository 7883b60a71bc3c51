"""From a question and the asker's tables to an answer with the cells that it is made of.

Owns the choice among tables, the wording, and which rows are cited. It neither searches nor reads files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from cape.answers.answer import Answer, Citation, Explanation, Verdict
from cape.answers.question import read_question
from cape.answers.words import best_likeness, is_stop, words_of
from cape.figures.intent import GENERIC, Intent, read_intent
from cape.figures.matching import plan_for
from cape.figures.plan import Grain, Operation, Plan, Shape
from cape.figures.query import Result, run
from cape.figures.tables import Column, Table, TableRow
from cape.knowledge.documents import Place

CITED = 6
"""Stretches of rows that an answer cites, at most; a note counts the others."""

_SHOWN_GROUPS = 20
_CLOSE = 0.8
"""Another table may be meant as well, if it says at least this share of what the best one says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Computed:
    """An answer that was computed, and the plan and result that it comes from."""

    answer: Answer
    plan: Plan
    result: Result

    def is_quoted_by(self, quoted: Answer) -> bool:
        """Whether nothing was added up, and an answer quotes just the cell that this one has."""
        cells = self.plan.measure.cells if self.plan.measure is not None else ()
        if self.plan.shape is not Shape.ONE or len(self.result.rows) != 1 or not cells:
            return False
        own = cells[self.result.rows[0]]
        places = [one.place for one in quoted.citations if one.document == self.plan.table.document]
        return own is not None and len(quoted.citations) == 1 and own.place in places


def wants_figures(text: str) -> bool:
    """Whether a question asks for something that is computed over rows."""
    return read_intent(text) is not None


def is_said_by(text: str, quoted: Answer) -> bool:
    """Whether rows that an answer quotes can be what a question for figures wants.

    They cannot, where it asks for a sum, a mean or an extreme and several rows are quoted, or where a word of
    the question stands neither in the row nor above it. What is no row is not judged.
    """
    intent = read_intent(text)
    rows = [one for one in quoted.citations if one.place.cells is not None]
    if intent is None or intent.is_plain or not rows or len(rows) < len(quoted.citations):
        return True
    if len(rows) > 1:
        return False
    said = " ".join([rows[0].quote, *rows[0].title_path, rows[0].document, quoted.text])
    stems = {word.stem for word in words_of(said)}
    telling = [
        word for at, word in enumerate(intent.words) if at not in intent.said and not is_stop(word.text)
    ]
    return all(best_likeness(word.stem, stems) >= 0.6 or word.stem in GENERIC for word in telling)


def compute(text: str, tables: Sequence[Table]) -> Computed | None:
    """The answer that one of the tables gives; None where none surely does, or two do differently."""
    intent = read_intent(text)
    if intent is None:
        return None
    plans = [plan for table in tables if (plan := plan_for(intent, table)) is not None]
    if not plans:
        return None
    best = max(plan.fit for plan in plans)
    near = [plan for plan in plans if plan.fit[0] == best[0] and plan.fit[1] >= _CLOSE * best[1]]
    chosen = sorted(near, key=lambda plan: plan.fit, reverse=True)
    results = [run(plan) for plan in chosen]
    if any(_is_other(chosen[0], results[0], plan, one) for plan, one in zip(chosen, results, strict=True)):
        return None
    plan, result = chosen[0], results[0]
    told = _told(plan, result) if result.rows else None
    return (
        None
        if told is None
        else Computed(answer=_answer(intent, plan, result, *told), plan=plan, result=result)
    )


def _is_other(plan: Plan, result: Result, other: Plan, theirs: Result) -> bool:
    if other is plan:
        return False
    return [(one.name, one.value) for one in result.groups] != [
        (one.name, one.value) for one in theirs.groups
    ]


# -- wording ------------------------------------------------------------------------------------------


def _told(plan: Plan, result: Result) -> tuple[str, tuple[int, ...]] | None:
    """What the result is in words, and the rows that it is of; None where it decides nothing."""
    if plan.pair is not None:
        return _compared(plan, result)
    if plan.shape is Shape.ONE:
        return f"{_what(plan)}: {_value(plan, result.groups[0].value)}", _rows_of(plan, result)
    if plan.shape is Shape.EACH:
        listed = [f"{_group(plan, one.name)}: {_value(plan, one.value)}" for one in result.groups]
        if len(listed) > _SHOWN_GROUPS:
            return None
        return f"{_what(plan)}:\n" + "\n".join(listed), result.rows
    return _extreme(plan, result)


def _extreme(plan: Plan, result: Result) -> tuple[str, tuple[int, ...]] | None:
    best, *others = result.groups
    if not others:
        return None
    equal = [one for one in others if one.value == best.value]
    names = " and ".join(_group(plan, one.name) for one in (best, *equal))
    rest = others[len(equal) :]
    then = f", then {_group(plan, rest[0].name)} with {_value(plan, rest[0].value)}" if rest else ""
    rows = tuple(at for at in result.rows if _name(plan, at) in {one.name for one in (best, *equal)})
    return f"{names}, with {_value(plan, best.value)} ({_what(plan)}){then}", rows


def _compared(plan: Plan, result: Result) -> tuple[str, tuple[int, ...]] | None:
    assert plan.pair is not None
    values = {one.name: one.value for one in result.groups}
    if any(name not in values for name in plan.pair):
        return None
    first, second = (values[name] for name in plan.pair)
    told = "; ".join(f"{_group(plan, name)}: {_value(plan, values[name])}" for name in plan.pair)
    if plan.shape is Shape.DIFFERENCE:
        return f"{_value(plan, abs(first - second))} ({_what(plan)}: {told})", result.rows
    is_so = first > second if plan.shape is Shape.WHETHER_MORE else first < second
    return f"{'Yes' if is_so else 'No'}: {told} ({_what(plan)})", result.rows


def _rows_of(plan: Plan, result: Result) -> tuple[int, ...]:
    """The rows that an answer is of: of an extreme those that have it, else all that count."""
    if plan.operation not in (Operation.LARGEST, Operation.SMALLEST) or plan.measure is None:
        return result.rows
    numbers = plan.measure.numbers
    assert numbers is not None
    wanted = result.groups[0].value
    return tuple(at for at in result.rows if numbers.values[at] == wanted)


def _what(plan: Plan) -> str:
    """`total of Amount, 12 rows where Region is North`."""
    words = {
        Operation.SUM: "total of",
        Operation.MEAN: "mean of",
        Operation.MEDIAN: "median of",
        Operation.LARGEST: "largest",
        Operation.SMALLEST: "smallest",
        Operation.COUNT: "number of rows",
        Operation.DISTINCT: "different values of",
    }
    name = f"{words[plan.operation]} {plan.measure.name}" if plan.measure else words[Operation.COUNT]
    where = " and ".join(str(one) for one in plan.conditions)
    return name + (f" where {where}" if where else "")


def _value(plan: Plan, value: Decimal) -> str:
    unit = ""
    if plan.measure is not None and plan.operation not in (Operation.COUNT, Operation.DISTINCT):
        told = plan.measure.numbers.distinct_units - {""} if plan.measure.numbers else frozenset()
        unit = next(iter(told)) if len(told) == 1 else plan.measure.unit
    rounded = value if plan.operation is not Operation.MEAN else round(value, max(2, _places(plan.measure)))
    text = f"{rounded.normalize():,f}" if rounded else "0"
    return f"{text}{'' if unit == '%' else ' '}{unit}".strip()


def _places(column: Column | None) -> int:
    numbers = [one for one in column.numbers.values if one is not None] if column and column.numbers else []
    return min(6, max((-int(one.as_tuple().exponent) for one in numbers), default=0))


def _name(plan: Plan, row: int) -> str:
    """The group of a row, as the query names it."""
    column = plan.by
    assert column is not None
    if plan.grain is Grain.NONE:
        return column.folded[row]
    day = column.dates.values[row] if column.dates else None
    if day is None:
        return ""
    forms = {Grain.MONTH: f"{day:%Y-%m}", Grain.YEAR: f"{day:%Y}"}
    return forms.get(plan.grain, f"{day.year} Q{(day.month + 2) // 3}")


def _group(plan: Plan, name: str) -> str:
    """A group's name as the table has it."""
    column = plan.by
    if column is None or plan.grain is not Grain.NONE:
        return name
    cells = [
        cell.text.strip()
        for cell, one in zip(column.cells, column.folded, strict=True)
        if cell is not None and one == name
    ]
    return max(sorted(set(cells)), key=cells.count) if cells else name


# -- citations ----------------------------------------------------------------------------------------


def _answer(intent: Intent, plan: Plan, result: Result, told: str, rows: tuple[int, ...]) -> Answer:
    citations, cited = _citations(plan, rows)
    marks = "".join(f"[{one.number}]" for one in citations)
    head, *lines = told.split("\n")
    return Answer(
        question=intent.text,
        asked=read_question(intent.text).asked,
        verdict=Verdict.FOUND,
        text="\n".join([f"{head} {marks}", *lines]),
        citations=citations,
        confidence=1.0,
        passages=len({row.passage.id for row in plan.table.rows}),
        has_vectors=False,
        explanation=Explanation(clauses=(intent.text,), query=_shown_query(plan)),
        notes=tuple(_notes(plan, result, rows, cited)),
    )


def _shown_query(plan: Plan) -> str:
    """The query as a reader can follow it: columns by their headings, values in their places."""
    text, values = plan.sql()
    for value in values:
        text = text.replace("?", f"'{value}'", 1)
    for column in sorted(plan.table.columns, key=lambda one: -one.at):
        for letter in "cv":
            text = (
                text.replace(f"{letter}{column.at} ", f'"{column.name}" ')
                .replace(f"{letter}{column.at})", f'"{column.name}")')
                .replace(f"{letter}{column.at},", f'"{column.name}",')
            )
    return text.replace("FROM rows", f'FROM "{plan.table.document}:{plan.table.name}"')


def _notes(plan: Plan, result: Result, rows: tuple[int, ...], cited: int) -> Iterator[str]:
    yield f"computed over {_count(len(result.rows), 'row')} of {len(plan.table.rows)}"
    if cited < len(rows):
        yield f"{_count(len(rows) - cited, 'further row')} not cited: {_range(plan, rows)}"
    if plan.table.totals:
        yield f"{_count(plan.table.totals, 'row')} of totals left out"
    if plan.measure is not None and plan.measure.numbers is not None and plan.measure.numbers.odd:
        yield f"{_count(plan.measure.numbers.odd, 'cell')} of `{plan.measure.name}` with words left out"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _range(plan: Plan, rows: Sequence[int]) -> str:
    """The first and the last cell, for what is not cited one by one."""
    cells = [place for at in rows if (place := _place(plan, plan.table.rows[at], at))]
    return f"{cells[0]} to {cells[-1]}" if cells else plan.table.name


def _citations(plan: Plan, rows: Sequence[int]) -> tuple[tuple[Citation, ...], int]:
    """Citations of stretches of neighbouring rows of one passage, and how many rows they have."""
    stretches: list[list[int]] = []
    for at in rows:
        last = stretches[-1] if stretches else None
        if (
            last
            and last[-1] + 1 == at
            and plan.table.rows[at].passage.id == plan.table.rows[last[-1]].passage.id
        ):
            last.append(at)
        else:
            stretches.append([at])
    kept = stretches[:CITED]
    made = tuple(_citation(plan, one, number) for number, one in enumerate(kept, start=1))
    return made, sum(len(one) for one in kept)


def _citation(plan: Plan, rows: Sequence[int], number: int) -> Citation:
    first, last = plan.table.rows[rows[0]], plan.table.rows[rows[-1]]
    chunk = first.passage.chunk
    return Citation(
        number=number,
        document=chunk.document,
        place=_stretch(_place(plan, first, rows[0]), _place(plan, last, rows[-1])),
        quote=chunk.text[first.start : last.end],
        chunk=chunk.digest,
        title_path=chunk.title_path,
    )


def _place(plan: Plan, row: TableRow, at: int) -> Place:
    """The cell of the measure in a row; of rows that are counted all cells."""
    cell = plan.measure.cells[at] if plan.measure is not None else None
    if cell is not None:
        return cell.place
    first, last = row.cells[0].place, row.cells[-1].place
    if first.cells and last.cells and first.cells != last.cells:
        return replace(first, cells=f"{first.cells}:{last.cells}")
    return first


def _stretch(first: Place, last: Place) -> Place:
    """From one cell to another, as one range."""
    if first == last:
        return first
    lines = (first.lines[0], last.lines[1]) if first.lines and last.lines else first.lines
    span = (first.span[0], last.span[1]) if first.span and last.span else first.span
    cells = first.cells
    if first.cells and last.cells:
        cells = f"{first.cells.split(':')[0]}:{last.cells.split(':')[-1]}"
    return replace(first, lines=lines, span=span, cells=cells)
