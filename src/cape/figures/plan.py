"""A query over one table as a value: what is computed, of which column, under which conditions.

Owns these types and the query's wording in SQL. It runs nothing.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from cape.figures.tables import Column, Kind, Table


class Operation(StrEnum):
    """What a question wants of the rows."""

    SUM = "sum"
    MEAN = "mean"
    MEDIAN = "median"
    LARGEST = "largest"
    SMALLEST = "smallest"
    COUNT = "count"
    DISTINCT = "distinct"


class Shape(StrEnum):
    """How the result is put: one value, one for each group, the group with the most, or two compared."""

    ONE = "one"
    EACH = "each"
    MOST = "most"
    LEAST = "least"
    DIFFERENCE = "difference"
    WHETHER_MORE = "whether-more"
    WHETHER_LESS = "whether-less"


class Grain(StrEnum):
    """Parts of a date that rows are grouped by."""

    NONE = ""
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOf:
    """Rows whose cell is one of some texts, as they are compared; `shown` are they as the table has them."""

    column: Column
    values: tuple[str, ...]
    shown: tuple[str, ...]

    def sql(self) -> tuple[str, tuple[object, ...]]:
        marks = ", ".join("?" for _ in self.values)
        return f"v{self.column.at} IN ({marks})", self.values

    def __str__(self) -> str:
        return f"{self.column.name} is {' or '.join(self.shown)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """Rows whose number lies on one side of a bound; `sign` is `>`, `>=`, `<`, `<=` or `=`."""

    column: Column
    sign: str
    bound: Decimal

    def sql(self) -> tuple[str, tuple[object, ...]]:
        return f"c{self.column.at} {self.sign} CAST(? AS DECIMAL(38, 6))", (str(self.bound),)

    def __str__(self) -> str:
        return f"{self.column.name} {self.sign} {self.bound:,f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Within:
    """Rows whose date is from `first` on and before `end`; None is no bound on that side."""

    column: Column
    first: datetime.date | None
    end: datetime.date | None

    def sql(self) -> tuple[str, tuple[object, ...]]:
        parts = [f"c{self.column.at} {sign} ?" for sign, day in (self._sides()) if day]
        return " AND ".join(parts), tuple(day for _, day in self._sides() if day)

    def _sides(self) -> tuple[tuple[str, datetime.date | None], ...]:
        return (">=", self.first), ("<", self.end)

    def __str__(self) -> str:
        told = [f"from {self.first}" if self.first else "", f"before {self.end}" if self.end else ""]
        return f"{self.column.name} {' and '.join(filter(None, told))}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InMonths:
    """Rows whose date is in one of some months, in whatever year."""

    column: Column
    months: tuple[int, ...]

    def sql(self) -> tuple[str, tuple[object, ...]]:
        marks = ", ".join("?" for _ in self.months)
        return f"month(c{self.column.at}) IN ({marks})", self.months

    def __str__(self) -> str:
        return f"{self.column.name} in month {', '.join(map(str, self.months))}"


Condition = OneOf | Bound | Within | InMonths


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A query over the rows of a table.

    `measure` is None where rows are counted. `by` is the column whose groups are told apart, and `pair` the
    two of its values that are compared. `fit` is how much of the question the table says, to choose among
    tables.
    """

    table: Table
    operation: Operation
    shape: Shape = Shape.ONE
    measure: Column | None = None
    by: Column | None = None
    grain: Grain = Grain.NONE
    pair: tuple[str, str] | None = None
    conditions: tuple[Condition, ...] = ()
    fit: tuple[float, ...] = ()

    def where(self) -> tuple[str, tuple[object, ...]]:
        """The rows that count, and the values of its marks."""
        parts = [one.sql() for one in self.conditions]
        if self.measure is not None:
            parts.append((f"{self._cell(self.measure)} IS NOT NULL", ()))
        if self.by is not None:
            parts.append((f"{self._group()} IS NOT NULL", ()))
        told = " AND ".join(sql for sql, _ in parts) or "true"
        return told, tuple(value for _, values in parts for value in values)

    def sql(self) -> tuple[str, tuple[object, ...]]:
        """The whole query: (group, value, rows that count in it); the group is '' where there is none."""
        where, values = self.where()
        group = self._group() if self.by is not None else "''"
        order = {Shape.MOST: "2 DESC, 1", Shape.LEAST: "2, 1"}.get(self.shape, "1")
        text = (
            f"SELECT {group} AS grouped, {self._value()} AS value, count(*) AS counted FROM rows "
            f"WHERE {where} GROUP BY 1 ORDER BY {order}"
        )
        return text, values

    def _cell(self, column: Column) -> str:
        is_text = column.kind in (Kind.WORDS, Kind.KEY)
        return f"{'v' if is_text else 'c'}{column.at}"

    def _group(self) -> str:
        assert self.by is not None
        cell = self._cell(self.by)
        forms = {Grain.MONTH: "%Y-%m", Grain.YEAR: "%Y"}
        if self.grain in forms:
            return f"strftime({cell}, '{forms[self.grain]}')"
        if self.grain is Grain.QUARTER:
            return f"year({cell}) || ' Q' || quarter({cell})"
        return f"CAST({cell} AS VARCHAR)"

    def _value(self) -> str:
        if self.measure is None:
            return "count(*)"
        cell = self._cell(self.measure)
        return {
            Operation.SUM: f"sum({cell})",
            Operation.MEAN: f"avg({cell})",
            Operation.MEDIAN: f"median({cell})",
            Operation.LARGEST: f"max({cell})",
            Operation.SMALLEST: f"min({cell})",
            Operation.COUNT: f"count({cell})",
            Operation.DISTINCT: f"count(DISTINCT {cell})",
        }[self.operation]
