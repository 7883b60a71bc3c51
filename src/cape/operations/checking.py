"""`cape doctor`: what is right and wrong with this machine, the store and the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cape.errors import CapeError
from cape.names import System
from cape.operations.project import DEFAULT_SUITE, NoProject, Project, Workshop, find_project
from cape.store import StoreObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at: whether it is right, what was found, and what to do if it is not."""

    name: str
    ok: bool
    found: str
    hint: str | None = None
    exit_code: int = 0


def examine(start: Path, workshop: Workshop, *, verify: bool) -> tuple[Check, ...]:
    """All checks, in order; a check that fails does not keep the others from being made."""
    checks = [
        _checked("system", lambda: str(System.current())),
        _checked("store", lambda: _store(workshop)),
        _checked("debian mirror", lambda: _debian(workshop)),
        _checked("uv", _uv),
    ]
    try:
        project = find_project(start)
    except NoProject:
        return (*checks, *(_verified(workshop) if verify else ()))
    checks.append(_checked("lock", lambda: _lock(project)))
    checks.append(_checked("generation", lambda: _generation(project, workshop)))
    if (project.state / "state" / "python").is_dir():
        checks.append(_checked("python", lambda: _overlay(project)))
    return (*checks, *(_verified(workshop) if verify else ()))


class _Wrong(CapeError):
    """A check that failed without an error of its own."""

    slug = "check-failed"


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, found=look())
    except CapeError as error:
        return Check(name=name, ok=False, found=str(error), hint=error.hint, exit_code=error.exit_code)


def _store(workshop: Workshop) -> str:
    import os

    root = workshop.store.root
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        raise _Wrong("the store cannot be written", where=str(root), hint="`cape config store DIR` moves it")
    free = os.statvfs(existing)
    return f"{root}, {free.f_bavail * free.f_frsize / 1e9:.1f} GB free"


def _debian(workshop: Workshop) -> str:
    from cape.sources.debian.registry import places

    found = places(DEFAULT_SUITE, workshop.configuration)
    origin = "settings" if workshop.configuration.many("debian.mirror") else "apt's sources"
    return f"{len(found)} suites to look for, from {origin}"


def _uv() -> str:
    from cape.sources.pypi.tool import uv_version

    return uv_version()


def _lock(project: Project) -> str:
    from cape.operations.locking import check_lock

    reasons = check_lock(project)
    if reasons:
        raise _Wrong("; ".join(reasons), where=str(project.lock_path), hint="run `cape lock`")
    return "answers the manifest"


def _generation(project: Project, workshop: Workshop) -> str:
    from cape.environment.generations import current_generation

    generation = current_generation(project.directory)
    if generation is None:
        raise _Wrong("this project has no environment yet", hint="run `cape sync`")
    if not generation.environment.is_dir():
        raise _Wrong(
            "the current generation's environment is gone",
            where=str(generation.environment),
            hint="run `cape sync`: it is made again",
        )
    return f"{generation.number}, {generation.environment}"


def _overlay(project: Project) -> str:
    from cape.operations.overlay import told

    if found := told(project):
        raise _Wrong(
            found,
            where=str(project.state / "state" / "python"),
            hint="`cape install --adopt` locks them; `rm -r` of it and `cape sync` take them away",
        )
    return "sees what is locked, and nothing else"


def _verified(workshop: Workshop) -> list[Check]:
    """One check per damaged object, or one that says how many are whole."""

    def look(store_object: StoreObject) -> str:
        store_object.verify()
        return "whole"

    checks = [_checked("object", partial(look, one)) for one in workshop.store.objects]
    damaged = [check for check in checks if not check.ok]
    whole = len(checks)
    return damaged or [Check(name="objects", ok=True, found=f"{whole} hashed again, all as they were made")]
