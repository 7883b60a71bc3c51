"""Questions that a lock answers by itself.

Owns which rows a system gets, the identity of what they come to, artifacts for vendoring, and chains of
reasons. Nothing here changes a lock.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping

from cape.lock import rows
from cape.lock.model import Lock
from cape.lock.wanted import wanted_on
from cape.names import Digest, System
from cape.sources.protocol import LockedPackage

FOR_BUILDS = "build/"
"""How the placement of a row begins that only the building of another package needs."""


def rows_for(lock: Lock, system: System) -> tuple[LockedPackage, ...]:
    """The rows that hold on a system, sorted by their keys."""
    return tuple(
        package for package in lock.packages if system in package.systems and not _is_for_builds(package)
    )


def _is_for_builds(package: LockedPackage) -> bool:
    return package.placement.startswith(FOR_BUILDS)


def build_rows_for(lock: Lock, system: System, name: str) -> tuple[LockedPackage, ...]:
    """The locked rows that building a package needs on a system; no environment of the project has them."""
    placement = f"{FOR_BUILDS}{name}"
    return tuple(one for one in lock.packages if system in one.systems and one.placement == placement)


def roots_for(lock: Lock, system: System) -> tuple[tuple[str, str], ...]:
    """The packages that are asked for on a system, as source and name, sorted; the implicit ones too."""
    return tuple(
        sorted(
            {
                (requirement.source, root)
                for requirement in lock.requirements
                if system in wanted_on(requirement, lock.systems)
                for root in lock.roots.get(requirement.name, ())
            }
        )
    )


def identity(lock: Lock, system: System, *, layout_version: int) -> Digest:
    """The identity of the environment that a lock comes to on a system.

    It covers the system's locked rows, which packages are asked for, the exposed programs and the layout
    version. It does not change with other systems, the wording of constraints, the order of anything, or
    the states of registries.
    """
    lines = [f"layout {layout_version}", f"system {system}"]
    lines += sorted(rows.package_line(package, with_systems=False) for package in rows_for(lock, system))
    lines += [f"root {source} {name}" for source, name in roots_for(lock, system)]
    building = [
        one for one in lock.packages if system in one.systems and one.placement.startswith(FOR_BUILDS)
    ]
    lines += sorted(rows.package_line(package, with_systems=False) for package in building)
    lines.append(rows.expose_line(lock.expose))
    return Digest.of_lines(lines)


def all_packages(lock: Lock) -> tuple[LockedPackage, ...]:
    """The rows of all environments and combinations of variants, each once, the default's first."""
    if not lock.environments and not lock.combinations:
        return lock.packages
    environments = (lock, *lock.environments.values())
    locks = [one for each in environments for one in (each, *each.combinations.values())]
    found = [package for one in locks for package in one.packages]
    return tuple({(*package.key, package.systems): package for package in reversed(found)}.values())[::-1]


def artifacts_of(lock: Lock) -> tuple[LockedPackage, ...]:
    """One row for each artifact of the lock, for all systems, sorted by digest."""
    single = {package.artifact.digest: package for package in all_packages(lock)}
    return tuple(single[digest] for digest in sorted(single))


def explain(lock: Lock, name: str) -> tuple[tuple[str, ...], ...]:
    """Why a package is locked: the shortest chain from each requirement that leads to it.

    A chain starts with the requirement's name and ends with the package's; the package that answers the
    requirement is left out where it has the same name. `name` may carry its source (`npm:node`), and may
    be a requirement's. What building a package needs stands behind that package. Shortest first, then by
    name; empty when nothing of that name is locked.
    """
    source, _, bare = name.rpartition(":")
    chains = []
    for requirement in lock.requirements:
        if source and requirement.source != source:
            continue
        roots = lock.roots.get(requirement.name) or (requirement.package,)
        targets = {bare, *(roots if bare == requirement.name else ())}
        path = _shortest(roots, targets, _edges(lock, requirement.source))
        if path:
            start = () if path[0] == requirement.name else (requirement.name,)
            chains.append((*start, *path))
    return tuple(sorted(chains, key=lambda chain: (len(chain), chain)))


def _edges(lock: Lock, source: str) -> Mapping[str, list[str]]:
    edges: dict[str, list[str]] = defaultdict(list)
    for package in lock.packages:
        if package.source == source:
            edges[package.name] += package.dependencies
            if _is_for_builds(package):
                edges[package.placement.removeprefix(FOR_BUILDS)].append(package.name)
    return edges


def _shortest(roots: tuple[str, ...], targets: set[str], edges: Mapping[str, list[str]]) -> tuple[str, ...]:
    came_from: dict[str, str | None] = dict.fromkeys(roots)
    waiting = deque(roots)
    while waiting:
        name = waiting.popleft()
        if name in targets:
            return tuple(reversed(list(_back(name, came_from))))
        for other in edges.get(name, ()):
            if other not in came_from:
                came_from[other] = name
                waiting.append(other)
    return ()


def _back(name: str, came_from: Mapping[str, str | None]) -> Iterator[str]:
    step: str | None = name
    while step is not None:
        yield step
        step = came_from[step]
