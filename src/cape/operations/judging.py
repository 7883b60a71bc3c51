"""Whether the packages that a manifest names can work in an environment: asked when they are locked.

`EarlyLook` looks into the artifacts of new and changed rows while the other sources still resolve; what it
learnt is kept beside the store's indices, so no artifact is looked into twice. `judge_objects` says the
same of unpacked packages, for what could not be looked at before.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import CapeError, InputError
from cape.lock.model import IMPLICIT_OPTION, Lock
from cape.manifest import Manifest
from cape.names import Digest, System, write_atomically
from cape.operations.project import Workshop
from cape.sources.protocol import LockedPackage, Requirement, Resolution, ResolveContext, Source

if TYPE_CHECKING:
    from cape.analysis.contents import PackageContents
    from cape.environment.relocation import TreeFacts
    from cape.store import StoreObject

_log = logging.getLogger(__name__)

LARGEST_BYTES = 8 << 20
"""A larger artifact is not fetched to be looked into: its beginning has the list of its files."""

ALL_BYTES = 48 << 20
"""What is fetched for one lock at the most; the smallest first."""

_HEAD_BYTES = 512 << 10
_DEBIAN = "debian"
FORCE = "force"
"""The option of a requirement whose package is installed though it cannot work."""


class CannotWorkHere(InputError):
    """A package that the manifest names and of which nothing can work in an environment."""

    slug = "cannot-work-here"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A package that the manifest names, and the requirement that it answers."""

    requirement: Requirement
    package: LockedPackage


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What was found: `notes` for people, `refused` with the reasons, and names that nobody looked at."""

    notes: tuple[str, ...] = ()
    refused: tuple[tuple[Named, str], ...] = ()
    left: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `CannotWorkHere` for the packages that are refused and not forced."""
        errors = [_refused(named, reason) for named, reason in self.refused if not _is_forced(named)]
        if errors:
            errors[0].also = tuple(errors[1:])
            raise errors[0]

    def sentences(self) -> tuple[str, ...]:
        """All that people should know of it."""
        forced = tuple(f"{reason}; it is forced" for named, reason in self.refused if _is_forced(named))
        if not self.left:
            return (*forced, *self.notes)
        names = ", ".join(f"`{name}`" for name in self.left)
        return (*forced, *self.notes, f"whether all of {names} works here is looked at by `cape sync`")


def _is_forced(named: Named) -> bool:
    return named.requirement.options.get(FORCE) == "true"


def _refused(named: Named, reason: str) -> CannotWorkHere:
    name = named.requirement.name
    return CannotWorkHere(
        reason,
        where=named.requirement.where,
        hint=f"use the machine's own, and take `{name}` out of the manifest; "
        f'`{name} = {{ debian = "{named.requirement.constraint}", force = true }}` installs it all the same',
    )


def judged_system(systems: Sequence[System]) -> System | None:
    """The system whose packages are looked at: this machine's, or the first that has system packages."""
    linux = [system for system in sorted(systems) if system.is_linux]
    with contextlib.suppress(CapeError):
        if System.current() in linux:
            return System.current()
    return linux[0] if linux else None


# -- while locking ------------------------------------------------------------------------------------


class EarlyLook:
    """Looks at what a lock in the making brings: in a thread, from when the system packages are known."""

    def __init__(
        self, manifest: Manifest, previous: Lock | None, workshop: Workshop, *, dry_run: bool = False
    ) -> None:
        """In a dry run no artifact is brought into the store: then less is seen."""
        self._dry_run = dry_run
        self._names = {requirement.name for requirement in manifest.requirements}
        self._previous = previous
        self._system = judged_system(manifest.systems)
        self._workshop = workshop
        self._thread: threading.Thread | None = None
        self._judgement = Judgement()
        self._failure: Exception | None = None

    def watching(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """The same sources; the one of system packages tells when it has resolved."""
        return _Watched(sources, self)

    def resolved(self, source: Source, requirements: Sequence[Requirement], found: Resolution) -> None:
        """Start looking. Called once the system packages are known."""
        named = self._named(requirements, found)
        if not named or self._system is None:
            return
        rows = {row.name: row for row in found.packages if self._system in row.systems}
        asked = _with_dependencies(named, rows)
        try:
            urls = source.locate(asked, snapshots=found.snapshots)
        except CapeError as error:
            _log.debug("nobody can be asked for artifacts: %s", error)
            urls = {}
        lookout = Lookout(self._workshop, self._system, urls, may_bring=not self._dry_run)
        self._thread = threading.Thread(target=self._look, args=(named, rows, lookout), daemon=True)
        self._thread.start()

    def _named(self, requirements: Sequence[Requirement], found: Resolution) -> list[Named]:
        """New and changed rows that the manifest names, in its sources' order."""
        rows = {row.name: row for row in found.packages if self._system in row.systems}
        known = _known_rows(self._previous)
        return [
            Named(requirement=requirement, package=rows[root])
            for requirement in requirements
            if requirement.name in self._names
            for root in found.roots.get(requirement.name, ())
            if root in rows and (_row_key(requirement), rows[root].artifact.digest) not in known
        ]

    def _look(self, named: Sequence[Named], rows: Mapping[str, LockedPackage], lookout: Lookout) -> None:
        try:
            self._judgement = judge(named, rows, lookout)
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it
            self._failure = error

    def judgement(self) -> Judgement:
        """What was found, when all has been looked at. Raises what looking raised."""
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._judgement


class _Watched(Mapping[str, Source]):
    def __init__(self, sources: Mapping[str, Source], look: EarlyLook) -> None:
        self._sources = sources
        self._look = look

    def __getitem__(self, name: str) -> Source:
        source = self._sources[name]
        return _Telling(source, self._look) if name == _DEBIAN else source

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


class _Telling:
    """A source that tells a look what it resolved, and is the source it stands for otherwise."""

    def __init__(self, source: Source, look: EarlyLook) -> None:
        self.name = source.name
        self._source = source
        self._look = look
        self.find = source.find
        self.has = source.has
        self.locate = source.locate
        self.unpack = source.unpack

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """What the source says."""
        found = self._source.resolve(requirements, context)
        self._look.resolved(self._source, requirements, found)
        return found


def _row_key(requirement: Requirement) -> tuple[object, ...]:
    options = {key: value for key, value in requirement.options.items() if key != IMPLICIT_OPTION}
    return (requirement.name, requirement.package, tuple(sorted(options.items())))


def _known_rows(previous: Lock | None) -> set[tuple[tuple[object, ...], Digest]]:
    """What the present lock has answered already: requirements with the artifacts of their roots."""
    if previous is None:
        return set()
    digests: dict[str, set[Digest]] = {}
    for row in previous.packages_of(_DEBIAN):
        digests.setdefault(row.name, set()).add(row.artifact.digest)
    return {
        (_row_key(requirement), digest)
        for requirement in previous.requirements_of(_DEBIAN)
        for root in previous.roots.get(requirement.name, ())
        for digest in digests.get(root, ())
    }


def _with_dependencies(named: Iterable[Named], rows: Mapping[str, LockedPackage]) -> list[LockedPackage]:
    asked = {one.package.name: one.package for one in named}
    for one in tuple(asked.values()):
        asked.update({name: rows[name] for name in one.dependencies if name in rows})
    return list(asked.values())


# -- judging ------------------------------------------------------------------------------------------

_MANY = 4
"""A package that leads to more others than this is a collection: something of it works."""


def judge(named: Sequence[Named], rows: Mapping[str, LockedPackage], lookout: Lookout) -> Judgement:
    """Look at packages and say what works. `rows` are the locked system packages by name."""
    from cape.analysis.limits import limits

    lookout.look([one.package for one in named])
    notes: list[str] = []
    refused: list[tuple[Named, str]] = []
    left: list[str] = []
    for one in named:
        contents = lookout.contents(one.package)
        if contents is None:
            left.append(one.package.name)
        elif reason := _reason(one.package, contents, rows, lookout):
            refused.append((one, reason))
        else:
            notes += limits(one.package.name, contents)
    return Judgement(notes=tuple(dict.fromkeys(notes)), refused=tuple(refused), left=tuple(sorted(set(left))))


def _reason(
    package: LockedPackage, contents: PackageContents, rows: Mapping[str, LockedPackage], lookout: Lookout
) -> str | None:
    """Why nothing of a package works; what it brings along counts where its own programs may lie there."""
    from cape.analysis.limits import is_leader, refusal

    found = refusal(package.name, contents)
    if found is not None and found.is_final:
        return found.sentence
    if found is not None:
        deputies = [row for row in _dependencies(package, rows) if _is_deputy(row, package)]
        return None if any(_works(row, lookout, programs=True) for row in deputies) else found.sentence
    if is_leader(contents):
        return _reason_of_leader(package, _dependencies(package, rows), lookout)
    return None


def _reason_of_leader(
    package: LockedPackage, dependencies: Sequence[LockedPackage], lookout: Lookout
) -> str | None:
    """Why nothing works that a package without files leads to; None when something does, or may."""
    from cape.analysis.limits import refusal

    if not dependencies or len(dependencies) > _MANY:
        return None
    if any(_works(row, lookout, programs=False) for row in dependencies):
        return None
    known = [(row, contents) for row in dependencies if (contents := lookout.contents(row))]
    reasons = [reason.sentence for row, contents in known if (reason := refusal(row.name, contents))]
    return f"`{package.name}` is there for others only: {reasons[0]}" if reasons else None


def _works(row: LockedPackage, lookout: Lookout, *, programs: bool) -> bool:
    """Whether something of a package works; one that cannot be looked at is taken to."""
    from cape.analysis.limits import refusal

    lookout.look([row])
    contents = lookout.contents(row)
    if contents is None:
        return True
    has_some = not programs or any(file.is_program for file in contents.files)
    return has_some and refusal(row.name, contents) is None


def _dependencies(package: LockedPackage, rows: Mapping[str, LockedPackage]) -> list[LockedPackage]:
    return [rows[name] for name in package.dependencies if name in rows]


def _is_deputy(other: LockedPackage, package: LockedPackage) -> bool:
    """Whether it may keep a part of a package's programs."""
    from cape.environment.facade import built_from

    return other.name.startswith(f"{package.name}-") or built_from(other) == built_from(package)


class Lookout:
    """Looks into artifacts: by what was kept of an earlier look, in the store, and from a registry."""

    def __init__(
        self,
        workshop: Workshop,
        system: System,
        urls: Mapping[Digest, Sequence[str]] | None = None,
        *,
        may_bring: bool = True,
        read_bytes: int | None = None,
    ) -> None:
        """With `may_bring` artifacts are fetched; with `read_bytes` no more than that is read of them."""
        self._workshop = workshop
        self._system = system
        self._urls = urls or {}
        self._may_bring = may_bring
        self._left_bytes = read_bytes
        self._kept = workshop.store.root / "indices" / _DEBIAN / "contents"
        self._seen: dict[Digest, PackageContents | None] = {}
        self._spent_bytes = 0

    def contents(self, package: LockedPackage) -> PackageContents | None:
        """What a package holds; None when nobody looked, or could."""
        return self._seen.get(package.artifact.digest)

    def look(self, packages: Sequence[LockedPackage]) -> None:
        """Look into those that were not looked into yet, as far as they can be had."""
        fresh = [one for one in packages if one.artifact.digest not in self._seen]
        for package in fresh:
            self._seen[package.artifact.digest] = self._remembered(package.artifact.digest)
        unknown = [one for one in fresh if self.contents(one) is None]
        if not unknown:
            return
        small, large = self._parted(unknown)
        if not self._bring(small):
            self._urls = {}
        for package in small:
            if self._may_read(package):
                self._seen[package.artifact.digest] = self._gathered(package)
        for package in large:
            self._seen[package.artifact.digest] = self._from_head(package)

    def _remembered(self, digest: Digest) -> PackageContents | None:
        from cape.analysis.contents import PackageContents

        try:
            return PackageContents.from_json(json.loads((self._kept / digest.hex).read_bytes()))
        except (OSError, ValueError):
            return None

    def _parted(self, packages: Sequence[LockedPackage]) -> tuple[list[LockedPackage], list[LockedPackage]]:
        """Those to read whole (at hand, or small enough to be fetched), and the others."""
        whole: list[LockedPackage] = []
        others: list[LockedPackage] = []
        for package in sorted(packages, key=lambda one: (one.artifact.size_bytes, one.name)):
            size_bytes = package.artifact.size_bytes
            if self._is_at_hand(package):
                whole.append(package)
            elif not self._may_bring:
                others.append(package)
            elif size_bytes <= LARGEST_BYTES and self._spent_bytes + size_bytes <= ALL_BYTES:
                self._spent_bytes += size_bytes
                whole.append(package)
            else:
                others.append(package)
        return whole, others

    def _is_at_hand(self, package: LockedPackage) -> bool:
        artifact, artifacts = package.artifact, self._workshop.store.artifacts
        if not self._may_bring:
            return artifacts.has(artifact.digest)
        return artifacts.find_elsewhere(artifact.digest, size_bytes=artifact.size_bytes)

    def _may_read(self, package: LockedPackage) -> bool:
        if self._left_bytes is None:
            return True
        self._left_bytes -= package.artifact.size_bytes
        return self._left_bytes >= 0

    def _bring(self, packages: Sequence[LockedPackage]) -> bool:
        """Fetch what is not at hand; False when a registry is silent, which nothing more is asked of then."""
        from cape.operations.fetching import fetch_what_comes

        return fetch_what_comes(packages, self._urls, self._workshop)

    def _gathered(self, package: LockedPackage) -> PackageContents | None:
        """What an artifact in the store holds, kept for the next time; None when it is not there."""
        from cape.analysis.contents import gather
        from cape.sources.debian.deb import contents

        path = self._workshop.store.artifacts.path(package.artifact.digest)
        try:
            found = gather(contents(path), self._system)
        except FileNotFoundError:
            return None
        except CapeError as error:
            _log.debug("`%s` cannot be looked into: %s", package.name, error)
            return None
        self._keep(package.artifact.digest, found)
        return found

    def _keep(self, digest: Digest, contents: PackageContents) -> None:
        """Remember; a disk that has no room for it is told of by who needs it more."""
        with contextlib.suppress(OSError):
            self._kept.mkdir(parents=True, exist_ok=True)
            write_atomically(self._kept / digest.hex, json.dumps(contents.to_json()).encode())

    def _from_head(self, package: LockedPackage) -> PackageContents | None:
        """What the beginning of a large artifact says of it."""
        from cape.analysis.contents import PackageContents
        from cape.operations.fetching import fetch_head
        from cape.sources.debian.deb import listed_paths

        urls = self._urls.get(package.artifact.digest, ())
        head = fetch_head(urls, _HEAD_BYTES)
        if head is None:
            self._urls = {}
            return None
        try:
            paths = listed_paths(head, where=Path(package.name))
        except CapeError as error:
            _log.debug("the beginning of `%s` cannot be read: %s", package.name, error)
            return None
        return PackageContents.of_paths(paths) if paths else None


# -- unpacked packages --------------------------------------------------------------------------------


class Unpacked(Lookout):
    """The same of objects, by their artifacts' digests: nothing is fetched, and no artifact is read."""

    def __init__(self, workshop: Workshop, system: System, objects: Mapping[Digest, StoreObject]) -> None:
        super().__init__(workshop, system)
        self._objects = objects

    def looked(self, packages: Iterable[LockedPackage]) -> dict[str, PackageContents]:
        """The contents of packages, by name."""
        asked = list(packages)
        self.look(asked)
        return {one.name: found for one in asked if (found := self.contents(one)) is not None}

    def look(self, packages: Sequence[LockedPackage]) -> None:
        """Read what the objects' listings say."""
        for package in packages:
            digest = package.artifact.digest
            if digest not in self._seen and digest in self._objects:
                self._seen[digest] = contents_of_object(self._objects[digest], package.name)


def contents_of_object(one: StoreObject, package: str) -> PackageContents:
    """What an object holds, as a look into its artifact would say it."""
    from cape.analysis.contents import PackageContents, PackageFile
    from cape.environment.relocation import TreeFacts

    control = one.tree / "root" / "var/lib/cape/control" / package
    privileged = {
        f"root/{path}": int(mode, 8)
        for mode, _, path in (line.partition(" ") for line in _text(control / "privileged").splitlines())
    }
    facts = TreeFacts.from_json(one.facts)
    files = tuple(
        PackageFile(
            path=entry.path,
            kind=entry.kind,
            mode=entry.mode | privileged.get(entry.path, 0),
            target=entry.target,
        )
        for entry in one.listing()
        if not entry.path.startswith(f"root/var/lib/cape/control/{package}/")
    )
    names = ("preinst", "postinst", "config")
    return PackageContents(
        files=files,
        elf=facts.elf,
        scripts=scripts_of_object(one, facts),
        control={name: text for name in names if (text := _text(control / name))},
    )


def scripts_of_object(one: StoreObject, facts: TreeFacts) -> dict[str, str]:
    """The `#!` lines of an object's programs, without the two signs, by their paths."""
    from cape.analysis.contents import PROGRAMS

    programs = filter(PROGRAMS.fullmatch, facts.private)
    return {path: line for path in programs if (line := _first_line(one.tree / path)) is not None}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first_line(file: Path) -> str | None:
    """The `#!` line of a script as its package has it; None for another file."""
    from cape.environment.relocation import PLACEHOLDER

    with open(file, "rb") as stream:
        line = stream.readline(4096)
    if not line.startswith(b"#!"):
        return None
    return line[2:].replace(PLACEHOLDER + b"/root", b"").decode("utf-8", "replace").strip()


def judge_objects(lock: Lock, system: System, unpacked: Unpacked) -> Judgement:
    """Judge what the manifest names by unpacked packages."""
    rows = {row.name: row for row in lock.packages_of(_DEBIAN) if system in row.systems}
    named = [
        Named(requirement=requirement, package=rows[root])
        for requirement in lock.requirements_of(_DEBIAN)
        if IMPLICIT_OPTION not in requirement.options
        for root in lock.roots.get(requirement.name, ())
        if root in rows
    ]
    return judge(named, rows, unpacked)
