"""Results of `cape build` as packages: one archive each, laid out below the environment's `/usr`."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cape.building.packing import unpack
from cape.errors import InputError, IntegrityError, StateError
from cape.names import Digest, System
from cape.sources.builds.records import Built, read_record, record_file
from cape.sources.protocol import (
    Artifact,
    ArtifactLookup,
    Candidate,
    LockedPackage,
    Requirement,
    Resolution,
    ResolveContext,
    Snapshot,
    UnknownPackage,
    UnknownVersion,
)

PROJECT_OPTION = "project"
"""The option of a requirement that names the directory of the project that builds it."""


class NotBuiltYet(StateError):
    """A package of this or another project was not built, or not for a system that wants it."""

    slug = "not-built-yet"


class DamagedBuild(IntegrityError):
    """The archive of a build cannot be read."""

    slug = "damaged-build"


class BuildSource:
    """What projects of this machine have built. `directory` is asked where no project is told."""

    name = "build"

    def __init__(self, *, directory: Path, artifacts: ArtifactLookup) -> None:
        self.directory = directory
        self.artifacts = artifacts

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """See `Source.find`: the builds of this project."""
        files = sorted((self.directory / ".cape" / "builds").glob("*.json"))
        found = []
        for file in files:
            for built in list(read_record(self.directory, file.stem).values())[:1]:
                if text in built.name:
                    summary = "built by this project"
                    found.append(
                        Candidate(source=self.name, name=built.name, version=built.version, summary=summary)
                    )
        return found[:limit]

    def has(self, package: str) -> bool:
        """Whether this project has built it."""
        return bool(read_record(self.directory, package))

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """See `Source.resolve`. Raises `NotBuiltYet` too."""
        rows: dict[tuple[str, ...], LockedPackage] = {}
        for requirement in requirements:
            for row in self._rows(requirement, context):
                rows[row.key] = row
        roots = {requirement.name: (requirement.package,) for requirement in requirements}
        return Resolution(packages=tuple(sorted(rows.values(), key=lambda row: row.key)), roots=roots)

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """Nowhere: results are in the store, in artifact directories, or in a place."""
        first = packages[0] if packages else None
        if first is not None:
            raise NotBuiltYet(
                f"the result of the build `{first.name}` {first.version} is not on this machine",
                hint="`cape build` makes it again, and the same bytes if it is reproducible; or take it from "
                "where it is: `cape pull PLACE`, `cape sync --from DIR`",
            )
        return {}

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """See `Source.unpack`."""
        try:
            unpack(artifact, into / "root" / "usr")
        except (tarfile.TarError, OSError) as error:
            raise DamagedBuild("the archive of a build cannot be read", where=str(artifact)) from error

    def _rows(self, requirement: Requirement, context: ResolveContext) -> list[LockedPackage]:
        project = self._project(requirement, context.directory or self.directory)
        record = read_record(project, requirement.package)
        if not record and not (project / ".cape" / "builds").is_dir():
            raise _not_built(requirement, project)
        if not record:
            built = sorted(file.stem for file in (project / ".cape" / "builds").glob("*.json"))
            raise UnknownPackage(requirement, nearest=built[:3])
        systems = [one for one in context.systems if not requirement.systems or one in requirement.systems]
        return [self._row(requirement, record, system, project) for system in systems]

    def _row(
        self, requirement: Requirement, record: Mapping[System, Built], system: System, project: Path
    ) -> LockedPackage:
        if system not in record:
            have = ", ".join(f"`{one}`" for one in record)
            raise NotBuiltYet(
                f"`{requirement.package}` was built for {have}, not for `{system}`",
                where=requirement.where or str(record_file(project, requirement.package)),
                hint=f"build it on such a machine, or limit it: `systems = [{have.replace('`', chr(34))}]`",
            )
        built = record[system]
        if requirement.constraint not in ("*", built.version, f"=={built.version}"):
            raise UnknownVersion(
                f"`{requirement.package}` was built as {built.version}, not as {requirement.constraint}",
                where=requirement.where,
                hint=f"build it as that version, or ask for `{built.version}`",
            )
        artifact = Artifact(
            digest=built.digest, size_bytes=built.size_bytes, registry=self.name, location=built.location
        )
        return LockedPackage(
            source=self.name, name=built.name, version=built.version, systems=(system,), artifact=artifact
        )

    def _project(self, requirement: Requirement, directory: Path) -> Path:
        named = requirement.options.get(PROJECT_OPTION)
        if not named:
            return directory
        project = (directory / named).resolve()
        if not (project / "cape.toml").is_file():
            raise BadBuildProject(
                f"`{requirement.name}` is built by the project in `{named}`, and there is none",
                where=requirement.where,
                hint="`project` is the directory of another `cape.toml`",
            )
        return project


class BadBuildProject(InputError):
    """A directory that should be a project that builds something, and is none."""

    slug = "bad-build-project"


def _not_built(requirement: Requirement, project: Path) -> NotBuiltYet:
    return NotBuiltYet(
        f"`{requirement.package}` is not built yet",
        where=requirement.where,
        hint=f"`cape build {requirement.package}`"
        + ("" if not requirement.options.get(PROJECT_OPTION) else f" in `{project}`"),
    )
