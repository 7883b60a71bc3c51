"""Which files need no reading: their states on the file system, and the digests that they had then.

Owns that memory. A state is trusted only if the file was at rest when it was read: one that was changed
within a moment of it may have changed again without its times telling.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

_RACY_NS = 50_000_000
"""Clocks of file systems may be so coarse."""


class FileState(NamedTuple):
    """What a file system says about a file: equal states mean equal bytes, but for a moment's change."""

    size_bytes: int
    mtime_ns: int
    inode: int


Seen = Mapping[str, tuple[int, int, int, str]]
"""By path, the size, time and inode of a file when it was read, and its digest in hexadecimal.

Plain tuples, for there are many; only those that may be trusted.
"""


def read_seen(connection: sqlite3.Connection) -> Seen:
    """What an index remembers of files."""
    rows = connection.execute(
        "SELECT path, size, mtime, inode, lower(hex(digest)) FROM seen WHERE at - mtime > ?", (_RACY_NS,)
    )
    return {row[0]: row[1:] for row in rows}
