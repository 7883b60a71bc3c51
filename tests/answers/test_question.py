"""What a question asks for is read from its words."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.answering import clauses_of
from cape.answers.question import LONGEST_QUESTION, Asked, EmptyQuestion, asked_for, read_question
from cape.answers.words import best_likeness, stem


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("When was the plant built?", Asked.DATE),
        ("By when do I have to announce my plans?", Asked.DATE),
        ("How long is the notice period?", Asked.DURATION),
        ("How many days off are there?", Asked.DURATION),
        ("How much may a hotel cost?", Asked.AMOUNT),
        ("What is the maximum price per night?", Asked.AMOUNT),
        ("Who approves a trip?", Asked.PERSON),
        ("Where is the first-aid box?", Asked.PLACE),
        ("May I fly business class?", Asked.YES_NO),
        ("Is there a canteen?", Asked.YES_NO),
        ("Why did the server fail?", Asked.REASON),
        ("How do I book a train?", Asked.HOW_TO),
        ("What documents do I need?", Asked.LIST),
        ("What is a Lode?", Asked.DEFINITION),
        ("battle at helm's deep", Asked.OTHER),
    ],
)
def test_kind_of_answer_is_read(text: str, wanted: Asked) -> None:
    assert asked_for(text) is wanted


def test_terms_times_and_names_are_read() -> None:
    question = read_question("What were the Q1 2023 metrics for the Nordics?")
    assert question.quarters == {"Q1"}
    assert question.years == {"2023"}
    assert stem("Nordics") in question.names
    assert "the" not in question.stems
    assert question.wants_all


def test_quarters_in_words_are_quarters() -> None:
    assert read_question("revenue in the third quarter of 2022").quarters == {"Q3"}


@pytest.mark.parametrize(
    "text",
    [
        "What was the revenue of all regions in total?",
        "Which region had the highest churn in 2023?",
        "What is the average headcount?",
        "How much did revenue grow from 2022 to 2023?",
    ],
)
def test_aggregates_are_seen(text: str) -> None:
    assert read_question(text).is_aggregate


def test_capitals_make_a_name_of_a_stop_word() -> None:
    assert "IT" in read_question("What is the budget for IT?").stems
    assert best_likeness("IT", [stem("it")]) == 0.0


@pytest.mark.parametrize("text", ["", "   ", "?!", "\x00\x07", "\u200b"])
def test_a_question_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(EmptyQuestion, match="no word"):
        read_question(text)


def test_control_characters_are_blanks() -> None:
    assert read_question("Who\x00pays\x1b[31m the\ttrain?").text == "Who pays [31m the train?"


def test_a_question_of_100_000_characters_is_cut_and_read_at_once() -> None:
    started = time.monotonic()
    question = read_question("who pays the train and " * 5_000)
    assert question.was_cut
    assert len(question.text) <= LONGEST_QUESTION
    assert time.monotonic() - started < 2


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_question_or_refused(text: str) -> None:
    try:
        question = read_question(text)
    except EmptyQuestion:
        return
    assert question.terms
    assert question.total_weight > 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Who pays?", ("Who pays?",)),
        (
            "How large is the reserve, and who signs it?",
            ("How large is the reserve", "who signs it (How large is the reserve)"),
        ),
        (
            "How valuable can a leased bike be, and what is paid per km ridden on duty?",
            ("How valuable can a leased bike be", "what is paid per km ridden on duty"),
        ),
        ("Who owns pens and pencils?", ("Who owns pens and pencils?",)),
    ],
)
def test_a_question_of_several_is_cut(text: str, wanted: tuple[str, ...]) -> None:
    assert clauses_of(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["Wie hoch ist das Übernachtungsgeld in Oslo?", "出張の費用は誰が払いますか", "Кто платит за поезд?"],
)
def test_other_languages_are_read(text: str) -> None:
    assert read_question(text).terms
