"""Questions over rows are answered by the cells that they name, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cape.answers.answer import Verdict
from cape.answers.answering import answer_question
from cape.answers.question import read_question
from cape.answers.selection import WordsOnly
from cape.answers.tables import cells_place, rows_for, stems_of_value
from cape.answers.weights import BY_WORDS
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


QUARTERS = table(
    "metrics/harbours.xlsx",
    "Harbours",
    ["Harbour", "Year", "Quarter", "Berths let", "Profit (kEUR)"],
    ["Aveiro", "2022", "Q3", "31", "12"],
    ["Aveiro", "2022", "Q4", "28", "9"],
    ["Sopot", "2022", "Q3", "40", "17"],
)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        (
            "How much profit was left in Aveiro in the third quarter of 2022?",
            "Aveiro, 2022, Q3 - Profit (kEUR): 12",
        ),
        ("How many berths did Aveiro let in the last quarter of 2022?", "Aveiro, 2022, Q4 - Berths let: 28"),
    ],
)
def test_a_quarter_in_words_chooses_rows_and_not_the_column_quarter(question: str, found: str) -> None:
    assert [text for text, _ in cells(question, QUARTERS)] == [found]


@pytest.mark.parametrize(
    "question",
    [
        "How much profit was left in Aveiro in the third quarter of 2023?",
        "How much profit was left in Setubal in the third quarter of 2022?",
        "How many berths were let in Setubal in Q3 2022?",
        "How many berths were let in Aveiro in the second quarter of 2022?",
    ],
)
def test_a_row_of_another_time_or_place_answers_nothing(question: str) -> None:
    assert cells(question, QUARTERS) == []
    answer = answer_question(question, passages(QUARTERS), WordsOnly(), weighing=replace(BY_WORDS, bar=0.01))
    assert answer.verdict is Verdict.NOT_FOUND


def test_a_year_in_a_cell_outweighs_the_one_in_the_name_of_the_file() -> None:
    old = table("report-2024.xlsx", "Sheet", ["Town", "Year", "Visitors"], ["Aveiro", "2021", "900"])
    assert cells("How many visitors came to Aveiro in 2024?", old) == []
    assert cells("How many visitors came to Aveiro in 2021?", old) != []


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("How many tickets did the Fram sell in 2021?", "Fram, 2021 - Tickets: 800"),
        ("How many ticket refunds did the Fram have in 2021?", "Fram, 2021 - Ticket refunds (EUR): 50"),
        ("What was the income of the Fram in 2021?", "Fram, 2021 - Turnover (kEUR): 90"),
    ],
)
def test_the_column_that_is_named_best_is_meant(question: str, found: str) -> None:
    ships = table(
        "ships.xlsx",
        "Ships",
        ["Ship", "Year", "Ticket refunds (EUR)", "Tickets", "Turnover growth (%)", "Turnover (kEUR)"],
        ["Fram", "2021", "50", "800", "3", "90"],
        ["Maud", "2021", "60", "700", "2", "80"],
    )
    assert [text for text, _ in cells(question, ships)] == [found]


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
