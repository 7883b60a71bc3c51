"""Waiting until the last has left an environment, and then running `on-deactivate`.

One process per start, only where there is such a hook: a shell that dies cannot run anything, and the
project may be gone by then. It holds all that it needs in memory, sleeps until the kernel says that a process
ended or an entry went, and ends itself. It has the variables of whoever came first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from cape.environment.attachments import alive, directory_of, start_of

_IN_DELETE, _IN_MOVED_TO, _IN_CLOSE_WRITE, _IN_DELETE_SELF = 0x200, 0x80, 0x8, 0x400
_LOOK_MS = 5_000
_SETTLE_S = 0.1
_MOST_BYTES = 1 << 20


def main() -> int:
    """`PROJECT KEY NUMBER PID TIME`, who came first, with the hook on standard input."""
    project, key, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    hook = sys.stdin.read()
    with contextlib.suppress(OSError):
        os.setsid()
    os.closerange(3, 256)
    claim = project / ".cape" / "starts" / key / f"claim.{number}"
    watch = _watch(directory_of(project))
    first = int(sys.argv[4])
    members = {first: (sys.argv[5], _descriptor(first))}
    while True:
        _wait_until_empty(project, key, number, watch, members)
        _append(claim, "ended")
        _look(project, key, number, members)
        if not members:
            break
    _run(hook, project)
    _append(claim, "over")
    return 0


def _watch(directory: Path) -> int | None:
    """A descriptor that is readable when an entry comes or goes; None where there is no such thing."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = int(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        mask = _IN_DELETE | _IN_MOVED_TO | _IN_CLOSE_WRITE | _IN_DELETE_SELF
        if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(directory), mask) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return descriptor


def _wait_until_empty(
    project: Path, key: str, number: int, watch: int | None, members: dict[int, tuple[str, int]]
) -> None:
    _look(project, key, number, members)
    while members:
        poll = select.poll()
        for _, descriptor in members.values():
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        if watch is not None:
            poll.register(watch, select.POLLIN)
        poll.poll(_LOOK_MS if watch is not None else 250)
        if watch is not None:
            with contextlib.suppress(OSError):
                os.read(watch, 65536)
        _look(project, key, number, members)


def _look(project: Path, key: str, number: int, members: dict[int, tuple[str, int]]) -> None:
    """Bring up to date who is inside. Without the directory, whoever was inside is until its process ends."""
    living = {pid: start for pid, (start, _) in members.items() if start_of(pid) == start}
    present = _entries(project, key, number)
    if any(not _said_so(project, pid) for pid in living.keys() - present.keys()):
        # Its entry went, and the process did not: perhaps the whole project is being taken away.
        time.sleep(_SETTLE_S)
        present = _entries(project, key, number) if directory_of(project).is_dir() else living
    for pid in [pid for pid, (start, _) in members.items() if present.get(pid) != start]:
        _, descriptor = members.pop(pid)
        if descriptor >= 0:
            os.close(descriptor)
    for pid, start in present.items():
        if pid not in members:
            members[pid] = (start, _descriptor(pid))


def _said_so(project: Path, pid: int) -> bool:
    """Whether a shell emptied its entry, or another one has it, which is how it leaves."""
    try:
        (directory_of(project) / str(pid)).stat()
    except OSError:
        return False
    return True


def _entries(project: Path, key: str, number: int) -> dict[int, str]:
    return {one.pid: one.start for one in alive(project) if one.key == key and one.number in (number, None)}


def _descriptor(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def _append(claim: Path, word: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(claim, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{word}\n".encode())
        os.close(descriptor)


def _run(hook: str, project: Path) -> None:
    """Run the hook where the project is, or was; it writes to its log while there is a place for one."""
    log = _log(project)
    directory = project if project.is_dir() else Path("/")
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["/bin/sh", "-c", hook, "on-deactivate"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "_CAPE_HOOK": "on-deactivate"},
            check=False,
        )
        if done.returncode:
            os.write(log, f"error: the hook `on-deactivate` gave exit code {done.returncode}\n".encode())


def _log(project: Path) -> int:
    file = project / ".cape" / "logs" / "on-deactivate.log"
    try:
        if file.exists() and file.stat().st_size > _MOST_BYTES:
            os.replace(file, file.with_name(f"{file.name}.1"))
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
