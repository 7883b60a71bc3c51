"""`cape vendor`: every artifact of a lock, for all its systems, in a directory of its own."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cape.errors import StateError
from cape.lock import Lock, all_packages
from cape.names import Digest
from cape.operations.fetching import Fetched, fetch
from cape.operations.project import Workshop
from cape.sources.protocol import Artifact


class DestinationNotWritable(StateError):
    """The directory to vendor into cannot be written."""

    slug = "destination-not-writable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendored:
    """A vendored tree: where, how many artifacts and bytes it holds, and how many of them are new."""

    destination: Path
    artifacts: int
    size_bytes: int
    written: int
    fetched: Fetched


def bring_all(lock: Lock, workshop: Workshop) -> Fetched:
    """Bring every artifact of the lock, for all its systems, into the store. Raises what `fetch` raises."""
    workshop.store.announce()
    return fetch(all_packages(lock), workshop, workshop.sources(lock.suite), snapshots=lock.snapshots)


def vendor(lock: Lock, destination: Path, workshop: Workshop) -> Vendored:
    """Write every artifact of the lock to `destination`, named by its sha256 as the store names them.

    Files that are there with the right bytes stay. Raises what `fetch` raises, and
    `DestinationNotWritable`.
    """
    packages = all_packages(lock)
    fetched = bring_all(lock, workshop)
    unique: dict[str, Artifact] = {package.artifact.digest.hex: package.artifact for package in packages}
    try:
        written = sum(_write(artifact, destination, workshop) for artifact in unique.values())
    except OSError as error:
        raise DestinationNotWritable(
            f"the artifacts cannot be written: {error.strerror}", where=str(destination)
        ) from error
    return Vendored(
        destination=destination,
        artifacts=len(unique),
        size_bytes=sum(artifact.size_bytes for artifact in unique.values()),
        written=written,
        fetched=fetched,
    )


def _write(artifact: Artifact, destination: Path, workshop: Workshop) -> bool:
    final = destination / artifact.digest.hex[:2] / artifact.digest.hex
    if final.is_file() and Digest.of_file(final) == artifact.digest:
        return False
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        shutil.copyfile(workshop.store.artifacts.path(artifact.digest), temporary)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    return True
