"""Dates as they are written on a command line, and the instants that they mean.

Owns the words for a moment in the past. What is asked as of a moment is not known here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from cape.errors import UsageError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_HINT = "write it as `2026-01-15` (the end of that day in UTC) or `2026-01-15T12:00:00Z`"


class BadDate(UsageError):
    """An argument that should be a date of the past is none."""

    slug = "bad-date"


def instant_of(text: str | None, *, now: datetime | None = None) -> str | None:
    """The instant that a date or date-time means, as `2026-01-16T00:00:00Z`; None for None.

    A day means its end, so that what came on that day counts; a time without a zone is in UTC.
    Raises `BadDate` for what is no date, and for a date that is still to come.

    >>> instant_of("2024-02-29"), instant_of("2024-02-29T12:00:00+02:00")
    ('2024-03-01T00:00:00Z', '2024-02-29T10:00:00Z')
    """
    if text is None:
        return None
    moment, latest = _moment(text.strip()), now or datetime.now(UTC)
    if moment is None:
        raise BadDate(f"`{text}` is no date", hint=_HINT)
    if _DAY.match(text.strip()):
        latest = datetime.combine(latest.date() + timedelta(days=1), time(), UTC)
    if moment > latest:
        raise BadDate(f"`{text}` is still to come", hint="name a date of the past")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime | None:
    """The moment in UTC; None when the text is no date of the years 1000 to 9998."""
    if not re.match(r"[1-9]\d{3}-\d{2}-\d{2}", text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment + timedelta(days=1) if _DAY.match(text) else moment
    except (ValueError, OverflowError):
        return None


def refuse_together(as_of: str | None, flag: str) -> None:
    """Raise `BadDate` when a date is given with a flag that never locks."""
    if as_of is not None:
        raise BadDate(f"`--as-of` cannot go with `{flag}`, which locks nothing")
