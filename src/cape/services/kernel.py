"""What the supervisor asks of Linux that Python's standard library does not wrap.

Owns namespaces, process attributes, inotify, and reading the table of processes. Part of the supervisor's
process: imports are light, and nothing here knows of services.
"""

from __future__ import annotations

import ctypes
import errno
import os

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15

IN_CREATE, IN_MOVED_TO, IN_DELETE, IN_DELETE_SELF = 0x100, 0x80, 0x200, 0x400
IN_CLOSE_WRITE, IN_MOVE_SELF = 0x8, 0x800

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def die_with_parent(signal_number: int) -> None:
    """Let the kernel send this process a signal when its parent dies."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0))


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def name_process(name: str) -> None:
    """Give this process the name that `ps` and `top` show, of 15 bytes at most."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def enter_pid_namespace() -> None:
    """Let the children of this process live in a new PID namespace, whose init is the first of them.

    Where that takes a user namespace, this process enters one too, in which it is still the same user.
    Raises `OSError` where the machine does not allow it; the process is then of no use for anything else.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _libc.unshare(_CLONE_NEWPID) == 0:
        return
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWPID))
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def can_have_pid_namespace() -> bool:
    """Whether this machine lets this user have a PID namespace; a child tries it."""
    child = os.fork()
    if child == 0:
        try:
            enter_pid_namespace()
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if os.getpid() == 1 else 1)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) != 0)
        except BaseException:  # noqa: BLE001 - whatever it is, this child must not live on
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def spread_pids() -> None:
    """Let the numbers of this namespace's processes start anywhere, not at 2 each time.

    A pid file that a killed service left would otherwise name, again and again, a process of the next start.
    Does nothing where the kernel does not allow it.
    """
    try:
        with open("/proc/sys/kernel/pid_max", "rb") as stream:
            limit = int(stream.read())
        base = 300 + int.from_bytes(os.urandom(4), "little") % max(1, limit - 2000)
        _write("/proc/sys/kernel/ns_last_pid", str(base))
    except (OSError, ValueError):
        pass


def inotify() -> int:
    """A descriptor that reports changes of directories; `watch` says of which. Raises `OSError`."""
    return _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def watch(descriptor: int, path: str, mask: int) -> int:
    """Report such changes of a directory or file; the number that the reports carry. Raises `OSError`."""
    return _check(_libc.inotify_add_watch(descriptor, os.fsencode(path), mask))


def drain(descriptor: int) -> list[tuple[int, int]]:
    """The reports so far: the number of the watch, and what happened."""
    found = []
    try:
        data = os.read(descriptor, 65536)
    except BlockingIOError:
        return []
    at = 0
    while at + 16 <= len(data):
        number = int.from_bytes(data[at : at + 4], "little", signed=True)
        mask = int.from_bytes(data[at + 4 : at + 8], "little")
        length = int.from_bytes(data[at + 12 : at + 16], "little")
        found.append((number, mask))
        at += 16 + length
    return found


class Process:
    """One row of the table of processes."""

    __slots__ = ("group", "parent", "pid", "session", "start", "state")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.state = fields[0].decode()
        self.parent, self.group, self.session = int(fields[1]), int(fields[2]), int(fields[3])
        self.start = fields[19].decode()


def process(pid: int) -> Process | None:
    """A living process; None if there is none of that number, or it only waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else Process(pid, fields)


def processes() -> list[Process]:
    """All living processes that this one can see."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in found if one is not None]


def descendants(roots: set[int], table: list[Process]) -> list[Process]:
    """Children of some processes, and theirs; the roots are not among them."""
    children: dict[int, list[Process]] = {}
    for one in table:
        children.setdefault(one.parent, []).append(one)
    found: list[Process] = []
    seen = set(roots)
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in seen:
                seen.add(child.pid)
                found.append(child)
                waiting.append(child.pid)
    return found


def has_variable(pid: int, entry: bytes) -> bool:
    """Whether a process was started with a variable whose `NAME=value` begins like that."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            data = stream.read()
    except OSError:
        return False
    return data.startswith(entry) or b"\0" + entry in data


def send(pid: int, signal_number: int) -> None:
    """A signal to a process that may be gone already."""
    try:
        os.kill(pid, signal_number)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EPERM):
            raise


def boot() -> str:
    """A name for the time since the machine started: numbers of processes mean nothing beyond it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        return ""
