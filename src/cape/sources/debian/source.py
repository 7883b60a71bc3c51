"""Debian's archive as a source of packages.

Owns the joining of this package's parts behind the `Source` Protocol: requirements in, locked packages
out. Network, signatures, versions, search and unpacking each have their own module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cape.configuration import Configuration
from cape.errors import SourceError
from cape.names import Digest, System
from cape.sources.debian.index import Archive, Indices
from cape.sources.debian.package import DebianPackage, Group, group_text
from cape.sources.debian.pool import Pool
from cape.sources.debian.registry import (
    DATED_MIRROR,
    Place,
    dated_base,
    dated_places,
    flavour_of,
    places,
)
from cape.sources.debian.resolve import Selection, Wanted, resolve
from cape.sources.debian.table import Table
from cape.sources.debian.version import Constraint
from cape.sources.protocol import (
    Artifact,
    ArtifactLookup,
    Candidate,
    LockedPackage,
    RegistryUnknown,
    Requirement,
    RequirementsConflict,
    Resolution,
    ResolveContext,
    Snapshot,
    UnknownPackage,
    UnknownVersion,
)

if TYPE_CHECKING:
    from cape.sources.debian.files import FileNames

ARCHITECTURES = {System.X86_64_LINUX: "amd64", System.AARCH64_LINUX: "arm64"}
"""What Debian calls the systems that it has packages for."""

_AFTER = (timedelta(0), timedelta(hours=12))
"""How long after a `Release`'s own date an archive of old states is asked for its files.

Such an archive looks at a mirror a few times a day and gives the last state before the date that it is
asked for: that is the one before, which lacks what came with this `Release`. A mirror keeps superseded
files for longer than half a day, so the state after it has them all.
"""

DATED = "dated"
"""The directory of the cache for old states, which `cape gc` removes: they can be had again."""

ALIASES = {"python": "python3"}
"""Words for packages that Debian has under another name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What the archive says of one version of a package. Sizes in bytes, dependencies as written."""

    name: str
    version: str
    summary: str
    homepage: str | None
    section: str | None
    registry: str
    size_bytes: int
    installed_bytes: int
    depends: tuple[str, ...]
    recommends: tuple[str, ...]
    provides: tuple[str, ...]
    versions: tuple[str, ...]
    """All versions that the suite has, highest first."""


class DebianSource:
    """The packages of one suite, from the mirrors that this machine's apt or cape's settings name."""

    name = "debian"

    def __init__(
        self, *, suite: str, configuration: Configuration, cache: Path, artifacts: ArtifactLookup
    ) -> None:
        self._suite = suite
        self._configuration = configuration
        self._cache = cache
        self._artifacts = artifacts
        self._opened: Indices | None = None
        self._tables: dict[str, tuple[tuple[str, Table], ...]] = {}
        self._snapshots: tuple[Snapshot, ...] = ()
        self._as_of: datetime | None = None

    def refresh(self) -> None:
        """Ask the mirrors for a newer state at the next use; see `Indices.refresh`."""
        self._indices.refresh()
        self._tables.clear()

    def _turn_to(self, as_of: str | None) -> None:
        """From now on, answer as the archive was at that instant; None: as it is."""
        moment = datetime.fromisoformat(as_of) if as_of else None
        if moment != self._as_of:
            self._as_of, self._opened = moment, None
            self._tables.clear()

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """Packages whose name or summary holds every word of `text`, best first."""
        words = text.lower().split()
        if not words:
            return ()
        pool = self._pool(self._home())
        scored: dict[str, tuple[int, int, str, str]] = {}
        for _, table in self._tables[pool.architecture]:
            for name, summary in _matching(table.summaries(), words):
                scored.setdefault(name, (*_rank(name, words), name, summary))
        found = []
        for *_, name, summary in sorted(scored.values())[:limit]:
            candidate = pool.candidate(name)
            version = candidate.version if candidate else ""
            found.append(Candidate(source=self.name, name=name, version=version, summary=summary))
        return tuple(found)

    def has(self, package: str) -> bool:
        """Whether the suite has a package of exactly this name (or of this alias), for this machine."""
        pool = self._pool(self._home())
        return any(table.has(ALIASES.get(package, package)) for _, table in self._tables[pool.architecture])

    def describe(self, package: str) -> Description | None:
        """What the archive says of a package's candidate; None when there is no such package."""
        pool = self._pool(self._home())
        found = pool.candidate(ALIASES.get(package, package))
        return _description(found, pool) if found else None

    def packages_with(self, name: str, system: System) -> tuple[str, ...]:
        """Packages that have a library, or a program, of exactly that file name, sorted."""
        return self.file_names(system).owners(name)

    def file_names(self, system: System) -> FileNames:
        """The names of the suite's libraries, programs and typelibs.

        The archive's list of all files is read for it when that was not done yet, which takes seconds.
        """
        from cape.sources.debian.files import file_names

        return file_names(self._indices.archives(), ARCHITECTURES.get(system, self._home()))

    def named(self, package: str, system: System) -> DebianPackage | None:
        """The candidate of exactly that name for a system; None when the suite has none."""
        return self._pool(ARCHITECTURES.get(system, self._home())).candidate(package)

    def only_provider(self, name: str, system: System) -> str | None:
        """The only package that provides a virtual one of that name; None for a real one, and for others."""
        pool = self._pool(ARCHITECTURES.get(system, self._home()))
        providers = pool.providers(name)
        return providers[0] if len(providers) == 1 and pool.candidate(name) is None else None

    def leads_to(self, package: str, system: System) -> frozenset[str]:
        """About what a package brings along: what apt would take for each of its dependencies."""
        pool = self._pool(ARCHITECTURES.get(system, self._home()))
        seen: set[str] = set()
        waiting = [package]
        while waiting:
            found = pool.candidate(waiting.pop())
            for group in found.depends if found else ():
                chosen = next(iter(pool.candidates(group)), None)
                if chosen is not None and chosen.name not in seen:
                    seen.add(chosen.name)
                    waiting.append(chosen.name)
        return frozenset(seen)

    def users(self, package: str, system: System) -> int:
        """About how many packages of the suite need one, by its name."""
        architecture = ARCHITECTURES.get(system, self._home())
        self._pool(architecture)
        return sum(table.mentions(package) for _, table in self._tables[architecture])

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """The packages for all requirements on every system that Debian has packages for.

        Raises `UnknownPackage`, `UnknownVersion`, `RequirementsConflict`, and the errors of indices.
        """
        if not requirements:
            return Resolution(packages=())
        self._turn_to(context.as_of)
        self._check_nothing_goes_back(context.snapshots)
        rows = _Rows()
        roots: dict[str, dict[str, None]] = {}
        for system in context.systems:
            here = [one for one in requirements if not one.systems or system in one.systems]
            if not here or system not in ARCHITECTURES:
                continue
            wanted, selection = self._resolve_for(system, here, context)
            rows.add(system, selection)
            for requirement, one in zip(here, wanted, strict=True):
                roots.setdefault(requirement.name, {})[one.packages[0].name] = None
        self._snapshots = tuple(self._current_snapshots())
        return Resolution(
            packages=rows.merged(),
            roots={name: tuple(sorted(found)) for name, found in sorted(roots.items())},
            snapshots=self._snapshots,
            notes=tuple(self._notes(requirements, context)),
        )

    def versions(self, requirements: Sequence[Requirement], context: ResolveContext) -> Mapping[str, str]:
        """See `Trying.versions`."""
        rows = self.resolve(requirements, context).packages
        return {row.name: row.version for row in reversed(rows)}

    def _check_nothing_goes_back(self, locked: Sequence[Snapshot]) -> None:
        """Raise the failure of a mirror that may alone have updates or fixes that the lock has."""
        without = self._indices.without()
        for snapshot in locked:
            if snapshot.name in without:
                raise without[snapshot.name]

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """URLs on the mirrors, then on the dated mirror if one is set and the lock's dates are known."""
        dates: dict[str, list[str]] = {}
        for snapshot in snapshots or self._snapshots:
            dates.setdefault(snapshot.registry, []).append(snapshot.date)
        registries = sorted({package.artifact.registry for package in packages})
        bases = {registry: self._bases(registry, dates.get(registry, ())) for registry in registries}
        return {
            package.artifact.digest: [f"{base}/{package.artifact.location}" for base in found]
            for package in packages
            if (found := bases[package.artifact.registry])
        }

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """Unpack a deb below `into/root`, its control files below `into/root/var/lib/cape/control`."""
        from cape.sources.debian.deb import unpack

        unpack(artifact, into, package=package.name)

    @property
    def _indices(self) -> Indices:
        if self._opened is None:
            found = (
                dated_places(self._suite, self._configuration, self._as_of)
                if self._as_of
                else places(self._suite, self._configuration)
            )
            cache = self._cache / DATED if self._as_of else self._cache
            self._opened = Indices(found, self._suite, cache, now=self._as_of)
        return self._opened

    def _home(self) -> str:
        """The architecture of this machine, or amd64 where Debian has none for it."""
        return ARCHITECTURES.get(System.current(), "amd64")

    def _pool(self, architecture: str) -> Pool:
        if architecture not in self._tables:
            self._tables[architecture] = tuple(
                (archive.registry, table) for archive, table in self._indices.tables(architecture)
            )
        return Pool(self._tables[architecture], architecture)

    def _resolve_for(
        self, system: System, requirements: Sequence[Requirement], context: ResolveContext
    ) -> tuple[list[Wanted], Selection]:
        pool = self._pool(ARCHITECTURES[system])
        _prefer_kept(pool, system, context.kept)
        wanted = [self._wanted(requirement, pool, system) for requirement in requirements]
        for one in wanted:
            pool.pin(one.packages[0])
        from cape.sources.debian.conflicts import Unsolvable

        try:
            return wanted, resolve(pool, wanted)
        except Unsolvable as error:
            raise _conflict(error, system, requirements) from None

    def _wanted(self, requirement: Requirement, pool: Pool, system: System) -> Wanted:
        """The versions that may answer a requirement, the preferred one first."""
        name = ALIASES.get(requirement.package, requirement.package)
        constraint = Constraint.parse(requirement.constraint, where=requirement.where)
        versions = pool.versions(name) or _only_provider(pool, name)
        if not versions:
            self._refuse_name(requirement, name, pool, system)
        allowed = [package for package in versions if constraint.allows(package.version)]
        if not allowed:
            raise _no_version(requirement, versions, system)
        candidate = pool.candidate(allowed[0].name)
        allowed.sort(key=lambda package: package is not candidate)
        return Wanted(
            reason=requirement.name,
            packages=tuple(allowed),
            recommends=requirement.options.get("recommends", "").lower() == "true",
            where=requirement.where,
        )

    def _refuse_name(self, requirement: Requirement, name: str, pool: Pool, system: System) -> NoReturn:
        others = [
            other
            for other, architecture in ARCHITECTURES.items()
            if other != system and self._pool(architecture).versions(name)
        ]
        if others:
            raise UnknownVersion(
                f"Debian's `{self._suite}` has no `{name}` for `{system}`",
                where=requirement.where,
                hint=f"it has it for `{others[0]}`: `systems` at the package limits it to that",
            )
        providers = pool.providers(name)
        raise UnknownPackage(requirement, nearest=providers[:3] or _nearest_names(name, self._names(pool)))

    def _names(self, pool: Pool) -> Iterator[str]:
        for _, table in self._tables[pool.architecture]:
            for line in table.summaries().split(b"\n"):
                yield line.partition(b"\t")[0].decode()

    def _current_snapshots(self) -> Iterator[Snapshot]:
        for archive in self._indices.archives():
            yield Snapshot(
                source=self.name,
                registry=archive.registry,
                name=archive.place.suite,
                date=archive.release.iso_date,
                digest=archive.release.digest,
            )

    def _notes(self, requirements: Sequence[Requirement], context: ResolveContext) -> Iterator[str]:
        for system in context.systems:
            names = [one.name for one in requirements if not one.systems or system in one.systems]
            if names and system not in ARCHITECTURES:
                listed = ", ".join(f"`{name}`" for name in names)
                yield f"Debian has no packages for `{system}`; not there: {listed}"
        for archive in self._indices.archives():
            if archive.is_old:
                yield (
                    f"the mirror of `{archive.place.suite}` could not be asked; "
                    f"its state of {archive.release.iso_date} was used"
                )
            if archive.older:
                yield (
                    f"the mirror of `{archive.place.suite}` went back to its state of {archive.older}; "
                    f"that of {archive.release.iso_date}, which it had before, was used"
                )
        for suite, error in self._indices.without().items():
            yield (
                f"no mirror that answers has `{suite}`, and one that may have it fails ({error}): "
                "its packages are left out"
            )
        yield from () if context.as_of else self._notes_of_age(context.snapshots)

    def _notes_of_age(self, snapshots: Sequence[Snapshot]) -> Iterator[str]:
        """A sentence for each suite whose mirror is behind the lock."""
        locked = {snapshot.name: snapshot.date for snapshot in snapshots}
        for archive in self._indices.archives():
            date = locked.get(archive.place.suite, "")
            if date > archive.release.iso_date:
                yield (
                    f"the mirror of `{archive.place.suite}` has its state of {archive.release.iso_date}, "
                    f"older than the lock's of {date}: packages may have gone back"
                )

    def _bases(self, registry: str, dates: Sequence[str]) -> list[str]:
        """Base URLs of a registry: its mirrors, then the archive of old states near the lock's dates."""
        found = [place.base for place in self._places_of(registry)]
        template = self._configuration.one(DATED_MIRROR)
        if template:
            moments = [moment for date in sorted(dates, reverse=True) if (moment := _moment(date))]
            found += [
                dated_base(template, registry, moment + after) for after in _AFTER for moment in moments
            ]
        return list(dict.fromkeys(found))

    def _places_of(self, registry: str) -> list[Place]:
        """Where a registry is: by the labels of its suites, or if they cannot be read, by their names."""
        try:
            every = places(self._suite, self._configuration)
        except RegistryUnknown:
            if self._configuration.one(DATED_MIRROR) is None:
                raise
            return []
        try:
            archives: tuple[Archive, ...] = self._indices.archives()
        except RegistryUnknown:
            raise
        except SourceError:
            is_security = "security" in registry
            guessed = [place for place in every if (flavour_of(place.suite) == "-security") == is_security]
            return sorted(guessed, key=lambda place: self._indices.is_silent(place.base))
        first = [archive.place for archive in archives if archive.registry == registry]
        suites = {place.suite for place in first}
        return first + [place for place in every if place.suite in suites]


@dataclass(slots=True)
class _Row:
    """What is known of a package so far; the sets are names, in no order that matters."""

    package: DebianPackage
    systems: set[System] = field(default_factory=set)
    dependencies: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)


class _Rows:
    """Locked packages of several systems; those with the same artifact become one row."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Digest], _Row] = {}

    def add(self, system: System, selection: Selection) -> None:
        for package in selection.packages():
            digest = Digest(package.fields["SHA256"])
            row = self._rows.setdefault((package.name, digest), _Row(package=package))
            row.systems.add(system)
            row.dependencies |= _answers(package, package.depends, selection)
            row.replaced |= _answers(package, package.replaces, selection)

    def merged(self) -> tuple[LockedPackage, ...]:
        rows = [_locked(digest, row) for (_, digest), row in self._rows.items()]
        return tuple(sorted(rows, key=lambda row: row.key))


def _answers(package: DebianPackage, groups: Sequence[Group], selection: Selection) -> set[str]:
    """The chosen packages, but for itself, that answer a package's relations."""
    found = (selection.answer(group) for group in groups)
    return {answer.name for answer in found if answer is not None and answer is not package}


def _locked(digest: Digest, row: _Row) -> LockedPackage:
    package = row.package
    attributes = {"architecture": package.architecture}
    if package.is_essential:
        attributes["essential"] = "yes"
    if row.replaced:
        attributes["replaces"] = ", ".join(sorted(row.replaced))
    return LockedPackage(
        source="debian",
        name=package.name,
        version=package.version,
        systems=tuple(sorted(row.systems)),
        artifact=Artifact(
            digest=digest,
            size_bytes=int(package.fields["Size"]),
            registry=package.registry,
            location=package.fields["Filename"],
        ),
        dependencies=tuple(sorted(row.dependencies)),
        attributes=attributes,
    )


def _prefer_kept(pool: Pool, system: System, kept: Sequence[LockedPackage]) -> None:
    """Make the locked versions the candidates, where the archive still has them."""
    for row in kept:
        if row.source != "debian" or system not in row.systems:
            continue
        for package in pool.versions(row.name):
            if package.fields["SHA256"] == row.artifact.digest.hex:
                pool.pin(package)


def _only_provider(pool: Pool, name: str) -> tuple[DebianPackage, ...]:
    """The versions of the one package that provides a name that no package has; empty if several do."""
    providers = pool.providers(name)
    return pool.versions(providers[0]) if len(providers) == 1 else ()


def _no_version(
    requirement: Requirement, versions: Sequence[DebianPackage], system: System
) -> UnknownVersion:
    listed = ", ".join(f"`{package.version}`" for package in versions)
    return UnknownVersion(
        f"no version of `{versions[0].name}` fits `{requirement.constraint}` on `{system}`",
        where=requirement.where,
        hint=f"Debian's suite has {listed}",
    )


def _conflict(error: Exception, system: System, requirements: Sequence[Requirement]) -> RequirementsConflict:
    from cape.sources.debian.conflicts import Unsolvable

    assert isinstance(error, Unsolvable)
    asked = [one for one in error.involved if one.reason]
    named = ", ".join(f"`{one.reason}`" for one in asked) or "the required packages"
    where = ", ".join(one.where for one in asked if one.where)
    return RequirementsConflict(
        f"{named} cannot be installed{' together' if len(asked) > 1 else ''} on `{system}`",
        where=where or None,
        reasons=error.chain,
        concerned=[each for each in requirements if any(each.name == one.reason for one in asked)],
    )


def _moment(date: str) -> datetime | None:
    """The moment that a snapshot's date says; None when it says none: a lock may be edited by hand."""
    try:
        return datetime.fromisoformat(date)
    except ValueError:
        return None


def _matching(summaries: bytes, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and summary of the packages with every word. The rarest test comes first: bytes, unsplit."""
    lowered = summaries.lower()
    longest = max(words, key=len).encode()
    at = lowered.find(longest)
    while at >= 0:
        start, end = lowered.rfind(b"\n", 0, at) + 1, lowered.find(b"\n", at)
        end = len(lowered) if end < 0 else end
        line = lowered[start:end]
        if all(word.encode() in line for word in words):
            name, _, summary = summaries[start:end].decode("utf-8", "replace").partition("\t")
            yield name, summary
        at = lowered.find(longest, end)


def _rank(name: str, words: Sequence[str]) -> tuple[int, int]:
    """How well a name answers a search: itself, its beginning, a part of it, only the summary."""
    joined = "-".join(words)
    if name == joined:
        return (0, 0)
    if name.startswith(joined):
        return (1, len(name))
    if all(word in name for word in words):
        return (2, len(name))
    return (3, len(name))


def _nearest_names(name: str, names: Iterator[str]) -> tuple[str, ...]:
    """The three names most like a wrong one. Only names of similar length and beginning are compared."""
    from cape.names import nearest

    close = [other for other in names if abs(len(other) - len(name)) <= 3 and _shares_letters(name, other)]
    return nearest(name, close)


def _shares_letters(name: str, other: str) -> bool:
    return len(set(name) & set(other)) * 3 >= len(set(name)) * 2


def _description(package: DebianPackage, pool: Pool) -> Description:
    fields = package.fields
    return Description(
        name=package.name,
        version=package.version,
        summary=fields.get("Description", ""),
        homepage=fields.get("Homepage"),
        section=fields.get("Section"),
        registry=package.registry,
        size_bytes=int(fields["Size"]),
        installed_bytes=int(fields.get("Installed-Size", "0")) * 1024,
        depends=tuple(group_text(group) for group in package.depends),
        recommends=tuple(group_text(group) for group in package.recommends),
        provides=tuple(package.provides),
        versions=tuple(found.version for found in pool.versions(package.name)),
    )
