"""A place that is a directory: a shared disk, a stick."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident

from cape.errors import DiskFull
from cape.names import sync_directory
from cape.sharing.errors import PlaceNotWritable, PlaceUnreachable
from cape.store.leases import holder_name, is_alive, leased


class DirectoryPlace:
    """See `Place`. A name that is taken is told by `link`, which shared file systems do at once for all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown = str(root)

    def read(self, path: str) -> bytes | None:
        """See `Place.read`."""
        with _reading(self.root):
            try:
                return (self.root / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def fetch(self, path: str, into: Path) -> bool:
        """See `Place.fetch`."""
        with _reading(self.root):
            if not self.has(path):
                return False
            shutil.copyfile(self.root / path, into)
            return True

    def has(self, path: str) -> bool:
        """See `Place.has`."""
        return (self.root / path).is_file()

    def names(self, directory: str) -> list[str] | None:
        """See `Place.names`; what a killed push left under a temporary name is not among them."""
        with _reading(self.root):
            try:
                return sorted(name for name in os.listdir(self.root / directory) if not name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Place.put`."""
        with _writing(self.root):
            if self.has(path):
                return
            temporary = self._written(path, data)
            os.replace(temporary, self.root / path)
            sync_directory((self.root / path).parent)

    def commit(self, path: str, data: bytes) -> bool:
        """See `Place.commit`."""
        with _writing(self.root):
            final = self.root / path
            temporary = self._written(path, data)
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                    raise
                return self._commit_without_links(temporary, final)
            finally:
                temporary.unlink(missing_ok=True)
            sync_directory(final.parent)
            return True

    def _commit_without_links(self, temporary: Path, final: Path) -> bool:
        """Where a file system has no links, one after another."""
        with leased(final.parent / ".commit"):
            if final.exists():
                return False
            os.replace(temporary, final)
        sync_directory(final.parent)
        return True

    def overwrite(self, path: str, data: bytes) -> None:
        """See `Place.overwrite`."""
        with _writing(self.root):
            os.replace(self._written(path, data), self.root / path)

    hint = overwrite

    def _written(self, path: str, data: bytes | Path) -> Path:
        """The bytes under a temporary name beside `path`, on disk."""
        final = self.root / path
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        temporary = final.parent / f".{final.name}.{get_ident()}.{_HOST}.{holder_name()}"
        with open(temporary, "wb") as stream:
            if isinstance(data, bytes):
                stream.write(data)
            else:
                with open(data, "rb") as source:
                    shutil.copyfileobj(source, stream, 1 << 20)
            stream.flush()
            os.fsync(stream.fileno())
        return temporary


_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Processes of other machines that share the disk are not told by their number."""


def _sweep(directory: Path) -> None:
    """Remove what a push of this machine left here when it was killed."""
    for name in os.listdir(directory):
        parts = name.split(".")
        if name.startswith(".") and parts[-2:-1] == [_HOST] and not is_alive(parts[-1]):
            with contextlib.suppress(OSError):
                (directory / name).unlink()


@contextlib.contextmanager
def _reading(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = str(error.filename or root)
        raise PlaceUnreachable(f"the place cannot be read: {error.strerror}", where=where) from error


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = str(error.filename or root)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "there is no room left at the place", where=where, hint="make room there"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise PlaceNotWritable(
                f"nothing can be pushed to the place: {error.strerror}",
                where=where,
                hint="a place belongs to whoever may write in its directory",
            ) from error
        raise PlaceUnreachable(f"the place cannot be written: {error.strerror}", where=where) from error
