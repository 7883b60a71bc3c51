"""The lockfile on disk.

Owns reading and atomically replacing it. Its text is `text`'s.
"""

from __future__ import annotations

from pathlib import Path

from cape.lock.errors import BadLock, LockNotWritable, LockUnreadable
from cape.lock.model import Lock
from cape.lock.text import parse_lock, render_lock
from cape.names import write_atomically


def read_lock(path: Path) -> Lock | None:
    """The lock in that file; None where there is no file.

    Raises `LockUnreadable`, `BadLock`, `LockTooNew`.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise BadLock(
            "the lockfile is not UTF-8", where=str(path), hint="take it from version control"
        ) from error
    except OSError as error:
        raise LockUnreadable("the lockfile cannot be read", where=str(path)) from error
    return parse_lock(text, path=path)


def write_lock(path: Path, lock: Lock) -> bool:
    """Put the lock at `path`, atomically, and say whether that changed the file.

    A file that holds this text already is left alone, with its time. Raises `LockNotWritable`; the old
    file is then as it was. A lock that needs relocking is never written.
    """
    assert not lock.needs_relock, "a lock that needs relocking is not written"
    data = render_lock(lock).encode()
    try:
        if path.exists() and path.read_bytes() == data:
            return False
        write_atomically(path, data)
    except OSError as error:
        raise LockNotWritable("the lockfile cannot be written", where=str(path)) from error
    return True
