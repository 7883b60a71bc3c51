"""A process without network: a network namespace of its own where the machine allows it, else a filter.

Owns both ways and the choice between them. Nothing here knows what is run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from functools import cache

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_INTERNET = (2, 10)
"""`AF_INET` and `AF_INET6`."""

_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine: its word for itself in a filter, and the number of `socket`."""

_LOAD, _IS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NO_NETWORK = 0x7FFF0000, 0x00050000 | 101  # ENETUNREACH
Enter = Callable[[], None]
"""To be called in a new process before it becomes another program."""


@cache
def without_network() -> Enter | None:
    """What takes the network from a process, the stronger way first; None where this machine has none."""
    return next((enter for enter in (_enter_namespace, _enter_filter) if _works(enter)), None)


def _works(enter: Enter) -> bool:
    child = os.fork()
    if child == 0:
        try:
            enter()
        except BaseException:  # noqa: BLE001 - whatever it is, this way is closed
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _enter_namespace() -> None:
    """Leave the network for one that has no interface, as the same user."""
    user, group = os.geteuid(), os.getegid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(file: str, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _enter_filter() -> None:
    """Have the kernel refuse sockets of the internet, to this process and all that it starts."""
    machine, socket_call = _MACHINES[platform.machine()]
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 4),
            (_IS, 0, 5, machine),
            (_LOAD, 0, 0, 0),
            (_IS, 0, 3, socket_call),
            (_LOAD, 0, 0, 16),
            (_IS, 2, 0, _INTERNET[0]),
            (_IS, 1, 0, _INTERNET[1]),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _NO_NETWORK),
        )
    )
    held = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(held)))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if library.prctl(_PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
