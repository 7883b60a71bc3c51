"""Projects whose services are this machine's programs; with and without PID namespaces, as root or a user."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import CAPE, Done

PYTHON = "/usr/bin/env python3"
MODES = ("namespace", "guardian")
USER = 1000
READING = "+dac_read_search"
AS_USER = (
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
    *(f"--inh-caps={READING}", f"--ambient-caps={READING}"),
)
"""An ordinary user, with one right more: to read what is closed to others (this interpreter may be)."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Services:
    """A project with services, and `cape services` in it."""

    directory: Path
    mode: str
    store: Path
    as_user: bool = False
    outside: Mapping[str, str] = field(default_factory=dict)

    def write(self, services: str, *, before: str = "") -> None:
        """The manifest: these services after these other tables."""
        head = 'schema = 1\n[environment]\nname = "served"\nsystems = ["x86_64-linux", "aarch64-linux"]\n'
        (self.directory / "cape.toml").write_text(f"{head}{before}{services}")

    @property
    def home(self) -> Path:
        return self.directory / ".cape" / "services"

    @property
    def variables(self) -> dict[str, str]:
        return {
            **self.outside,
            "PATH": os.environ["PATH"],
            "HOME": str(self.store.parent),
            "CAPE_STORE": str(self.store),
            "CAPE_SERVICES_NAMESPACE": "on" if self.mode == "namespace" else "off",
        }

    def words(self, *words: str) -> list[str]:
        return [*(AS_USER if self.as_user else ()), str(CAPE), *words]

    def cape(self, *words: str, timeout_s: float = 60, **more: str) -> Done:
        ended = subprocess.run(
            self.words(*words),
            cwd=self.directory,
            env={**self.variables, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Done(words=words, code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*words),
            cwd=self.directory,
            env={**self.variables, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def services(self, *words: str, **more: str) -> Done:
        return self.cape("services", *words, **more)

    def status(self) -> dict[str, Row]:
        """The rows of `status`, by name."""
        told = json.loads(self.services("status", "--json").succeeded().stdout)
        return {row["name"]: row for row in told["services"]}

    def state(self, name: str) -> str:
        return str(self.status()[name]["state"])

    @property
    def supervisor(self) -> int:
        return int(json.loads((self.home / "supervisor.json").read_text())["pid"])

    def kill_supervisor(self) -> None:
        pid = self.supervisor
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))

    def marked(self) -> list[int]:
        """Living processes that were started for this project: its directory is in a variable of theirs."""
        entry = f"CAPE_PROJECT={self.directory}\0".encode()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try:
                    data = Path("/proc", name, "environ").read_bytes()
                except OSError:
                    continue
                if entry in data and is_alive(int(name)):
                    found.append(int(name))
        return found


def is_alive(pid: int) -> bool:
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def wait_until(holds: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for something to hold; fail if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def has_namespaces() -> bool:
    done = subprocess.run(
        [sys.executable, "-c", "from cape.services.kernel import *; exit(not can_have_pid_namespace())"],
        check=False,
    )
    return done.returncode == 0


@pytest.fixture(params=MODES)
def served(request: pytest.FixtureRequest) -> Iterator[Services]:
    """A project, once with a PID namespace around its services and once without."""
    if request.param == "namespace" and not has_namespaces():
        pytest.skip("this machine allows no PID namespaces")
    yield from project(request.param)


@pytest.fixture
def one() -> Iterator[Services]:
    """A project, for what does not depend on how its services are held."""
    yield from project("guardian")


@pytest.fixture(params=MODES)
def users(request: pytest.FixtureRequest) -> Iterator[Services]:
    """A project of an ordinary user."""
    if os.geteuid() != 0:
        yield from project(request.param)
        return
    check = subprocess.run([*AS_USER, str(CAPE), "--version"], capture_output=True, check=False)
    if check.returncode:
        pytest.skip("this machine does not let root become another user")
    yield from project(request.param, as_user=True)


def project(mode: str, *, as_user: bool = False) -> Iterator[Services]:
    place = Path(tempfile.mkdtemp(prefix="cape-services-"))
    directory = place / "project"
    directory.mkdir()
    if as_user:
        for path in (place, directory):
            os.chown(path, USER, USER)
    made = Services(directory=directory, mode=mode, store=place / "store", as_user=as_user)
    try:
        yield made
    finally:
        made.services("down")
        left = made.marked()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)
        assert not left, f"{len(left)} processes are left"
