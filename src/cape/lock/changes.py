"""What differs between two locks, for people.

Owns the comparison of rows and its lines of text. Which version is the newer is told by a rule that fits
every ecosystem's ordinary versions; it decides a word in a message, never a resolution.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from cape.lock.model import Lock
from cape.lock.queries import all_packages
from cape.sources.protocol import LockedPackage


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A package's versions before and after, each sorted; empty where it was or is not there."""

    source: str
    name: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def line(self) -> str:
        """`+ jq 1.7.1-6`, `- jq 1.7.1-6`, or `~ ripgrep 14.0 -> 14.1`; other sources than Debian named.

        A step back is told as one: `~ ripgrep 14.1 -> 14.0 (older)`.
        """
        name = self.name if self.source == "debian" else f"{self.source}:{self.name}"
        before, after = ", ".join(self.before), ", ".join(self.after)
        if not self.before:
            return f"+ {name} {after}"
        if not self.after:
            return f"- {name} {before}"
        if before == after:
            return f"~ {name} {after} (other files)"
        return f"~ {name} {before} -> {after}" + (" (older)" if self.is_older else "")

    @property
    def is_older(self) -> bool:
        """Whether the newest version after is older than the newest before."""
        if not self.before or not self.after:
            return False
        return version_order(self.after[-1]) < version_order(self.before[-1])


@dataclass(frozen=True, kw_only=True, slots=True)
class LockChanges:
    """Changes by kind, each sorted by name. `rebuilt` has the same versions with other artifacts."""

    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()
    upgraded: tuple[Change, ...] = ()
    downgraded: tuple[Change, ...] = ()
    rebuilt: tuple[Change, ...] = ()

    @property
    def all(self) -> tuple[Change, ...]:
        """Every change, sorted by name and source."""
        kinds = (self.added, self.removed, self.upgraded, self.downgraded, self.rebuilt)
        changes = [change for kind in kinds for change in kind]
        return tuple(sorted(changes, key=lambda change: (change.name, change.source)))

    def lines(self) -> tuple[str, ...]:
        """One line for each change, sorted by name."""
        return tuple(change.line() for change in self.all)

    def fields(self) -> list[dict[str, object]]:
        """Every change for machines, sorted by name."""
        kinds = {
            change: kind
            for kind in ("added", "removed", "upgraded", "downgraded", "rebuilt")
            for change in getattr(self, kind)
        }
        return [
            {
                "kind": kinds[change],
                "source": change.source,
                "name": change.name,
                "before": list(change.before),
                "after": list(change.after),
            }
            for change in self.all
        ]

    def __bool__(self) -> bool:
        return bool(self.all)

    def __len__(self) -> int:
        return len(self.all)


def compare_locks(old: Lock | None, new: Lock) -> LockChanges:
    """What `new` has that `old` has not, and the other way round; with None, all is added."""
    before, after = _by_package(old), _by_package(new)
    kinds: dict[str, list[Change]] = defaultdict(list)
    for source, name in sorted(before.keys() | after.keys()):
        one, other = before.get((source, name), []), after.get((source, name), [])
        if one == other:
            continue
        change = Change(source=source, name=name, before=_versions(one), after=_versions(other))
        if kind := _kind(change, _artifacts(one) == _artifacts(other)):
            kinds[kind].append(change)
    return LockChanges(**{kind: tuple(changes) for kind, changes in kinds.items()})


def _kind(change: Change, same_artifacts: bool) -> str | None:
    if not change.before or not change.after:
        return "removed" if change.before else "added"
    if change.before == change.after:
        return None if same_artifacts else "rebuilt"
    return "downgraded" if change.is_older else "upgraded"


def _by_package(lock: Lock | None) -> dict[tuple[str, str], list[LockedPackage]]:
    found: dict[tuple[str, str], list[LockedPackage]] = defaultdict(list)
    for package in all_packages(lock) if lock else ():
        found[package.source, package.name].append(package)
    return found


def _versions(packages: list[LockedPackage]) -> tuple[str, ...]:
    return tuple(sorted({package.version for package in packages}, key=version_order))


def _artifacts(packages: list[LockedPackage]) -> set[tuple[str, str]]:
    return {(system, package.artifact.digest.hex) for package in packages for system in package.systems}


_PART = re.compile(r"[-._]?(?:alpha|beta|preview|pre|rc|dev|a|b|c)(?![a-z])|\d+|[a-z]+|~|[^\da-z~]")
_PRERELEASE = re.compile(r"[-._]?(?:alpha|beta|preview|pre|rc|dev|a|b|c)\Z")


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts ordinary versions of any ecosystem: numbers by value, pre-releases first.

    >>> version_order("1.10~rc1") < version_order("1.10") < version_order("1.10.1")
    True
    """
    epoch = "" if re.match(r"\d+[:!]", version) else "0:"
    parts = [_part_order(part) for part in _PART.findall((epoch + version).lower())]
    return (*parts, (1, 0, ""))


def _part_order(part: str) -> tuple[int, int, str]:
    if part == "~":
        return (0, 0, "")
    if _PRERELEASE.match(part):
        return (0, 0, part.lstrip("-._"))
    return (3, int(part), "") if part.isdigit() else (2, 0, part)
