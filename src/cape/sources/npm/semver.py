"""Versions and ranges as npm reads them; enough to choose a release of node.

Source: the grammar in the README of `node-semver`. Pre-releases match no range here, as node's
packages have none that anybody should get.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Version = tuple[int, int, int]

_WHOLE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:\+[\w.-]+)?\Z")
_PARTIAL = re.compile(
    r"(?P<operator>\^|~>?|>=|<=|>|<|=)?\s*v?(?P<major>\d+|[xX*])?(?:\.(?P<minor>\d+|[xX*]))?"
    r"(?:\.(?P<patch>\d+|[xX*]))?\Z"
)


class BadRange(ValueError):
    """A text that is no range of versions."""


def parse_version(text: str) -> Version | None:
    """The numbers of a release; None for a pre-release or anything else."""
    found = _WHOLE.match(text.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def newest_in(versions: Iterable[str], wanted: str) -> str | None:
    """The newest release that is in the range, or None. Raises `BadRange`."""
    tests = parse_range(wanted)
    fitting = [
        (number, version)
        for version in versions
        if (number := parse_version(version)) is not None and in_range(number, tests)
    ]
    return max(fitting)[1] if fitting else None


Bounds = tuple[Version, Version | None]
"""From the first version on, to just before the second (None: without end)."""


def in_range(version: Version, tests: tuple[tuple[Bounds, ...], ...]) -> bool:
    """Whether any alternative of a parsed range has the version within all its bounds."""
    return any(
        all(low <= version and (high is None or version < high) for low, high in alternative)
        for alternative in tests
    )


def parse_range(text: str) -> tuple[tuple[Bounds, ...], ...]:
    """A range such as `^20 || 22.1.x || 18 - 19`, as alternatives of bounds. Raises `BadRange`."""
    return tuple(_alternative(part.strip()) for part in text.split("||"))


def _alternative(text: str) -> tuple[Bounds, ...]:
    if hyphen := re.fullmatch(r"(\S+)\s+-\s+(\S+)", text):
        low, _ = _bounds(f">={hyphen[1]}")
        _, high = _bounds(f"<={hyphen[2]}")
        return ((low, high),)
    joined = re.sub(r"(\^|~>?|>=|<=|>|<|=)\s+", r"\1", text)
    return tuple(_bounds(part) for part in joined.split()) or (_bounds("*"),)


def _bounds(text: str) -> Bounds:
    found = _PARTIAL.match(text)
    if not found or not (found["major"] or (found["operator"] is None and text == "")):
        raise BadRange(f"not a range of versions: `{text}`")
    given: list[int] = []
    for part in (found["major"], found["minor"], found["patch"]):
        if part is None or part in "xX*":
            break
        given.append(int(part))
    return _operated(found["operator"] or "=", given)


def _operated(operator: str, given: list[int]) -> Bounds:
    low = _filled(given)
    after = _after(given, len(given) - 1)
    if operator == "=":
        return low, after
    if operator == ">=":
        return low, None
    if operator == "<=":
        return (0, 0, 0), after
    if operator == "<":
        return (0, 0, 0), low
    if operator == ">":
        return (after, None) if after else (low, low)
    if operator == "^":
        first = next((place for place, number in enumerate(given) if number), len(given) - 1)
        return low, _after(given, first)
    return low, _after(given, min(1, len(given) - 1))


def _filled(given: list[int]) -> Version:
    major, minor, patch = (*given, 0, 0, 0)[:3]
    return major, minor, patch


def _after(given: list[int], place: int) -> Version | None:
    """The first version after all that agree with `given` up to `place`; None when nothing is given."""
    if place < 0:
        return None
    return _filled([*given[:place], given[place] + 1])
