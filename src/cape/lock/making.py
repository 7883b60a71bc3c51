"""Manifest -> lock, through the sources.

Owns the stages: what is wanted, what is kept, the system packages, the platforms that they give, the
other sources, the whole. Each stage is a function from values to values; only `_resolve` asks a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cape.errors import CapeError
from cape.lock.errors import SourceMissing
from cape.lock.keeping import check_upgrade, is_unchanged, kept_rows
from cape.lock.licences import check_licences
from cape.lock.model import IMPLICIT_OPTION, Lock
from cape.lock.platforms import platforms_of
from cape.lock.providing import provided_by
from cape.lock.rows import BadRow, package_line
from cape.lock.wanted import check_possible, wanted_on, wanted_requirements
from cape.manifest.model import Manifest
from cape.names import System
from cape.sources.protocol import (
    NO_PROGRESS,
    PROJECT_OPTION,
    LockedPackage,
    Platform,
    Progress,
    Provided,
    RegistryGarbage,
    Requirement,
    Resolution,
    ResolveContext,
    Snapshot,
    Source,
    UnknownPackage,
)

__all__ = ["lock_manifest"]

_SYSTEM_SOURCE = "debian"
_FIRST = ("debian", "uv")
"""The sources that give the platform which the others lock for."""

_PROVIDED_FOR = "pypi"
"""The source whose packages a system package may stand for."""

_ASKED_BY_NAME = ("debian", "pypi", "npm")
"""The sources that are asked whether they have a name that another does not."""


def lock_manifest(
    manifest: Manifest,
    sources: Mapping[str, Source],
    previous: Lock | None,
    *,
    upgrade: frozenset[str] | None = None,
    as_of: str | None = None,
    progress: Progress = NO_PROGRESS,
) -> Lock:
    """The lock of a manifest. Writes nothing.

    Of `previous`, what its sources would answer again is kept: a source whose requirements, systems and
    platforms are as they were is not asked at all. `upgrade` names requirements or locked packages that
    may move (`ALL`: everything may; None: nothing that need not). With `as_of`, an instant such as
    `2026-01-16T00:00:00Z`, the sources that are asked answer as they would have then.

    Raises `UnknownPackage` (with the other sources that have the name), `UnknownVersion`,
    `RequirementsConflict`, `LicenceForbidden`, `NoSourceOnSystem`, `NoSuite`, `SourceMissing`,
    `UnknownUpgrade`, and the `SourceError`s of the sources that are asked.
    """
    wanted = wanted_requirements(manifest)
    check_possible(manifest, wanted)
    check_upgrade(upgrade or frozenset(), wanted, previous)
    work = _Work(
        manifest=manifest,
        wanted=wanted,
        sources=sources,
        previous=previous,
        upgrade=upgrade or frozenset(),
        as_of=as_of,
        progress=progress,
    )
    names = sorted(
        {requirement.source for requirement in wanted}, key=lambda name: (name not in _FIRST, name)
    )
    lock = _assemble(manifest, wanted, _parts(work, names))
    check_licences(manifest, lock)
    return _with_knowledge(lock, manifest, previous)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What all stages of one locking read."""

    manifest: Manifest
    wanted: tuple[Requirement, ...]
    sources: Mapping[str, Source]
    previous: Lock | None
    upgrade: frozenset[str]
    as_of: str | None
    progress: Progress
    provided: Mapping[str, Provided] = field(default_factory=dict)
    """What the system packages of this lock stand for; filled in when they are resolved."""

    def requirements_of(self, source: str) -> tuple[Requirement, ...]:
        return tuple(requirement for requirement in self.wanted if requirement.source == source)


def _parts(work: _Work, names: Sequence[str]) -> list[Resolution]:
    """Each source's resolution, system packages first."""
    parts: list[Resolution] = []
    platforms: tuple[Platform, ...] = platforms_of((), work.manifest.systems)
    for name in names:
        parts.append(_part(work, name, platforms))
        if name in _FIRST:
            given = (package for part in parts for package in part.packages)
            platforms = platforms_of(given, work.manifest.systems)
            if name == _SYSTEM_SOURCE:
                work = replace(work, provided=provided_by(work.manifest, parts[-1].packages))
    return parts


def _part(work: _Work, source: str, platforms: tuple[Platform, ...]) -> Resolution:
    """A source's resolution: the present lock's where nothing that it depends on changed."""
    requirements = work.requirements_of(source)
    if work.previous is not None and _may_keep(work, work.previous, source, platforms):
        return _kept(work.previous, source)
    return _resolve(work, source, requirements, platforms)


def _may_keep(work: _Work, previous: Lock, source: str, platforms: tuple[Platform, ...]) -> bool:
    if set(previous.systems) != set(work.manifest.systems):
        return False
    if source == _SYSTEM_SOURCE and previous.suite != work.manifest.debian:
        return False
    if source in ("pypi", "npm") and platforms_of(previous.packages, previous.systems) != platforms:
        return False
    if source == _PROVIDED_FOR and work.provided != provided_by(work.manifest, previous.packages):
        return False
    return is_unchanged(source, work.requirements_of(source), previous, work.upgrade)


def _kept(previous: Lock, source: str) -> Resolution:
    names = [requirement.name for requirement in previous.requirements_of(source)]
    return Resolution(
        packages=previous.packages_of(source),
        roots={name: previous.roots.get(name, ()) for name in names},
        snapshots=_snapshots_of(previous, source),
    )


def _snapshots_of(previous: Lock | None, source: str) -> tuple[Snapshot, ...]:
    snapshots = previous.snapshots if previous else ()
    return tuple(snapshot for snapshot in snapshots if snapshot.source == source)


def _resolve(
    work: _Work, source: str, requirements: tuple[Requirement, ...], platforms: tuple[Platform, ...]
) -> Resolution:
    """Ask a source. What it is asked is the same for any order of the manifest."""
    asked = [_plain(each) for each in requirements if wanted_on(each, work.manifest.systems)]
    if not asked:
        return Resolution(packages=())
    if source not in work.sources:
        raise SourceMissing(f"there is no source `{source}`", where=asked[0].where)
    systems = _systems_for(source, work.manifest.systems)
    context = ResolveContext(
        systems=systems,
        kept=kept_rows(source, requirements, work.previous, work.upgrade),
        platforms=tuple(platform for platform in platforms if platform.system in systems),
        suite=work.manifest.debian,
        snapshots=_snapshots_of(work.previous, source),
        as_of=work.as_of,
        minimum_age=work.manifest.minimum_age,
        directory=work.manifest.path.parent,
        provided=work.provided if source == _PROVIDED_FOR else {},
        progress=work.progress,
    )
    work.progress.start(f"locking {source} packages", 0)
    try:
        resolution = work.sources[source].resolve(asked, context)
    except UnknownPackage as error:
        raise _told_elsewhere(error, work.sources) from error.__cause__
    finally:
        work.progress.finish()
    return _checked(source, asked, resolution, systems)


def _plain(requirement: Requirement) -> Requirement:
    """The requirement without cape's own mark, which no source knows."""
    options = {key: value for key, value in requirement.options.items() if key != IMPLICIT_OPTION}
    return replace(requirement, options=options)


def _systems_for(source: str, systems: tuple[System, ...]) -> tuple[System, ...]:
    return tuple(sorted(system for system in systems if system.is_linux or source != _SYSTEM_SOURCE))


def _told_elsewhere(error: UnknownPackage, sources: Mapping[str, Source]) -> UnknownPackage:
    """The same error, with the other sources that have a package of that name."""
    requirement = error.requirement
    others = [name for name in _ASKED_BY_NAME if name in sources and name != requirement.source]
    elsewhere = [
        f"{name}:{requirement.package}" for name in others if _has(sources[name], requirement.package)
    ]
    return UnknownPackage(requirement, nearest=tuple(dict.fromkeys(error.nearest)), elsewhere=elsewhere)


def _has(source: Source, package: str) -> bool:
    """Whether a source has a package; one that cannot be asked is taken not to."""
    try:
        return source.has(package)
    except CapeError:
        return False


def _checked(
    source: str, asked: Sequence[Requirement], resolution: Resolution, systems: Iterable[System]
) -> Resolution:
    """A source that breaks its promise is a bug, and must not become a lock.

    Raises `RegistryGarbage` for a location that leads to another place than the registry.
    """
    names = {package.name for package in resolution.packages}
    for package in resolution.packages:
        try:
            package_line(package)
        except BadRow as error:
            raise RegistryGarbage(f"`{source}` offers `{package.name}` wrongly: {error}") from None
        assert package.source == source, f"`{source}` gave a row of `{package.source}`"
        assert package.systems and set(package.systems) <= set(systems), f"wrong systems for `{package.name}`"
        missing = set(package.dependencies) - names
        assert not missing, f"`{source}` locks `{package.name}` without {sorted(missing)}"
    for requirement in asked:
        roots = resolution.roots.get(requirement.name)
        assert roots or {PROJECT_OPTION, "marker"} & requirement.options.keys(), (
            f"`{source}` does not answer `{requirement.name}`"
        )
        roots = roots or ()
        assert names.issuperset(roots), f"`{source}` answers `{requirement.name}` with no row"
    return resolution


def _assemble(manifest: Manifest, wanted: tuple[Requirement, ...], parts: Sequence[Resolution]) -> Lock:
    packages = [package for part in parts for package in part.packages]
    roots = {name: tuple(sorted(names)) for part in parts for name, names in part.roots.items()}
    known = {requirement.name for requirement in wanted}
    return Lock(
        requirements=tuple(
            replace(requirement, where=None, systems=tuple(sorted(requirement.systems)))
            for requirement in wanted
        ),
        systems=manifest.systems,
        suite=manifest.debian,
        snapshots=tuple(snapshot for part in parts for snapshot in part.snapshots),
        packages=tuple(_one_row_each(packages)),
        roots={name: names for name, names in roots.items() if name in known},
        expose=manifest.expose,
        notes=tuple(note for part in parts for note in part.notes),
    )


def _with_knowledge(lock: Lock, manifest: Manifest, previous: Lock | None) -> Lock:
    """The lock with the present rows of the manifest's knowledge bases: indexing alone changes them."""
    if previous is None:
        return lock
    return replace(
        lock,
        knowledge=tuple(base for base in previous.knowledge if base.name in manifest.knowledge),
        documents=tuple(one for one in previous.documents if one.base in manifest.knowledge),
        unsettled_knowledge=previous.unsettled_knowledge & manifest.knowledge.keys(),
    )


def _one_row_each(packages: Sequence[LockedPackage]) -> list[LockedPackage]:
    """The rows, those that differ in nothing but their systems made one."""
    rows: dict[str, LockedPackage] = {}
    for found in packages:
        package = replace(found, dependencies=tuple(sorted(set(found.dependencies))))
        line = package_line(package, with_systems=False)
        systems = {*package.systems, *(rows[line].systems if line in rows else ())}
        rows[line] = replace(package, systems=tuple(sorted(systems)))
    return list(rows.values())
