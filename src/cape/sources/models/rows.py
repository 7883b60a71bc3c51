"""The row of one file of a model, and putting that file where it goes.

Owns the attributes of rows that are one file each (of a hub, a URL, a path, an Ollama-style registry). Files
inside wheels are `wheels`'.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from cape.names import System
from cape.sources.download import disk_errors
from cape.sources.models.errors import HubGarbage, NoSuchModelFile
from cape.sources.models.judging import judged
from cape.sources.protocol import Artifact, LockedPackage, Requirement

MODELS = "models"
HUB_CACHE = "hub"
"""Below the environment, the directory in a model hub's own layout."""

FILE_REGISTRIES = frozenset(("hub", "ollama", "url", "path"))
"""Registries whose artifacts are the model's files themselves."""

ALLOW_PICKLE = "allow-pickle"
PARTS = ("file", "tokenizer")
"""What a row may give: the attribute of that name holds the file's path in the artifact."""

_ALSO = "also"
_EDITED = (".so", ".node")
"""Names that make a file look like a library, which is edited in place: such a file is a copy."""


def file_row(
    requirement: Requirement,
    *,
    name: str,
    version: str,
    artifact: Artifact,
    path: str,
    systems: Sequence[System],
    part: str = "file",
    also: Sequence[str] = (),
    attributes: Mapping[str, str | None] | None = None,
) -> LockedPackage:
    """A row for one file; `also` are other paths of the same bytes. Attributes of None are left out."""
    check_path(path, requirement.where)
    found: dict[str, str | None] = {
        part: path,
        f"{part}-digest": str(artifact.digest),
        f"{part}-size": str(artifact.size_bytes),
        _ALSO: "\n".join(also) or None,
        ALLOW_PICKLE: requirement.options.get(ALLOW_PICKLE),
        **(attributes or {}),
    }
    return LockedPackage(
        source="model",
        name=name,
        version=version,
        systems=tuple(sorted(systems)),
        artifact=artifact,
        placement=requirement.name,
        attributes={key: value for key, value in found.items() if value},
    )


def check_path(path: str, where: str | None) -> None:
    """A path that a registry gives stays below the model's directory."""
    parts = path.split("/")
    if not path.isprintable() or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise HubGarbage(f"a file of the model has a path that escapes: {path[:200]!r}", where=where)


def part_of(row: LockedPackage) -> str:
    """Which part of its model a row's file is."""
    return next(part for part in PARTS if part in row.attributes)


def paths_of(row: LockedPackage) -> tuple[str, ...]:
    """Where a row's file lies below the model's directory."""
    also = row.attributes.get(_ALSO, "")
    return (row.attributes[part_of(row)], *(also.split("\n") if also else ()))


def placed_path(row: LockedPackage, part: str) -> str:
    """Where a part of a model lies below the model's directory: a file out of a wheel by its name alone."""
    path = row.attributes[part]
    return path if row.artifact.registry in FILE_REGISTRIES else path.rpartition("/")[2]


def put_file(row: LockedPackage, artifact: Path, into: Path) -> None:
    """Put a row's file, looked at first, at `models/NAME/` below `into`: a hard link where there can be one.

    Raises `PickleRefused`, `DangerousPickle`, `WeightsOutside`.
    """
    for path in paths_of(row):
        judged(artifact, path, model=row.placement, allowed=row.attributes.get(ALLOW_PICKLE, ""))
        target = into / MODELS / row.placement / path
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _place(artifact, target)


def _place(artifact: Path, target: Path) -> None:
    if not any(word in target.name for word in _EDITED):
        try:
            os.link(artifact, target)
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copyfile(artifact, target)


def listed(files: Sequence[str], limit: int = 12) -> str:
    """Files for a message, the first few by name."""
    if not files:
        return "no files but Python's own"
    more = f" and {len(files) - limit} more" if len(files) > limit else ""
    return ", ".join(f"`{file}`" for file in sorted(files)[:limit]) + more


def no_file(
    pattern: str, owner: str, version: str, files: Sequence[str], where: str | None
) -> NoSuchModelFile:
    """The error for a pattern that no file matches."""
    return NoSuchModelFile(
        f"`{pattern}` names no file of `{owner}` {version}", where=where, hint="it has " + listed(files)
    )
