"""Which files need no reading: their states on the file system, and the digests that they had then.

Owns that memory. A state is trusted only if the file was at rest when it was read: one that was changed
within a moment of it may have changed again without its times telling.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from cape.names import Digest

_RACY_NS = 50_000_000
"""Clocks of file systems may be so coarse."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file system says about a file: equal states mean equal bytes, but for a moment's change."""

    size_bytes: int
    mtime_ns: int
    inode: int


Seen = Mapping[str, tuple[FileState, Digest]]
"""By path, the state in which a file was read, and its digest; only those that may be trusted."""


def read_seen(connection: sqlite3.Connection) -> Seen:
    """What an index remembers of files."""
    rows = connection.execute(
        "SELECT path, size, mtime, inode, digest FROM seen WHERE at - mtime > ?", (_RACY_NS,)
    )
    return {
        path: (FileState(size, mtime, inode), Digest(digest.hex()))
        for path, size, mtime, inode, digest in rows
    }
