"""What can be wrong with an index on disk.

Owns the leaves of the error tree that this package raises, and turning SQLite's errors into them.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cape.errors import DiskFull, InputError, IntegrityError, StateError


class NotIndexed(StateError):
    """A knowledge base has no index yet."""

    slug = "not-indexed"


class IndexDamaged(IntegrityError):
    """A file of an index is not what was written."""

    slug = "index-damaged"


class IndexTooNew(StateError):
    """An index was written by a newer cape."""

    slug = "index-too-new"


class IndexNotWritable(StateError):
    """An index cannot be written."""

    slug = "index-not-writable"


class EmbedderChanged(StateError):
    """An index was built with another embedder than the one that is to be used."""

    slug = "embedder-changed"


class UnknownIndexGeneration(InputError):
    """A number that no generation of the index has."""

    slug = "unknown-index-generation"


def rebuilding(name: str) -> str:
    """The hint that says how an index is made anew."""
    return f"run `cape index {name} --rebuild`; the documents and the lock are as they were"


@contextlib.contextmanager
def guarded(directory: Path, name: str) -> Iterator[None]:
    """Turn what SQLite and the kernel say about an index into errors that a user can act on.

    Raises `IndexDamaged`, `IndexNotWritable`, `DiskFull`.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(error, directory, name) from error
    except OSError as error:
        known = _from_kernel(error.errno, directory)
        if known is None:
            raise
        raise known from error


def _from_sqlite(error: sqlite3.Error, directory: Path, name: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _from_kernel(errno.ENOSPC, directory) or error
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _from_kernel(errno.EACCES, directory) or error
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return IndexNotWritable(f"the index cannot be used: {error}", where=str(directory))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, 0):
        return damaged(directory / "index.sqlite", name, str(error))
    return error


def _from_kernel(number: int | None, directory: Path) -> Exception | None:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            "there is no room left for the index",
            where=str(directory),
            hint="make room on its file system, then run the command again: it goes on where it stopped",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return IndexNotWritable(
            "the index cannot be written", where=str(directory), hint="make the directory writable for you"
        )
    return None


def damaged(where: Path, name: str, what: str) -> IndexDamaged:
    """The error about a file of an index that is not what was written."""
    return IndexDamaged(f"the index of `{name}` is damaged: {what}", where=str(where), hint=rebuilding(name))
