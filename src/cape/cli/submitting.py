"""`cape submit`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import count, say, show_json, size
from cape.cli.packing import _system, _words
from cape.cli.progress import progress
from cape.errors import UsageError
from cape.names import System
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.submitting import Planned, Request
    from cape.submitting import Finished, Submission


class NothingToRun(UsageError):
    """No command was given, or one that the arguments do not fit."""

    slug = "nothing-to-submit"


class _Screen:
    """Prints what tasks print where it belongs; with several tasks, behind their number."""

    def __init__(self, *, tasks: int, quiet: bool, as_json: bool) -> None:
        self._several = tasks > 1
        self._quiet = quiet
        self._as_json = as_json

    def say(self, text: str) -> None:
        say(text, quiet=self._quiet)

    def line(self, task: int, stream: str, text: str) -> None:
        shown = f"[{task}] {text}" if self._several else text
        to = sys.stdout if stream == "stdout" and not self._as_json else sys.stderr
        print(shown, file=to, flush=True)


def submit(arguments: argparse.Namespace) -> int:
    """`cape submit [--on ray://HOST:PORT | k8s] -- CMD`."""
    from cape.operations import submitting
    from cape.submitting import parse_address
    from cape.submitting.job import KUBERNETES

    request = _request(arguments)
    project = find_project(Path.cwd())
    if arguments.on == KUBERNETES:
        return _kubernetes(arguments, request)
    address = parse_address(arguments.on)
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    if arguments.dry_run:
        plan = submitting.planned(project, workshop, request, argv=sys.argv[1:])
        return _show_plan(arguments, str(address), request, plan)
    screen = _Screen(tasks=request.job.tasks, quiet=arguments.quiet, as_json=arguments.json)
    done = submitting.submit(project, workshop, address, request, screen, argv=sys.argv[1:])
    return _show(arguments, str(address), request, done, project.directory)


def _request(arguments: argparse.Namespace) -> Request:
    from cape.operations.submitting import Request, VariableMissing
    from cape.submitting import Job

    command = tuple(_words(arguments))
    if not command:
        raise NothingToRun("there is no command to submit", hint="`cape submit -- CMD`")
    tasks, cpus, gpus, limit = (
        _number(getattr(arguments, name), f"--{name}", least)
        for name, least in (("tasks", 1), ("cpus", 0), ("gpus", 0), ("limit", 0))
    )
    passed = tuple(vars(arguments)["pass"] or ())
    for name in passed:
        if name not in os.environ:
            raise VariableMissing(f"the variable `{name}` is not set here, so it cannot be passed on")
    outputs = Path(arguments.outputs or "outputs")
    if outputs.is_absolute() or ".." in outputs.parts or outputs == Path():
        raise NothingToRun(f"`{outputs}` is no directory below the project")
    job = Job(
        command=command,
        tasks=int(tasks),
        cpus=cpus,
        gpus=gpus,
        retries=int(_number(arguments.retries, "--retries", 0)),
        outputs=str(outputs),
        variables={name: os.environ[name] for name in passed},
    )
    return Request(
        job=job,
        system=_system(arguments) or System.current(),
        environment=arguments.environment,
        gpu=arguments.gpu,
        ray=arguments.ray,
        passed=passed,
        limit_bytes=int(limit * 1_000_000),
    )


_DEFAULTS = {"--tasks": 1.0, "--cpus": 1.0, "--gpus": 0.0, "--retries": 3.0, "--limit": 100.0}


def _number(text: str | None, flag: str, least: float) -> float:
    if text is None:
        return _DEFAULTS[flag]
    try:
        number = float(text)
        fits = number >= least and (flag not in ("--tasks", "--retries") or number.is_integer())
    except ValueError:
        fits = False
    if not fits:
        raise NothingToRun(f"`{flag} {text}` is no number that it takes", hint=f"the least is {least:g}")
    return number


def _kubernetes(arguments: argparse.Namespace, request: Request) -> int:
    from cape.operations import submitting_kubernetes

    written = submitting_kubernetes.job_manifest(
        find_project(Path.cwd()), request, image=arguments.image, claim=arguments.claim
    )
    if written.secrets:
        keys = ", ".join(f"`{name}`" for name in written.secrets)
        say(f"note: the Secret `{written.secret}` must have the keys {keys}", quiet=arguments.quiet)
    if arguments.json and (arguments.dry_run or not arguments.apply):
        show_json(
            {
                "schema_version": 1,
                "on": "k8s",
                "job": written.name,
                "secret": written.secret if written.secrets else None,
                "secrets": list(written.secrets),
                "manifest": written.text,
            }
        )
        return 0
    if not arguments.apply or arguments.dry_run:
        sys.stdout.write(written.text)
        return 0
    screen = _Screen(tasks=1, quiet=arguments.quiet, as_json=arguments.json)
    return submitting_kubernetes.apply(written, screen)


def _show_plan(arguments: argparse.Namespace, address: str, request: Request, plan: Planned) -> int:
    if arguments.json:
        show_json(
            {
                "schema_version": 1,
                "on": address,
                "command": list(request.job.command),
                "tasks": request.job.tasks,
                "lock": plan.lock,
                "ray": plan.ray,
                "files": len(plan.sent.paths),
                "size_bytes": plan.sent.size_bytes,
                "not_sent": list(plan.outside),
            }
        )
        return 0
    print(f"on {address}, Ray {plan.ray if plan.ray != '*' else 'of any version'}, lock {plan.lock}")
    print(f"the environment, packed, and {count(len(plan.sent.paths), 'file')}, {size(plan.sent.size_bytes)}")
    print(f"{count(request.job.tasks, 'task')} of: {' '.join(request.job.command)}")
    if plan.outside:
        print("not sent: " + ", ".join(plan.outside))
    return 0


def _show(
    arguments: argparse.Namespace, address: str, request: Request, done: Submission, project: Path
) -> int:
    if arguments.json:
        tasks = [_fields(one, project) for one in done.finished]
        show_json(
            {"schema_version": 1, "on": address, "nodes": done.nodes, "code": done.code, "tasks": tasks}
        )
        return done.code
    for one in done.finished:
        if one.code:
            say(f"task {one.task} gave exit code {one.code} on `{one.node}`", quiet=arguments.quiet)
    files = sum(len(one.files) for one in done.finished)
    seconds = max(one.seconds for one in done.finished)
    brought = f"{count(files, 'file')} in `{request.job.outputs}/`" if files else "no files came back"
    say(f"{count(len(done.finished), 'task')}, {seconds:.1f} s at most; {brought}", quiet=arguments.quiet)
    return done.code


def _fields(one: Finished, project: Path) -> dict[str, object]:
    return {
        "task": one.task,
        "code": one.code,
        "node": one.node or None,
        "seconds": round(one.seconds, 3),
        "starts": one.starts,
        "files": [str(file.relative_to(project)) for file in one.files],
    }
