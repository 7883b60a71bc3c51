"""Runs a job on a Ray cluster, and tells what happens as lines of JSON on standard output.

This file is started by the Python of an environment that has Ray; it imports nothing of cape. What runs on
the cluster's machines (`attempt`, `Told`) is sent there by value and needs Python alone. The argument is the
job's directory: `job.json`, `environment.pack`, `files.tar.gz`; results are left there as `results-N.tar.gz`.
An interrupt cancels what runs, and so does the end of standard input: whoever started this is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_PIECE_BYTES = 16 << 20
_POLL_S = 0.2
_PATIENCE_S = 20.0
_CONNECTIONS = 4
_WAITS_S = 20.0
_PASS_ON_S = 0.1
_LAST_LINES_S = 5.0


def tell(event: str, **fields: object) -> None:
    """One line for whoever started this."""
    with contextlib.suppress(BrokenPipeError):  # then an interrupt is on its way
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


class Told:
    """What the tasks said, until the driver takes it. One of it runs, on the cluster's head."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, str]] = []

    def add(self, rows: list[tuple[str, int, str, str]]) -> None:
        self._rows += rows

    def take(self) -> list[tuple[str, int, str, str]]:
        rows, self._rows = self._rows, []
        return rows


def attempt(job: dict[str, Any], task: int, pack: list[Any], files: bytes, told: Any) -> dict[str, Any]:
    """Run the command once, on this machine; what it printed goes to `told`, what it left comes back."""
    import ray

    node = platform.node()
    ray.get(told.add.remote([("started", task, "", node)]))
    if platform.machine() not in job["machines"]:
        return {"wrong_machine": platform.machine(), "node": node}
    cache = Path(tempfile.gettempdir()) / f"cape-submitted-{os.getuid()}"
    program = arrived(cache, job["pack"], lambda: (ray.get(piece) for piece in pack))
    with tempfile.TemporaryDirectory(prefix="task-", dir=cache) as place:
        work = Path(place) / "work"
        work.mkdir()
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(work, filter="data")
        outputs = work / job["outputs"]
        outputs.mkdir(parents=True, exist_ok=True)
        variables = variables_of(job, task, Path(place), outputs)
        began = time.monotonic()
        words = [str(program), "--cape-run", *job["command"]]
        code = run(
            words, work, variables, lambda rows: rows and told.add.remote([(*row, "") for row in rows]), task
        )
        seconds = time.monotonic() - began
        ray.get(told.add.remote([]))  # what was passed on before has arrived
        results = io.BytesIO()
        with tarfile.open(fileobj=results, mode="w:gz", compresslevel=1) as archive:
            archive.add(outputs, arcname=".")
    return {"code": code, "node": node, "seconds": seconds, "results": results.getvalue()}


def arrived(cache: Path, digest: str, pieces: Callable[[], Iterable[bytes]]) -> Path:
    """The packed environment of that digest on this machine: the one that is there, or it is written."""
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise PermissionError(f"{cache} is somebody else's")
    program = cache / digest
    if not program.exists():
        beside = cache / f".{digest}-{os.getpid()}"
        found = hashlib.sha256()
        with open(beside, "wb") as stream:
            for piece in pieces():
                found.update(piece)
                stream.write(piece)
        if found.hexdigest() != digest:
            raise OSError("the packed environment arrived altered")
        beside.chmod(0o700)
        os.rename(beside, program)
    return program


def variables_of(job: dict[str, Any], task: int, place: Path, outputs: Path) -> dict[str, str]:
    """What a task finds in its environment: little of this machine, and places of its own."""
    kept = ("PATH", "LANG", "USER", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(place),
        "TMPDIR": str(place),
        "XDG_CACHE_HOME": str(place.parent),
        **job["variables"],
        "CAPE_TASK": str(task),
        "CAPE_TASKS": str(job["tasks"]),
        "CAPE_OUTPUTS": str(outputs),
        "CAPE_PACK_STATE": f"{place}/state",
    }


def run(
    words: list[str],
    directory: Path,
    variables: dict[str, str],
    pass_on: Callable[[list[tuple[str, int, str]]], object],
    task: int,
) -> int:
    """Run a command, pass its lines on while it runs, and end all that it started. Its exit code."""
    process = subprocess.Popen(
        words,
        cwd=directory,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    rows: list[tuple[str, int, str]] = []

    def follow(stream: Any, kind: str) -> None:
        for line in stream:
            rows.append((kind, task, line.decode(errors="replace").rstrip("\n")))

    streams = ((process.stdout, "stdout"), (process.stderr, "stderr"))
    readers = [threading.Thread(target=follow, args=one, daemon=True) for one in streams]
    try:
        for reader in readers:
            reader.start()
        while process.poll() is None:
            time.sleep(_PASS_ON_S)
            pass_on(taken(rows))
        for reader in readers:
            reader.join(_LAST_LINES_S)
        pass_on(taken(rows))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def taken(rows: list[Any]) -> list[Any]:
    """What is in a list that another thread adds to, out of it."""
    count = len(rows)
    found = rows[:count]
    del rows[:count]
    return found


def die_with_parent() -> None:
    """Ask the kernel to kill this process with the one that started it (`PR_SET_PDEATHSIG`)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


class Driver:
    """One job, from its connection to its last result."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._job: dict[str, Any] = json.loads((directory / "job.json").read_text())
        self._starts: dict[int, int] = {}

    def run(self) -> int:
        """The exit code of this process: 0 when every task was told of, whatever its own code was."""
        import ray

        if not self._connect(ray):
            return 1
        nodes = [one for one in ray.nodes() if one["Alive"]]
        tell("connected", nodes=len(nodes), ray=ray.__version__)
        if not self._fits(nodes):
            return 1
        told, waiting = self._start(ray)
        try:
            self._follow(ray, told, waiting)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._cancel(ray, list(waiting))
            tell("cancelled", tasks=len(waiting))
            return 130
        except (ConnectionError, ray.exceptions.RayError) as error:
            tell("failed", why=_first_line(error))
            return 1
        return 0

    def _connect(self, ray: Any) -> bool:
        """Connect; again, where the cluster could not start its own side of it (it sometimes cannot when
        several clients come at once)."""
        for _ in range(_CONNECTIONS):
            try:
                ray.init(self._job["address"], log_to_driver=False, logging_level="error")
                return True
            except (ConnectionError, RuntimeError, TimeoutError) as error:
                said = str(error)
                why = said if "ersion" in said else _last_line(error)
            if "Starting Ray client server failed" not in said:
                break
            with contextlib.suppress(Exception):
                ray.shutdown()
            time.sleep(1)
        tell("not-connected", why=why, versions=_is_of_versions(said), ray=ray.__version__)
        return False

    def _fits(self, nodes: list[dict[str, Any]]) -> bool:
        wanted = {"CPU": self._job["cpus"], "GPU": self._job["gpus"]}
        for node in nodes:
            if all(node["Resources"].get(name, 0) >= amount for name, amount in wanted.items()):
                return True
        most = {name: max((one["Resources"].get(name, 0) for one in nodes), default=0) for name in wanted}
        tell("no-room", wanted=wanted, most=most)
        return False

    def _start(self, ray: Any) -> tuple[Any, dict[Any, int]]:
        """The collector of what is told, and each task's number by its reference."""
        pieces = []
        with open(self._directory / "environment.pack", "rb") as stream:
            while data := stream.read(_PIECE_BYTES):
                pieces.append(ray.put(data))
        files = ray.put((self._directory / "files.tar.gz").read_bytes())
        at_head = {"node:__internal_head__": 0.001}
        told = ray.remote(Told).options(num_cpus=0, resources=at_head, max_restarts=-1).remote()
        task = ray.remote(attempt).options(
            num_cpus=self._job["cpus"], num_gpus=self._job["gpus"], max_retries=self._job["retries"]
        )
        waiting = {
            task.remote(self._job, number, pieces, files, told): number
            for number in range(self._job["tasks"])
        }
        tell("sent", tasks=len(waiting))
        return told, waiting

    def _follow(self, ray: Any, told: Any, waiting: dict[Any, int]) -> None:
        deadline: float | None = time.monotonic() + _WAITS_S
        while waiting:
            if deadline is not None and (self._starts or time.monotonic() > deadline):
                deadline = None
                if not self._starts:
                    tell("waiting")
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_POLL_S)
            self._show(ray.get(told.take.remote()))
            for one in ready:
                number = waiting[one]
                self._finish(ray, one, number)
                del waiting[one]

    def _show(self, rows: list[tuple[str, int, str, str]]) -> None:
        for kind, task, text, node in rows:
            if kind == "started":
                self._starts[task] = self._starts.get(task, 0) + 1
                tell("started", task=task, node=node, attempt=self._starts[task])
            else:
                tell("line", task=task, stream=kind, text=text)

    def _finish(self, ray: Any, reference: Any, task: int) -> None:
        from ray.exceptions import RayTaskError

        starts = self._starts.get(task, 1)
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            tell("broken", task=task, why=_last_line(error))
            return
        except ray.exceptions.RayError as error:
            tell("lost", task=task, starts=starts, why=_first_line(error))
            return
        if "wrong_machine" in result:
            tell("wrong-machine", task=task, node=result["node"], machine=result["wrong_machine"])
            return
        (self._directory / f"results-{task}.tar.gz").write_bytes(result.pop("results"))
        tell("finished", task=task, starts=starts, **result)

    def _cancel(self, ray: Any, references: list[Any]) -> None:
        for reference in references:
            with contextlib.suppress(Exception):
                ray.cancel(reference, force=False)
        with contextlib.suppress(Exception):
            ray.wait(references, num_returns=len(references), timeout=_PATIENCE_S)
        with contextlib.suppress(Exception):
            ray.shutdown()


def _is_of_versions(text: str) -> bool:
    """Whether a refusal is one of other versions. A server whose Ray differs may fail with a bug of its own
    before it compares them."""
    plain = text.lower()
    if "version" in plain and ("mismatch" in plain or "does not match" in plain):
        return True
    bugs = ("AttributeError", "ImportError", "KeyError", "ModuleNotFoundError", "TypeError")
    return "Initialization failure from server" in text and text.strip().splitlines()[-1].startswith(bugs)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]


def end_with_starter(directory: Path) -> None:
    """Interrupt this process when its standard input ends; the job's directory is then nobody's, and goes."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        shutil.rmtree(directory, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_starter(Path(sys.argv[1]))
    sys.exit(Driver(Path(sys.argv[1])).run())
