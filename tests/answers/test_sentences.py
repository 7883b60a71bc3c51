"""Sentences are cut where they end, and every unit is its chunk's text, byte for byte."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.sentences import narrowed, sentence_spans, units_of
from cape.knowledge.documents import BlockKind, Chunk, Part, Place
from tests.answers.passages import prose, table


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Berg pays 3.50 EUR. Nobody else does.", ["Dr. Berg pays 3.50 EUR.", "Nobody else does."]),
        ("Ask J. Olsen, e.g. by mail. He knows.", ["Ask J. Olsen, e.g. by mail.", "He knows."]),
        ("It ended in 1912 . Then came `` peace '' .", ["It ended in 1912 .", "Then came `` peace '' ."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("See cl. 4 on p. 3 of v2.1 for more", ["See cl. 4 on p. 3 of v2.1 for more"]),
        ("First:\n- one thing\n- another", ["First:", "one thing", "another"]),
        ("no end\n\nand a new paragraph", ["no end", "and a new paragraph"]),
        ("終わり。次の文。", ["終わり。", "次の文。"]),
        ("", []),
        (" \n... \n", []),
    ],
)
def test_sentences_end_where_they_end(text: str, wanted: list[str]) -> None:
    found = [one.removeprefix("- ") for one in cut(text)]
    assert found == wanted


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab. !?\n\"'()1AÄ-e.g:", max_size=200))
def test_spans_are_in_order_apart_and_lose_no_letter(text: str) -> None:
    spans = sentence_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    kept = "".join(text[start:end] for start, end in spans)
    letters = [one for one in text if one.isalpha()]
    assert sorted(one for one in kept if one.isalpha()) == sorted(letters) or "\n" in text


def test_a_text_without_an_end_is_cut_at_blanks() -> None:
    spans = sentence_spans("word " * 1000)
    assert len(spans) > 3
    assert max(end - start for start, end in spans) <= 1200


def test_units_are_the_chunks_text_and_know_their_heading() -> None:
    chunk = prose("a.md", "# Trains", "Second class. Book early.", "- Take a seat")
    units = units_of(chunk)
    assert [unit.text for unit in units] == ["Second class.", "Book early.", "Take a seat"]
    assert all(chunk.text[unit.start : unit.end] == unit.text for unit in units)
    assert {unit.heading for unit in units} == {"Trains"}
    assert units[1].place.span == (unit_start := chunk.text.index("Book"), unit_start + len("Book early."))


def test_a_row_is_one_unit() -> None:
    chunk = table("m.xlsx", "Regions", ["Region", "Note"], ["Nordics", "Good. Very good."])
    (unit,) = units_of(chunk)
    assert unit.is_row
    assert unit.text == "Region: Nordics; Note: Good. Very good."


def test_a_chunk_without_parts_is_one_paragraph() -> None:
    chunk = Chunk(document="a", ordinal=0, title_path=(), text="One. Two.", place=Place(page=2), parts=())
    assert [(unit.text, unit.place.page) for unit in units_of(chunk)] == [("One.", 2), ("Two.", 2)]


def test_lines_are_narrowed_only_where_breaks_were_kept() -> None:
    kept = narrowed(Place(lines=(4, 6)), "a.\nb.\nc.", 3, 5)
    assert kept.lines == (5, 5)
    joined = narrowed(Place(lines=(4, 6)), "a. b. c.", 3, 5)
    assert joined.lines == (4, 6)


def test_code_is_one_unit() -> None:
    text = "x = 1.\ny = 2."
    part = Part(start=0, end=len(text), kind=BlockKind.CODE, place=Place(lines=(1, 2)))
    chunk = Chunk(document="a.py", ordinal=0, title_path=(), text=text, place=Place(), parts=(part,))
    assert [unit.text for unit in units_of(chunk)] == [text]
