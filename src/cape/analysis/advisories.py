"""Known holes: records in OSV's format, and which locked packages they speak of.

Owns reading one record and deciding whether a version is affected, with the comparison of versions that
its ecosystem has. Where records are kept, and how severe is too severe, is the caller's.
Source: the OSV schema, version 1.7 (ranges as events, ecosystems with a suffix, withdrawn records).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Key = Callable[[str], Any]
"""What makes versions of one ecosystem sort: a key for `sorted`. May raise `ValueError`."""


class Severity(IntEnum):
    """How bad a hole is; a record that does not say is `UNKNOWN`, the lowest."""

    UNKNOWN = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Advisory:
    """One record: what is told of it, and the packages that it affects, as the record has them."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: Severity
    affected: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hole:
    """A hole in one version of one package; `fixed` is the first version without it, if there is one."""

    advisory: Advisory
    ecosystem: str
    package: str
    version: str
    fixed: str | None


class NoAdvisory(ValueError):
    """A file that holds no record of OSV's format."""


def parse_advisory(record: Any) -> Advisory | None:
    """The value of one JSON record; None for a withdrawn one. Raises `NoAdvisory`."""
    if not isinstance(record, dict) or not isinstance(record.get("id"), str):
        raise NoAdvisory("it has no `id`")
    affected = record.get("affected", [])
    if not isinstance(affected, list) or not all(isinstance(one, dict) for one in affected):
        raise NoAdvisory("`affected` is no list of packages")
    if record.get("withdrawn"):
        return None
    return Advisory(
        id=record["id"],
        aliases=tuple(str(one) for one in record.get("aliases") or ()),
        summary=str(record.get("summary") or str(record.get("details") or "").split("\n")[0])[:200],
        severity=severity_of(record),
        affected=tuple(affected),
    )


def packages_of(advisory: Advisory) -> Iterator[tuple[str, str]]:
    """Ecosystem (`PyPI`, `Debian:13`) and name of each package that a record speaks of."""
    for one in advisory.affected:
        package = one.get("package")
        if isinstance(package, dict):
            yield str(package.get("ecosystem", "")), str(package.get("name", ""))


def find_hole(advisory: Advisory, ecosystem: str, package: str, version: str, key: Key) -> Hole | None:
    """The hole that a record tells of in this version; None when it does not affect it.

    `ecosystem` is exact (`Debian:13`); a record for the whole of it (`Debian`) counts too.
    """
    wholes = {ecosystem, ecosystem.partition(":")[0]}
    for one in advisory.affected:
        told = one.get("package")
        if not isinstance(told, dict) or told.get("ecosystem") not in wholes or told.get("name") != package:
            continue
        hit, fixed = _affects(one, version, key)
        if hit:
            return Hole(advisory=advisory, ecosystem=ecosystem, package=package, version=version, fixed=fixed)
    return None


def _affects(affected: Mapping[str, Any], version: str, key: Key) -> tuple[bool, str | None]:
    fixed: str | None = None
    hit = version in (affected.get("versions") or ())
    for one in affected.get("ranges") or ():
        if one.get("type") not in ("ECOSYSTEM", "SEMVER"):
            continue
        inside, after = _in_range(one.get("events") or (), version, key)
        hit = hit or inside
        fixed = fixed or after
    return hit, fixed


def _in_range(events: Sequence[Mapping[str, str]], version: str, key: Key) -> tuple[bool, str | None]:
    """Whether events put a version inside, and the first fix after it; what no key reads is skipped."""
    wanted = key(version)
    ordered: list[tuple[Any, int, str, str]] = []
    for event in events:
        for kind, at in event.items():
            try:
                ordered.append((_Lowest() if at == "0" else key(at), _ORDER.get(kind, 9), kind, at))
            except ValueError:
                continue
    ordered.sort(key=lambda one: (_Wrapped(one[0]), one[1]))
    inside, fixed = False, None
    for place, _, kind, at in ordered:
        before = isinstance(place, _Lowest) or place <= wanted
        if kind == "introduced" and before:
            inside = True
        elif before and (kind in ("fixed", "limit") or (kind == "last_affected" and place != wanted)):
            inside = False
        elif kind == "fixed" and fixed is None:
            fixed = at
    return inside, fixed


_ORDER = {"introduced": 0, "fixed": 1, "limit": 1, "last_affected": 2}


class _Lowest:
    """The version `0` of an event: before every other."""


@dataclass(frozen=True, slots=True)
class _Wrapped:
    """A version's key that also compares with the lowest of all."""

    key: Any

    def __lt__(self, other: _Wrapped) -> bool:
        if isinstance(other.key, _Lowest):
            return False
        return isinstance(self.key, _Lowest) or bool(self.key < other.key)


# -- versions and severities --------------------------------------------------------------------------

_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+\S*)?\Z")


def semver_key(version: str) -> tuple[Any, ...]:
    """SemVer's precedence: a pre-release sorts before its release. Raises `ValueError`.

    Source: semver.org 2.0.0, section 11.
    """
    match = _SEMVER.match(version.strip())
    if match is None:
        raise ValueError(f"no SemVer: {version}")
    numbers = tuple(int(part) for part in match.groups()[:3])
    if match[4] is None:
        return (*numbers, 1, ())
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split("."))
    return (*numbers, 0, parts)


_WORDS = {
    "negligible": Severity.LOW, "unimportant": Severity.LOW, "low": Severity.LOW,
    "moderate": Severity.MEDIUM, "medium": Severity.MEDIUM,
    "high": Severity.HIGH, "important": Severity.HIGH, "critical": Severity.CRITICAL,
}  # fmt: skip


def severity_of(record: Mapping[str, Any]) -> Severity:
    """The worst that a record says, in words or as a CVSS vector of version 3."""
    said = [_vector_severity(str(one.get("score", ""))) for one in record.get("severity") or ()]
    holders = [record, *(record.get("affected") or ())]
    for holder in holders:
        for table in (holder.get("database_specific"), holder.get("ecosystem_specific")):
            if isinstance(table, dict):
                for key in ("severity", "urgency"):
                    said.append(_WORDS.get(str(table.get(key, "")).lower().rstrip("*"), Severity.UNKNOWN))
    return max(said, default=Severity.UNKNOWN)


def _vector_severity(vector: str) -> Severity:
    score = cvss_score(vector)
    if score is None:
        return Severity.UNKNOWN
    for bound, severity in ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM)):
        if score >= bound:
            return severity
    return Severity.LOW if score > 0 else Severity.UNKNOWN


_WEIGHTS: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def cvss_score(vector: str) -> float | None:
    """The base score of a CVSS 3.0 or 3.1 vector, 0.0 to 10.0; None for another text.

    Source: FIRST, Common Vulnerability Scoring System v3.1, section 7.1.
    """
    if not vector.startswith(("CVSS:3.0/", "CVSS:3.1/")):
        return None
    parts = dict(part.split(":", 1) for part in vector.split("/")[1:] if ":" in part)
    try:
        changed = parts["S"] == "C"
        privileges = _PRIVILEGES["C" if changed else "U"][parts["PR"]]
        weight = {name: table[parts[name]] for name, table in _WEIGHTS.items()}
    except KeyError:
        return None
    base = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    total = (1.08 if changed else 1.0) * (impact + exploitability)
    return _rounded_up(min(total, 10.0))


def _rounded_up(number: float) -> float:
    """To one decimal, upwards, without the error of binary fractions (appendix A of the standard)."""
    whole = round(number * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10
