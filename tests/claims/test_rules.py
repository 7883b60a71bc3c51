"""What the rules find: in prose, and in records."""

from __future__ import annotations

import json

import pytest

from cape.answers.claims.alignment import Alignment
from cape.answers.claims.claim import Finding, Rule
from cape.answers.claims.evidence import facts_of, read_evidence
from cape.answers.claims.rules import findings_of
from cape.answers.claims.splitting import claims_of

PROSE = (
    "The bridge over the Dee was finished in 1987 by Ada Moreno. It is 420 metres long and cost "
    "12 million euros. Cyclists are not allowed on it. Traffic increased after the opening in March 1987."
)
RECORD = {
    "name": "Corner Lantern",
    "city": "Fairview",
    "state": "TX",
    "hours": {"Monday": "9:0-17:0", "Friday": "9:0-21:0", "Saturday": "10:0-22:30"},
    "attributes": {
        "OutdoorSeating": True,
        "WheelchairAccessible": None,
        "RestaurantsTakeOut": False,
        "BusinessParking": "{'garage': False, 'street': True}",
    },
    "business_stars": 3.5,
}


def found(claim: str, *evidence: str) -> list[tuple[Rule, str, bool]]:
    read = read_evidence(evidence or (PROSE,))
    (one,) = claims_of(claim)
    return [
        (each.rule, one.text[each.start : each.end], each.contradicts) for each in _findings(one.text, read)
    ]


def _findings(text: str, read: object) -> tuple[Finding, ...]:
    (claim,) = claims_of(text)
    return findings_of(Alignment(claim, read))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "claim",
    [
        "Ada Moreno finished the bridge over the Dee in 1987.",
        "The bridge is 420 m long.",
        "Twelve million euros is what it cost.",
        "It opened in March 1987.",
    ],
)
def test_what_the_evidence_says_is_not_found_fault_with(claim: str) -> None:
    assert found(claim) == []


def test_another_year_is_a_date_that_contradicts() -> None:
    assert (Rule.DATE, "1989", True) in found("The bridge over the Dee was finished in 1989 by Ada Moreno.")


def test_another_number_is_found() -> None:
    assert [(rule, text) for rule, text, _ in found("The bridge is 430 metres long.")] == [
        (Rule.NUMBER, "430")
    ]


def test_the_right_number_of_a_wrong_unit_is_found() -> None:
    assert (Rule.UNIT, "420", True) in found("The bridge is 420 miles long.")


def test_a_name_that_is_not_there_is_found() -> None:
    assert (Rule.NAME, "Rossi", False) in found("The bridge was finished by Ada Rossi.")


def test_abbreviations_are_no_other_names() -> None:
    assert found("The Corner Lantern is in Fairview, Texas.", json.dumps(RECORD)) == []


def test_a_denial_of_what_is_said_contradicts() -> None:
    rules = [(rule, contradicts) for rule, _, contradicts in found("Cyclists are allowed on it.")]
    assert (Rule.NEGATION, True) in rules


def test_an_opposite_contradicts() -> None:
    assert (Rule.NEGATION, "decreased", True) in found("Traffic decreased after the opening in March 1987.")


@pytest.mark.parametrize(
    ("claim", "text", "contradicts"),
    [
        ("There is no outdoor seating.", "outdoor seating", True),
        ("Takeout is offered.", "Takeout", True),
        ("Garage parking is available.", "Garage", True),
        ("It is wheelchair accessible.", "wheelchair accessible", False),
        ("It has a rating of 4.5 stars.", "4.5", True),
        ("On Monday it is open from 9 AM to 9 PM.", "9 PM", True),
    ],
)
def test_a_record_speaks_against_a_claim(claim: str, text: str, contradicts: bool) -> None:
    got = found(claim, json.dumps(RECORD))
    assert (Rule.RECORD, text, contradicts) in got


@pytest.mark.parametrize(
    "claim",
    [
        "It offers outdoor seating.",
        "Takeout is not offered.",
        "Street parking is available.",
        "On Saturday it is open from 10 AM to 10:30 PM.",
        "It is rated 3.5 stars.",
    ],
)
def test_a_record_agrees_with_what_it_says(claim: str) -> None:
    assert found(claim, json.dumps(RECORD)) == []
    assert found(claim, repr(RECORD)) == []


def test_records_within_text_and_within_texts_are_read() -> None:
    read = read_evidence([f"The data: {json.dumps(RECORD)} That is all."])
    assert read.is_record
    assert {fact.path[-1]: fact.value for fact in read.facts}["street"] is True
    assert any(unit.text == "That is all." for unit in read.units)


@pytest.mark.parametrize("text", ["{", "{}", "}{", "{'a': " * 200, '{"a": 1' + "}" * 50, "[{]}", "{1: 2, 3}"])
def test_what_is_no_record_is_prose(text: str) -> None:
    assert read_evidence([text]).facts == ()


def test_a_key_is_one_word_too() -> None:
    assert "wifi" in read_evidence(['{"WiFi": "free", "a": 1, "b": 2}']).holders


def test_facts_of_lists_share_their_key() -> None:
    assert [fact.value for fact in facts_of({"a": [1, {"b": None}], "c": "no"})] == [1, None, False]
