"""A cluster of two nodes on loopback, of the Ray that cape brings, and a project to submit from."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.conftest import stocked as stocked
from tests.end_to_end.conftest import world as world

CAPE = Path(sys.prefix) / "bin" / "cape"
WITH_RAY = ("run", "--with", "python", "--with", "pypi:ray[client]", "--")
MANIFEST = """
schema = 1
[environment]
name = "away"
systems = ["x86_64-linux"]
debian = "trixie"
[packages]
dash = "*"
coreutils = "*"
[vars]
MODE = "of the manifest"
"""
_START_S = 60


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@dataclass(frozen=True)
class Cluster:
    """A head, whose client server listens at `port`, and its workers."""

    port: int
    gcs: int
    place: Path
    store: Path
    workers: list[subprocess.Popen[bytes]]

    @property
    def address(self) -> str:
        return f"ray://127.0.0.1:{self.port}"

    @contextmanager
    def node(
        self, name: str, *words: str, until: str = "Ray runtime started"
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A node, until the block ends or it is killed: all its processes are in one session."""
        log = self.place / f"{name}.log"
        ports = free_ports(5)
        named = ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export", "runtime-env-agent")
        own = [f"--{one}-port={port}" for one, port in zip(named, ports, strict=False)]
        variables = {
            **os.environ,
            "CAPE_STORE": str(self.store),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(_START_S),
        }
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                [CAPE, *WITH_RAY, "ray", "start", "--block", "--object-store-memory=80000000", *own, *words],
                cwd=self.place,
                env=variables,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            end_session(process)

    def started(self, stack: ExitStack, name: str, *words: str) -> subprocess.Popen[bytes]:
        """A node that is part of the cluster. Ray waits 15 s for a helper of its own, which may be too little
        on a machine that does much else: then it is tried again."""
        for _ in range(3):
            process = stack.enter_context(self.node(name, *words))
            if self._is_up(name, process):
                return process
            end_session(process)
        pytest.fail((self.place / f"{name}.log").read_text(errors="replace"))

    def _is_up(self, name: str, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < deadline:
            if "Ray runtime started" in (self.place / f"{name}.log").read_text(errors="replace"):
                return True
            time.sleep(0.1)
        return False


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and all that it started."""
    for other in (*descendants(process.pid), process.pid):
        with suppress(ProcessLookupError):
            os.kill(other, signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found.append(child)
            waiting.append(child)
    return found


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Cluster]:
    """A head without CPUs, and two workers with one each."""
    place = Path(tmp_path_factory.mktemp("ray"))
    gcs, port = free_ports(2)
    made = Cluster(port=port, gcs=gcs, place=place, store=store, workers=[])
    head = (f"--port={gcs}", f"--ray-client-server-port={port}", "--include-dashboard=false", "--num-cpus=0")
    with ExitStack() as stack:
        made.started(stack, "head", "--head", f"--temp-dir={place}/t", *head)
        for name in ("one", "two"):  # one after the other: at once, they sometimes wait for each other
            worker = (f"--address=127.0.0.1:{gcs}", "--num-cpus=1")
            made.workers.append(made.started(stack, name, *worker))
        yield made


@dataclass(frozen=True)
class Away:
    """A project whose commands run elsewhere."""

    directory: Path
    store: Path

    def words(self, *words: str) -> list[str]:
        return [str(CAPE), "submit", *words]

    @property
    def variables(self) -> dict[str, str]:
        return {**os.environ, "CAPE_STORE": str(self.store), "SENT": "by name"}

    def submit(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.words(*words),
            cwd=self.directory,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Like `submit`, and go on."""
        return subprocess.Popen(
            self.words(*words),
            cwd=self.directory,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *words: str, code: int = 0) -> dict[str, object]:
        told = json.loads(self.submit("--json", *words, code=code).stdout)
        assert isinstance(told, dict)
        return told


@pytest.fixture
def away(tmp_path: Path, store: Path) -> Away:
    """A project in a git repository, with a tracked script and a file that git does not track."""
    directory = tmp_path / "away"
    directory.mkdir()
    (directory / "cape.toml").write_text(MANIFEST)
    (directory / "task").write_text(TASK)
    (directory / "task").chmod(0o755)
    subprocess.run(["git", "init", "-q", directory], check=True)
    subprocess.run(["git", "-C", directory, "add", "cape.toml", "task"], check=True)
    (directory / "untracked").write_text("x")
    return Away(directory, store)


TASK = """#!/bin/sh
echo "task $CAPE_TASK of $CAPE_TASKS, $MODE, ${SENT-nothing}, $(ls | tr '\\n' ' ')"
echo "to stderr" >&2
mkdir "$CAPE_OUTPUTS/deep"
echo "result $CAPE_TASK" > "$CAPE_OUTPUTS/deep/result"
exit "${1-0}"
"""
