"""`cape services up`, broken at a step: of the command, of its supervisor, or of what that forks.

Owns bringing the fault into the supervisor (a stand-in for the interpreter, which the command starts it
with) and the laws that hold afterwards: the next start is clean, every service runs once, and when all are
taken down no process and no half of a file is left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.harness import Done, Project, World
from tests.faults.driver import MORE
from tests.faults.stepping import KNOWN_CODES, Driver
from tests.services.conftest import is_alive, wait_until

MODES = ("on", "off")
"""Values of CAPE_SERVICES_NAMESPACE."""

COMMAND, SUPERVISOR = "the command", "the supervisor"
SERVICES = """
[services.base]
command = "echo up; sleep 1111 & exec sleep 2222"
ready = { log = "up" }
ports = { http = 0 }
[services.top]
command = "setsid sleep 3333 & exec sleep 4444"
depends-on = ["base"]
"""
PROCESSES = 4
STAND_IN = """#!{python} -IS
import sys
sys.path.insert(0, {tests!r})
from tests.faults.driver import Fault
fault = Fault({job!r})
fault.begin()
given = [word for word in sys.argv[1:] if word not in ("-I", "-S", "-c")]
sys.argv[1:] = []
exec(given[0])
"""


@dataclass(frozen=True, kw_only=True)
class ServiceStep:
    """One step of starting services: whose, its number, and what it is.

    `line` tells the processes that one forks apart: by the steps at which they were forked.
    """

    who: str
    line: str
    number: int
    event: str
    paths: tuple[str, ...]

    @property
    def told(self) -> str:
        return f"{self.who}{self.line}, step {self.number}: {self.event} {' '.join(self.paths)}"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A project with services that do not run, and the driver that performs its commands."""

    driver: Driver
    project: Project

    @property
    def home(self) -> Path:
        return self.project.directory / ".cape/services"

    def cape(self, *words: str, **more: Any) -> Done:
        return self.driver.run(self.project, "services", *words, **more)

    def steps(self) -> list[ServiceStep]:
        """The steps of a whole `up`: the command's own, then each process's of the supervisor's."""
        found = []
        for who in (COMMAND, SUPERVISOR):
            log = self.driver.place / "serving-steps"
            log.unlink(missing_ok=True)
            self._up(who, log=log).succeeded()
            self.cape("down").succeeded()
            rows = [json.loads(line) for line in log.read_text().splitlines()]
            found += [
                ServiceStep(who=who, line=row[4], number=row[0], event=row[1], paths=tuple(row[2]))
                for row in rows
            ]
        return found

    def broken(self, step: ServiceStep, error: str | None) -> Done:
        log = self.driver.place / "serving-broken"
        log.unlink(missing_ok=True)
        return self._up(step.who, log=log, step=step.number, line=step.line, error=error)

    def _up(self, who: str, **fault: Any) -> Done:
        job = {"place": str(self.driver.place), **fault, "log": str(fault["log"]), "more": True}
        if who == COMMAND:
            return self.cape("up", **job)
        stand_in = self.driver.place / "stand-in"
        text = STAND_IN.format(python=sys.executable, tests=str(Path(__file__).parents[2]), job=job)
        stand_in.write_text(text)
        stand_in.chmod(0o755)
        return self.cape("up", interpreter=str(stand_in))

    def marked(self) -> list[int]:
        """Living processes of the project's services."""
        entry = f"CAPE_PROJECT={self.project.directory}\0".encode()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and is_alive(int(name)):
                try:
                    data = Path("/proc", name, "environ").read_bytes()
                except OSError:
                    continue
                if entry in data:
                    found.append(int(name))
        return found

    def end(self) -> None:
        """Leave nothing of a failed test."""
        self.cape("down")
        for pid in self.marked():
            os.kill(pid, signal.SIGKILL)


@contextmanager
def serving_at(world: World, driver: Driver, mode: str) -> Iterator[Serving]:
    """A project whose services have run, and were taken down."""
    project = world.project(name=f"served-{mode}", text=SERVICES)
    one = Serving(driver=driver, project=project.with_variables(CAPE_SERVICES_NAMESPACE=mode))
    try:
        one.cape("up").succeeded()
        one.cape("down").succeeded()
        yield one
    finally:
        one.end()


def run_all(one: Serving, steps: Sequence[ServiceStep], *, errors: Sequence[str | None]) -> list[str]:
    """What went wrong, a sentence each; empty when every law holds at every step."""
    wrong = []
    for number, step in enumerate(steps):
        error = errors[number % len(errors)]
        if error is not None and step.event in MORE:
            if step.event != "os.fork":
                continue
            error = "EAGAIN"
        try:
            _check_laws(one, step, error)
        except AssertionError as failure:
            wrong.append(f"{step.told}, {error or 'kill -9'}: {failure}")
            one.end()
    return wrong


def some(steps: Sequence[ServiceStep], count: int) -> list[ServiceStep]:
    """So many of them, evenly spread over the processes."""
    own = [step for step in steps if "/generations/" not in " ".join(step.paths)]
    return own[len(own) // (2 * count) :: max(1, len(own) // count)]


def _check_laws(one: Serving, step: ServiceStep, error: str | None) -> None:
    done = one.broken(step, error)
    assert "Traceback" not in done.stderr and "This is a bug" not in done.stderr, done.stderr
    if error is not None or step.who == SUPERVISOR:
        assert done.code in (0, *KNOWN_CODES), done.stderr
        assert done.code == 0 or "error: " in done.stderr, done.stderr
    again = one.cape("up")
    assert again.code == 0, again.stderr
    wait_until(lambda: len(one.marked()) == PROCESSES, timeout_s=3)
    told = json.loads(one.cape("status", "--json").stdout)
    assert [row["state"] for row in told["services"]] == ["ready", "ready"], told
    if one.cape("down").code or halves(one.home):  # The step came only then: one more start mends it.
        for word in ("up", "down"):
            more = one.cape(word)
            assert more.code == 0, more.stderr
    assert one.marked() == [], "processes are left"
    assert halves(one.home) == [], "halves of files are left"


def halves(home: Path) -> list[str]:
    """Files below the services' directory that are only there while something is under way."""
    return [file.name for file in home.rglob("*") if file.suffix == ".tmp" or file.name in ("socket", "pid")]
