"""The supervisor: one process per environment that owns its services, independent of shells and of `cape`.

It lives and dies with what it started. Where the machine allows it, services live in a PID namespace whose
init is a child of the supervisor that the kernel kills with it: then the kernel kills all of them. Elsewhere
a guardian stands above the supervisor, inherits what a killed one leaves, and ends it; and what survives
both is found by a mark in its variables at the next `cape` command.

Talks over a unix socket, one JSON object per line: the first line is the request, the others are answers,
and the last answer has `done` or `error`. Owns order, requests, attached shells, and its own end. It knows
nothing of manifests and generations but numbers; imports are light (see the package).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys

from cape.services import kernel
from cape.services.loop import Loop
from cape.services.ports import Ports
from cape.services.running import (
    ALIVE,
    BACKING_OFF,
    EXITED,
    FAILED,
    READY,
    SETTLED,
    STOPPED,
    STOPPING,
    WAITING,
    House,
    Service,
    shared_port_variables,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PROTOCOL = 1
"""The version of what is said over the socket. `down` and `status` are understood by all."""

SOCKET, PID, RECORD, STATUS, LOCK, PORTS, LOGS = (
    "socket",
    "pid",
    "supervisor.json",
    "status.json",
    "lock",
    "ports.json",
    "logs",
)
ATTACHED = "attached"
_LEFT_PAUSE_S = 0.3


class Client:
    """One connection: a request, and what is waited for until it can be answered."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        self.names: set[str] | None = None
        self.until: tuple[str, ...] = SETTLED
        self.ends = False

    def say(self, answer: dict[str, Any]) -> None:
        """One line; to a client that is gone or does not read, nothing."""
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(answer).encode() + b"\n")


class Supervisor:
    """The services of one environment. `home` is its directory, below the project's `.cape`."""

    def __init__(self, home: str, settings: dict[str, Any], reaper: int) -> None:
        self.home = home
        self.settings = settings
        self.reaper = reaper
        self.loop = Loop()
        self.services: dict[str, Service] = {}
        self.clients: dict[int, Client] = {}
        self.house = House(
            self.loop,
            Ports(os.path.join(home, PORTS)),
            token=str(settings["token"]),
            logs=os.path.join(home, LOGS),
            base=settings["variables"],
            reaper=reaper,
            changed=self._changed,
        )
        self._leaving = False
        self._stopping: set[str] = set()
        self._detaching = 0
        self._attached: dict[int, int] = {}
        self._was_attached = False
        self._at_detach: list[str] = []
        self._dirty = False
        self._inotify = -1
        self._home_watch = self._attached_watch = 0
        self._listener = self._listen()

    # The socket.

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        directory = os.open(self.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=directory)
        # A socket's path has 108 bytes at most; this one has, wherever the project lies.
        listener.bind(f"/proc/self/fd/{directory}/{SOCKET}")
        os.chmod(SOCKET, 0o600, dir_fd=directory)
        os.close(directory)
        listener.listen(64)
        self.loop.watch(listener.fileno(), self._accept)
        return listener

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.settimeout(2.0)
        client = Client(connection)
        self.clients[connection.fileno()] = client
        self.loop.watch(connection.fileno(), lambda: self._receive(client))

    def _receive(self, client: Client) -> None:
        try:
            data = client.connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._hang_up(client)
            return
        client.received += data
        line, newline, rest = client.received.partition(b"\n")
        if newline:
            client.received = rest
            self._answer(client, line)

    def _hang_up(self, client: Client) -> None:
        descriptor = client.connection.fileno()
        if self.clients.pop(descriptor, None):
            self.loop.unwatch(descriptor)
            client.connection.close()

    def _answer(self, client: Client, line: bytes) -> None:
        try:
            request = json.loads(line)
            action = str(request["do"])
            if request["protocol"] != PROTOCOL and action not in ("down", "status"):
                client.say({"error": "protocol", "protocol": PROTOCOL})
            else:
                self._actions()[action](client, request)
        except Exception as error:  # noqa: BLE001 - no request may end the services of others
            client.say({"error": "bug", "fact": f"{type(error).__name__}: {error}"})

    def _actions(self) -> dict[str, Callable[[Client, dict[str, Any]], None]]:
        return {
            "status": self._status,
            "up": self._up,
            "down": self._down,
            "restart": self._restart,
            "at-detach": self._remember_at_detach,
        }

    # Requests.

    def _status(self, client: Client, request: dict[str, Any]) -> None:
        client.say({"done": True, **self.state()})

    def state(self) -> dict[str, Any]:
        """All that can be said of the services."""
        return {
            "protocol": PROTOCOL,
            "project": self.settings["project"],
            "version": self.settings["version"],
            "pid": os.getpid(),
            "namespace": bool(self.settings["namespace"]),
            "attached": len(self._attached),
            "services": [service.row() for service in self.services.values()],
        }

    def _up(self, client: Client, request: dict[str, Any]) -> None:
        if self._leaving:
            client.say({"error": "leaving"})
            return
        definitions = {str(one["name"]): one for one in request["services"]}
        if request["whole"]:
            for name in [name for name in self.services if name not in request["known"]]:
                self._drop(name)
        for name, definition in definitions.items():
            self._take(name, definition)
        self._advance()
        self._wait(client, set(request["names"]), SETTLED, wait=request["wait"])

    def _take(self, name: str, definition: dict[str, Any]) -> None:
        present = self.services.get(name)
        if present is None:
            self.services[name] = present = Service(self.house, definition)
            present.want()
        elif present.definition["digest"] != definition["digest"]:
            present.restart(definition)
        elif present.state not in (*ALIVE, WAITING, BACKING_OFF):
            present.replace(definition)
            present.want()
        elif present.state == STOPPING:
            present.restart(definition)

    def _drop(self, name: str) -> None:
        self.services[name].give_up()
        self.services[name].stop()

    def _restart(self, client: Client, request: dict[str, Any]) -> None:
        if self._leaving:
            client.say({"error": "leaving"})
            return
        names = set(request["names"])
        for definition in request["services"]:
            name = str(definition["name"])
            present = self.services.get(name)
            if present is not None and name in names:
                present.renew_once_stopped(definition)
            else:
                self._take(name, definition)
        self._stopping = self._stopping | {name for name in names if self.services[name].state in ALIVE}
        self._advance()
        self._wait(client, names, SETTLED, wait=request["wait"])

    def _down(self, client: Client, request: dict[str, Any]) -> None:
        names = request.get("names") or None
        chosen = set(self.services) if names is None else set(names) & set(self.services)
        client.ends = names is None or not any(
            service.state not in (STOPPED, EXITED, FAILED)
            for name, service in self.services.items()
            if name not in chosen
        )
        if client.ends:
            self._leaving = True
        self._stop(chosen)
        self._wait(client, chosen, (STOPPED, EXITED, FAILED), wait=True)

    def _remember_at_detach(self, client: Client, request: dict[str, Any]) -> None:
        self._at_detach = [str(word) for word in request["words"]]
        self._look_at_attached()
        client.say({"done": True})

    def _wait(self, client: Client, names: set[str], until: tuple[str, ...], *, wait: bool) -> None:
        client.names, client.until = names, until
        self._tell(client, finished=not wait)

    def _tell(self, client: Client, *, finished: bool = False) -> None:
        """The last answer, if what the client waits for has come."""
        if client.names is None:
            return
        chosen = [self.services[name] for name in client.names if name in self.services]
        if not finished and not all(service.state in client.until for service in chosen):
            return
        client.names = None
        if client.ends:
            self._shut()  # Whoever hears the answer finds no supervisor any more.
        tails = {one.name: one.log.last_lines(10) for one in chosen if one.state == FAILED}
        client.say({"done": True, "tails": tails, **self.state()})
        if client.ends:
            self._end()

    # Order.

    def _changed(self, service: Service) -> None:
        """A service is in another state."""
        self._dirty = True
        for client in list(self.clients.values()):
            if client.names and service.name in client.names:
                client.say({"name": service.name, "state": service.state, "reason": service.reason})
        self.loop.after(0, self._advance)

    def _advance(self) -> None:
        """Start what may start, stop what may stop, and answer who waits."""
        moved = True
        while moved:
            moved = False
            for service in self.services.values():
                if service.state == WAITING:
                    moved = self._try_to_start(service) or moved
        self._stop_next()
        for client in list(self.clients.values()):
            self._tell(client)
        self._save()

    def _try_to_start(self, service: Service) -> bool:
        needed = [self.services.get(name) for name in service.definition["depends_on"]]
        lost = [one for one in needed if one is None or one.state in (FAILED, STOPPED)]
        if lost:
            names = " and ".join(f"`{one.name}`" for one in lost if one is not None) or "a service"
            service.fail(f"{names}, which it depends on, is not ready")
            return True
        if any(one is not None and one.name in self._stopping for one in needed):
            return False  # It is about to be stopped, and started again.
        if all(one is not None and one.state in (READY, EXITED) for one in needed):
            self.house.given = shared_port_variables(self.services)
            service.start()
            return True
        return False

    def _stop(self, names: set[str]) -> None:
        self._stopping = self._stopping | names
        for name in names:
            self.services[name].give_up()
        self._stop_next()

    def _stop_next(self) -> None:
        """Stop what nothing that is to be stopped too depends on any more."""
        for name in list(self._stopping):
            service = self.services.get(name)
            if service is None or not service.is_to_stop or service.state in (STOPPED, EXITED, FAILED):
                self._stopping = self._stopping - {name}
            elif service.state != STOPPING and not self._is_needed(name):
                service.stop()

    def _is_needed(self, name: str) -> bool:
        return any(
            other.state in ALIVE
            for key, other in self.services.items()
            if key in self._stopping and name in other.definition["depends_on"]
        )

    # Attached shells.

    def watch_project(self) -> None:
        """Hear when the project goes away, and when shells attach."""
        try:
            self._inotify = kernel.inotify()
            self._home_watch = kernel.watch(
                self._inotify, self.home, kernel.IN_DELETE | kernel.IN_DELETE_SELF
            )
            attached = os.path.join(str(self.settings["project"]), ".cape", ATTACHED)
            os.makedirs(attached, mode=0o700, exist_ok=True)
            mask = kernel.IN_CLOSE_WRITE | kernel.IN_MOVED_TO | kernel.IN_DELETE
            self._attached_watch = kernel.watch(self._inotify, attached, mask)
        except OSError:
            pass
        if self._inotify >= 0:
            self.loop.watch(self._inotify, self._heard)
        self._look_at_attached()

    def _heard(self) -> None:
        numbers = {number for number, _ in kernel.drain(self._inotify)}
        if self._home_watch in numbers and not os.path.exists(os.path.join(self.home, SOCKET)):
            self._leave()
        if self._attached_watch in numbers:
            self._look_at_attached()

    def _look_at_attached(self) -> None:
        """Watch each shell that says it is attached, and lives."""
        directory = os.path.join(str(self.settings["project"]), ".cape", ATTACHED)
        names = set()
        with contextlib.suppress(OSError):
            for one in os.scandir(directory):
                with contextlib.suppress(OSError):  # It may be gone by now.
                    if one.name.isdigit() and one.stat().st_size:  # A shell that leaves empties its entry.
                        names.add(int(one.name))
        for pid in [pid for pid in self._attached if pid not in names]:
            self._detached(pid)
        for pid in names - self._attached.keys():
            self._attach(pid, os.path.join(directory, str(pid)))

    def _attach(self, pid: int, file: str) -> None:
        try:
            with open(file, encoding="utf-8") as stream:
                start, said = stream.readline().strip(), stream.readline().split()
            shell = kernel.process(pid)
            if shell is None or shell.start != start:
                return
            descriptor = os.pidfd_open(pid)
        except (OSError, ValueError):
            return
        self._attached[pid] = descriptor
        # A single command keeps services while it runs; its end stops none that no shell started.
        self._was_attached = self._was_attached or said[2:3] != ["run"]
        self.loop.watch(descriptor, lambda: self._detached(pid))

    def _detached(self, pid: int) -> None:
        descriptor = self._attached.pop(pid, None)
        if descriptor is None:
            return
        self.loop.unwatch(descriptor)
        os.close(descriptor)
        if not self._attached:
            self.loop.after(_LEFT_PAUSE_S, self._left_alone)

    def _left_alone(self) -> None:
        """The last shell has left: services that do not persist are stopped."""
        if self._attached or not self._was_attached:
            return
        self._was_attached = False
        kept = [one for one in self.services.values() if one.definition["persist"] and one.state in ALIVE]
        needed = self._needed_by(kept)
        self._stop({name for name in self.services if name not in needed})
        self._run_at_detach()
        if not kept:
            self._leave()

    def _needed_by(self, kept: list[Service]) -> set[str]:
        names: set[str] = set()
        waiting = [one.name for one in kept]
        while waiting:
            name = waiting.pop()
            if name not in names and name in self.services:
                names.add(name)
                waiting += self.services[name].definition["depends_on"]
        return names

    def _run_at_detach(self) -> None:
        """What is to run when the last shell has left, once; its output goes to a log of its own."""
        words, self._at_detach = self._at_detach, []
        if not words:
            return
        path = os.path.join(self.home, LOGS, "on-deactivate.log")
        with contextlib.suppress(OSError):  # A full disk is no reason to end.
            log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            try:
                self._detaching = os.posix_spawn(words[0], words, self.house.base, file_actions=actions)
            finally:
                os.close(log)
            self.loop.on_exit(self._detaching, lambda _: self._detach_done())

    def _detach_done(self) -> None:
        self._detaching = 0
        if self._leaving:
            self._leave()

    # The end.

    def _leave(self) -> None:
        """Stop everything, then end."""
        self._leaving = True
        self._stop(set(self.services))
        self._end_when_stopped()

    def _end_when_stopped(self) -> None:
        alive = any(one.state in (*ALIVE, WAITING, BACKING_OFF) for one in self.services.values())
        if alive or self._detaching:
            self.loop.after(0.05, self._end_when_stopped)
        else:
            self._end()

    def _end(self) -> None:
        self._shut()
        self._dirty = True
        self._save(ended=True)
        for name in (PID, RECORD):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.home, name))
        self.loop.stop()

    def _shut(self) -> None:
        """Answer no new client."""
        if self._listener.fileno() >= 0:
            self.loop.unwatch(self._listener.fileno())
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.home, SOCKET))
            self._listener.close()

    def _save(self, *, ended: bool = False) -> None:
        """Keep the state where it can be read without this process."""
        if not self._dirty:
            return
        self._dirty = False
        kept = {**self.state(), "token": self.settings["token"], "ended": ended}
        kept["sessions"] = [one.session for one in self.services.values() if one.session]
        kept["boot"] = kernel.boot()
        path = os.path.join(self.home, STATUS)
        temporary = f"{path}.{os.getpid()}.tmp"
        with contextlib.suppress(OSError):
            with open(temporary, "w", encoding="utf-8") as stream:
                json.dump(kept, stream)
            os.replace(temporary, path)

    def run(self) -> None:
        """Until all is stopped and somebody said that it is enough."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number, self._leave)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if self.reaper != os.getpid():
            self.loop.on_exit(self.reaper, lambda _: self._leave())
        self.watch_project()
        self.loop.run()


# -- the process --------------------------------------------------------------------------------------


def main() -> None:
    """What `client.start` starts: settings come on standard input; a line on standard output says `ready`."""
    settings = json.loads(sys.stdin.readline())
    home = str(settings["home"])
    answer = os.dup(1)
    os.set_inheritable(answer, False)
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        _serve(home, settings, answer)
    except BaseException as error:  # noqa: BLE001 - said to the starter, which waits for a line
        with contextlib.suppress(OSError):
            os.write(answer, f"{type(error).__name__}: {error}\n".encode())
        _write_down(home)
        os._exit(1)
    os._exit(0)


def _serve(home: str, settings: dict[str, Any], answer: int) -> None:
    os.chdir("/")
    os.umask(0o077)
    lock = os.open(os.path.join(home, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    settings["namespace"] = bool(settings["namespace"]) and kernel.can_have_pid_namespace()
    _leave_terminal()
    if settings["namespace"]:
        kernel.enter_pid_namespace()
        reaper = _start_init([lock, answer])
    else:
        reaper = _stand_guard([lock, answer])
    kernel.name_process("cape-services")
    os.makedirs(os.path.join(home, LOGS), mode=0o700, exist_ok=True)
    supervisor = Supervisor(home, settings, reaper)
    _record(home, settings)
    os.umask(0o022)
    os.write(answer, b"ready\n")
    os.close(answer)
    supervisor.run()
    if settings["namespace"]:
        kernel.send(reaper, signal.SIGKILL)


def _write_down(home: str) -> None:
    """Keep what ended the supervisor: nobody reads its standard error."""
    import traceback

    with contextlib.suppress(OSError), open(os.path.join(home, "supervisor.log"), "a") as stream:
        traceback.print_exc(file=stream)


def _leave_terminal() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _record(home: str, settings: dict[str, Any]) -> None:
    """Who supervises here: its pid and the time it started."""
    own = kernel.process(os.getpid())
    record = {
        "pid": os.getpid(),
        "start": own.start if own else None,
        "token": settings["token"],
        "protocol": PROTOCOL,
        "version": settings["version"],
        "namespace": settings["namespace"],
    }
    # The pid alone is for shells, which can ask with builtins whether it lives.
    for name, text in ((RECORD, json.dumps(record)), (PID, f"{os.getpid()}\n")):
        path = os.path.join(home, name)
        temporary = f"{path}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)


def _start_init(shut: list[int]) -> int:
    """The first process of the namespace: collects orphans, and takes all with it when it dies."""
    pid = os.fork()
    if pid:
        return pid
    try:
        kernel.die_with_parent(signal.SIGKILL)
        kernel.name_process("cape-init")
        for descriptor in shut:
            os.close(descriptor)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        kernel.spread_pids()
        while True:
            signal.pause()
    finally:
        os._exit(1)


def _stand_guard(shut: list[int]) -> int:
    """Go on in a child, which collects orphans; this process stays above it, and ends what it leaves.

    Gives the pid of the collector: the child's own.
    """
    kernel.adopt_orphans()
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        kernel.die_with_parent(signal.SIGTERM)
        kernel.adopt_orphans()
        if os.getppid() != guardian:
            os._exit(1)
        return os.getpid()
    for descriptor in shut:
        os.close(descriptor)
    kernel.name_process("cape-guardian")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pid, _ = os.wait()
        if pid == child:
            break
    _end_orphans(guardian)
    os._exit(0)


def _end_orphans(own: int) -> None:
    """Kill all descendants, again and again, until there is none."""
    while left := kernel.descendants({own}, kernel.processes()):
        for one in left:
            kernel.send(one.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        signal.sigtimedwait([], 0.01)


if __name__ == "__main__":
    main()
