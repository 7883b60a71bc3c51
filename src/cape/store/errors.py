"""What can go wrong in the store, and the one place where the kernel's errors become ours."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from cape.errors import DiskFull, IntegrityError, StateError


class StoreNotWritable(StateError):
    """The store cannot be read or written by this user."""

    slug = "store-not-writable"


class StoreInUse(StateError):
    """Another process works with the store."""

    slug = "store-in-use"


class StoreRecordUnreadable(StateError):
    """A record of the store is not what this version of cape writes."""

    slug = "store-record-unreadable"


class ArtifactDamaged(IntegrityError):
    """An artifact's bytes are not what its digest says."""

    slug = "artifact-damaged"


class ObjectDamaged(IntegrityError):
    """An object's files are not what was sealed."""

    slug = "object-damaged"


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the kernel's refusals inside the block into errors that a user can act on.

    Other `OSError`s pass: they are bugs, or the block's own to handle.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                "there is no room left on the store's file system",
                where=str(where),
                hint="`cape gc` removes what no project needs; `cape config store DIR` moves the store",
            ) from error
        if error.errno in _REFUSED:
            raise StoreNotWritable(
                "the store cannot be written",
                where=str(error.filename or where),
                hint="give the directory to your user, or set another: `cape config store DIR`",
            ) from error
        raise
