"""`cape submit`: a command in the locked environment on other machines, and its results back here.

The environment travels as `cape pack` writes it, beside the files that git tracks. The driver runs in an
environment of its own that has Ray, of the version that the lock names, or another: the command never needs
one, since it runs in the pack.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.building import tracked_inputs
from cape.errors import InputError
from cape.lock import read_lock
from cape.names import System
from cape.operations.packing import choose, pack
from cape.operations.project import Project, Workshop
from cape.sources import reach
from cape.submitting import (
    Address,
    ClusterUnreachable,
    Events,
    Job,
    Sent,
    Submission,
    files_to_send,
    run_job,
    write_files,
)
from cape.submitting.running import FILES, PACK, require_cluster

_MACHINES = {
    System.X86_64_LINUX: ("x86_64", "amd64"),
    System.AARCH64_LINUX: ("aarch64", "arm64"),
}


class VariableMissing(InputError):
    """A variable that is to be passed on is not set."""

    slug = "variable-not-set"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for. `ray` is a version of Ray, `passed` names of variables whose values go along."""

    job: Job
    system: System
    environment: str | None = None
    gpu: str | None = None
    ray: str | None = None
    passed: tuple[str, ...] = ()
    limit_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What would be sent: the files, the digest of the lock, and the Ray that the driver has."""

    sent: Sent
    lock: str
    ray: str
    outside: tuple[str, ...]


def planned(project: Project, workshop: Workshop, request: Request, *, argv: Sequence[str]) -> Planned:
    """What `submit` would send, with the environment made here. Raises `TooLarge`, and what a sync raises."""
    sent = sent_of(project, request)
    chosen = choose(
        project,
        workshop,
        argv=argv,
        system=request.system,
        environment=request.environment,
        gpu=request.gpu,
    )
    outside = tuple(name for name in chosen.outside if name not in request.passed)
    return Planned(sent=sent, lock=str(chosen.lock), ray=ray_of(project, request), outside=outside)


def sent_of(project: Project, request: Request) -> Sent:
    """The tracked files, without what earlier jobs left. Raises `TooLarge`."""
    own = request.job.outputs.rstrip("/") + "/"
    paths = [one.path for one in tracked_inputs(project.directory) if not one.path.startswith(own)]
    return files_to_send(project.directory, paths, limit_bytes=request.limit_bytes)


def ray_of(project: Project, request: Request) -> str:
    """The Ray that the driver has: the one asked for, else that of the lock, else any."""
    if request.ray:
        return request.ray
    lock = read_lock(project.lock_path)
    rows = lock.packages if lock else ()
    locked = next((row.version for row in rows if row.source == "pypi" and row.name == "ray"), None)
    return locked or "*"


def submit(
    project: Project,
    workshop: Workshop,
    address: Address,
    request: Request,
    events: Events,
    *,
    argv: Sequence[str],
) -> Submission:
    """Run the command on a Ray cluster, in the locked environment, and bring what it left.

    An interrupt cancels the tasks there. Raises `ClusterUnreachable` before anything is packed,
    `OtherVersions`, `NoRoom`, `TooLarge`, `ClusterFailed`, and what packing raises.
    """
    _require_reachable(address)
    sent = sent_of(project, request)
    with tempfile.TemporaryDirectory(prefix="cape-submit-") as place:
        directory = Path(place)
        packed = pack(
            project,
            workshop,
            directory / PACK,
            argv=argv,
            system=request.system,
            environment=request.environment,
            gpu=request.gpu,
        )
        missing = [name for name in packed.outside if name not in request.passed]
        if missing:
            listed = ", ".join(f"`{name}`" for name in missing)
            events.say(f"note: not sent, `--pass NAME` does: {listed}")
        write_files(project.directory, sent, directory / FILES)
        words, variables = _python_with_ray(workshop, ray_of(project, request))
        return run_job(
            request.job,
            address,
            directory=directory,
            machines=_MACHINES[request.system],
            words=words,
            variables=variables,
            project=project.directory,
            events=events,
        )


def _require_reachable(address: Address) -> None:
    if reach.is_forbidden():
        raise ClusterUnreachable(
            "a cluster is asked over the network, which may not be used", where=str(address)
        )
    require_cluster(address)


def _python_with_ray(workshop: Workshop, version: str) -> tuple[list[str], dict[str, str]]:
    """The words that start a Python with Ray's client, in an environment of its own that is kept."""
    from cape.manifest import parse_package_argument
    from cape.operations.once import inside_once

    wanted = "pypi:ray[client]" + ("" if version == "*" else f"=={version}")
    packages = [parse_package_argument(one) for one in ("python", wanted)]
    inside = inside_once(Path("/"), workshop, packages, ["python3"], argv=["submit"])
    return list(inside.words), dict(inside.variables)
