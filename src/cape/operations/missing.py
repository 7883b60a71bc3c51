"""What a lock's language packages need of the system and do not find, told when it is locked.

`check_missing` holds the needs of each artifact against the locked system packages, and raises
`MissingLibrary` with the packages that would help. How needs are read from artifacts, each once, is
`needs_read`'s, and how packages come into a manifest `mending`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from cape.errors import CapeError, InputError
from cape.lock.model import Lock
from cape.lock.queries import FOR_BUILDS
from cape.manifest import Manifest
from cape.names import Digest, System
from cape.operations.project import Workshop
from cape.sources.protocol import LockedPackage, Requirement, Source

if TYPE_CHECKING:
    from cape.analysis.missing import Findings, Missing, Provided, TooNew
    from cape.analysis.needs import PackageNeeds
    from cape.operations.needs_read import ScriptsRead
    from cape.sources.debian.files import FileNames

_log = logging.getLogger(__name__)

_DEBIAN, _PYPI, _NPM = "debian", "pypi", "npm"
WITHOUT = "without"
"""The option of a requirement that names what it may lack."""

FIX = "cape lock --fix"
"""What adds all that is missing from a manifest as it stands."""

_NOTES_SHOWN = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Addition:
    """A system package that would help: who needs it, and for what."""

    package: str
    needed_by: str
    library: str
    is_linked: bool = False
    """Whether a file is linked with it; otherwise it is looked for by name."""
    environment: str | None = None

    def question(self) -> str:
        """What is asked before it is added."""
        return f"{self.needed_by} needs {self.library}: add {self.package}?"


class Lacking(InputError):
    """A language package that cannot work with what there is; `about` names it."""

    slug = "lacking"

    about: tuple[str, ...] = ()


class MissingLibrary(Lacking):
    """A language package needs a library, a program or a typelib that nothing in the environment has.

    `additions` are the system packages that have what all of `also` lack too; empty when none is known.
    """

    slug = "missing-library"

    additions: tuple[Addition, ...] = ()
    otherwise: str = ""
    """The hint without the command that would add them."""

    def offer(self, command: str | None) -> None:
        """Let the hint name the command that would add them; None: there is none."""
        self.otherwise = self.otherwise or self.hint or ""
        self.hint = self.otherwise
        if command and self.additions:
            packages = _listed([addition.package for addition in self.additions], most=12)
            self.hint = f"`{command}` adds {packages} to the manifest; {self.otherwise}"


class TooOldLibrary(Lacking):
    """A language package needs a newer version of a library than the suite has."""

    slug = "too-old-library"


class WrongMachine(Lacking):
    """All that a language package would import is for another kind of machine."""

    slug = "wrong-machine"


def check_missing(
    manifest: Manifest,
    lock: Lock,
    workshop: Workshop,
    sources: Mapping[str, Source],
    *,
    dry_run: bool = False,
) -> tuple[str, ...]:
    """Sentences about what may be lacking. Raises `MissingLibrary`, `TooOldLibrary`, `WrongMachine`.

    Each system with system packages of its own is looked at. What cannot be looked at is named.
    """
    notes: list[str] = []
    errors: dict[str, Lacking] = {}
    additions: dict[str, Addition] = {}
    scripts: ScriptsRead = {}
    for system in lock.systems:
        rows = [row for row in lock.packages if system in row.systems and row.source in (_PYPI, _NPM)]
        if not rows or not system.is_linux or not any(_is_libc(row, system) for row in lock.packages):
            continue
        one = _System(manifest, lock, workshop, sources, system, dry_run=dry_run, scripts=scripts)
        found = one.findings(rows)
        notes += one.notes(found)
        for error, helpful in one.errors(found):
            errors.setdefault(error.fact, error)
            for addition in helpful:
                additions.setdefault(addition.package, addition)
    if errors:
        system = next(system for system in lock.systems if system.is_linux)
        least = _least(tuple(additions.values()), sources[_DEBIAN], system)
        first, *others = errors.values()
        first.also = tuple(others)
        if isinstance(first, MissingLibrary) and least:
            first.additions = least
            first.offer(FIX)
        raise first
    return tuple(dict.fromkeys(notes))


def check_needs(
    lock: Lock,
    system: System,
    needs: Mapping[Digest, PackageNeeds],
    workshop: Workshop,
    sources: Mapping[str, Source],
) -> None:
    """Hold the needs of packages that were built against a lock's other packages on a system.

    `needs` go by the digests of what was built. Raises `MissingLibrary`, `TooOldLibrary`, `WrongMachine`.
    """
    rows = [row for row in lock.packages if system in row.systems and row.source in (_PYPI, _NPM)]
    if not any(_is_libc(row, system) for row in lock.packages):
        return
    one = _System(None, lock, workshop, sources, system, dry_run=True)
    names = {row.name for row in rows if row.artifact.digest in needs}
    for error, additions in one.errors(one.findings(rows, needs)):
        if not names.isdisjoint(error.about):
            if isinstance(error, MissingLibrary) and additions:
                error.additions = _least(additions, sources[_DEBIAN], system)
                error.offer("cape install " + " ".join(one.package for one in error.additions))
            raise error


def _least(additions: Sequence[Addition], source: Source, system: System) -> tuple[Addition, ...]:
    """Without the packages that another one brings."""
    from cape.sources.debian import DebianSource

    if not isinstance(source, DebianSource):
        return tuple(additions)
    kept: list[Addition] = list(additions)
    for one in additions:
        others = [other.package for other in kept if other.package != one.package]
        if any(one.package in source.leads_to(other, system) for other in others):
            kept = [other for other in kept if other.package != one.package]
    return tuple(kept)


def _is_libc(row: LockedPackage, system: System) -> bool:
    return (row.source, row.name) == (_DEBIAN, "libc6") and system in row.systems


def _is_built(row: LockedPackage) -> bool:
    """Whether a package is built from its artifact: it is looked at when that was done."""
    return "build" in row.attributes


class _System:
    """The check of one system of a lock."""

    def __init__(
        self,
        manifest: Manifest | None,
        lock: Lock,
        workshop: Workshop,
        sources: Mapping[str, Source],
        system: System,
        *,
        dry_run: bool,
        scripts: ScriptsRead | None = None,
    ) -> None:
        self.manifest = manifest
        self.lock = lock
        self.workshop = workshop
        self.sources = sources
        self.system = system
        self.dry_run = dry_run
        self.scripts = scripts
        self.debian = {row.name: row for row in lock.packages_of(_DEBIAN) if system in row.systems}
        self.left: list[str] = []
        self.only_for_builds: set[str] = set()
        self.users: dict[str, int] = {}
        self.known_owners: dict[str, str | None] = {}
        self.known_versions: dict[str, frozenset[str]] = {}

    # -- needs

    def findings(
        self, rows: Sequence[LockedPackage], known: Mapping[Digest, PackageNeeds] = MappingProxyType({})
    ) -> Findings:
        """What is found of packages; of those that are `known` the artifacts are not read."""
        from cape.analysis.missing import Examined, examine
        from cape.operations.needs_read import NeedsRead

        reader = NeedsRead(
            self.workshop, self.system, self.sources, dry_run=self.dry_run, scripts=self.scripts
        )
        needs = {**reader.read([row for row in rows if row.artifact.digest not in known]), **known}
        self.left = sorted(
            {row.name for row in rows if row.artifact.digest not in needs and not _is_built(row)}
        )
        self.only_for_builds = {row.name for row in rows if row.placement.startswith(FOR_BUILDS)}
        self.only_for_builds -= {row.name for row in rows if not row.placement.startswith(FOR_BUILDS)}
        asked_for = {
            name
            for one in self.lock.requirements
            if one.source != _DEBIAN
            for name in self.lock.roots.get(one.name, ())
        }
        examined = [
            Examined(
                name=row.name,
                version=row.version,
                source=row.source,
                needs=needs[row.artifact.digest],
                is_asked_for=row.name in asked_for,
            )
            for row in rows
            if row.artifact.digest in needs
        ]
        return examine(examined, self._provided())

    def _provided(self) -> Provided:
        from cape.analysis.missing import Provided
        from cape.lock.platforms import platforms_of

        (platform,) = platforms_of(self.debian.values(), [self.system])
        return Provided(
            system=self.system,
            has=self._has,
            beginning=self._beginning,
            glibc=platform.glibc,
            versions=self._versions,
            owner=self._owner,
        )

    @cached_property
    def _names(self) -> FileNames | None:
        """The archive's names; None when nobody has them."""
        from cape.sources.debian import DebianSource

        source = self.sources[_DEBIAN]
        if not isinstance(source, DebianSource):
            return None
        try:
            found = source.file_names(self.system)
        except CapeError as error:
            _log.debug("nobody can be asked who has a library: %s", error)
            return None
        return found

    def _has(self, name: str) -> bool:
        return any(owner in self.debian for owner in self._owners(name))

    def _owners(self, name: str) -> tuple[str, ...]:
        """The packages that have a file of that name, or of a program are called after it.

        The archive's lists leave out the programs of packages that are for all machines; some of these
        provide a virtual package of their program's name: `exiftool`.
        """
        from cape.sources.debian import DebianSource

        owners = self._names.owners(name) if self._names else ()
        source = self.sources[_DEBIAN]
        if owners or ".so" in name or name.endswith(".typelib") or not isinstance(source, DebianSource):
            return owners
        only = source.only_provider(name, self.system)
        return (only,) if only else ()

    def _beginning(self, prefix: str) -> Iterable[str]:
        listed = self._names.beginning(prefix) if self._names else {}
        return [name for name, owners in listed.items() if any(owner in self.debian for owner in owners)]

    def _owner(self, name: str) -> str | None:
        """The package of the archive that would be added for a file's name."""
        from cape.analysis.missing import best_provider

        if name not in self.known_owners:
            usable = [one for one in self._owners(name) if self._exists(one)]
            self.known_owners[name] = best_provider(name, usable, self._users)
        return self.known_owners[name]

    def _versions(self, library: str) -> frozenset[str]:
        """The symbol versions of a library of the locked system packages."""
        if library not in self.known_versions:
            self.known_versions[library] = self._versions_read(library)
        return self.known_versions[library]

    def _versions_read(self, library: str) -> frozenset[str]:
        owners = self._names.owners(library) if self._names else ()
        from cape.operations.needs_read import VersionsRead

        row = next((self.debian[owner] for owner in owners if owner in self.debian), None)
        if row is None:
            return frozenset()
        return VersionsRead(self.workshop, self.sources, dry_run=self.dry_run).of(row, library)

    # -- what follows

    def notes(self, found: Findings) -> Iterator[str]:
        yield from found.notes
        is_known = self._names is not None and self._names.is_known
        optional = [
            row
            for row in found.missing
            if is_known and _is_worth_telling(row) and row.package not in self.only_for_builds
        ]
        told = list(dict.fromkeys(filter(None, map(self._note, optional))))
        yield from told[:_NOTES_SHOWN]
        if len(told) > _NOTES_SHOWN:
            yield f"and {len(told) - _NOTES_SHOWN} more names that language packages would load"
        if self.left:
            names = ", ".join(f"`{name}`" for name in self.left[:_NOTES_SHOWN])
            yield f"whether {names} lack a library was not looked at: their artifacts are not at hand"

    def _note(self, row: Missing) -> str | None:
        """What is told of something optional: that it is there to be had."""
        helper = self._provider(row)
        return f"`{row.package}` would use `{helper[0]}` (`{helper[1]}` has it)" if helper else None

    def errors(self, found: Findings) -> Iterator[tuple[Lacking, tuple[Addition, ...]]]:
        """An error for each package that lacks something, and what would help."""
        lacking: dict[str, list[Missing]] = {}
        for row in found.missing:
            if self._is_error(row):
                lacking.setdefault(row.package, []).append(row)
        for rows in lacking.values():
            yield self._error(rows)
        for one in found.too_new:
            yield self._too_old(one), ()
        for package, path in found.foreign:
            fact = f"`{package}` is for another kind of machine: `{path}` is not for {self.system}"
            error = WrongMachine(fact, where=self._where(package))
            error.about = (package,)
            yield error, ()

    def _is_error(self, row: Missing) -> bool:
        """An error counts where somebody could be asked, and the manifest does not allow the lack."""
        if not row.is_error or self._names is None or not self._names.is_known:
            return False
        if not row.is_certain and self._provider(row) is None:
            return False
        from cape.analysis.loads import stem

        allowed = {name for one in self._bringing(row.package) for name in _without(one)}
        helper = self._provider(row) if allowed else None
        if allowed & {*row.names, row.name, helper[0] if helper else row.name}:
            return False
        starred = {stem(name[1:]) for name in row.names if name.startswith("*")}
        return starred.isdisjoint(map(stem, allowed))

    def _bringing(self, package: str) -> Iterator[Requirement]:
        """The requirements that bring a language package."""
        below = {row.name: row.dependencies for row in self.lock.packages if row.source != _DEBIAN}
        for requirement in self.lock.requirements:
            waiting = list(self.lock.roots.get(requirement.name, ()))
            seen: set[str] = set()
            while waiting:
                name = waiting.pop()
                if name not in seen:
                    seen.add(name)
                    waiting.extend(below.get(name, ()))
            if requirement.source != _DEBIAN and package in seen:
                yield requirement

    def _where(self, package: str) -> str | None:
        for one in self._bringing(package):
            known = self.manifest.requirement(one.name) if self.manifest else None
            if known is not None and known.where:
                return known.where
        return None

    def _error(self, rows: Sequence[Missing]) -> tuple[MissingLibrary, tuple[Addition, ...]]:
        package = rows[0].package
        helpers = [(row, self._provider(row)) for row in rows]
        names = [helper[0] if helper else row.name for row, helper in helpers]
        through = next(iter(self._bringing(package)), None)
        brought = f" (`{through.name}` brings it)" if through and through.package != package else ""
        fact = f"`{package}`{brought} needs {_listed(names)}, which nothing in the environment has"
        additions = tuple(
            Addition(
                package=helper[1],
                needed_by=package,
                library=helper[0],
                is_linked=row.kind == "needed",
                environment=self.manifest.environment if self.manifest else None,
            )
            for row, helper in helpers
            if helper
        )
        key, source = (through.name, through.source) if through else (package, rows[0].source)
        hint = f'`{key} = {{ {source} = "*", without = ["{names[0]}"] }}` does without it'
        if unknown := [name for name, (_, helper) in zip(names, helpers, strict=True) if not helper]:
            hint = f"no package of the suite has {_listed(unknown)}; {hint}"
        error = MissingLibrary(fact, where=self._where(package), hint=hint)
        error.about = (package,)
        return error, additions

    def _too_old(self, one: TooNew) -> TooOldLibrary:
        error = TooOldLibrary(
            f"`{one.package}` needs `{one.wanted}` of `{one.library}`, and the environment's has up to "
            f"`{one.has or 'none'}`",
            where=self._where(one.package),
            hint="an older version of the package may need less; a newer suite has more",
        )
        error.about = (one.package,)
        return error

    def _provider(self, row: Missing) -> tuple[str, str] | None:
        """The name to tell people, and the package that has it; the most used of all alternatives."""
        from cape.analysis.missing import best_provider, shown

        if self._names is None:
            return None
        offers: list[tuple[int, str, str]] = []
        for at, name in enumerate(row.names):
            for file, owners in self._files_for(name):
                usable = [owner for owner in owners if self._exists(owner)]
                if best := best_provider(file, usable, self._users):
                    offers.append((at, file, best))
        if not offers:
            return None
        _, file, package = (
            offers[0] if len({best for *_, best in offers}) == 1 else min(offers, key=self._order)
        )
        return (file if row.kind != "typelib" else shown(file)), package

    def _order(self, offer: tuple[int, str, str]) -> tuple[bool, int, int, str]:
        """Of alternatives the one that most need, none for development if possible."""
        at, file, package = offer
        return package.endswith("-dev"), -self._users(package), at, file

    def _files_for(self, name: str) -> Iterator[tuple[str, Sequence[str]]]:
        """The files that answer a name, with their owners: of any version for a starred one."""
        from cape.analysis.missing import is_version_of

        assert self._names is not None
        if not name.startswith("*"):
            yield name, self._owners(name)
            return
        found = self._names.beginning(f"lib{name[1:]}.so")
        versions = [file for file in found if is_version_of(file, name[1:]) and file.count(".") < 4]
        for file in sorted(versions, key=lambda file: (not file[-1].isdigit(), len(file))):
            yield file, found[file]

    def _exists(self, package: str) -> bool:
        from cape.sources.debian import DebianSource

        source = self.sources[_DEBIAN]
        return isinstance(source, DebianSource) and source.named(package, self.system) is not None

    def _users(self, package: str) -> int:
        from cape.sources.debian import DebianSource

        source = self.sources[_DEBIAN]
        if package not in self.users and isinstance(source, DebianSource):
            self.users[package] = source.users(package, self.system)
        return self.users.get(package, 0)


def _listed(names: Sequence[str], *, most: int = 5) -> str:
    """The first few names, and how many more there are."""
    shown = [f"`{name}`" for name in dict.fromkeys(names)]
    more = [f"{len(shown) - most} more"] if len(shown) > most else []
    *others, last = [*shown[:most], *more]
    return f"{', '.join(others)} and {last}" if others else last


def _without(requirement: Requirement) -> list[str]:
    return [part for part in requirement.options.get(WITHOUT, "").split(",") if part]


def _is_worth_telling(row: Missing) -> bool:
    """Programs of other machines, and the dozens of plug-ins that large packages have, are not."""
    return row.kind in ("file", "library", "typelib") and not row.is_error
