"""Quantities in one spelling; the values are worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.claims.alignment import Alignment
from cape.answers.claims.evidence import read_evidence
from cape.answers.claims.quantities import quantities_of
from cape.answers.claims.splitting import claims_of


def keys(text: str) -> list[str]:
    return [key for one in quantities_of(text) for key in one.keys]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000 people", "one thousand people"),
        ("1,000 people", "1000 people"),
        ("2.5 million", "2,500,000"),
        ("twenty-one days", "21 days"),
        ("three hundred and five", "305"),
        ("9 PM", "21:00"),
        ("11 a.m.", "11:0"),
        ("noon", "12:00"),
        ("2011-06-21", "2011 June 21"),
        ("4.0 stars", "4 stars"),
        ("a rise of 5 percent", "a rise of 5%"),
        ("3rd of May", "3 May"),
    ],
)
def test_spellings_of_one_quantity_are_one_key(one: str, other: str) -> None:
    assert set(keys(one)) == set(keys(other)) != set()


@pytest.mark.parametrize(
    ("text", "unit"), [("5 km", "km"), ("5 miles", "mile"), ("5%", "%"), ("$5", "$"), ("5 euros", "€")]
)
def test_a_unit_goes_with_its_number(text: str, unit: str) -> None:
    assert [one.unit for one in quantities_of(text)] == [unit]


@pytest.mark.parametrize("text", ["They may march.", "One never knows.", "v1beta", "no number", ""])
def test_what_is_no_quantity_gives_none(text: str) -> None:
    assert keys(text) == []


@given(st.integers(min_value=1_000, max_value=999_999_999))
@settings(max_examples=60)
def test_marks_between_thousands_change_nothing(number: int) -> None:
    assert keys(f"{number:,} of them") == keys(f"{number} of them")


@given(st.text(max_size=120))
@settings(max_examples=80)
def test_quantities_of_any_text_stand_in_it_apart(text: str) -> None:
    found = quantities_of(text)
    ends = [end for one in found for end in (one.start, one.end)]
    assert ends == sorted(ends)
    assert all(0 <= one.start < one.end <= len(text) for one in found)


def test_a_number_told_as_about_is_found_near_it() -> None:
    read = read_evidence(["The bridge cost 12.4 million and 214 people built it."])

    def lacking(claim: str) -> list[str]:
        alignment = Alignment(claims_of(claim)[0], read)
        return [claim[one.start : one.end] for one in alignment.quantities if not alignment.key_found(one)]

    assert lacking("More than 200 people built it for nearly 13 million.") == []
    assert lacking("200 people built it for about 16 million.") == ["200", "16 million"]


def test_numbers_in_a_list_are_not_one() -> None:
    assert keys("five, four and three stars") == ["n:5", "n:4", "n:3"]
    assert keys("two hundred and five stars") == ["n:205"]
