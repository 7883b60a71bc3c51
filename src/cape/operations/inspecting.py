"""`cape list`, `outdated`, `show`, `search`, `why`: what is locked, what there is, and who owns a file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.errors import CapeError, InputError, SourceError
from cape.lock import Lock, explain, read_lock
from cape.lock.model import IMPLICIT_OPTION
from cape.names import System, nearest
from cape.operations.project import NotLocked, Project, Workshop
from cape.sources.protocol import Candidate, LockedPackage, RegistryUnreachable

if TYPE_CHECKING:
    from cape.store import Store, StoreObject


class NotInLock(InputError):
    """A package that the lock does not hold."""

    slug = "not-in-lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A locked package, and the manifest's name for it (None: it is there because another needs it)."""

    package: LockedPackage
    requested_as: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedFile:
    """A file of the environment, relative to it, and the package that it comes from."""

    path: str
    source: str
    package: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outdated:
    """A package that the manifest names and that could be newer.

    `allowed` is what `cape upgrade` would lock, `newest` what the source has; `where` is the line of the
    manifest whose constraint keeps the two apart, None where it does not.
    """

    name: str
    source: str
    locked: str
    allowed: str
    newest: str
    where: str | None


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """What asks for a package in the end: the place and the line of the manifest, or why cape adds it.

    `where` and `line` are None for what no manifest names; `implied_by` then has the sources it is for.
    """

    name: str
    where: str | None
    line: str | None
    implied_by: tuple[str, ...] = ()


def asking(
    project: Project, lock: Lock, chains: Sequence[Sequence[str]], *, environment: str | None = None
) -> tuple[Asking, ...]:
    """Who asks, for each chain of `why`. A manifest that cannot be read has no lines."""
    from cape.operations.including import project_manifest
    from cape.operations.written import line_at

    try:
        manifest = project_manifest(project, environment=environment)
        places = {one.name: one.where for one in manifest.requirements}
    except CapeError:
        manifest, places = None, {}
    implied = {one.name: one.options.get(IMPLICIT_OPTION, "") for one in lock.requirements}
    return tuple(
        Asking(
            name=chain[0],
            where=(where := places.get(chain[0])),
            line=line_at(where, manifest),
            implied_by=tuple(implied.get(chain[0], "").split()),
        )
        for chain in chains
    )


def environment_with(lock: Lock, name: str) -> str | None:
    """The environment to look for a package in: the default one, else the first that has it."""
    for environment, one in ((None, lock), *lock.environments.items()):
        try:
            rows_of(one, name)
        except NotInLock:
            continue
        return environment
    return None


def files_of(project: Project, store: Store, text: str) -> tuple[OwnedFile, ...]:
    """The files of the project's environment that `text` means, with the packages that they come from.

    A path is taken as programs see it (`/usr/bin/rg`), or below the environment; a name without `/` is a
    program, a file, or a library's soname (`libGL.so.1`). Empty when nothing fits, or nothing was made.
    """
    from cape.environment.generations import current_generation
    from cape.environment.realisation import objects_of

    generation = current_generation(project.directory)
    if generation is None:
        return ()
    wanted = _Wanted.of(text, str(generation.environment))
    found = [file for one in objects_of(generation.environment, store) for file in _matching(one, wanted)]
    return tuple(sorted(set(found), key=lambda file: (file.path, file.package)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """A file that is asked for: its name, the paths below the environment it may have, how these may end."""

    name: str
    paths: frozenset[str]
    ending: str | None

    @classmethod
    def of(cls, text: str, environment: str) -> _Wanted:
        path = posixpath.normpath(text)
        name = posixpath.basename(path)
        if "/" not in path:
            return cls(name=name, paths=frozenset(), ending="")
        if path.startswith(f"{environment}/root/"):
            inside = [f"root/{path.removeprefix(f'{environment}/root/')}"]
        else:
            plain = path.removeprefix(f"{environment}/").removeprefix("/")
            inside = [plain, f"root/{plain}"]
        # `bin` and the like are links to those of `usr`, and the environment's own lead there, too.
        merged = [re.sub(r"\A(root/)?(?=(?:s?bin|lib|lib64)/)", "root/usr/", one) for one in inside]
        ending = None if path.startswith("/") else f"/{path}"
        return cls(name=name, paths=frozenset([*inside, *merged]), ending=ending)

    def is_met(self, path: str) -> bool:
        return path in self.paths or (self.ending is not None and path.endswith(self.ending))


def _matching(one: StoreObject, wanted: _Wanted) -> Iterator[OwnedFile]:
    package = one.facts.get("package")
    if not package:
        return
    sonames = {elf["path"] for elf in one.facts.get("elf", ()) if elf.get("soname") == wanted.name}
    for entry in one.listing():
        is_named = entry.path.rpartition("/")[2] == wanted.name and wanted.is_met(entry.path)
        if entry.kind != "d" and (is_named or (not wanted.paths and entry.path in sonames)):
            yield OwnedFile(
                path=entry.path, source=package["source"], package=package["name"], version=package["version"]
            )


def outdated(
    project: Project, workshop: Workshop, *, telling: Callable[[str], None] = lambda note: None
) -> tuple[Outdated, ...]:
    """The packages that the manifest names for which there is something newer. Locks nothing.

    Without a network the answer is that of the indices that are here; `telling` hears how old those of
    mirrors are. Raises `NotLocked`, and what the sources raise.
    """
    from cape.lock import ALL
    from cape.operations.including import project_manifest
    from cape.operations.locking import compute_lock

    manifest = project_manifest(project)
    lock = locked(project)
    allowed = compute_lock(manifest, lock, workshop, upgrade=ALL, dry_run=True).lock
    for note in (note for note in allowed.notes if "mirror" in note):
        telling(note)
    rows = []
    for requirement in manifest.requirements:
        for name in lock.roots.get(requirement.name, ()):
            now, could = (_version(one, requirement.source, name) for one in (lock, allowed))
            newest = _newest(workshop, requirement.source, name, manifest.debian) or could
            if now and could and {now} != {could, newest}:
                where = requirement.where if newest != could else None
                rows.append(
                    Outdated(name=requirement.name, source=requirement.source, locked=now, allowed=could,
                             newest=newest or could, where=where)
                )  # fmt: skip
    return tuple(rows)


def _version(lock: Lock, source: str, name: str) -> str | None:
    """The version of a locked package; of several (one for each system), the first in order."""
    found = sorted(row.version for row in lock.packages if (row.source, row.name) == (source, name))
    return found[0] if found else None


def _newest(workshop: Workshop, source: str, name: str, suite: str | None) -> str | None:
    """The newest version that a source lists; None where it does not say, or there is no network to ask."""
    from cape.sources.reach import Offline

    try:
        candidates = workshop.sources(suite)[source].find(name, limit=5)
    except Offline:
        return None
    return next((one.version for one in candidates if one.name == name), None)


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
    """What the sources have under `NAME` or `SOURCE:NAME`. Raises `NotInLock`, `RegistryUnreachable`."""
    found = search(workshop, name, suite=suite, limit=50)
    exact = tuple(one for one in found.candidates if one.name == name.rpartition(":")[2])
    if not exact and found.failures:
        raise RegistryUnreachable(
            f"nothing that could be asked has a package `{name}`", where="; ".join(found.failures)
        )
    if not exact:
        close = nearest(name.rpartition(":")[2], [one.name for one in found.candidates])
        hint = "did you mean " + ", ".join(f"`{one}`" for one in close) + "?" if close else None
        raise NotInLock(f"no source has a package `{name}`", hint=hint or f"`cape search {name}` looks wider")
    return exact
