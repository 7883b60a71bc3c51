"""Questions over rows are answered by the cells that they name, or not at all."""

from __future__ import annotations

import pytest

from cape.answers.question import read_question
from cape.answers.tables import cells_place, rows_for, stems_of_value
from cape.knowledge.documents import Cell, Place
from tests.answers.passages import passages, table

REGIONS = table(
    "metrics/regions.xlsx",
    "Regions",
    ["Region", "Quarter", "Revenue (kEUR)", "Orders", "Churn"],
    ["Nordics", "Q1 2023", "412", "70", "1.7%"],
    ["Nordics", "Q2 2023", "455", "79", "1.9%"],
    ["Baltics", "Q1 2023", "98", "21", "3.5%"],
    ["Total", "Q1 2023", "510", "91", "2.1%"],
)
MONTHS = table(
    "metrics/support.xlsx",
    "Tickets",
    ["Month", "Opened", "Hours to first answer"],
    ["2023-06-01", "201", "5.0"],
    ["2023-07-01", "188", "6.4"],
)
WIDE = table(
    "metrics/heads.xlsx",
    "Headcount",
    ["Office", "2021", "2022"],
    ["Bergen", "16", "18"],
    ["Porto", "9", "11"],
)


def cells(question: str, *chunks: object) -> list[tuple[str, str]]:
    found = rows_for(read_question(question), passages(*chunks))  # type: ignore[arg-type]
    return [(row.text, str(row.place)) for row in found]


def test_one_cell_is_named() -> None:
    assert cells("What was the churn in the Baltics in Q1 2023?", REGIONS) == [
        ("Baltics, Q1 2023 - Churn: 3.5%", "Regions!E4")
    ]


def test_all_metrics_of_a_row_are_given_with_their_range() -> None:
    assert cells("What were the Q1 2023 metrics for the Nordics?", REGIONS) == [
        ("Nordics, Q1 2023 - Revenue (kEUR): 412; Orders: 70; Churn: 1.7%", "Regions!C2:E2")
    ]


def test_a_date_in_iso_form_is_a_month_and_a_quarter() -> None:
    assert {"2023", "q3", "juli"} <= stems_of_value("2023-07-01")
    assert cells("How many hours to the first answer in July 2023?", REGIONS, MONTHS) == [
        ("2023-07-01 - Hours to first answer: 6.4", "Tickets!C3")
    ]


def test_a_year_may_be_a_column() -> None:
    assert cells("How many people had Porto in 2021?", WIDE) == [("Porto - 2021: 9", "Headcount!B3")]


@pytest.mark.parametrize(
    "question",
    [
        "What were the metrics for the Nordics in Q1 2021?",
        "What was the churn in the Balkans in Q3 2023?",
        "What was the total of all revenue in the Nordics?",
        "Which region had the highest churn in 2023?",
        "Who approves a trip?",
    ],
)
def test_what_no_row_says_gets_no_cell(question: str) -> None:
    assert cells(question, REGIONS) == []


def test_several_rows_are_all_given() -> None:
    assert cells("What was the revenue in the Nordics?", REGIONS) == [
        ("Nordics - Revenue (kEUR): 412", "Regions!C2"),
        ("Nordics - Revenue (kEUR): 455", "Regions!C3"),
    ]


def test_the_row_of_a_total_answers_for_all() -> None:
    assert cells("What was the total revenue of all regions in Q1 2023?", REGIONS) == [
        ("Total, Q1 2023 - Revenue (kEUR): 510", "Regions!C5")
    ]


def test_cells_without_addresses_have_the_place_of_the_first() -> None:
    two = tuple(Cell(column=name, text="1", place=Place(page=3)) for name in "ab")
    assert cells_place(two) == Place(page=3)


def test_a_range_goes_from_the_first_column_to_the_last() -> None:
    three = tuple(
        Cell(column=name, text="1", place=Place(sheet="S", cells=f"{name}7")) for name in ("AA", "B", "Z")
    )
    assert str(cells_place(three)) == "S!B7:AA7"
