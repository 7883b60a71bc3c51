"""A progress bar on stderr for what takes longer than a second; none without a terminal."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time

from cape.cli.output import duration, paint, size
from cape.sources.protocol import NO_PROGRESS, Progress

_DELAY_S = 1.0
_REDRAW_S = 0.2
_WIDTH = 28


class TerminalProgress:
    """Draws one line per stage, from one second into the stage on, and wipes it at its end.

    A thread of its own redraws it, so that a stage in one long step is seen to be at work. It writes to
    the file descriptor, not to `sys.stderr`: a process that is forked meanwhile gets no held lock of it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._label = ""
        self._total = 0
        self._done = 0
        self._unit = ""
        self._started = 0.0
        self._over = threading.Event()
        self._painter: threading.Thread | None = None

    def start(self, label: str, total: int, *, unit: str = "") -> None:
        self.finish()
        with self._guard:
            self._label, self._total, self._done, self._unit = label, total, 0, unit
            self._started = time.monotonic()
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, args=(self._over,), daemon=True)
        self._painter.start()

    def advance(self, amount: int = 1) -> None:
        with self._guard:
            self._done += amount

    def finish(self) -> None:
        if self._painter is not None:
            self._over.set()
            self._painter.join()
            self._painter = None

    def _paint(self, over: threading.Event) -> None:
        if over.wait(_DELAY_S):
            return
        while True:
            _write("\r\x1b[K" + self.line(time.monotonic()))
            if over.wait(_REDRAW_S):
                _write("\r\x1b[K")
                return

    def line(self, now: float) -> str:
        """What the terminal shows of the stage, no wider than it is."""
        with self._guard:
            done, total = self._done, self._total
        elapsed = now - self._started
        if not total:
            return f"{self._label} {duration(elapsed)}"
        in_bytes = self._unit == "B"
        amount, whole = (size(done), size(total)) if in_bytes else (str(done), str(total))
        end = f"{size(round(done / max(elapsed, 0.001)))}/s" if in_bytes else duration(elapsed)
        text = f" {amount}/{whole}  {end}"
        columns = shutil.get_terminal_size().columns - 1
        return f"{self._label} {_bar(done / total, columns - len(self._label) - 1 - len(text))}{text}"


def _bar(share: float, room: int) -> str:
    width = max(0, min(_WIDTH, room))
    full = round(min(share, 1.0) * width)
    heavy, light = ("━", "─") if "utf" in (sys.stderr.encoding or "").lower() else ("#", "-")
    return paint(heavy * full, "36", sys.stderr) + light * (width - full)


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), text.encode(sys.stderr.encoding or "utf-8", "replace"))


def progress(*, quiet: bool) -> Progress:
    """The bar of this terminal, or the silent one."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return NO_PROGRESS
    return TerminalProgress()
