"""The loader of the libc object, cut off from the host's libraries.

Owns where the loader lies below an environment and the bytes of it that name host paths. What an
executable's search path is belongs to `tree`.
"""

from __future__ import annotations

import re

from cape.errors import InputError, IntegrityError
from cape.names import System

_LOADERS = {
    System.X86_64_LINUX: ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    System.AARCH64_LINUX: ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}

_DIRECTORIES = re.compile(rb"/lib/([\w-]+)/\0/usr/lib/\1/\0/lib/\0/usr/lib/\0")
_FILES = (b"/etc/ld.so.cache", b"/etc/ld.so.preload")


class UnknownLoader(IntegrityError):
    """A loader in which the host's paths are not where every glibc has them."""

    slug = "unknown-loader"


class NoLoader(InputError):
    """A system whose programs have no loader that cape edits."""

    slug = "no-loader"


def triplet(system: System) -> str:
    """The name of the system's library directory: `x86_64-linux-gnu`. Raises `NoLoader`."""
    return _of(system)[0]


def loader_name(system: System) -> str:
    """The loader's file name: `ld-linux-x86-64.so.2`. Raises `NoLoader`."""
    return _of(system)[1]


def loader_path(system: System) -> str:
    """Where the loader lies in a tree: `root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`."""
    return f"root/usr/lib/{triplet(system)}/{loader_name(system)}"


def _of(system: System) -> tuple[str, str]:
    if system not in _LOADERS:
        raise NoLoader(f"`{system}` has no system packages, hence no loader")
    return _LOADERS[system]


def cut_off(data: bytes) -> bytes:
    """The loader's bytes with each path of the host replaced by one of equal length that cannot exist.

    Those are the cache, the preload list and the four default directories. Applying it twice is the same
    as once. Raises `UnknownLoader` when one of them is not there.
    """
    for path in _FILES:
        data = _replaced(data, path + b"\0", impossible_file(path) + b"\0")
    directories = _DIRECTORIES.search(data)
    if directories is None:
        if _impossible_directory(b"/usr/lib/") + b"\0" in data:
            return data
        raise UnknownLoader("the loader does not hold its default directories")
    found = directories.group()
    parts = [_impossible_directory(part) for part in found[:-1].split(b"\0")]
    return data.replace(found, b"\0".join(parts) + b"\0")


def _replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    if old not in data and new not in data:
        raise UnknownLoader(f"the loader does not hold `{old[:-1].decode()}`")
    return data.replace(old, new)


def impossible_file(path: bytes) -> bytes:
    """A path as long as `path` below `/proc`, where nobody can make a file, not even root."""
    return b"/proc/".ljust(len(path), b"-")


def _impossible_directory(path: bytes) -> bytes:
    """A directory as long as `path` that begins and ends with a slash, as the loader demands.

    Opening a file in it gives ENOENT, so that the loader's message about a missing library is the usual
    one. Five bytes (`/lib/`) do not hold `/proc`; there it is a name that is not text in any encoding in
    use, in a directory that only root can write to.
    """
    if len(path) <= len(b"/proc//"):
        return b"/" + b"\xff" * (len(path) - 2) + b"/"
    return impossible_file(path[:-1]) + b"/"
