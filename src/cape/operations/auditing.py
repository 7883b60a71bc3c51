"""`cape sbom` and `cape audit`: what is in an environment, under which licence, and which holes are known.

Owns where advisories are read from and which of a lock's packages they concern. Neither command changes
anything.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from cape.analysis.advisories import (
    Advisory,
    Hole,
    Key,
    NoAdvisory,
    Severity,
    find_hole,
    packages_of,
    parse_advisory,
    semver_key,
)
from cape.analysis.bill import bill_of_materials, source_package
from cape.errors import InputError
from cape.lock import Lock, all_packages, explain
from cape.lock.queries import rows_for
from cape.manifest import Manifest
from cape.names import Digest, System
from cape.operations.including import project_manifest
from cape.operations.inspecting import locked
from cape.operations.project import Project
from cape.operations.variants import fitting
from cape.sources.protocol import LockedPackage

_RELEASES = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15"}
"""The numbers of Debian's suites, as ecosystems of OSV name them."""

_ECOSYSTEMS = {"pypi": "PyPI", "npm": "npm"}
_REBUILD = re.compile(r"\+b\d+\Z")
_LIMIT_BYTES = 2 << 30


class NoAdvisories(InputError):
    """There are no records of known holes where they should be."""

    slug = "no-advisories"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundHole:
    """A hole, the locked packages that have it, what in the manifest brings them, and where that stands."""

    hole: Hole
    packages: tuple[str, ...]
    brought_by: tuple[str, ...]
    where: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """All that is known of a lock, worst first; `unreadable` names files that hold no record."""

    holes: tuple[FoundHole, ...]
    packages: int
    advisories: int
    unreadable: tuple[str, ...]

    def at_least(self, severity: Severity) -> tuple[FoundHole, ...]:
        """The holes of that severity and above."""
        return tuple(one for one in self.holes if one.hole.advisory.severity >= severity)


@dataclass(frozen=True, kw_only=True, slots=True)
class Licensed:
    """A locked package and its licence; None when it states none, or the environment is not made."""

    package: LockedPackage
    licence: str | None


def licences(project: Project, system: System) -> tuple[Licensed, ...]:
    """The licence of each locked package of a system; the texts come from the project's environment."""
    return _licensed(project, fitting(locked(project), system=system), system)


def _licensed(project: Project, lock: Lock, system: System) -> tuple[Licensed, ...]:
    from cape.analysis.licences import licence_of
    from cape.environment.generations import current_generation

    generation = current_generation(project.directory)
    place = generation.environment if generation else project.state / "none"
    return tuple(
        Licensed(package=row, licence=licence_of(row, Path(place))) for row in rows_for(lock, system)
    )


def bill(project: Project, system: System) -> str:
    """The bill of materials of the project's lock, as CycloneDX in JSON. Raises `NotLocked`."""
    lock = fitting(locked(project), system=system)
    known = {row.package.key: row.licence for row in _licensed(project, lock, system) if row.licence}
    name = project_manifest(project).name
    return bill_of_materials(lock, Digest.of_file(project.lock_path), name, system, known)


def audit(project: Project, place: str, *, systems: Sequence[System]) -> Audit:
    """Hold the lock's packages against the records at `place`: a directory, a zip file, or a url of one.

    Raises `NoAdvisories`, `NotLocked`, and what a download raises.
    """
    lock = locked(project)
    wanted = _by_ecosystem(lock, systems)
    unreadable: list[str] = []
    found: list[tuple[Hole, LockedPackage]] = []
    count = 0
    for advisory in _advisories(place, unreadable):
        count += 1
        for ecosystem, name in dict.fromkeys(packages_of(advisory)):
            for row, exact in wanted.get((ecosystem.partition(":")[0], name), ()):
                if ecosystem in (exact, exact.partition(":")[0]):
                    found += _holes(advisory, exact, name, row)
    if not count:
        raise NoAdvisories(
            "there is no record of a known hole",
            where=place,
            hint="it wants files in OSV's format (`*.json`)",
        )
    holes = _grouped(found, lock, project_manifest(project))
    rows = {package.key for packages in wanted.values() for package, _ in packages}
    return Audit(holes=holes, packages=len(rows), advisories=count, unreadable=tuple(unreadable))


def _by_ecosystem(
    lock: Lock, systems: Sequence[System]
) -> Mapping[tuple[str, str], Sequence[tuple[LockedPackage, str]]]:
    """The rows of all environments by ecosystem and advisories' name, with the exact ecosystem."""
    rows: dict[tuple[str, str], list[tuple[LockedPackage, str]]] = {}
    for package in all_packages(lock):
        if not {*systems} & {*package.systems}:
            continue
        if package.source == "debian":
            release = _RELEASES.get(lock.suite or "")
            exact, name = f"Debian:{release}" if release else "Debian", source_package(package)
        elif package.source in _ECOSYSTEMS:
            exact, name = _ECOSYSTEMS[package.source], package.name
        else:
            continue
        rows.setdefault((exact.partition(":")[0], name), []).append((package, exact))
    return rows


def _holes(
    advisory: Advisory, ecosystem: str, name: str, row: LockedPackage
) -> Iterator[tuple[Hole, LockedPackage]]:
    version = _REBUILD.sub("", row.version) if row.source == "debian" else row.version
    try:
        hole = find_hole(advisory, ecosystem, name, version, _key_for(row.source))
    except ValueError:
        return
    if hole:
        yield hole, row


def _key_for(source: str) -> Key:
    """The order of versions that a source has."""
    if source == "debian":
        from cape.sources.debian.version import sort_key

        return sort_key
    if source == "npm":
        return semver_key
    from packaging.version import Version

    return Version


def _grouped(
    found: Sequence[tuple[Hole, LockedPackage]], lock: Lock, manifest: Manifest
) -> tuple[FoundHole, ...]:
    """One row for each advisory and package: binaries of one source, and systems, are told together."""
    rows: dict[tuple[str, str, str], tuple[Hole, list[LockedPackage]]] = {}
    for hole, package in found:
        key = (hole.advisory.id, hole.package, hole.version)
        rows.setdefault(key, (hole, []))[1].append(package)
    told = [_told(hole, packages, lock, manifest) for hole, packages in rows.values()]
    return tuple(
        sorted(told, key=lambda one: (-one.hole.advisory.severity, one.hole.package, one.hole.advisory.id))
    )


def _told(hole: Hole, packages: Sequence[LockedPackage], lock: Lock, manifest: Manifest) -> FoundHole:
    names = sorted({package.name for package in packages})
    source = packages[0].source
    chains = [chain for name in names for chain in explain(lock, f"{source}:{name}")]
    brought_by = min(chains, key=lambda chain: (len(chain), chain), default=())
    requirement = manifest.requirement(brought_by[0]) if brought_by else None
    return FoundHole(
        hole=hole,
        packages=tuple(names),
        brought_by=brought_by,
        where=requirement.where if requirement else None,
    )


# -- records --------------------------------------------------------------------------------------------


def _advisories(place: str, unreadable: list[str]) -> Iterator[Advisory]:
    for name, data in _files(place):
        try:
            records = json.loads(data)
            for record in records if isinstance(records, list) else [records]:
                if advisory := parse_advisory(record):
                    yield advisory
        except (NoAdvisory, ValueError) as error:
            unreadable.append(f"{name}: {error}")


def _files(place: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file of records."""
    if "://" in place:
        from cape.sources.download import fetch_bytes

        yield from _zipped(BytesIO(fetch_bytes(place, limit_bytes=_LIMIT_BYTES)), place)
        return
    path = Path(place)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix == ".json" and file.is_file():
                yield str(file.relative_to(path)), file.read_bytes()
            elif file.suffix == ".zip" and file.is_file():
                yield from _zipped(file, str(file.relative_to(path)))
    elif path.suffix == ".zip" and path.is_file():
        yield from _zipped(path, place)
    elif path.is_file():
        yield place, path.read_bytes()
    else:
        raise NoAdvisories(
            "there is no such directory or file",
            where=place,
            hint="`cape config advisories` says where to look",
        )


def _zipped(archive: Path | BytesIO, name: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in sorted(opened.namelist()):
                if member.endswith(".json"):
                    yield f"{name}/{member}", opened.read(member)
    except zipfile.BadZipFile as error:
        raise NoAdvisories("it is no zip file", where=name) from error
