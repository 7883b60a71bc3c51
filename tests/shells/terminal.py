"""A shell on a terminal: what is typed, and what the screen then shows."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

_CONTROL = re.compile(
    r"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()][A-Z0-9]?|\x0f|\r"
)


class Terminal:
    """A shell on a pseudo terminal."""

    def __init__(self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execvpe(words[0], list(words), dict(env))
            finally:
                os._exit(126)
        self._seen = ""
        self._count = 0

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

    def wait(self, text: str, *, timeout_s: float = 20) -> str:
        """What is shown up to `text`, which is taken away with it."""
        end = time.monotonic() + timeout_s
        while text not in self._seen:
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
        shown, _, self._seen = self._seen.partition(text)
        return shown

    def send(self, line: str) -> None:
        """Type a line, and wait for nothing."""
        os.write(self._fd, line.encode() + b"\n")

    def type(self, line: str) -> str:
        """Type a line; what is shown up to the prompt after the next."""
        self.send(line)
        return self.settled()

    def settled(self) -> str:
        """What is shown until the shell reads again. Some throw away what was typed before their prompt."""
        for _ in range(20):
            self._count += 1
            self.send(f'echo "<"A{self._count}">"')
            with contextlib.suppress(AssertionError):
                return self.wait(f"<A{self._count}>", timeout_s=2)
        raise AssertionError(self._seen[-2000:])

    def settled_after(self, answer: str) -> str:
        """Answer a question, and wait until the shell reads again."""
        self.send(answer)
        return self.settled()

    def said(self, line: str) -> str:
        """What a line prints."""
        self._count += 1
        # The words as they are typed are not the words that are printed.
        self.send(f'echo "<"B{self._count}">"; {line}; echo "<"E{self._count}">"')
        self.wait(f"<B{self._count}>")
        return self.wait(f"<E{self._count}>").strip("\n")
