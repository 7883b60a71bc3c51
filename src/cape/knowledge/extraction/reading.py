"""A document's bytes: read once, whole, and only from a regular file that keeps still meanwhile.

Owns the way from a path to bytes with their digest. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cape.knowledge.extraction.limits import Limits
from cape.names import Digest


class Unreadable(Exception):
    """A document cannot be read; the message is a sentence for the user. It never leaves extraction."""


@dataclass(frozen=True, slots=True)
class FileBytes:
    """The bytes of a file, and their digest."""

    data: bytes
    digest: Digest


def read_file(file: Path, limits: Limits) -> FileBytes:
    """The bytes of a regular file. Raises `Unreadable`.

    A pipe, a socket or a device is never opened. The file's state before and after the reading is
    compared, so what is returned was the file at one moment.
    """
    try:
        _check(os.stat(file), limits)
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            before = os.fstat(descriptor)
            _check(before, limits)
            data = stream.read(before.st_size + 1)
            after = os.fstat(descriptor)
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror}") from error
    if _state(before) != _state(after) or len(data) != after.st_size:
        raise Unreadable("changed while it was read")
    return FileBytes(data, Digest.of(data))


def _check(status: os.stat_result, limits: Limits) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"is {_kind(status.st_mode)}, not a file")
    if status.st_size > limits.file_bytes:
        raise Unreadable(
            f"is too large: {megabytes(status.st_size)}, the limit is {megabytes(limits.file_bytes)}"
        )


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def megabytes(size: int) -> str:
    """A size for people: `3.2 MiB`."""
    return f"{size / (1 << 20):,.1f} MiB"
