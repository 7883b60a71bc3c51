"""The smallest place for artifacts: one directory, files named by their sha256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cape.errors import IntegrityError
from cape.names import Digest


@dataclass(frozen=True, slots=True)
class FolderArtifacts:
    """An `ArtifactLookup` over a directory."""

    directory: Path

    def path(self, digest: Digest) -> Path:
        return self.directory / digest.hex

    def has(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def partial(self, digest: Digest) -> Path:
        return self.directory / f"{digest.hex}.partial"

    def admit(self, digest: Digest, file: Path, *, size_bytes: int) -> Path:
        if file.stat().st_size != size_bytes or Digest.of_file(file) != digest:
            file.unlink()
            raise IntegrityError("the artifact is not what it should be", where=str(file))
        file.replace(self.path(digest))
        return self.path(digest)
