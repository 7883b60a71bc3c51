"""Leases: who makes what, so that a second process waits or shares, and nothing waits for the dead.

A lease is a file that its holder has locked with `flock`: the kernel drops the lock when the holder
dies, whatever kills it. The file says who holds it (pid and start time) for messages, and the same two
numbers name temporary directories, so that those of the dead can be told from those of the living even
where the file system has no locks. Nothing here knows what is being made.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


def start_time(pid: int) -> str | None:
    """When a process started, in the kernel's ticks since boot; None if there is none such (any more)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def holder_name() -> str:
    """This process, so that no later one is taken for it: `PID-START`."""
    return f"{os.getpid()}-{start_time(os.getpid()) or 0}"


def is_alive(holder: str) -> bool:
    """Whether the process of a `PID-START` still runs."""
    pid, _, started = holder.partition("-")
    return pid.isdigit() and start_time(int(pid)) == started


class Lease:
    """The right to make one thing, held until `release` or the holder's death."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, *, wait: bool = True) -> bool:
        """Take the lease; False if another holds it and `wait` is false. Raises `OSError`."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if not _lock(descriptor, wait=wait):
                    os.close(descriptor)
                    return False
                if _is_file_at(descriptor, self.path):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, holder_name().encode(), 0)
                    self._descriptor = descriptor
                    return True
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the holder before us removed the file: there may be a new one

    def release(self) -> None:
        """Give the lease back. Harmless when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def holder(self) -> str | None:
        """The pid that the lease's file names, or None."""
        with contextlib.suppress(OSError):
            return self.path.read_text().partition("-")[0] or None
        return None


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # Without locks two processes may make the same thing; the rename still lets only one in.
    return True


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def leased(path: Path) -> Iterator[None]:
    """Hold the lease at `path` for the block."""
    lease = Lease(path)
    lease.take()
    try:
        yield
    finally:
        lease.release()
