"""Runs a job on a Ray cluster, and tells what happens as lines of JSON on standard output.

This file is started by the Python of an environment that has Ray; it imports nothing of cape. What runs on
the cluster's machines (`attempt`, `Told`) is sent there by value and needs Python alone. The argument is the
job's directory: `job.json`, `environment.pack`, `files.tar.gz`; results are left there as `results-N.tar.gz`.
An interrupt cancels what runs, and so does the end of standard input: whoever started this is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PIECE_BYTES = 16 << 20
_POLL_S = 0.2
_PATIENCE_S = 20.0


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
    import ctypes
    import hashlib
    import io
    import platform
    import signal as signals
    import subprocess
    import tarfile
    import tempfile
    import threading
    from pathlib import Path

    import ray

    node = platform.node()
    ray.get(told.add.remote([("started", task, "", node)]))
    if platform.machine() not in job["machines"]:
        return {"wrong_machine": platform.machine(), "node": node}
    cache = Path(tempfile.gettempdir()) / f"cape-submitted-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise PermissionError(f"{cache} is somebody else's")
    program = cache / job["pack"]
    if not program.exists():
        beside = cache / f".{job['pack']}-{os.getpid()}"
        digest = hashlib.sha256()
        with open(beside, "wb") as stream:
            for piece in pack:
                data = ray.get(piece)
                digest.update(data)
                stream.write(data)
        if digest.hexdigest() != job["pack"]:
            raise OSError("the packed environment arrived altered")
        beside.chmod(0o700)
        os.rename(beside, program)
    with tempfile.TemporaryDirectory(prefix="task-", dir=cache) as place:
        work = Path(place) / "work"
        work.mkdir()
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(work, filter="data")
        outputs = work / job["outputs"]
        outputs.mkdir(parents=True, exist_ok=True)
        variables = {name: os.environ[name] for name in ("PATH", "LANG", "USER") if name in os.environ}
        variables |= {"HOME": place, "TMPDIR": place, "XDG_CACHE_HOME": str(cache), **job["variables"]}
        variables |= {"CAPE_TASK": str(task), "CAPE_TASKS": str(job["tasks"])}
        variables |= {"CAPE_OUTPUTS": str(outputs), "CAPE_PACK_STATE": f"{place}/state"}
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
            if name in os.environ:
                variables[name] = os.environ[name]

        def dies_with_parent() -> None:
            ctypes.CDLL(None).prctl(1, signals.SIGKILL, 0, 0, 0)

        began = time.monotonic()
        process = subprocess.Popen(
            [str(program), "--cape-run", *job["command"]],
            cwd=work,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=dies_with_parent,
        )

        rows: list[tuple[str, int, str, str]] = []

        def follow(stream: Any, kind: str) -> None:
            for line in stream:
                rows.append((kind, task, line.decode(errors="replace").rstrip("\n"), ""))

        def pass_on() -> None:
            count = len(rows)
            if count:
                told.add.remote(rows[:count])
                del rows[:count]

        readers = [
            threading.Thread(target=follow, args=(stream, kind), daemon=True)
            for stream, kind in ((process.stdout, "stdout"), (process.stderr, "stderr"))
        ]
        try:
            for reader in readers:
                reader.start()
            while process.poll() is None:
                time.sleep(0.1)
                pass_on()
            code = process.returncode
            for reader in readers:
                reader.join(5)
            pass_on()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signals.SIGKILL)
            process.wait()
        seconds = time.monotonic() - began
        ray.get(told.add.remote([]))  # what was passed on before has arrived
        results = io.BytesIO()
        with tarfile.open(fileobj=results, mode="w:gz", compresslevel=1) as archive:
            archive.add(outputs, arcname=".")
        return {
            "code": code if code >= 0 else 128 - code,
            "node": node,
            "seconds": seconds,
            "results": results.getvalue(),
        }


class Driver:
    """One job, from its connection to its last result."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._job: dict[str, Any] = json.loads((directory / "job.json").read_text())
        self._starts: dict[int, int] = {}

    def run(self) -> int:
        """The exit code of this process: 0 when every task was told of, whatever its own code was."""
        import ray

        try:
            ray.init(self._job["address"], log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            said = str(error)
            why = said if "ersion" in said else _last_line(error)
            tell("not-connected", why=why, versions=_is_of_versions(said), ray=ray.__version__)
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
        while waiting:
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
    compared = "version" in plain and ("mismatch" in plain or "does not match" in plain)
    return compared or ("initialization failure from server" in plain and "traceback" in plain)


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
