"""The supervisor's event loop: descriptors, children and deadlines, and not one wake-up without a cause.

Owns waiting. Part of the supervisor's process: imports are light, and nothing here knows of services.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """A deadline that can be taken back."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """Calls back when a descriptor is ready, a child ended, a signal came, or a time has come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._children: dict[int, Callable[[int], None]] = {}
        self._signals: dict[int, Callable[[], None]] = {}
        self._running = True
        self._reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self.watch(self._reading, self._signalled)
        self.on_signal(signal.SIGCHLD, self._reap)

    def watch(self, descriptor: int, callback: Callable[[], None], *, writable: bool = False) -> None:
        """Call back whenever the descriptor can be read (or written)."""
        mask = select.EPOLLOUT if writable else select.EPOLLIN
        if descriptor in self._ready:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
        self._ready[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        if self._ready.pop(descriptor, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, when so much time has passed."""
        timer = Timer(callback)
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + delay_s, self._count, timer))
        return timer

    def on_exit(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call back with the wait status of a child when it has ended."""
        self._children[pid] = callback

    def is_child(self, pid: int) -> bool:
        """Whether the end of that child is waited for."""
        return pid in self._children

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until `stop`."""
        while self._running:
            for descriptor, _ in self._epoll.poll(self._timeout()):
                callback = self._ready.get(descriptor)
                if callback is not None:
                    callback()
            self._call_due()

    def _timeout(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _call_due(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def _signalled(self) -> None:
        try:
            numbers = set(os.read(self._reading, 4096))
        except BlockingIOError:
            return
        for number in numbers:
            callback = self._signals.get(number)
            if callback is not None:
                callback()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self._children.pop(pid, None)
            if callback is not None:
                callback(status)
