"""`cape submit --on k8s`: a job for a cluster of images, as a manifest, and what `kubectl` makes of it.

Nothing is applied unless that is asked for, and nothing is said to run that `kubectl` did not say.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cape.errors import StateError
from cape.manifest import environment_of
from cape.names import Digest
from cape.operations.including import project_manifest
from cape.operations.packing import outside_of, plain_variables
from cape.operations.project import NotLocked, Project
from cape.operations.submitting import Request, sent_of
from cape.packing.kubernetes import Errand, kubernetes_errand, kubernetes_name
from cape.submitting import ClusterFailed, Events, files_to_send

_MOST_BYTES = 700_000
"""A config map holds 1 MiB, and its bytes are written in base64."""
_LONGEST_PREFIX = 48
_POLL_S = 2.0


class NoImage(StateError):
    """A job for Kubernetes without an image to run in."""

    slug = "image-not-named"


class KubectlMissing(StateError):
    """There is no `kubectl` here."""

    slug = "kubectl-missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenJob:
    """A job's manifest, its name there, and the keys that the `Secret` of that name must have."""

    text: str
    name: str
    secret: str
    secrets: tuple[str, ...]


def job_manifest(
    project: Project, request: Request, *, image: str | None, claim: str | None = None
) -> WrittenJob:
    """The manifest of a job that runs the command in an image of the environment, with the tracked files.

    Its name follows from what it runs. Raises `NoImage`, `NotLocked`, `TooLarge`.
    """
    if image is None:
        raise NoImage(
            "a job for Kubernetes runs in an image",
            hint="`cape image`, push it with `skopeo`, then `--image REGISTRY/NAME:TAG`",
        )
    if not project.lock_path.exists():
        raise NotLocked("the project has no lock yet", hint="`cape lock` writes one")
    manifest = project_manifest(project)
    if request.environment is not None:
        manifest = environment_of(manifest, request.environment)
    sent = files_to_send(
        project.directory,
        sent_of(project, request).paths,
        limit_bytes=min(request.limit_bytes, _MOST_BYTES),
    )
    files = {path: _file(project, path) for path in sent.paths}
    lock = str(Digest.of_file(project.lock_path))
    what = [lock, *request.job.command, str(request.job.tasks), *map(str, sorted(files.items()))]
    name = f"{kubernetes_name(manifest.name)[:_LONGEST_PREFIX]}-{Digest.of_lines(what).hex[:8]}"
    secrets = tuple(one for one in outside_of(manifest, project) if one not in request.passed)
    errand = Errand(
        name=name,
        command=request.job.command,
        files=files,
        tasks=request.job.tasks,
        cpus=request.job.cpus,
        gpus=request.job.gpus,
        retries=request.job.retries,
        claim=claim,
        variables=plain_variables(manifest) | dict(request.job.variables),
        secrets=secrets,
    )
    text = kubernetes_errand(errand, own=manifest.name, image=image, lock=lock)
    return WrittenJob(text=text, name=name, secret=kubernetes_name(manifest.name), secrets=secrets)


def _file(project: Project, path: str) -> tuple[bytes, bool]:
    file = project.directory / path
    return file.read_bytes(), bool(file.stat().st_mode & 0o100)


def apply(written: WrittenJob, events: Events) -> int:
    """Give the job to the cluster that `kubectl` is set up for, follow its log, and say how it ended.

    0 when all tasks did; 1 when one did not. An interrupt deletes the job. Raises `KubectlMissing`,
    `ClusterFailed`.
    """
    if shutil.which("kubectl") is None:
        raise KubectlMissing(
            "there is no `kubectl` here, so nothing was applied",
            hint="without `--apply` the manifest is printed",
        )
    _kubectl(["apply", "-f", "-"], text=written.text)
    events.say(f"applied `job/{written.name}`")
    try:
        return _followed(written.name, events)
    except KeyboardInterrupt:
        _kubectl(["delete", "job", written.name, "--wait=false"])
        events.say(f"deleted `job/{written.name}`")
        raise


def _followed(name: str, events: Events) -> int:
    pods = ["-l", f"job-name={name}", "--all-containers", "--prefix", "--max-log-requests=50"]
    follow = ["kubectl", "logs", "-f", *pods, "--pod-running-timeout=5m"]
    with subprocess.Popen(
        follow, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as logs:
        assert logs.stdout is not None
        for line in logs.stdout:
            events.line(0, "stdout", line.rstrip("\n"))
    while not {"Complete", "Failed"} & (ended := _conditions(name)):
        time.sleep(_POLL_S)
    events.say(f"`job/{name}`: {', '.join(sorted(ended))}")
    return 0 if "Complete" in ended else 1


def _conditions(name: str) -> set[str]:
    path = '{range .status.conditions[?(@.status=="True")]}{.type} {end}'
    return set(_kubectl(["get", "job", name, "-o", f"jsonpath={path}"]).split())


def _kubectl(words: Sequence[str], *, text: str | None = None) -> str:
    done = subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ClusterFailed(f"`kubectl {words[0]}` gave exit code {done.returncode}: {said}")
    return done.stdout
