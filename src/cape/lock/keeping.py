"""What a new lock keeps of the present one.

Owns the rules: a source all of whose requirements are as they were is kept whole; of any other, the rows
that only changed requirements lead to are let go. Names that the user wants upgraded count as changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cape.lock.errors import UnknownUpgrade
from cape.lock.freshness import same_requirement
from cape.lock.model import Lock
from cape.names import nearest
from cape.sources.protocol import CONTENT_OPTION, LockedPackage, Requirement

ALL: frozenset[str] = frozenset({"*"})
"""The names to upgrade when all are: every source is asked, and no row is kept."""


def check_upgrade(upgrade: frozenset[str], wanted: Iterable[Requirement], previous: Lock | None) -> None:
    """Raise `UnknownUpgrade` for a name that is neither a requirement's nor a locked package's."""
    known = {requirement.name for requirement in wanted}
    known |= {name for row in (previous.packages if previous else ()) for name in _names(row)}
    for name in sorted(upgrade - known - ALL):
        close = nearest(name, known)
        hint = f"did you mean `{close[0]}`?" if close else "`cape list --all` shows what is locked"
        raise UnknownUpgrade(f"nothing of the name `{name}` is asked for or locked", hint=hint)


def is_unchanged(source: str, wanted: Iterable[Requirement], previous: Lock, upgrade: frozenset[str]) -> bool:
    """Whether a source's requirements are those that its rows answer, and none is to be upgraded."""
    if source in previous.unsettled or upgrade & ALL:
        return False
    locked = {requirement.name: requirement for requirement in previous.requirements_of(source)}
    present = {requirement.name: requirement for requirement in wanted}
    if locked.keys() != present.keys() or upgrade & present.keys():
        return False
    if any(upgrade.intersection(_names(row)) for row in previous.packages_of(source)):
        return False
    return all(same_requirement(present[name], locked[name]) for name in present)


def kept_rows(
    source: str, wanted: Iterable[Requirement], previous: Lock | None, upgrade: frozenset[str]
) -> tuple[LockedPackage, ...]:
    """The rows that a source may start from: all but those that only changed requirements lead to."""
    if previous is None or upgrade & ALL:
        return ()
    present = {requirement.name: requirement for requirement in wanted}
    kept: set[str] = set()
    let_go: set[str] = set()
    for requirement in previous.requirements_of(source):
        name = requirement.name
        same = name in present and name not in upgrade and _starts_from(present[name], requirement)
        (kept if same else let_go).update(previous.roots.get(name, ()))
    packages = previous.packages_of(source)
    edges = _edges(packages)
    dropped = _reach(let_go, edges) - _reach(kept, edges)
    return tuple(row for row in packages if row.name not in dropped and not upgrade.intersection(_names(row)))


def _starts_from(one: Requirement, other: Requirement) -> bool:
    """Whether the rows of a requirement may seed the other's: a file of the project that changed still lists
    mostly what it did."""

    def plain(requirement: Requirement) -> Requirement:
        options = {key: value for key, value in requirement.options.items() if key != CONTENT_OPTION}
        return replace(requirement, options=options)

    return same_requirement(plain(one), plain(other))


def _names(row: LockedPackage) -> tuple[str, str]:
    """How a locked package may be named on the command line."""
    return (row.name, f"{row.source}:{row.name}")


def _edges(packages: Iterable[LockedPackage]) -> Mapping[str, set[str]]:
    edges: dict[str, set[str]] = defaultdict(set)
    for package in packages:
        edges[package.name].update(package.dependencies)
    return edges


def _reach(names: Iterable[str], edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges.get(name, ())
    return found
