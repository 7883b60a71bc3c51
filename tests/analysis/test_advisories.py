"""Records of known holes: which versions they affect, and how bad they are."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.version import Version

from cape.analysis.advisories import (
    NoAdvisory,
    Severity,
    cvss_score,
    find_hole,
    parse_advisory,
    semver_key,
    severity_of,
)
from cape.sources.debian.version import sort_key


def record(*events: dict[str, str], ecosystem: str = "PyPI", **more: Any) -> dict[str, Any]:
    package = {"ecosystem": ecosystem, "name": "x"}
    affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}
    return {"id": "A-1", "affected": [affected], **more}


def fixed_in(
    version: str, told: dict[str, Any], key: Any = Version, ecosystem: str = "PyPI"
) -> str | bool | None:
    """False when the version is not affected, else the version that fixes it (or None)."""
    advisory = parse_advisory(told)
    assert advisory is not None
    hole = find_hole(advisory, ecosystem, "x", version, key)
    return hole.fixed if hole else False


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.9", False), ("1.0", "1.5"), ("1.4.9", "1.5"), ("1.5", False), ("2.0", "2.3"), ("2.3", False)],
)
def test_version_is_inside_between_introduced_and_fixed(version: str, expected: object) -> None:
    events = ({"introduced": "2.0"}, {"fixed": "2.3"}, {"introduced": "1.0"}, {"fixed": "1.5"})
    assert fixed_in(version, record(*events)) == expected


def test_zero_is_before_every_version_and_last_affected_is_inside() -> None:
    told = record({"introduced": "0"}, {"last_affected": "1.2"})
    assert fixed_in("0.0.1.dev1", told) is None
    assert fixed_in("1.2", told) is None
    assert fixed_in("1.2.1", told) is False


def test_listed_version_is_affected_without_a_range() -> None:
    told = {"id": "A-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "x"}, "versions": ["1.1"]}]}
    assert fixed_in("1.1", told) is None
    assert fixed_in("1.2", told) is False


def test_debian_compares_as_debian_does_and_a_suite_is_its_own_ecosystem() -> None:
    told = record({"introduced": "0"}, {"fixed": "1.0~rc2-1"}, ecosystem="Debian:13")
    assert fixed_in("1.0~rc1-3", told, sort_key, "Debian:13") == "1.0~rc2-1"
    assert fixed_in("1.0-1", told, sort_key, "Debian:13") is False
    assert fixed_in("1.0~rc1-3", told, sort_key, "Debian:12") is False


def test_prerelease_of_npm_sorts_before_its_release() -> None:
    told = record({"introduced": "0"}, {"fixed": "2.0.0"}, ecosystem="npm")
    assert fixed_in("2.0.0-rc.1", told, semver_key, "npm") == "2.0.0"
    assert fixed_in("2.0.0", told, semver_key, "npm") is False


def test_order_of_semver_is_that_of_its_specification() -> None:
    rising = [
        "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
        "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.10.0",
    ]  # fmt: skip
    assert sorted(set(rising), key=semver_key) == rising


def test_withdrawn_record_counts_for_nothing_and_garbage_is_named() -> None:
    assert parse_advisory(record({"introduced": "0"}, withdrawn="2024-01-01T00:00:00Z")) is None
    for garbage in ([], {}, {"id": 3}, {"id": "A", "affected": "x"}):
        with pytest.raises(NoAdvisory):
            parse_advisory(garbage)


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N", 4.7),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N", None),
        ("CVSS:3.1/AV:N", None),
    ],
)
def test_scores_are_those_of_the_published_calculator(vector: str, score: float | None) -> None:
    assert cvss_score(vector) == score


def test_severity_is_the_worst_that_is_said() -> None:
    vector = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"}
    assert severity_of({"severity": [vector]}) is Severity.MEDIUM
    assert severity_of({"severity": [vector], "database_specific": {"severity": "HIGH"}}) is Severity.HIGH
    assert severity_of({"affected": [{"ecosystem_specific": {"urgency": "unimportant"}}]}) is Severity.LOW
    assert severity_of({}) is Severity.UNKNOWN
