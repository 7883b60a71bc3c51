"""One service as the supervisor knows it: its processes, its state, and what happens when they change.

    stopped -> waiting -> starting -> ready -> stopping -> stopped
                             |          |
                             +----------+-> backing-off -> starting, or exited, or failed

Owns these steps. Which service may start is the supervisor's to say. Part of the supervisor's process:
imports are light.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from cape.services import kernel
from cape.services.logs import LogFile
from cape.services.ports import holder, is_free
from cape.services.readiness import CommandProbe, HttpProbe, LogProbe, PortProbe, Probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cape.services.loop import Loop, Timer
    from cape.services.ports import Ports

STOPPED, WAITING, STARTING, READY = "stopped", "waiting", "starting", "ready"
BACKING_OFF, STOPPING, EXITED, FAILED = "backing-off", "stopping", "exited", "failed"
ALIVE = (STARTING, READY, STOPPING)
SETTLED = (READY, EXITED, FAILED, STOPPED)
TOKEN = "CAPE_SERVICE"
_SETTLE_S = 0.03
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_STEADY_S = 10.0


class House:
    """What all services of one supervisor share."""

    def __init__(
        self,
        loop: Loop,
        ports: Ports,
        *,
        token: str,
        logs: str,
        base: dict[str, str],
        reaper: int,
        changed: Callable[[Service], None],
    ) -> None:
        self.loop = loop
        self.ports = ports
        self.token = token
        self.logs = logs
        self.base = base
        self.reaper = reaper
        self.changed = changed
        self.given: dict[str, str] = {}


class Service:
    """A service and its state. `definition` is what `cape` sent; see `cape.services.definition`."""

    def __init__(self, house: House, definition: dict[str, Any]) -> None:
        self.house = house
        self.definition = definition
        self.name = str(definition["name"])
        self.log = LogFile(house.logs, self.name, **definition["log"])
        self.state = STOPPED
        self.reason: str | None = None
        self.pid = 0
        self.ports: dict[str, int] = {}
        self.generation: int | None = None
        self.started_ms: int | None = None
        self.ready_ms: int | None = None
        self.ended_ms: int | None = None
        self.exit_code: int | None = None
        self.exit_signal: int | None = None
        self.restarts = 0
        self.wanted = False
        self.session: tuple[int, str] | None = None
        self._given_up: str | None = None
        self._failures = 0
        self._probe: Probe | None = None
        self._timers: list[Timer] = []
        self._pipe = -1
        self._daemons: dict[int, int] = {}
        self._next: dict[str, Any] | None = None

    # What the supervisor asks.

    def want(self) -> None:
        """Let it start as soon as what it depends on is ready."""
        self.wanted = True
        if self.state not in ALIVE:
            self._failures = 0
            self._forget_timers()
            self._become(WAITING)

    def start(self) -> None:
        """Start its process now."""
        self._forget_timers()
        try:
            self.ports = self.house.ports.given(self.name, self.definition["ports"])
            if taken := next((one for one in self.ports.values() if not is_free(one)), None):
                by = holder(taken)
                self.fail(f"port {taken} is taken" + (f" by {by}" if by else ""))
                return
            self._open_pipe()
        except OSError as error:
            self.fail(f"it cannot be started: {error.strerror}")

    def stop(self) -> None:
        """End it: its signal, and after its grace SIGKILL, to all that it started."""
        self.wanted = False
        self._close_probe()
        self._forget_timers()
        if self.state not in (STARTING, READY):
            if self.state not in (STOPPING, EXITED, FAILED, STOPPED):
                self._become(STOPPED)
            return
        self._become(STOPPING)
        stop = self.definition["stop"]
        if stop["command"]:
            with contextlib.suppress(OSError):
                self._run(str(stop["command"]))
        else:
            self._signal_all(int(stop["signal"]))
        self._later(float(stop["grace_s"]), self._kill)
        self._check_gone()

    def restart(self, definition: dict[str, Any]) -> None:
        """Stop it, then start it as another definition says."""
        self.renew_once_stopped(definition)
        if self.state in ALIVE:
            self.stop()

    def renew_once_stopped(self, definition: dict[str, Any]) -> None:
        """Start it as another definition says as soon as it does not run; whoever calls stops it."""
        if self.state in ALIVE:
            self._next = definition
        else:
            self.replace(definition)
            self.want()

    def give_up(self) -> None:
        """Forget that it is to run, now or again; whoever calls stops it."""
        self.wanted = False
        self._next = None

    @property
    def is_to_stop(self) -> bool:
        """Whether nobody wants it as it is now."""
        return not self.wanted or self._next is not None

    def replace(self, definition: dict[str, Any]) -> None:
        """Take another definition; for a service that does not run."""
        self.definition = definition
        self.log.close()
        self.log = LogFile(self.house.logs, self.name, **definition["log"])

    def fail(self, reason: str) -> None:
        self.reason = reason
        self.ended_ms = self.ended_ms or _now_ms()
        self._close_probe()
        self._forget_timers()
        self._become(FAILED)

    def row(self) -> dict[str, Any]:
        """What `cape services status` shows; no variable's value is in it."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "pid": (self.pid or next(iter(self._daemons), 0)) or None,
            "ports": self.ports,
            "generation": self.generation,
            "made_of": made_of(self.definition),
            "started_ms": self.started_ms,
            "ready_ms": self.ready_ms,
            "ended_ms": self.ended_ms,
            "exit_code": self.exit_code,
            "exit_signal": self.exit_signal,
            "restarts": self.restarts,
            "lost_log_bytes": self.log.lost_bytes,
            "persist": bool(self.definition["persist"]),
        }

    def processes(self) -> list[kernel.Process]:
        """All living processes that it started, as far as that can be told."""
        table = kernel.processes()
        roots = {pid for pid in (self.pid, *self._daemons) if pid}
        found = {one.pid: one for one in table if one.pid in roots}
        entry = f"{TOKEN}={self.house.token}:{self.name}\0".encode()
        own = os.getpid()
        for one in table:
            if one.pid in (own, self.house.reaper):
                continue
            if (self.session and one.session == self.session[0]) or kernel.has_variable(one.pid, entry):
                found[one.pid] = one
        below = kernel.descendants(set(found), table)
        return [*found.values(), *below]

    # Starting.

    def _open_pipe(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(reading, False)
            self.generation = int(self.definition["generation"])
            self.started_ms, self.ready_ms, self.ended_ms = _now_ms(), None, None
            self.exit_code = self.exit_signal = self.reason = None
            self.pid = self._run(str(self.definition["command"]), writing)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._close_pipe()
        self._pipe = reading
        self.house.loop.watch(reading, self._read)
        self.house.loop.on_exit(self.pid, self._exited)
        self._become(STARTING)
        self._begin_probe()

    def _run(self, command: str, output: int | None = None) -> int:
        """Start a command inside the service's environment, in a session of its own."""
        script = str(self.definition["script"])
        variables = {
            **self.house.base,
            **self.house.given,
            **port_variables(self.ports),
            TOKEN: f"{self.house.token}:{self.name}",
        }
        pid = os.fork()
        if pid:
            if output is not None:
                leader = kernel.process(pid)
                self.session = (pid, leader.start if leader else "")
            return pid
        try:
            os.setsid()
            kernel.die_with_parent(signal.SIGKILL)
            _become_plain(output)
            os.chdir(self.definition["directory"])
            os.execve("/bin/sh", ["/bin/sh", script, command], variables)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this child must not live on
            os.write(2, f"cape: the service cannot be started: {error}\n".encode())
        os._exit(126)

    def _begin_probe(self) -> None:
        ready = self.definition["ready"]
        if ready is None:
            self._later(_SETTLE_S, self._is_ready)
            return
        loop = self.house.loop
        if "command" in ready:
            self._probe = CommandProbe(loop, ready, self._is_ready, self._run)
        elif "log" in ready:
            self._probe = LogProbe(loop, ready, self._is_ready)
        else:
            port = ready["port"]
            number = self.ports[port] if isinstance(port, str) else int(port)
            host = str(ready["host"])
            if "http" in ready:
                path = str(ready["http"])
                self._probe = HttpProbe(loop, ready, self._is_ready, host=host, port=number, path=path)
            else:
                self._probe = PortProbe(loop, ready, self._is_ready, host=host, port=number)
        self._later(float(ready["timeout_s"]), self._never_ready)
        self._probe.start()

    def _is_ready(self) -> None:
        if self.state != STARTING:
            return
        self._close_probe()
        self._forget_timers()
        self.ready_ms = _now_ms()
        self._become(READY)
        self._later(_STEADY_S, self._is_steady)

    def _is_steady(self) -> None:
        self._failures = 0

    def _never_ready(self) -> None:
        why = self._probe.why if self._probe else "it does not answer"
        timeout_s = self.definition["ready"]["timeout_s"]
        self._given_up = f"it was not ready within {timeout_s:g} s: {why}"
        self.stop()

    # Output.

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        if not data:
            self._close_pipe()
            return
        self.log.write(data)
        if self._probe:
            self._probe.output(data)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._pipe >= 0 and (data := os.read(self._pipe, 65536)):
                self.log.write(data)
                if self._probe:
                    self._probe.output(data)

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self.house.loop.unwatch(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    # Ending.

    def _exited(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self.pid = 0
        self._drain()
        self.exit_code, self.exit_signal = (code, None) if code >= 0 else (None, -code)
        if self.state == STOPPING:
            self._check_gone()
        elif code == 0 and self.definition["daemon"]:
            self._adopt()
        else:
            self._ended()

    def _adopt(self) -> None:
        """The command has put itself into the background: what it left is the service from here on."""
        left = self.processes() or self._unclaimed()
        for one in left:
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(one.pid)
                self._daemons[one.pid] = descriptor
                self.house.loop.watch(descriptor, lambda pid=one.pid: self._daemon_ended(pid))  # type: ignore[misc]
        if not self._daemons:
            self.exit_code = 1
            self.reason = "its command ended, and left no process in the background"
            self._ended()

    def _unclaimed(self) -> list[kernel.Process]:
        """Orphans that say no service's name: a daemon may have written over its variables."""
        entry = f"{TOKEN}={self.house.token}:".encode()
        own = os.getpid()
        return [
            one
            for one in kernel.processes()
            if one.parent == self.house.reaper
            and one.pid not in (own, self.house.reaper)
            and one.session == one.pid
            and not self.house.loop.is_child(one.pid)
            and not kernel.has_variable(one.pid, entry)
        ]

    def _daemon_ended(self, pid: int) -> None:
        descriptor = self._daemons.pop(pid)
        self.house.loop.unwatch(descriptor)
        os.close(descriptor)
        if self._daemons:
            return
        left = self.processes()
        if self.state == STOPPING:
            self._check_gone()
        elif left:
            self._adopt()
        else:
            self.exit_code = None
            self.reason = "its process in the background ended"
            self._ended(failed=True)

    def _ended(self, *, failed: bool = False) -> None:
        """It ended by itself."""
        self._close_probe()
        self._forget_timers()
        for one in self.processes():
            kernel.send(one.pid, signal.SIGKILL)
        self.ended_ms = _now_ms()
        if self._next is not None:
            self._renew(self._next)
            return
        if self.state == STARTING and self.exit_code == 0 and self.definition["ready"] is not None:
            self.reason = self.reason or "it ended before it was ready"
            failed = True
        failed = failed or self.exit_code != 0
        restart = str(self.definition["restart"])
        if not failed and restart != "always":
            self._become(EXITED)
            return
        self.reason = self.reason or self._said()
        limit = int(self.definition["restart_limit"])
        if self.exit_code in (126, 127) or restart == "never" or not self.wanted:
            self._become(FAILED)
        elif self._failures >= limit:
            self.reason = f"{self.reason}; it was started {self._failures + 1} times, and not again"
            self._become(FAILED)
        else:
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
            self._failures += 1
            self.restarts += 1
            self._become(BACKING_OFF)
            self._later(pause_s, self._again)

    def _said(self) -> str:
        if self.exit_signal:
            return f"it was ended by {_signal_name(self.exit_signal)}"
        told = {126: ": its command cannot be run", 127: ": its command was not found"}
        return f"it gave exit code {self.exit_code}{told.get(self.exit_code or 0, '')}"

    def _again(self) -> None:
        if self.wanted:
            self._become(WAITING)

    def _signal_all(self, number: int) -> None:
        for one in self.processes():
            kernel.send(one.pid, number)

    def _check_gone(self) -> None:
        """While it is being stopped: look whether something of it is left."""
        if self.state != STOPPING:
            return
        if self.pid or self._daemons or self.processes():
            if not self.pid:
                self.house.loop.after(0.05, self._check_gone)
            return
        self._forget_timers()
        self.session = None
        self._drain()
        self.ended_ms = _now_ms()
        if self._next is not None:
            self._renew(self._next)
        elif self._given_up:
            self.reason, self._given_up = self._given_up, None
            self._become(FAILED)
        else:
            self.reason = None
            self._become(STOPPED)

    def _renew(self, definition: dict[str, Any]) -> None:
        self._next = self._given_up = self.reason = None
        self.replace(definition)
        self.state = STOPPED
        self.want()

    def _kill(self) -> None:
        self._signal_all(signal.SIGKILL)
        self._later(1.0, self._kill)

    # Small things.

    def _become(self, state: str) -> None:
        self.state = state
        self.house.changed(self)

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._timers.append(self.house.loop.after(delay_s, callback))

    def _forget_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _close_probe(self) -> None:
        if self._probe:
            self._probe.close()
            self._probe = None


def made_of(definition: Mapping[str, Any]) -> str:
    """What a service is started from, in one word: equal where a restart would change nothing.

    The script's name tells its environment and variables, the digest all the rest.
    """
    return f"{definition['digest']}/{os.path.basename(definition['script'])}"


def port_variables(ports: dict[str, int]) -> dict[str, str]:
    """The variables that tell a service its own ports: `PORT` is the first, `PORT_HTTP` one of that name."""
    found = {f"PORT_{_variable(name)}": str(number) for name, number in ports.items()}
    for number in ports.values():
        found["PORT"] = str(number)
        break
    return found


def shared_port_variables(services: dict[str, Service]) -> dict[str, str]:
    """The variables that tell every service the ports of all, named after the service and the port."""
    return {
        f"CAPE_PORT_{_variable(service.name)}_{_variable(name)}": str(number)
        for service in services.values()
        for name, number in service.ports.items()
    }


def _variable(name: str) -> str:
    return "".join(one if one.isalnum() else "_" for one in name).upper()


def _become_plain(output: int | None) -> None:
    """Undo in a child what Python and the supervisor did to signals and descriptors."""
    for number in (
        signal.SIGPIPE,
        signal.SIGCHLD,
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGXFSZ,
    ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for descriptor in (1, 2):
        os.dup2(nothing if output is None else output, descriptor)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
