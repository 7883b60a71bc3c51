"""Questions for figures over rows of tables: what is computed and cited, and when nothing is said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cape.figures.answering import Computed, compute, wants_figures
from cape.figures.intent import read_intent
from cape.figures.tables import Kind, Table, tables_of
from cape.figures.values import dates_in, numbers_in
from cape.knowledge.chunking import chunk
from cape.knowledge.documents import Block
from tests.knowledge.builders import document, row

pytest.importorskip("duckdb")

HEAD = ("Region", "Order date", "Amount (EUR)", "Quantity", "Unit price (EUR)")
ORDERS = (
    ("North", "2023-03-02", "100.50", "3", "33.50"),
    ("South", "2023-04-11", "1,200.00", "10", "120"),
    ("north ", "2024-02-01", "49.50", "1", "49.50"),
    ("South", "2024-02-03", "300", "2", "150"),
    ("East", "2024-12-31", "(20.00)", "1", "20"),
)


def rows_of(
    lines: Sequence[Sequence[str]], head: Sequence[str] = HEAD, *, table: str = "Orders", first: int = 2
) -> list[Block]:
    return [row(table, first + at, **dict(zip(head, line, strict=True))) for at, line in enumerate(lines)]


def tables(*blocks: Sequence[Block], path: str = "orders.xlsx", title: str = "Orders") -> tuple[Table, ...]:
    from cape.answers.selection import Passage

    all_blocks = [one for several in blocks for one in several]
    made = chunk(document(path, all_blocks, title=title))
    return tables_of([Passage(id=number, chunk=one) for number, one in enumerate(made)])


def asked(question: str, *several: Table) -> Computed | None:
    return compute(question, several or tables(rows_of(ORDERS)))


def text(question: str, *several: Table) -> str:
    found = asked(question, *several)
    return found.answer.text if found else ""


def test_a_total_is_of_the_rows_that_fit_and_cites_their_cells() -> None:
    """Worked by hand: 100.50 + 49.50."""
    found = asked("What is the total amount of the North region?")
    assert found is not None
    assert found.answer.text.startswith("total of Amount where Region is North: 150 EUR")
    assert [one.place.cells for one in found.answer.citations] == ["C2", "C4"]
    assert "Region: North" in found.answer.citations[0].quote


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("total of the amount in 2024", "329.5 EUR"),
        ("How many orders over 250 EUR?", ": 2 "),
        ("What is the average amount in 2023?", "650.25 EUR"),
        ("median amount of orders in 2024", "49.5 EUR"),
        ("Which region has the largest amount?", "South, with 1,500 EUR"),
        ("Which region had the lowest total amount in 2024?", "East, with -20 EUR"),
        ("What is the highest unit price?", "150 EUR"),
        ("How much more is the amount of South than North in 2024?", "250.5 EUR"),
        ("Was the amount of North higher than that of South in 2024?", "No: North: 49.5 EUR; South: 300 EUR"),
        ("total amount by region in 2024", "South: 300 EUR"),
        ("How many orders were there between February 2024 and March 2024?", ": 2 "),
        ("total quantity of orders since April 2023", ": 14 "),
    ],
)
def test_what_is_computed_is_what_a_hand_computes(question: str, value: str) -> None:
    assert value in text(question)


@pytest.mark.parametrize(
    "question",
    [
        "total amount of the West region",  # no such region
        "total amount in 2019",  # no such year
        "total amount in USD",  # another currency
        "total weight of the orders",  # no such column
        "total unit price of North",  # prices do not add up
        "total amount and quantity of North",  # two columns
        "total amount without North",  # what a filter cannot say
        "total profit of North",
        "total amount of North and the moon",
    ],
)
def test_a_question_that_does_not_fit_in_every_word_gets_nothing(question: str) -> None:
    assert asked(question) is None


@pytest.mark.parametrize("question", ["Who approves a trip?", "When is the canteen open?", "What is a buoy?"])
def test_a_question_for_no_figure_is_left_alone(question: str) -> None:
    assert not wants_figures(question)


@pytest.mark.parametrize("label", ["Total", "Grand total", "TOTAL:", "Sum"])
def test_a_row_of_totals_is_not_counted_twice(label: str) -> None:
    lines = [*ORDERS, (label, "", "1,630.00", "17", "")]
    (table,) = tables(rows_of(lines))
    assert table.totals == 1
    assert "1,630 EUR" in text("What is the total amount?", table)


def test_a_customer_called_total_is_no_total() -> None:
    """`Total Energies` is a row of data: its number is not the sum of those above."""
    (table,) = tables(rows_of([("Total Energies", "2023-01-01", "7", "1", "7"), *ORDERS]))
    assert table.totals == 0


def test_rows_behind_an_empty_row_belong_to_the_table() -> None:
    behind = [
        row("Orders 2", 9, Region="North", Amount="5"),
    ]
    whole = tables(rows_of(ORDERS), [_headless(one) for one in behind])
    assert len(whole) == 1
    assert len(whole[0].rows) == 6


def _headless(block: Block) -> Block:
    from dataclasses import replace

    return replace(block, cells=tuple(replace(cell, column="") for cell in block.cells))


def test_two_tables_that_fit_as_well_and_differ_get_nothing() -> None:
    one, other = tables(rows_of(ORDERS)), tables(rows_of(ORDERS[:2]), path="more.xlsx")
    assert asked("total amount of North", *one, *other) is None
    assert asked("total amount of North", *one, *one) is not None


def test_a_sheet_of_targets_gives_way() -> None:
    real = tables(rows_of(ORDERS))
    targets = tables(rows_of(ORDERS[:1], table="Targets"), path="orders.xlsx")
    assert "150 EUR" in text("total amount of North", *targets, *real)


def test_mixed_currencies_are_not_added() -> None:
    mixed = tables(rows_of([("North", "5 EUR"), ("North", "7 USD")], ("Region", "Amount")))
    assert asked("total amount of North", *mixed) is None


def test_more_rows_than_are_cited_are_counted_in_a_note() -> None:
    lines = [(("North", "South")[at % 2], "2024-01-01", "1", "1", "1") for at in range(40)]
    found = asked("total amount of North", *tables(rows_of(lines)))
    assert found is not None
    assert len(found.answer.citations) == 6
    assert "14 further rows not cited: S!C2 to S!C40" in found.answer.notes


def test_the_query_is_shown_with_headings() -> None:
    found = asked("total amount of North in 2024")
    assert found is not None
    assert 'sum("Amount")' in found.answer.explanation.query
    assert "\"Region\" IN ('north')" in found.answer.explanation.query


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.204,50 €", "12,00 €"], ["1204.50", "12.00"]),
        (["1,204", "7.5"], ["1204.0", "7.5"]),
        (["(12)", "-3", "−4"], ["-12.0", "-3.0", "-4.0"]),
        (["12.5%", "n/a"], ["12.5", "None"]),
        (["1 204,5", "3"], ["1204.5", "3.0"]),
    ],
)
def test_numbers_are_read_as_their_column_means_them(cells: list[str], values: list[str]) -> None:
    found = numbers_in(cells)
    assert found is not None
    assert [str(one) for one in found.values] == values


def test_a_column_in_two_notations_is_no_numbers() -> None:
    assert numbers_in(["1.204,50", "1,204.50"]) is None
    assert numbers_in(["see note", "5"]) is None


def test_a_day_that_may_be_a_month_tells_only_its_year() -> None:
    sure, unsure = dates_in(["03/04/2024", "25/12/2024"]), dates_in(["03/04/2024"])
    assert sure is not None and unsure is not None
    assert (str(sure.values[0]), sure.grain.name) == ("2024-04-03", "DAY")
    assert unsure.grain.name == "YEAR"


def test_columns_know_what_they_are() -> None:
    (table,) = tables(rows_of([("1001", "2024", "5"), ("1002", "2023", "6")], ("Order ID", "Year", "Amount")))
    assert [column.kind for column in table.columns] == [Kind.KEY, Kind.YEAR, Kind.NUMBER]


def test_a_very_long_question_ends_soon() -> None:
    read_intent("total amount of " + "North and " * 200)
    assert asked("total amount of " + "North and " * 200) is not None
