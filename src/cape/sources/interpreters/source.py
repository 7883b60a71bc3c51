"""Interpreters as a source of packages: the one package `python`, of any version that uv knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from cape.names import Digest, System
from cape.sources.download import Published, measure_all
from cape.sources.interpreters.archive import lay_out
from cape.sources.interpreters.listing import Build, builds, fitting, specifier
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

PACKAGE = "python"
_REGISTRY = "uv"
_NEWEST = 6


class InterpreterSource:
    """The CPython builds of uv's list."""

    name = "uv"

    def __init__(self, *, artifacts: ArtifactLookup) -> None:
        self.artifacts = artifacts
        self._known: tuple[Build, ...] | None = None

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """See `Source.find`."""
        if text not in PACKAGE:
            return ()
        newest = max((one.version for one in self._builds() if not one.version.is_prerelease), default=None)
        summary = "a standalone interpreter of any version, brought by uv"
        return (Candidate(source=self.name, name=PACKAGE, version=str(newest), summary=summary),)[:limit]

    def has(self, package: str) -> bool:
        """See `Source.has`."""
        return package == PACKAGE

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """See `Source.resolve`. Brings the archive of each system: uv's list has no digests to take over."""
        if not requirements:
            return Resolution(packages=())
        for requirement in requirements:
            if requirement.package != PACKAGE:
                raise UnknownPackage(requirement, nearest=[PACKAGE])
        rows: list[LockedPackage] = []
        for system in context.systems:
            asked = [one for one in requirements if not one.systems or system in one.systems]
            if len({one.constraint for one in asked}) > 1:
                raise _two(asked)
            if asked:
                rows.append(self._row(asked[0], system, context))
        return Resolution(
            packages=tuple(sorted(rows, key=lambda row: row.key)),
            roots={one.name: (PACKAGE,) for one in requirements},
        )

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """See `Source.locate`: where uv's list has the archive, or would have it."""
        if not packages:
            return {}
        known = {build.location: build.url for build in self._builds()}
        bases = list(dict.fromkeys(build.base for build in self._builds()))
        return {
            row.artifact.digest: [known[row.artifact.location]]
            if row.artifact.location in known
            else [f"{base}/{quote(row.artifact.location)}" for base in bases[:2]]
            for row in packages
        }

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """See `Source.unpack`: below `root/usr/local`. Raises `DamagedInterpreter`."""
        lay_out(artifact, into)

    def _builds(self) -> tuple[Build, ...]:
        if self._known is None:
            self._known = builds()
        return self._known

    def _row(self, requirement: Requirement, system: System, context: ResolveContext) -> LockedPackage:
        allowed = specifier(requirement.constraint, requirement.where)
        for row in context.kept:
            if system in row.systems and allowed.contains(row.version, prereleases=True):
                return LockedPackage(
                    source=self.name,
                    name=PACKAGE,
                    version=row.version,
                    systems=(system,),
                    artifact=row.artifact,
                )
        systems = tuple(
            one for one in context.systems if not requirement.systems or one in requirement.systems
        )
        found = self._builds()
        version = fitting(found, allowed, systems, context.latest(requirement))
        if version is None:
            raise _no_version(requirement, found, systems)
        build = next(one for one in found if (one.version, one.system) == (version, system))
        return self._measured(build, context)

    def _measured(self, build: Build, context: ResolveContext) -> LockedPackage:
        published = Published(name=build.location.rpartition("/")[2], url=build.url)
        ((digest, size),) = measure_all([published], self.artifacts, progress=context.progress)
        return LockedPackage(
            source=self.name,
            name=PACKAGE,
            version=str(build.version),
            systems=(build.system,),
            artifact=Artifact(digest=digest, size_bytes=size, registry=_REGISTRY, location=build.location),
        )


def _two(asked: Sequence[Requirement]) -> RequirementsConflict:
    said = " and ".join(f"`{one.constraint}`" for one in asked)
    return RequirementsConflict(
        f"an environment has one Python of uv, and here are {said}",
        where=asked[1].where,
        concerned=asked,
        reasons=[f"`{one.name}` asks for {one.constraint}" for one in asked],
    )


def _no_version(
    requirement: Requirement, found: Sequence[Build], systems: Sequence[System]
) -> UnknownVersion | RegistryUnknown:
    if not found:
        return RegistryUnknown(
            "`uv` knows no interpreter", where=requirement.where, hint="`uv python list` shows what it knows"
        )
    minors = sorted({one.version.release[:2] for one in found if one.system in systems}, reverse=True)
    there = ", ".join(".".join(map(str, minor)) for minor in minors[:_NEWEST])
    return UnknownVersion(
        f"`uv` has no Python {requirement.constraint} for " + " and ".join(f"`{one}`" for one in systems),
        where=requirement.where,
        hint=f"there are {there}",
    )
