"""A progress bar on stderr for what takes longer than a second; none without a terminal."""

from __future__ import annotations

import sys
import threading
import time

from cape.cli.output import paint, size
from cape.sources.protocol import NO_PROGRESS, Progress

_DELAY_S = 1.0
_REDRAW_S = 0.1
_WIDTH = 28


class TerminalProgress:
    """Draws one bar per stage, from one second into the stage on, and wipes it at its end."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._label = ""
        self._total = 0
        self._done = 0
        self._unit = ""
        self._started = 0.0
        self._drawn = 0.0

    def start(self, label: str, total: int, *, unit: str = "") -> None:
        with self._guard:
            self._label, self._total, self._done, self._unit = label, total, 0, unit
            self._started = time.monotonic()
            self._drawn = 0.0

    def advance(self, amount: int = 1) -> None:
        with self._guard:
            self._done += amount
            now = time.monotonic()
            if now - self._started > _DELAY_S and now - self._drawn > _REDRAW_S:
                self._drawn = now
                sys.stderr.write("\r\x1b[K" + self._line(now))
                sys.stderr.flush()

    def finish(self) -> None:
        with self._guard:
            if self._drawn:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
            self._drawn = 0.0

    def _line(self, now: float) -> str:
        done, total = self._done, self._total
        amount = size(done) if self._unit == "B" else str(done)
        if not total:
            return f"{self._label} {amount}"
        share = min(done / total, 1.0)
        bar = paint("━" * round(share * _WIDTH), "36", sys.stderr) + "─" * (_WIDTH - round(share * _WIDTH))
        whole = size(total) if self._unit == "B" else str(total)
        speed = ""
        if self._unit == "B":
            speed = f"  {size(round(done / max(now - self._started, 0.001)))}/s"
        return f"{self._label} {bar} {amount}/{whole}{speed}"


def progress(*, quiet: bool) -> Progress:
    """The bar of this terminal, or the silent one."""
    if quiet or not sys.stderr.isatty():
        return NO_PROGRESS
    return TerminalProgress()
