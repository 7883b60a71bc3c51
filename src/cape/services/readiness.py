"""Readiness: asking, again and again, whether a service can be used.

Owns the four ways: a command that succeeds, a port that is listened at, an http answer, a line in the log.
Part of the supervisor's process: imports are light, nothing blocks, and no decision about a service is
made here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cape.services.loop import Loop, Timer

_ATTEMPT_S = 5.0


class Probe:
    """Asks until the answer is yes. `yes` is called once; `why` says what the last answer was."""

    def __init__(self, loop: Loop, ready: dict[str, Any], yes: Callable[[], None]) -> None:
        self.why = "it was not asked yet"
        self._loop = loop
        self._interval_s = float(ready["interval_s"])
        self._yes = yes
        self._timer: Timer | None = None
        self._ended = False

    def start(self) -> None:
        """Ask for the first time."""
        self._attempt()

    def close(self) -> None:
        """Ask no more."""
        self._ended = True
        if self._timer:
            self._timer.cancel()

    def output(self, data: bytes) -> None:
        """What the service printed."""

    def _attempt(self) -> None:
        raise NotImplementedError

    def _answer(self, why: str | None) -> None:
        """The answer to one attempt; None is yes."""
        if self._ended:
            return
        if why is None:
            self.close()
            self._yes()
            return
        self.why = why
        self._timer = self._loop.after(self._interval_s, self._attempt)


class CommandProbe(Probe):
    """Ready when a command gives exit code 0. `run` starts it and gives its pid."""

    def __init__(
        self,
        loop: Loop,
        ready: dict[str, Any],
        yes: Callable[[], None],
        run: Callable[[str], int],
    ) -> None:
        super().__init__(loop, ready, yes)
        self._command = str(ready["command"])
        self._run = run
        self._pid = 0

    def close(self) -> None:
        super().close()
        if self._pid:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, 9)

    def _attempt(self) -> None:
        try:
            self._pid = self._run(self._command)
        except OSError as error:
            self._answer(f"`{self._command}` cannot be started: {error.strerror}")
            return
        deadline = self._loop.after(max(_ATTEMPT_S, self._interval_s), self._too_long)
        self._loop.on_exit(self._pid, lambda status: self._exited(status, deadline))

    def _too_long(self) -> None:
        if self._pid:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, 9)

    def _exited(self, status: int, deadline: Timer) -> None:
        deadline.cancel()
        self._pid = 0
        code = os.waitstatus_to_exitcode(status)
        told = f"exit code {code}" if code >= 0 else f"no answer, it was ended by signal {-code}"
        self._answer(None if code == 0 else f"`{self._command}` gave {told}")


class LogProbe(Probe):
    """Ready when the output has text that a regular expression finds."""

    def __init__(self, loop: Loop, ready: dict[str, Any], yes: Callable[[], None]) -> None:
        import re

        super().__init__(loop, ready, yes)
        self._pattern = re.compile(str(ready["log"]).encode())
        self._seen = b""
        self.why = f"no line of its log matches `{ready['log']}`"

    def _attempt(self) -> None:
        pass

    def output(self, data: bytes) -> None:
        if self._ended:
            return
        self._seen = (self._seen + data)[-65536:]
        if self._pattern.search(self._seen):
            self._answer(None)


class PortProbe(Probe):
    """Ready when somebody accepts a connection at a port of this machine."""

    def __init__(
        self, loop: Loop, ready: dict[str, Any], yes: Callable[[], None], *, host: str, port: int
    ) -> None:
        super().__init__(loop, ready, yes)
        self._host, self._port = host, port
        self._socket: socket.socket | None = None
        self._deadline: Timer | None = None

    @property
    def place(self) -> str:
        return f"port {self._port}"

    def close(self) -> None:
        super().close()
        self._hang_up()

    def _attempt(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = self._socket.connect_ex((self._host, self._port))
        if code not in (0, errno.EINPROGRESS):
            self._end(f"{self.place}: {os.strerror(code)}")
            return
        self._deadline = self._loop.after(_ATTEMPT_S, lambda: self._end(f"{self.place} does not answer"))
        self._loop.watch(self._socket.fileno(), self._connected, writable=True)

    def _connected(self) -> None:
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._end(f"{self.place}: {os.strerror(code)}")
        else:
            self._talk(self._socket)

    def _talk(self, connection: socket.socket) -> None:
        self._end(None)

    def _end(self, why: str | None) -> None:
        self._hang_up()
        self._answer(why)

    def _hang_up(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None


class HttpProbe(PortProbe):
    """Ready when a GET gives a status from 200 to 399."""

    def __init__(
        self,
        loop: Loop,
        ready: dict[str, Any],
        yes: Callable[[], None],
        *,
        host: str,
        port: int,
        path: str,
    ) -> None:
        super().__init__(loop, ready, yes, host=host, port=port)
        self._path = path
        self._received = b""

    @property
    def place(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{self._path}"

    def _talk(self, connection: socket.socket) -> None:
        words = (
            f"GET {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            "User-Agent: cape\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        try:
            connection.send(words.encode())
        except OSError as error:
            self._end(f"{self.place}: {error.strerror}")
            return
        self._received = b""
        self._loop.watch(connection.fileno(), self._readable)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(f"{self.place}: {error.strerror}")
            return
        self._received += data
        line, newline, _ = self._received.partition(b"\n")
        if newline or not data:
            self._end(self._judged(line))

    def _judged(self, line: bytes) -> str | None:
        words = line.decode("latin-1").split()
        if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
            return f"{self.place} gives no http answer"
        return None if 200 <= int(words[1]) < 400 else f"{self.place} answers {words[1]}"
