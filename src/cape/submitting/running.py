"""Starts the driver, hears its events, and brings results to the project.

Owns the job's directory as the driver finds it, what each event means, and how results get to where they
belong: a task's files are unpacked beside and moved there, so each is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cape.names import Digest
from cape.submitting.errors import ClusterFailed, ClusterUnreachable, NoRoom, OtherVersions
from cape.submitting.job import Address, Finished, Job, Submission

DRIVER = Path(__file__).with_name("driver.py")
PACK, FILES = "environment.pack", "files.tar.gz"
_CONNECT_S = 5.0
_PATIENCE_S = 40.0
_LAST_LINES = 12


class Events(Protocol):
    """Who is told while a job runs."""

    def say(self, text: str) -> None:
        """A sentence about the job."""

    def line(self, task: int, stream: str, text: str) -> None:
        """A line that a task printed; `stream` is `stdout` or `stderr`."""


def require_cluster(address: Address) -> None:
    """Raise `ClusterUnreachable` where nothing listens."""
    try:
        with socket.create_connection((address.host.strip("[]"), address.port), timeout=_CONNECT_S):
            return
    except OSError as error:
        raise ClusterUnreachable(
            f"nothing answers at `{address}`: {error.strerror or error}",
            hint="a head node listens there once `ray start --head` has run on it; 10001 is its usual port",
        ) from error


def run_job(
    job: Job,
    address: Address,
    *,
    directory: Path,
    machines: Sequence[str],
    words: Sequence[str],
    variables: Mapping[str, str],
    project: Path,
    events: Events,
) -> Submission:
    """Run a job whose pack and files lie in `directory`; `words` start a Python that has Ray.

    Results are below the job's `outputs` in the project: `task-N/` for each of several tasks. Raises
    `OtherVersions`, `NoRoom`, `ClusterUnreachable`, `ClusterFailed`; an interrupt cancels the job there.
    """
    told = asdict(job) | {
        "address": str(address),
        "machines": list(machines),
        "pack": Digest.of_file(directory / PACK).hex,
        "variables": dict(job.variables),
    }
    (directory / "job.json").write_text(json.dumps(told))
    log = directory / "driver.log"
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            [*words, str(DRIVER), str(directory)],
            env=dict(variables) | {"RAY_DISABLE_IMPORT_WARNING": "1", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        heard = Heard(job, directory, project, events, log, address)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                heard.event(line)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                events.say("cancelling what runs there")
            _end(process)
            raise
        finally:
            for stream in (process.stdout, process.stdin):
                if stream is not None:
                    stream.close()
        process.wait()
    return heard.submission()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the driver, so that it cancels what runs on the cluster; kill it when that takes too long."""
    if process.stdout is not None:  # nobody reads on, and the driver must not wait for that
        process.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt, ProcessLookupError):
        process.send_signal(signal.SIGINT)
        process.wait(_PATIENCE_S)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Heard:
    """What the driver told until now."""

    def __init__(
        self, job: Job, directory: Path, project: Path, events: Events, log: Path, address: Address
    ) -> None:
        self._job = job
        self._directory = directory
        self._project = project
        self._events = events
        self._log = log
        self._address = address
        self._finished: list[Finished] = []
        self._nodes = 0

    def event(self, line: bytes) -> None:
        """Take one line of the driver. Raises what ends the job."""
        try:
            fields = json.loads(line)
            kind = fields.pop("event")
        except (ValueError, KeyError, AttributeError, TypeError):
            return
        known = {
            "not-connected": self._not_connected,
            "connected": self._connected,
            "no-room": self._no_room,
            "sent": self._sent,
            "waiting": self._waiting,
            "started": self._started,
            "line": self._line,
            "finished": self._ended,
            "lost": self._lost,
            "broken": self._broken,
            "wrong-machine": self._wrong_machine,
            "failed": self._failed,
        }
        if kind in known:
            known[kind](fields)

    def submission(self) -> Submission:
        """The whole job. Raises `ClusterFailed` where the driver ended before it."""
        if len(self._finished) < self._job.tasks:
            raise self._failure("the driver ended before the job did")
        return Submission(finished=tuple(sorted(self._finished, key=lambda one: one.task)), nodes=self._nodes)

    def _failure(self, fact: str) -> ClusterFailed:
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        said = "".join(f"\n    {line}" for line in lines)
        return ClusterFailed(f"{fact}{said}", where=str(self._address))

    def _not_connected(self, fields: Mapping[str, Any]) -> None:
        why = str(fields["why"]).strip()
        if fields["versions"]:
            raise OtherVersions(
                f"the cluster has other versions than the client, which has Ray {fields['ray']}: {why}",
                where=str(self._address),
                hint="`--ray VERSION` takes another Ray; Python must be that of `python` in the suite",
            )
        raise ClusterUnreachable(f"the cluster does not take the client: {why}", where=str(self._address))

    def _connected(self, fields: Mapping[str, Any]) -> None:
        self._nodes = int(fields["nodes"])
        machines = "1 machine" if self._nodes == 1 else f"{self._nodes} machines"
        self._events.say(f"connected to `{self._address}`: {machines}, Ray {fields['ray']}")

    def _no_room(self, fields: Mapping[str, Any]) -> None:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in fields["wanted"].items() if amount)
        most = ", ".join(f"{amount:g} {name}" for name, amount in fields["most"].items())
        raise NoRoom(
            f"one task takes {wanted}, and no machine of the cluster has that (the most is {most})",
            where=str(self._address),
            hint="ask for less (`--cpus`, `--gpus`), or add a machine",
        )

    def _sent(self, fields: Mapping[str, Any]) -> None:
        tasks = int(fields["tasks"])
        self._events.say("sent" if tasks == 1 else f"sent, {tasks} tasks")

    def _waiting(self, fields: Mapping[str, Any]) -> None:
        self._events.say("nothing has started yet: the cluster is busy with other work, or slow to begin")

    def _started(self, fields: Mapping[str, Any]) -> None:
        again = f", attempt {fields['attempt']}: the one before was lost" if fields["attempt"] > 1 else ""
        self._events.say(f"task {fields['task']} starts on `{fields['node']}`{again}")

    def _line(self, fields: Mapping[str, Any]) -> None:
        self._events.line(int(fields["task"]), str(fields["stream"]), str(fields["text"]))

    def _ended(self, fields: Mapping[str, Any]) -> None:
        task = int(fields["task"])
        self._finished.append(
            Finished(
                task=task,
                code=int(fields["code"]),
                node=str(fields["node"]),
                seconds=float(fields["seconds"]),
                starts=int(fields["starts"]),
                files=bring(self._directory / f"results-{task}.tar.gz", self._project / self._place(task)),
            )
        )

    def _place(self, task: int) -> str:
        return self._job.outputs if self._job.tasks == 1 else f"{self._job.outputs}/task-{task}"

    def _lost(self, fields: Mapping[str, Any]) -> None:
        self._events.say(f"task {fields['task']} is lost for good: {fields['why']}")
        one = Finished(task=int(fields["task"]), code=None, node="", seconds=0, starts=int(fields["starts"]))
        self._finished.append(one)

    def _broken(self, fields: Mapping[str, Any]) -> None:
        raise ClusterFailed(
            f"task {fields['task']} could not be run: {fields['why']}", where=str(self._address)
        )

    def _wrong_machine(self, fields: Mapping[str, Any]) -> None:
        raise NoRoom(
            f"`{fields['node']}` is a {fields['machine']} machine, and the environment is for another",
            where=str(self._address),
            hint="`--system SYSTEM` packs the environment for another system of the lock",
        )

    def _failed(self, fields: Mapping[str, Any]) -> None:
        raise self._failure(f"the cluster went away: {fields['why']}")


def bring(archive: Path, target: Path) -> tuple[Path, ...]:
    """Move the files of a result below a directory; each replaces what has its name. Sorted, as they are now.

    Raises `ClusterFailed` for an archive that leads out of its directory.
    """
    target.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".coming-", dir=target))
    try:
        try:
            with tarfile.open(archive) as stream:
                stream.extractall(beside, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise ClusterFailed(f"a result cannot be unpacked: {error}", where=str(target)) from error
        files = [file for file in beside.rglob("*") if file.is_symlink() or not file.is_dir()]
        moved = []
        for file in sorted(files):
            place = target / file.relative_to(beside)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)
            moved.append(place)
        return tuple(moved)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
