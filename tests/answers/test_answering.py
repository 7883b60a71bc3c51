"""From passages to a cited answer: what is quoted, what is refused, what hidden documents may not change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.answer import NOT_FOUND, Answer, Verdict
from cape.answers.answering import answer_question
from cape.answers.question import EmptyQuestion
from cape.answers.selection import WordsOnly
from cape.answers.weights import BY_WORDS
from cape.knowledge.documents import Chunk
from cape.operations.asking import answer_from
from tests.answers.passages import ALL, GroupedIndex, passages, prose, table

TRAVEL = prose(
    "travel.docx",
    "The hotel limit in Oslo is 165 EUR a night. It is 120 EUR elsewhere.",
    "Trains are booked in second class.",
    title=("Travel policy", "Hotels"),
    page=3,
)
LEAVE = prose(
    "leave.md",
    "Everyone has 25 days of leave a year. Leave is approved by the team lead.",
    title=("Leave",),
)
STEPS = prose(
    "trips.md",
    "How to book a trip:",
    "- Ask your team lead.",
    "- Book the train.",
    "- Send the receipt to finance.",
    "Trips by car are rare.",
    title=("Trips",),
)
REGIONS = table(
    "regions.xlsx",
    "Regions",
    ["Region", "Quarter", "Revenue"],
    ["Nordics", "Q1 2023", "412"],
    ["Baltics", "Q1 2023", "98"],
)


def answered(question: str, *chunks: Chunk, bar: float | None = None) -> Answer:
    weighing = BY_WORDS if bar is None else replace(BY_WORDS, bar=bar)
    return answer_question(question, passages(*chunks), WordsOnly(), weighing=weighing)


def test_the_sentence_that_answers_is_quoted_with_its_page() -> None:
    answer = answered("What is the hotel limit in Oslo?", TRAVEL, LEAVE)
    assert answer.verdict is Verdict.FOUND
    assert answer.text.startswith("The hotel limit in Oslo is 165 EUR a night.")
    assert str(answer.citations[0]) == "travel.docx, page 3"
    assert "[1]" in answer.text


@pytest.mark.parametrize(
    "question",
    [
        "What is the hotel limit in Oslo?",
        "How many days of leave?",
        "How do I book a trip?",
        "Who approves leave?",
    ],
)
def test_every_quote_stands_in_its_passage_byte_for_byte(question: str) -> None:
    chunks = {chunk.document: chunk for chunk in (TRAVEL, LEAVE, STEPS)}
    answer = answered(question, *chunks.values(), bar=0.0)
    assert answer.citations
    for citation in answer.citations:
        chunk = chunks[citation.document]
        assert citation.quote in chunk.text
        assert citation.chunk == chunk.digest
        assert f"{citation.quote} [{citation.number}]" in answer.text
        assert citation.place.span is not None
        assert chunk.text[slice(*citation.place.span)] == citation.quote


def test_what_nothing_answers_is_not_found_and_says_why() -> None:
    answer = answered("Who painted the ceiling of the chapel?", TRAVEL, LEAVE)
    assert answer.verdict is Verdict.NOT_FOUND
    assert answer.text == NOT_FOUND
    assert not answer.citations
    assert any("lacks" in reason for reason in answer.explanation.reasons)


def test_no_passage_at_all_is_not_found() -> None:
    answer = answered("Who pays?")
    assert answer.text == NOT_FOUND
    assert answer.confidence == 0.0


def test_a_year_that_the_passage_lacks_is_not_found() -> None:
    chunk = prose("plan.md", "The budget of 2023 was 80 EUR.", title=("Budget",))
    assert answered("What was the budget of 2023?", chunk, bar=0.3).is_found
    refused = answered("What was the budget of 2019?", chunk, bar=0.3)
    assert not refused.is_found
    assert "2019" in " ".join(refused.explanation.reasons)


def test_the_steps_of_a_list_are_all_given() -> None:
    answer = answered("How do I book a trip?", STEPS, bar=0.0)
    assert "Ask your team lead." in answer.text
    assert "Send the receipt to finance." in answer.text
    assert "rare" not in answer.text


def test_a_sentence_that_begins_with_a_pronoun_brings_the_one_before() -> None:
    chunk = prose(
        "a.md", "The pump stands in the cellar. It was replaced in 2021 after the flood.", title=("Pump",)
    )
    answer = answered("When was the pump replaced after the flood?", chunk, bar=0.0)
    assert answer.citations[0].quote == chunk.text


def test_rows_answer_with_their_cells() -> None:
    answer = answered("What was the revenue of the Nordics in Q1 2023?", TRAVEL, REGIONS)
    assert answer.text == "Nordics, Q1 2023 - Revenue: 412 [1]"
    assert str(answer.citations[0]) == "regions.xlsx, Regions!C2"


def test_a_sum_over_rows_is_not_answered_with_one_cell() -> None:
    answer = answered("What is the sum of the revenue of all regions?", REGIONS, bar=0.0)
    assert not answer.is_found
    assert "several rows" in answer.explanation.reasons[0]


def test_two_clauses_are_answered_from_two_documents() -> None:
    answer = answered(
        "What is the hotel limit in Oslo, and how many days of leave has everyone?", TRAVEL, LEAVE, bar=0.3
    )
    assert {"travel.docx", "leave.md"} <= set(answer.documents)
    assert [citation.number for citation in answer.citations] == list(range(1, len(answer.citations) + 1))


def test_yes_or_no_begins_an_answer_that_decides() -> None:
    chunk = prose("it.md", "Memory sticks must not be used at work.", title=("Security",))
    answer = answered("May I use memory sticks at work?", chunk, bar=0.0)
    assert answer.text == "No: Memory sticks must not be used at work. [1]"


def test_equal_quotes_of_two_documents_are_cited_once() -> None:
    copy = replace(TRAVEL, document="copy.docx")
    answer = answered("What is the hotel limit in Oslo?", TRAVEL, copy, bar=0.0)
    assert answer.text.count("The hotel limit in Oslo is 165 EUR a night.") == 1


def test_a_question_of_100_000_characters_is_answered_in_bounded_time() -> None:
    started = time.monotonic()
    answer = answered("What is the hotel limit in Oslo? " * 3_000, TRAVEL, LEAVE, STEPS)
    assert answer.notes
    assert time.monotonic() - started < 5


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(EmptyQuestion):
        answered(" ", TRAVEL)


WORDS = st.sampled_from(
    """hotel limit oslo night leave days train eur 165 everyone approved team lead book the of is nordics
    revenue q1 2023""".split()  # noqa: SIM905
)
HIDDEN = st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(
    hidden=HIDDEN,
    names=st.lists(st.sampled_from(["a.md", "m.md", "z.md", "leave.md.old"]), min_size=6, max_size=6),
    question=st.sampled_from(
        [
            "What is the hotel limit in Oslo?",
            "Who approves leave?",
            "What was the revenue of the Nordics in Q1 2023?",
            "Where is the quarry?",
        ]
    ),
)
def test_hidden_documents_change_no_byte_of_an_answer(
    hidden: Sequence[str], names: Sequence[str], question: str
) -> None:
    visible = [(chunk, ALL) for chunk in (TRAVEL, LEAVE, REGIONS)]
    secret = [
        (replace(prose(name, f"{text}."), ordinal=number), frozenset({"board"}))
        for number, (text, name) in enumerate(zip(hidden, names, strict=False))
    ]
    assert _asked(question, [*visible, *secret]) == _asked(question, visible)


def _asked(question: str, chunks: Sequence[tuple[Chunk, frozenset[str]]]) -> Answer:
    from cape.answers.retrieval import retrieve

    index = GroupedIndex(chunks)
    return answer_from(index, None, question, retrieve(index, None, question, ALL, 20), ALL)


def test_an_older_issue_gives_way_unless_its_year_is_asked_for() -> None:
    old = prose(
        "travel-2022.md", "The hotel limit in Oslo is 140 EUR a night.", title=("Travel policy 2022",)
    )
    assert "165 EUR" in answered("What is the hotel limit in Oslo?", old, TRAVEL, bar=0.0).text
    asked = answered("What was the hotel limit in Oslo in 2022?", old, TRAVEL, bar=0.0)
    assert asked.text.startswith("The hotel limit in Oslo is 140 EUR")


PUMP = prose(
    "manuals/pumps.md",
    "The Fjell 300 pump runs for 40 hours on one charge. The Fjell 300 weighs 12 kilograms.",
    title=("Pumps",),
)


@pytest.mark.parametrize(
    "question",
    [
        "How long does the Fjell 800 pump run on one charge?",
        "How long does the Rondane pump run on one charge?",
        "How many kilograms does the pump FX9 weigh?",
    ],
)
def test_a_name_or_a_model_that_the_passage_lacks_is_not_answered_by_another(question: str) -> None:
    assert answered(question, PUMP, bar=0.01).verdict is Verdict.NOT_FOUND


@pytest.mark.parametrize(
    "question",
    [
        "How long does the Fjell 300 pump run on one charge?",
        "How long does the pump run on one charge on a Sunday?",
        "Which weighs more, the Fjell or the Rondane?",
    ],
)
def test_names_that_are_there_and_days_and_comparisons_veto_nothing(question: str) -> None:
    assert answered(question, PUMP, bar=0.01).verdict is Verdict.FOUND


LOANS = prose(
    "library/loans.md",
    "Owner: Piet Vandersloot, chief of the reading room. Last revised on 4 May 2021.",
    "Maps are lent for three days.",
    title=("Loans",),
)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Who owns the page on loans?", "Piet Vandersloot"),
        ("Who is responsible for loans?", "Piet Vandersloot"),
        ("When were the loans last revised?", "4 May 2021"),
        ("Who is chief of the reading room?", "Piet Vandersloot"),
    ],
)
def test_a_line_about_the_document_answers_what_its_field_says(question: str, found: str) -> None:
    assert found in answered(question, LOANS, bar=0.0).text


@pytest.mark.parametrize(
    "question", ["Who is chief of the copying room?", "Who lends films?", "When do loans of films end?"]
)
def test_a_line_about_the_document_answers_nothing_else(question: str) -> None:
    text = answered(question, LOANS, bar=0.01).text
    assert "Vandersloot" not in text
    assert "2021" not in text
