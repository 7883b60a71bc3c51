"""Running a plan with DuckDB, in memory, without files or network: values of groups, and the rows that count.

Owns the connection and what DuckDB's absence means. No result depends on threads or on earlier queries.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cape.figures.plan import Plan
from cape.figures.tables import Column, Kind, Table


@dataclass(frozen=True, slots=True)
class Group:
    """A group's name as rows are compared, its value, and how many rows it has; the name is '' for all."""

    name: str
    value: Decimal
    counted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a plan gave: its groups in order, and the numbers of the rows that count, in order."""

    groups: tuple[Group, ...]
    rows: tuple[int, ...]


def is_here() -> bool:
    """Whether DuckDB is installed; it is imported only to run a query."""
    return importlib.util.find_spec("duckdb") is not None


def version() -> str:
    """DuckDB's version, for what an answer was made with; `none` where it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return version_of("duckdb")
    except PackageNotFoundError:
        return "none"


def run(plan: Plan) -> Result:
    """The groups and rows of a plan."""
    connection = _connected()
    try:
        _load(connection, plan.table)
        text, values = plan.sql()
        groups = connection.execute(text, list(values)).fetchall()
        where, marks = plan.where()
        rows = connection.execute(f"SELECT row FROM rows WHERE {where} ORDER BY row", list(marks)).fetchall()
    finally:
        connection.close()
    return Result(
        groups=tuple(Group(str(name), _decimal(value), int(counted)) for name, value, counted in groups),
        rows=tuple(int(row[0]) for row in rows),
    )


def _decimal(value: Any) -> Decimal:
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    return exact.normalize() if exact else Decimal(0)


def _connected() -> Any:
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return duckdb.connect(":memory:", config=settings)


def _load(connection: Any, table: Table) -> None:
    """The table as `rows`: `c1` is a column's numbers or dates, `v1` its texts as they are compared."""
    columns: list[tuple[str, str, list[object]]] = [("row", "INTEGER", list(range(len(table.rows))))]
    for one in table.columns:
        columns += _columns_of(one)
    declared = ", ".join(f"{name} {kind}" for name, kind, _ in columns)
    connection.execute(f"CREATE TABLE rows ({declared})")
    given = ", ".join(f"unnest(CAST(? AS VARCHAR[]))::{kind}" for _, kind, _ in columns)
    texts = [[None if one is None else str(one) for one in values] for _, _, values in columns]
    connection.execute(f"INSERT INTO rows SELECT {given}", texts)


def _columns_of(column: Column) -> list[tuple[str, str, list[object]]]:
    found: list[tuple[str, str, list[object]]] = [
        (f"v{column.at}", "VARCHAR", [one or None for one in column.folded])
    ]
    if column.kind is Kind.DATE and column.dates is not None:
        found.append((f"c{column.at}", "DATE", list(column.dates.values)))
    elif column.numbers is not None:
        kind = "INTEGER" if column.kind is Kind.YEAR else "DECIMAL(38, 6)"
        found.append((f"c{column.at}", kind, list(column.numbers.values)))
    return found
