"""What claims tell of opening hours, beside a record's timetable."""

from __future__ import annotations

import json

import pytest

from cape.answers.claims.evidence import read_evidence
from cape.answers.claims.records import record_findings

SHOP = {
    "name": "Quay Books",
    "hours": {
        "Tuesday": "11:30-20:0",
        "Wednesday": "11:30-20:0",
        "Thursday": "11:30-20:0",
        "Friday": "11:30-22:0",
        "Saturday": "10:0-22:0",
        "Sunday": "10:0-15:0",
    },
    "attributes": {
        "WiFi": "free",
        "DogsAllowed": True,
        "GoodForGroups": False,
        "HasTV": None,
        "Caters": False,
    },
    "stars": 3.5,
    "reviews": [{"review_stars": 1.0, "text": "They cancelled my order twice."}],
}


def found(claim: str, record: object = SHOP) -> list[str]:
    return [claim[one.start : one.end] for one in record_findings(claim, read_evidence([json.dumps(record)]))]


@pytest.mark.parametrize(
    "claim",
    [
        "It is closed on Mondays.",
        "It opens at 11:30 AM on every day but Monday, and closes at 10 PM on Fridays.",
        "It is open from Tuesday to Sunday.",
        "The shop opens at 11:30 AM from Tuesday to Friday and at 10 AM on Saturdays and Sundays.",
        "On Fridays and Saturdays it stays open until 10 PM.",
        "It stays open until 8 PM on Tuesdays, until 10 PM on Fridays.",
        "It gets busy on weekdays.",
        "Dogs are allowed without a fee.",
        "It offers free WiFi and does not cater.",
        "A one-star review reports two cancellations.",
        "It is rated 3.5 out of 5 stars.",
        "Groups, catering and early hours are not what it is for.",
        "It offers free WiFi, but not catering, TV or room for groups.",
        "Nothing is recorded about a TV.",
        "WiFi costs nothing.",
        "It rests on Monday and otherwise opens at 11:30 AM, or 10 AM on Saturdays.",
        "A guest found empty shelves on a Sunday at 5 PM.",
    ],
)
def test_what_the_timetable_and_the_record_have_is_no_finding(claim: str) -> None:
    assert found(claim) == []


@pytest.mark.parametrize(
    ("claim", "place"),
    [
        ("It is closed on Sundays.", "Sundays"),
        ("It is open every day from 11:30 AM to 8 PM.", "every day"),
        ("It is open seven days a week.", "seven days a week"),
        ("It is open Monday through Friday.", "Monday through Friday"),
        ("From Tuesday to Thursday it is open until 10 PM.", "10 PM"),
        ("It stays open until 10 PM on Sundays.", "10 PM"),
        ("There is no WiFi.", "WiFi"),
        ("It is a great choice for larger groups.", "for larger groups"),
        ("There is a TV in the corner.", "TV"),
        ("It caters and allows dogs.", "caters"),
        ("It has an average rating of 4.5.", "4.5"),
        ("It has 4.5 stars.", "4.5"),
    ],
)
def test_what_the_timetable_or_the_record_speaks_against_is_found_where_it_stands(
    claim: str, place: str
) -> None:
    assert place in found(claim)


def test_hours_that_the_record_does_not_know_are_not_told() -> None:
    assert found("It is open from early morning.", {**SHOP, "hours": None}) == ["early"]
    assert found("The hours are not given.", {**SHOP, "hours": None}) == []
