"""The locks of a manifest's other environments: where their resolution starts from.

Owns the rule that environments share versions: what the default environment locked is what the others
prefer. Each is resolved by itself, so two environments may want what cannot be had together.
"""

from __future__ import annotations

from dataclasses import replace

from cape.lock.model import Lock
from cape.lock.rows import package_line
from cape.sources.protocol import LockedPackage


def seed_for(default: Lock, previous: Lock | None, *, inherits: bool) -> Lock:
    """The lock that an environment's resolution starts from.

    Of `previous`, what does not go against `default`; a source of which something does is asked again.
    """
    if previous is None:
        return replace(default, includes=(), environments={}, knowledge=(), documents=(), notes=())
    sources = {package.source for package in default.packages} if inherits else set()
    moved = {source for source in sources if not _agree(previous, default, source)}
    if not moved:
        return previous
    ours = {_key(package) for package in default.packages if package.source in moved}
    kept = [one for one in previous.packages if one.source not in moved or _key(one) not in ours]
    shared = [one for one in default.packages if one.source in moved]
    return replace(
        previous,
        packages=(*kept, *shared),
        roots={**previous.roots, **_roots(default, previous)},
        snapshots=(*(one for one in previous.snapshots if one.source not in moved),
                   *(one for one in default.snapshots if one.source in moved)),
        unsettled=previous.unsettled | moved,
    )  # fmt: skip


def _roots(default: Lock, previous: Lock) -> dict[str, tuple[str, ...]]:
    """The answers that the default environment has, but for what is asked of another source here."""
    ours = {one.name: one.source for one in previous.requirements}
    theirs = {one.name: one.source for one in default.requirements}
    return {
        name: roots
        for name, roots in default.roots.items()
        if ours.get(name, theirs.get(name)) == theirs.get(name)
    }


def _key(package: LockedPackage) -> tuple[str, str, str]:
    return (package.source, package.name, package.placement)


def _agree(one: Lock, other: Lock, source: str) -> bool:
    """Whether the packages that both have of a source are the same ones."""
    theirs = {_key(package): package_line(package, with_systems=False) for package in one.packages_of(source)}
    return all(
        theirs.get(_key(package), line) == line
        for package in other.packages_of(source)
        if (line := package_line(package, with_systems=False))
    )
