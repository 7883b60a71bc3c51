"""`cape list`, `show`, `search`, `why`: what is locked, and what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cape.errors import InputError, SourceError
from cape.lock import Lock, explain, read_lock
from cape.lock.model import IMPLICIT_OPTION
from cape.names import System, nearest
from cape.operations.project import NotLocked, Project, Workshop
from cape.sources.protocol import Candidate, LockedPackage


class NotInLock(InputError):
    """A package that the lock does not hold."""

    slug = "not-in-lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A locked package, and the manifest's name for it (None: it is there because another needs it)."""

    package: LockedPackage
    requested_as: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Results of a search, best first, and the sources that could not be asked, with the reason."""

    candidates: tuple[Candidate, ...]
    failures: tuple[str, ...]


def locked(project: Project) -> Lock:
    """The project's lock. Raises `NotLocked`."""
    lock = read_lock(project.lock_path)
    if lock is None:
        raise NotLocked("there is no `cape.lock` yet", where=str(project.directory), hint="run `cape lock`")
    return lock


def list_locked(lock: Lock, *, system: System | None, everything: bool) -> tuple[Listed, ...]:
    """The locked packages of a system (None: of all), those that the manifest names first."""
    named = {
        (requirement.source, package): requirement.name
        for requirement in lock.requirements
        if IMPLICIT_OPTION not in requirement.options
        for package in lock.roots.get(requirement.name, ())
    }
    rows = [
        Listed(package=package, requested_as=named.get((package.source, package.name)))
        for package in lock.packages
        if system is None or system in package.systems
    ]
    rows.sort(key=lambda row: (row.requested_as is None, row.package.key))
    return tuple(row for row in rows if everything or row.requested_as)


def rows_of(lock: Lock, name: str) -> tuple[LockedPackage, ...]:
    """The locked rows that `NAME` or `SOURCE:NAME` means. Raises `NotInLock`."""
    source, _, bare = name.rpartition(":")
    wanted = {bare, *lock.roots.get(bare, ())}
    rows = tuple(
        package
        for package in lock.packages
        if package.name in wanted and (not source or package.source == source)
    )
    if not rows:
        close = nearest(bare, {package.name for package in lock.packages})
        hint = "did you mean " + ", ".join(f"`{one}`" for one in close) + "?" if close else None
        raise NotInLock(
            f"the lock has no package `{name}`", hint=hint or "`cape list --all` shows what it has"
        )
    return rows


def limits_of(workshop: Workshop, package: LockedPackage) -> tuple[str, ...]:
    """What will not work of a locked system package, as far as its artifact was looked into or is here."""
    from cape.analysis.limits import limits, refusal
    from cape.operations.judging import Lookout, judged_system

    system = judged_system(package.systems)
    if package.source != "debian" or system is None:
        return ()
    lookout = Lookout(workshop, system, may_bring=False)
    lookout.look([package])
    contents = lookout.contents(package)
    if contents is None:
        return ()
    found = refusal(package.name, contents)
    sentences = limits(package.name, contents)
    return (found.sentence, *sentences) if found is not None and found.is_final else sentences


def why(lock: Lock, name: str) -> tuple[tuple[str, ...], ...]:
    """Chains from what the manifest names to a package, shortest first. Raises `NotInLock`."""
    chains: list[tuple[str, ...]] = []
    for package in {row.name for row in rows_of(lock, name)}:
        chains += explain(lock, package)
    return tuple(sorted(set(chains), key=lambda chain: (len(chain), chain)))


def search(workshop: Workshop, text: str, *, suite: str | None, limit: int) -> Found:
    """Packages that `TEXT` or `SOURCE:TEXT` finds; a source that fails is named, the others answer."""
    sources = workshop.sources(suite)
    source, _, words = text.partition(":")
    if source not in sources or not words:
        source, words = "", text
    asked: Sequence[str] = (source,) if source else ("debian", "pypi", "npm")
    candidates: list[Candidate] = []
    failures: list[str] = []
    for name in asked:
        try:
            candidates += sources[name].find(words, limit=limit)
        except SourceError as error:
            failures.append(f"{name}: {error}")
    return Found(candidates=tuple(candidates[:limit] if source else candidates), failures=tuple(failures))


def describe(workshop: Workshop, name: str, *, suite: str | None) -> tuple[Candidate, ...]:
    """What the sources have under exactly `NAME` or `SOURCE:NAME`. Raises `NotInLock`."""
    found = search(workshop, name, suite=suite, limit=50)
    exact = tuple(one for one in found.candidates if one.name == name.rpartition(":")[2])
    if not exact:
        close = nearest(name.rpartition(":")[2], [one.name for one in found.candidates])
        hint = "did you mean " + ", ".join(f"`{one}`" for one in close) + "?" if close else None
        raise NotInLock(f"no source has a package `{name}`", hint=hint or f"`cape search {name}` looks wider")
    return exact
