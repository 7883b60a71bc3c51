"""A process that has `cape` imported, and forks for each command: one that fails, or dies, at a step.

A step is a call that changes the disk: opening a file for writing, making, renaming, linking, removing,
changing modes, syncing. They are seen by an audit hook and by wrappers, in the command's own process and
those that it forks; each process counts its own. Jobs come as lines of JSON, and answers go as such.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
MORE = {"os.fork", "os.exec", "os.kill", "socket.bind", "socket.connect", "fcntl.flock", "subprocess.Popen"}
"""Steps that start, signal or reach processes; they count where a job asks for `more`."""
_PATHS = {
    "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1,
    "os.truncate": 1, "os.chmod": 1, "os.utime": 1,
}  # fmt: skip


class Fault:
    """Counts the steps of this process, notes each, and lets one fail or be the last."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.place = job["place"]
        self.step = job.get("step", 0)
        self.error = job.get("error")
        self.more = bool(job.get("more"))
        self.line, self.wanted_line = "", job.get("line", "")
        self.log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.count = 0

    def begin(self) -> None:
        """See what this process does from now on."""
        for name in ("fsync", "fdatasync"):
            self.wrap(name)
        sys.addaudithook(self.hook)
        if self.more:
            os.register_at_fork(after_in_child=self._branch)

    def _branch(self) -> None:
        """A child's steps are told from its parent's by the step at which it was forked."""
        self.line, self.count = f"{self.line}.{self.count}", 0

    def hook(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(given[0], str | bytes | os.PathLike) and (given[2] or 0) & _WRITING:
                self.at(event, given[:1])
        elif event in _PATHS:
            self.at(event, given[: _PATHS[event]])
        elif self.more and event in MORE:
            self.at(event, ())

    def at(self, event: str, paths: tuple[Any, ...]) -> None:
        told = [os.fsdecode(path) for path in paths if isinstance(path, str | bytes | os.PathLike)]
        if not all(path.startswith(self.place) or not path.startswith("/") for path in told):
            return
        self.count += 1
        line = json.dumps([self.count, event, told, os.getpid(), self.line]) + "\n"
        os.write(self.log, line.encode())
        if self.count == self.step and self.line == self.wanted_line:
            if self.error is None:
                os.kill(os.getpid(), signal.SIGKILL)
                return
            number = getattr(errno, self.error)
            raise OSError(number, os.strerror(number), *told[:1])

    def wrap(self, name: str) -> None:
        real: Callable[..., Any] = getattr(os, name)

        def wrapped(*given: Any, **more: Any) -> Any:
            self.at(f"os.{name}", ())
            return real(*given, **more)

        setattr(os, name, wrapped)


def perform(job: dict[str, Any]) -> int:
    """The exit code of one command, as a child; negative: the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            for number, file in ((1, job["stdout"]), (2, job["stderr"])):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.environ.clear()
            os.environ.update(job["environment"])
            os.chdir(job["directory"])
            code = _in_child(job)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _in_child(job: dict[str, Any]) -> int:
    from cape.cli.main import main

    if "log" in job:
        Fault(job).begin()
    if "interpreter" in job:
        sys.executable = job["interpreter"]
    return main(job["words"])


def _import_what_commands_import() -> None:
    import importlib

    from cape.cli.declarations import COMMANDS

    for name in sorted({command.handler.partition(":")[0] for command in COMMANDS}):
        importlib.import_module(f"cape.cli.{name}")
    for name in ("operations.syncing", "operations.editing", "operations.collecting", "sources.debian",
                 "sources.download", "store", "environment.realisation"):  # fmt: skip
        importlib.import_module(f"cape.{name}")


def serve() -> None:
    _import_what_commands_import()
    for line in sys.stdin:
        print(json.dumps(perform(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
