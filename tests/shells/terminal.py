"""A shell on a terminal: what is typed, and what the screen then shows."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

PROMPT = "<P>"
_CONTROL = re.compile(
    r"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()][A-Z0-9]?|\x0f|\r"
)


class Terminal:
    """A process on a pseudo terminal whose prompt ends with `PROMPT`."""

    def __init__(self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execvpe(words[0], list(words), dict(env))
            finally:
                os._exit(126)
        self._seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self.pid, signal.SIGHUP)
        time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)
        os.waitpid(self.pid, 0)

    def wait(self, text: str = PROMPT, *, timeout_s: float = 15) -> str:
        """What is shown until `text` stands at its end."""
        end = time.monotonic() + timeout_s
        while not self._seen.rstrip(" ").endswith(text):
            ready, _, _ = select.select([self._fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} within {timeout_s} s: {self._seen[-2000:]!r}")
            try:
                data = os.read(self._fd, 65536)
            except OSError as error:
                raise AssertionError(f"it ended: {self._seen[-2000:]!r}") from error
            if b"\x1b[c" in data or b"\x1b[0c" in data:
                os.write(self._fd, b"\x1b[?62;4c")
            self._seen += _CONTROL.sub("", data.decode(errors="replace"))
        shown, self._seen = self._seen, ""
        return shown

    def send(self, line: str) -> None:
        os.write(self._fd, line.encode() + b"\n")

    def type(self, line: str, *, until: str = PROMPT) -> str:
        """Type a line; what is shown up to the next prompt, without the line and the prompt."""
        self.send(line)
        shown = self.wait(until).replace("\r", "")
        first, _, rest = shown.partition("\n")
        assert line[-10:] in first or not line, shown
        return rest.removesuffix(until).strip("\n")
