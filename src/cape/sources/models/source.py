"""Models as a source of packages, whatever they come from.

Owns which registry answers a requirement, and which one a row came from. What a registry is like is its own
module's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cape.configuration import Configuration
from cape.names import Digest
from cape.sources.models.hub import REGISTRY as HUB
from cape.sources.models.hub import Hub, link_view
from cape.sources.models.looking import Repository, look
from cape.sources.models.ollama import REGISTRY as OLLAMA
from cape.sources.models.ollama import Ollama
from cape.sources.models.rows import FILE_REGISTRIES, put_file
from cape.sources.models.single import URL, path_row, place_of, url_row
from cape.sources.models.wheels import Wheels
from cape.sources.protocol import (
    ArtifactLookup,
    Candidate,
    LockedPackage,
    Requirement,
    Resolution,
    ResolveContext,
    Snapshot,
)
from cape.sources.pypi import PypiSource


class ModelSource:
    """Model files of a Python index, a hub, a registry of Ollama's shape, URLs and the project itself."""

    name = "model"

    def __init__(
        self,
        *,
        pypi: PypiSource,
        artifacts: ArtifactLookup,
        configuration: Configuration | None = None,
        cache: Path | None = None,
        directory: Path | None = None,
    ) -> None:
        """`directory` is the project's: paths of locked models are relative to it."""
        self.pypi = pypi
        self.artifacts = artifacts
        self.directory = directory or pypi.directory
        self._wheels = Wheels(pypi=pypi, artifacts=artifacts)
        configuration = configuration or Configuration()
        cache = cache or pypi.cache.with_name(self.name)
        self._hub = Hub(configuration=configuration, cache=cache, artifacts=artifacts)
        self._ollama = Ollama(configuration=configuration, artifacts=artifacts)

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """The wheel of exactly that name, if there is one; an index tells nothing of models."""
        return tuple(replace(found, source=self.name) for found in self.pypi.find(text, limit=limit))

    def has(self, package: str) -> bool:
        """Whether the Python index has a project of that name."""
        return self.pypi.has(package)

    def look(self, repository: str, revision: str = "main") -> Repository:
        """A repository of the hub as it is now, without locking it. See `looking.look`."""
        return look(self._hub, repository, revision)

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """See `Source.resolve`. What must be looked into is brought.

        Raises also `NoSuchModelFile`, `PickleRefused`, `DangerousPickle`, `DigestDiffers`, `HubRefuses`.
        """
        rows = self._wheels.rows(requirements, context)
        taken: dict[str, str] = {}
        for requirement in sorted(requirements, key=lambda one: one.name):
            rows += self._own_rows(requirement, context, taken)
        roots: dict[str, set[str]] = {requirement.name: set() for requirement in requirements}
        for row in rows:
            roots[row.placement].add(row.name)
        return Resolution(
            packages=tuple(sorted(rows, key=lambda row: row.key)),
            roots={name: tuple(sorted(names)) for name, names in roots.items()},
        )

    def _own_rows(
        self, requirement: Requirement, context: ResolveContext, taken: dict[str, str]
    ) -> list[LockedPackage]:
        registry = requirement.options.get("registry", "pypi")
        if registry == "hf":
            return self._hub.rows(requirement, context, taken)
        if registry == "ollama":
            return self._ollama.rows(requirement, context)
        if registry == "url":
            return [url_row(requirement, context, self.artifacts)]
        if registry == "path":
            return [path_row(requirement, context)]
        return []

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """See `Source.locate`."""
        wheels = [row for row in packages if row.artifact.registry not in FILE_REGISTRIES]
        found: dict[Digest, Sequence[str]] = dict(self._wheels.locate(wheels)) if wheels else {}
        for row in packages:
            if row.artifact.registry in FILE_REGISTRIES:
                found[row.artifact.digest] = (self._url(row),)
        return found

    def _url(self, row: LockedPackage) -> str:
        registry = row.artifact.registry
        if registry == HUB:
            return self._hub.url(row)
        if registry == OLLAMA:
            return self._ollama.url(row)
        if registry == URL:
            return row.attributes["url"]
        return place_of(row.attributes["path"], self.directory).as_uri()

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """Put the model's files at `models/NAME/` below `into`, and a hub's also where its clients look.

        Raises `PickleRefused`, `DangerousPickle`, `WeightsOutside`.
        """
        if package.artifact.registry not in FILE_REGISTRIES:
            self._wheels.unpack(package, artifact, into)
            return
        put_file(package, artifact, into)
        if package.artifact.registry == HUB:
            link_view(package, into)
