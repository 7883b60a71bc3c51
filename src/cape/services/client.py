"""Talking to a supervisor, and starting one.

Owns the socket's other side. A supervisor that is not there is None; what it answers is plain JSON.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cape.errors import DiskFull, StateError
from cape.services.supervisor import LOCK, LOGS, PID, PROTOCOL, RECORD, SOCKET, STATUS
from cape.services.sweeping import sweep

Answer = dict[str, Any]
NAMESPACES = "CAPE_SERVICES_NAMESPACE"
"""Set to `off`, no PID namespace is used even where the machine allows one."""
_PATIENCE_S = 20.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "CAPE_STORE")


class SupervisorFailed(StateError):
    """The process that runs services cannot be started, or stopped answering."""

    slug = "supervisor-failed"


class OtherSupervisor(StateError):
    """The services that run were started by another version of cape."""

    slug = "other-supervisor"


def home_of(project: Path, environment: str | None = None) -> Path:
    """Where the supervisor of one environment of a project has its files."""
    home = project / ".cape" / "services"
    return home / "environments" / environment if environment else home


@contextlib.contextmanager
def _connected(home: Path) -> Iterator[socket.socket | None]:
    """A connection to the supervisor; None where nobody listens."""
    with contextlib.ExitStack() as stack:
        try:
            directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        stack.callback(os.close, directory)
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            # A socket's path has 108 bytes at most; this one has, wherever the project lies.
            connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        except OSError:
            yield None
            return
        yield connection


def ask(
    home: Path,
    do: str,
    body: Mapping[str, Any] | None = None,
    *,
    heard: Callable[[Answer], None] | None = None,
) -> Answer | None:
    """The supervisor's last answer to a request; None where there is no supervisor.

    `heard` is called with each answer before: a service and the state that it is in. Raises
    `OtherSupervisor`, `SupervisorFailed`.
    """
    with _connected(home) as connection:
        if connection is None:
            return None
        try:
            connection.sendall(json.dumps({"protocol": PROTOCOL, "do": do, **(body or {})}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                for line in stream:
                    answer: Answer = json.loads(line)
                    if "error" in answer:
                        return _refused(answer)
                    if answer.get("done"):
                        return answer
                    if heard is not None:
                        heard(answer)
        except (OSError, ValueError) as error:
            raise _gone() from error
    raise _gone()


def _gone() -> SupervisorFailed:
    return SupervisorFailed(
        "the process that runs the services ended before it had answered",
        hint="`cape services status` says what is left; `cape services up` starts them anew",
    )


def _refused(answer: Answer) -> Answer:
    if answer["error"] == "protocol":
        raise OtherSupervisor(
            f"services of this project run under another version of cape (protocol {answer['protocol']}, "
            f"and this one speaks {PROTOCOL})",
            hint="`cape services down` stops them, whichever version started them",
        )
    if answer["error"] == "leaving":
        return answer
    raise SupervisorFailed("the process that runs the services did not understand", where=answer.get("fact"))


def is_alive(home: Path) -> bool:
    """Whether a supervisor runs there: the kernel keeps its lock just as long as it lives."""
    try:
        descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def sweep_if_dead(home: Path) -> int:
    """End what a killed supervisor left; the number of processes. Costs one look where all is well."""
    if not any((home / name).exists() for name in (RECORD, PID)) or is_alive(home):
        return 0
    count = sweep(home)
    for name in (SOCKET, PID, RECORD):
        (home / name).unlink(missing_ok=True)
    return count


def last_known(home: Path) -> Answer | None:
    """What the last supervisor wrote of its services; None where there was none, or it cannot be read."""
    try:
        answer: Answer = json.loads((home / STATUS).read_text(encoding="utf-8"))
        if not all({"name", "state", "ports"} <= row.keys() for row in answer["services"]):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return answer


def ensure(home: Path, project: Path, version: str) -> bool:
    """Have a supervisor run; True if it was started now. Raises `SupervisorFailed`."""
    try:
        (home / LOGS).mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        starting = os.open(home / "starting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError) as error:
        raise SupervisorFailed(
            "something is in the way of the services' files",
            where=str(error.filename),
            hint="it belongs to cape: remove it",
        ) from error
    try:
        fcntl.flock(starting, fcntl.LOCK_EX)
        deadline = time.monotonic() + _PATIENCE_S
        while is_alive(home):
            with _connected(home) as connection:
                if connection is not None:
                    return False
            if time.monotonic() > deadline:
                raise _gone()
            time.sleep(0.02)
        sweep_if_dead(home)
        for half in home.glob("*.tmp"):
            half.unlink(missing_ok=True)
        _start(home, project, version)
        return True
    finally:
        os.close(starting)


def _start(home: Path, project: Path, version: str) -> None:
    import cape

    package = str(Path(cape.__file__).parent.parent)
    start = f"import sys; sys.path.insert(0, {package!r})\nfrom cape.services.supervisor import main; main()"
    settings = {
        "home": str(home),
        "project": str(project),
        "version": version,
        "token": secrets.token_hex(16),
        "namespace": os.environ.get(NAMESPACES) != "off",
        "variables": base_variables(os.environ),
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", start],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": _PATH},
    )
    said, _ = process.communicate(json.dumps(settings).encode() + b"\n", timeout=_PATIENCE_S)
    if b"ready\n" not in said:
        raise _not_started(home, said.decode("utf-8", "replace").strip().splitlines())


def _not_started(home: Path, said: list[str]) -> StateError:
    if said and any(f"[Errno {number}]" in said[-1] for number in (errno.ENOSPC, errno.EDQUOT)):
        return DiskFull(
            "there is no room left for the services' files",
            where=str(home),
            hint="make room on its file system, then run the command again",
        )
    fact = "the process that runs services cannot be started"
    return SupervisorFailed(
        f"{fact}: {said[-1]}" if said else f"{fact}: it ended without a word",
        where=str(home),
        hint=f"`{home / 'supervisor.log'}` may say more; `cape services up` tries again",
    )


def base_variables(outside: Mapping[str, str]) -> dict[str, str]:
    """What services see of the variables around: who and where the user is, and nothing that a shell set."""
    kept = {
        name: value
        for name, value in outside.items()
        if name in _KEPT
        or name.startswith(("LC_", "XDG_"))
        or name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    return {**kept, "PATH": _PATH}
