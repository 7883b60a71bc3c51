"""Artifacts: files as published, named by their sha256, admitted only when their bytes say so.

Owns where artifacts lie, and the way in. Nothing that knows a registry or a package belongs here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cape.names import Digest, sync_directory
from cape.store.errors import ArtifactDamaged, disk_errors
from cape.store.files import copy
from cape.store.leases import holder_name

_log = logging.getLogger(__name__)


class Artifacts:
    """The artifacts of a store: `artifacts/HH/HEX`, unfinished ones in `artifacts/partial`.

    Implements `cape.sources.protocol.ArtifactLookup`.
    """

    def __init__(self, root: Path, elsewhere: Sequence[Path] = ()) -> None:
        self.root = root
        self._elsewhere = tuple(elsewhere)

    def path(self, digest: Digest) -> Path:
        """Where the artifact is, or would be."""
        return self.root / digest.hex[:2] / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether it is there, whole."""
        return self.path(digest).is_file()

    def partial(self, digest: Digest) -> Path:
        """Where an unfinished download of it is kept; the directory is made."""
        directory = self.root / "partial"
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
        return directory / digest.hex

    def admit(self, digest: Digest, file: Path, *, size_bytes: int) -> Path:
        """Check `file`, move it in and give its final path; its bytes are on disk by then.

        Raises `ArtifactDamaged`, and removes `file`, when it is not what it should be; `DiskFull`.
        """
        final = self.path(digest)
        with disk_errors(final):
            if not file.exists() and final.exists():
                return final  # another process was quicker with the same file
            problem = _problem(file, digest, size_bytes)
            if problem:
                file.unlink()
                raise ArtifactDamaged(
                    f"the artifact is not `{digest}`: {problem}",
                    where=str(file),
                    hint="it was removed; run the command again to fetch it anew",
                )
            self._move_in(file, final)
        return final

    def _move_in(self, file: Path, final: Path) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            _finish_file(file)
            os.replace(file, final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            temporary = final.with_name(f".{final.name}.{holder_name()}")
            temporary.unlink(missing_ok=True)
            copy(file, temporary)
            _finish_file(temporary)
            os.replace(temporary, final)
            file.unlink()
        sync_directory(final.parent)

    def find_elsewhere(
        self, digest: Digest, *, size_bytes: int, places: Sequence[Path] | None = None
    ) -> bool:
        """Bring an artifact in from `places` (else from this machine's artifact directories).

        A place holds files named by their sha256, itself or in directories of two digits, or is a store.
        A file there that is not what its name says is passed over with a warning. False: none has it.
        """
        if self.has(digest):
            return True
        for place in self._elsewhere if places is None else places:
            for candidate in _candidates(place, digest):
                if candidate.is_file() and self._bring(candidate, digest, size_bytes):
                    return True
        return False

    def _bring(self, candidate: Path, digest: Digest, size_bytes: int) -> bool:
        temporary = self.partial(digest).with_name(f"{digest.hex}.{holder_name()}")
        with disk_errors(temporary):
            temporary.unlink(missing_ok=True)
            try:
                _borrow(candidate, temporary)
                self.admit(digest, temporary, size_bytes=size_bytes)
            except ArtifactDamaged as error:
                _log.warning("`%s` is passed over: %s", candidate, error.fact)
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def damage_in(self, place: Path, digest: Digest, *, size_bytes: int) -> tuple[Path, str] | None:
        """A file of `place` that has this artifact's name and not its bytes, with the reason in words."""
        for candidate in _candidates(place, digest):
            if candidate.is_file() and (problem := _problem(candidate, digest, size_bytes)):
                return candidate, problem
        return None

    def discard_if_damaged(self, digest: Digest, *, size_bytes: int) -> str | None:
        """Hash an artifact again; one that is not what it should be is removed, and the reason given."""
        path = self.path(digest)
        problem = _problem(path, digest, size_bytes)
        if problem:
            path.unlink(missing_ok=True)
        return problem

    def all(self) -> Iterator[Digest]:
        """The digests of all artifacts, sorted."""
        with contextlib.suppress(FileNotFoundError):
            for directory in sorted(self.root.iterdir()):
                if len(directory.name) == 2:
                    for name in sorted(os.listdir(directory)):
                        with contextlib.suppress(ValueError):
                            yield Digest(name)


def _problem(file: Path, digest: Digest, size_bytes: int) -> str | None:
    """Why a file is not the artifact, in words; None when it is."""
    actual_size = file.stat().st_size
    if actual_size != size_bytes:
        return f"it has {actual_size} bytes instead of {size_bytes}"
    with open(file, "rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if actual == digest.hex else f"its digest is `sha256:{actual}`"


def _finish_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o444)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _borrow(candidate: Path, target: Path) -> None:
    """Link a file that nobody may change (it is ours and read-only, as in another store), else copy it."""
    status = candidate.stat()
    if status.st_uid == os.geteuid() and not status.st_mode & 0o222:
        with contextlib.suppress(OSError):
            os.link(candidate, target)
            return
    copy(candidate, target)


def _candidates(place: Path, digest: Digest) -> tuple[Path, ...]:
    sharded = Path(digest.hex[:2]) / digest.hex
    return (place / digest.hex, place / sharded, place / "artifacts" / sharded)
