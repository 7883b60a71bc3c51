"""Dates of the command line: a day means its end in UTC, an instant itself, and the future nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cape.cli.dates import BadDate, instant_of

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-14", "2026-01-15T00:00:00Z"),
        ("2026-01-15", "2026-01-16T00:00:00Z"),
        ("2026-01-15T12:00", "2026-01-15T12:00:00Z"),
        ("2026-01-15 08:30:15", "2026-01-15T08:30:15Z"),
        ("2026-01-15T08:30:15+09:00", "2026-01-14T23:30:15Z"),
    ],
)
def test_a_date_means_an_instant(text: str, instant: str) -> None:
    assert instant_of(text, now=NOW) == instant


@pytest.mark.parametrize(
    "text", ["", "today", "2026-13-01", "2026-W03-1", "20260115", "2026-01-15T", "0001-01-01"]
)
def test_what_is_no_date_is_refused_with_the_form_that_is_one(text: str) -> None:
    with pytest.raises(BadDate, match="is no date") as caught:
        instant_of(text, now=NOW)
    assert "`2026-01-15`" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["2026-01-16", "2026-01-15T12:00:01Z", "9999-12-31"])
def test_the_future_is_refused(text: str) -> None:
    with pytest.raises(BadDate, match=r"still to come|is no date"):
        instant_of(text, now=NOW)
