"""Which packages answer a set of wanted ones on one architecture.

Owns the search. It walks as apt does: dependencies in their order, depth first, of each group of
alternatives the first that can be installed, and nothing for a group that is answered already. Where that
gets stuck, because an early choice stands in the way of a later need, libsolv decides
(`cape.sources.debian.conflicts`). What a pool prefers is the pool's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cape.sources.debian.package import DebianPackage, Group, Relation
from cape.sources.debian.pool import Pool


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A package that must be there, the versions that may be (best first), and who asked for it."""

    reason: str
    packages: tuple[DebianPackage, ...]
    recommends: bool = False
    where: str | None = None


class Stuck(Exception):
    """The walk found no way; that does not say that there is none."""


class Selection:
    """Packages that can be installed together, in the order in which they were chosen."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        self._chosen: dict[str, DebianPackage] = {}
        self._answering: dict[str, list[DebianPackage]] = {}
        self._refused: dict[str, list[tuple[Relation, DebianPackage]]] = {}

    def __len__(self) -> int:
        return len(self._chosen)

    def packages(self) -> tuple[DebianPackage, ...]:
        return tuple(self._chosen.values())

    def answer(self, group: Group) -> DebianPackage | None:
        """The chosen package that answers the first answered alternative of a group."""
        for relation in group:
            for package in self._answering.get(relation.name, ()):
                if package.answers(relation, self._architecture):
                    return package
        return None

    def add(self, package: DebianPackage) -> bool:
        """Choose a package, unless it cannot be with what is chosen; whether it is chosen now."""
        present = self._chosen.get(package.name)
        if present is not None:
            return present is package
        if self._is_refused(package):
            return False
        self._chosen[package.name] = package
        for name in _names(package):
            self._answering.setdefault(name, []).append(package)
        for relation in package.negatives:
            self._refused.setdefault(relation.name, []).append((relation, package))
        return True

    def _is_refused(self, package: DebianPackage) -> bool:
        for relation in package.negatives:
            if any(
                other.answers(relation, self._architecture)
                for other in self._answering.get(relation.name, ())
            ):
                return True
        return any(
            package.answers(relation, self._architecture)
            for name in _names(package)
            for relation, _ in self._refused.get(name, ())
        )

    def undo(self, length: int) -> None:
        """Take back what was chosen after the first `length` packages."""
        while len(self._chosen) > length:
            _, package = self._chosen.popitem()
            for name in _names(package):
                self._answering[name].pop()
            for relation in package.negatives:
                self._refused[relation.name].pop()


def _names(package: DebianPackage) -> Iterator[str]:
    yield package.name
    for name in package.provides:
        if name != package.name:
            yield name


@dataclass(slots=True)
class _Visit:
    """A chosen package whose dependencies are being looked at."""

    package: DebianPackage
    length_before: int
    groups: Iterator[Group]
    alternatives: Iterator[DebianPackage] | None = field(default=None)


class _Walk:
    """One walk over a pool. A package that failed once is not tried again, as in apt."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.selection = Selection(pool.architecture)
        self._failed: set[DebianPackage] = set()

    def choose(self, wanted: Sequence[Wanted]) -> list[DebianPackage]:
        """Choose all wanted packages before any dependency, so that they answer it. Raises `Stuck`."""
        roots = []
        for one in wanted:
            package = next((package for package in one.packages if self.selection.add(package)), None)
            if package is None:
                raise Stuck(one.reason)
            roots.append(package)
        return roots

    def complete(self, package: DebianPackage, *, groups: Sequence[Group] | None = None) -> bool:
        """Choose what a chosen package needs (or only `groups` of it); whether that was possible.

        What was chosen for it is taken back otherwise. The stack is our own: dependency chains of the
        archive are deeper than Python's.
        """
        length = len(self.selection)
        visits = [_Visit(package, length, iter(package.depends if groups is None else groups))]
        while visits:
            visit = visits[-1]
            if visit.alternatives is None:
                group = next(visit.groups, None)
                if group is None:
                    visits.pop()
                    if visits:
                        visits[-1].alternatives = None
                    continue
                if self.selection.answer(group) is not None:
                    continue
                visit.alternatives = iter(tuple(self.pool.candidates(group)))
            below = self._try(visit.alternatives)
            if below is not None:
                visits.append(below)
                continue
            visits.pop()
            self.selection.undo(visit.length_before)
            self._failed.add(visit.package)
        return package not in self._failed

    def _try(self, alternatives: Iterator[DebianPackage]) -> _Visit | None:
        """The next alternative that can be chosen, now chosen; None when there is none left."""
        for package in alternatives:
            length = len(self.selection)
            if package not in self._failed and self.selection.add(package):
                return _Visit(package, length, iter(package.depends))
        return None


def resolve(pool: Pool, wanted: Sequence[Wanted]) -> Selection:
    """The packages for all wanted ones and the essential ones, with everything that they need.

    Raises `cape.sources.debian.conflicts.Unsolvable` when there is no such set.
    """
    essentials = [Wanted(reason=package.name, packages=(package,)) for package in pool.essentials]
    everything = [*wanted, *essentials]
    try:
        return _walk(pool, everything)
    except Stuck:
        from cape.sources.debian.conflicts import solve

        selection = Selection(pool.architecture)
        for package in solve(pool, everything):
            added = selection.add(package)
            assert added, f"libsolv chose {package.name} against our own rules"
        return selection


def _walk(pool: Pool, wanted: Sequence[Wanted]) -> Selection:
    walk = _Walk(pool)
    roots = walk.choose(wanted)
    for package in roots:
        if not walk.complete(package):
            raise Stuck(package.name)
    for one, package in zip(wanted, roots, strict=True):
        if one.recommends:
            _follow_recommendations(walk, package)
    return walk.selection


def _follow_recommendations(walk: _Walk, package: DebianPackage) -> None:
    """Choose what a package recommends, each as far as it can be."""
    for group in package.recommends:
        if walk.selection.answer(group) is not None:
            continue
        for candidate in walk.pool.candidates(group):
            length = len(walk.selection)
            if not walk.selection.add(candidate):
                continue
            if walk.complete(candidate):
                break
            walk.selection.undo(length)
