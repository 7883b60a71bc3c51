"""Models that are one file: of a URL, or of this project.

Owns finding out what such a file is when it is locked. A URL is in the lock as the manifest has it, as those
of Python packages are; a path is relative to the manifest.
"""

from __future__ import annotations

import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cape.errors import InputError
from cape.names import Digest
from cape.sources.connections import FileNotServed
from cape.sources.models.errors import DigestDiffers
from cape.sources.models.judging import Judgement, judged, refuse_by_name
from cape.sources.models.rows import ALLOW_PICKLE, file_row
from cape.sources.protocol import (
    Artifact,
    ArtifactGone,
    ArtifactLookup,
    LockedPackage,
    Requirement,
    ResolveContext,
)
from cape.sources.streaming import beginning_of, measured

URL, PATH = "url", "path"

_HEADER_BYTES = 8 << 20
"""A header with a vocabulary of a quarter of a million words is smaller."""


class NoSuchModelPath(InputError):
    """A model's `path` leads to no file."""

    slug = "no-such-model-path"


def url_row(requirement: Requirement, context: ResolveContext, artifacts: ArtifactLookup) -> LockedPackage:
    """The row of a model at a URL. Where the manifest has no digest, the file is brought.

    Raises `DigestDiffers`, `PickleRefused`, `DangerousPickle`, `ArtifactGone`, `RegistryUnreachable`.
    """
    if kept := _kept(requirement, context, URL):
        return kept
    url = requirement.package
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    allowed = requirement.options.get(ALLOW_PICKLE, "")
    refuse_by_name(requirement.name, name, allowed, requirement.where)
    try:
        digest, size_bytes = _known(requirement, url, name, artifacts, context)
    except FileNotServed as error:
        raise ArtifactGone(
            f"there is nothing at the URL of `{requirement.name}`", where=error.where
        ) from error
    licence = _judged(requirement, artifacts, digest, name).licence
    licence = licence or licence_at(url, name, artifacts, digest)
    return file_row(
        requirement,
        name=name,
        version=digest.short,
        artifact=Artifact(digest=digest, size_bytes=size_bytes, registry=URL, location=name),
        path=name,
        systems=requirement.systems or context.systems,
        attributes={"url": url, "licence": licence},
    )


def _kept(requirement: Requirement, context: ResolveContext, registry: str) -> LockedPackage | None:
    """The row of the present lock, where it answers the requirement: what is there now is not asked."""
    options = requirement.options
    for row in context.kept:
        same = row.placement == requirement.name and row.attributes.get(registry) == requirement.package
        fits = options.get("sha256", row.artifact.digest.hex) == row.artifact.digest.hex
        if same and fits and row.attributes.get(ALLOW_PICKLE) == options.get(ALLOW_PICKLE):
            return replace(row, systems=tuple(sorted(requirement.systems or context.systems)))
    return None


def _known(
    requirement: Requirement, url: str, name: str, artifacts: ArtifactLookup, context: ResolveContext
) -> tuple[Digest, int]:
    wanted = requirement.options.get("sha256")
    if wanted is not None:
        digest = Digest(wanted)
        if artifacts.has(digest):
            return digest, artifacts.path(digest).stat().st_size
        size = beginning_of(url, 1).size_bytes
        if size is not None:
            return digest, size
    digest, size_bytes = measured(name, url, artifacts, progress=context.progress)
    _check_digest(requirement, digest)
    return digest, size_bytes


def _check_digest(requirement: Requirement, digest: Digest) -> None:
    wanted = requirement.options.get("sha256")
    if wanted is not None and wanted != digest.hex:
        raise DigestDiffers(
            f"the file of the model `{requirement.name}` has the digest `{digest}`, not `sha256:{wanted}`",
            where=requirement.where,
            hint="something changed the file, or `sha256` is of another",
        )


def _judged(requirement: Requirement, artifacts: ArtifactLookup, digest: Digest, name: str) -> Judgement:
    """What the file is, where it is here; else it is looked at when it comes."""
    from cape.models.recognition import Kind

    if not artifacts.has(digest):
        return Judgement(kind=Kind.OTHER)
    return judged(
        artifacts.path(digest),
        name,
        model=requirement.name,
        allowed=requirement.options.get(ALLOW_PICKLE, ""),
        where=requirement.where,
    )


def licence_at(url: str, name: str, artifacts: ArtifactLookup, digest: Digest) -> str | None:
    """The licence in the header of a file that is not here; None where its beginning does not tell it."""
    if artifacts.has(digest) or not name.endswith((".gguf", ".safetensors")):
        return None
    from cape.models.errors import BadModelFile
    from cape.models.formats import gguf, safetensors

    beginning = BytesIO(beginning_of(url, _HEADER_BYTES).data)
    try:
        if name.endswith(".gguf"):
            return gguf.read(beginning).licence
        return safetensors.read(beginning).licence
    except BadModelFile:
        return None


def path_row(requirement: Requirement, context: ResolveContext) -> LockedPackage:
    """The row of a model that is a file of the project.

    Raises `NoSuchModelPath`, `DigestDiffers`, `PickleRefused`, `DangerousPickle`, `WeightsOutside`.
    """
    if kept := _kept(requirement, context, PATH):
        return kept
    file = place_of(requirement.package, context.directory)
    if not file.is_file():
        raise NoSuchModelPath(
            f"`{requirement.package}` of the model `{requirement.name}` is not there",
            where=requirement.where,
            hint="`path` is relative to the manifest, and names a file",
        )
    allowed = requirement.options.get(ALLOW_PICKLE, "")
    found = judged(file, file.name, model=requirement.name, allowed=allowed, where=requirement.where)
    digest = Digest.of_file(file)
    _check_digest(requirement, digest)
    return file_row(
        requirement,
        name=file.name,
        version=digest.short,
        artifact=Artifact(digest=digest, size_bytes=file.stat().st_size, registry=PATH, location=file.name),
        path=file.name,
        systems=requirement.systems or context.systems,
        attributes={"path": requirement.package, "licence": found.licence},
    )


def place_of(path: str, directory: Path | None) -> Path:
    """Where a path of a manifest leads."""
    return Path(os.path.normpath((directory or Path.cwd()) / path))
