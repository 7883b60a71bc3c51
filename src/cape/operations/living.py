"""`cape run` and `cape activate` where the sealed script could not decide: look closer, then go inside."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.environment.generations import (
    Generation,
    current_generation,
    heal,
    is_up_to_date,
    seal,
)
from cape.operations.project import Project, Workshop, held


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """A process to become: its program, words, and variables."""

    words: tuple[str, ...]
    variables: Mapping[str, str]


def ready_generation(
    project: Project, workshop: Workshop, *, argv: Sequence[str], environment: str | None = None
) -> Generation:
    """The generation that answers manifest and lock: the current one sealed anew, or a new one.

    Files whose times moved but whose bytes did not cost no sync. With `environment` it has that one too.
    Raises `UnknownEnvironment`.
    """
    with held(project):
        heal(project.directory)
        current = current_generation(project.directory)
        if current is not None and is_up_to_date(project.directory, current) and _is_asked_for(current):
            if environment is not None:
                _attach(project, workshop, current, environment)
            seal(project.directory, current, gpu=os.environ.get("CAPE_GPU"))
            return current
        from cape.operations.syncing import sync_project

        sync_project(project, workshop, argv=argv, environment=environment)
        made = current_generation(project.directory)
    assert made is not None
    return made


def _is_asked_for(current: Generation) -> bool:
    """Whether its environments have the variants that `CAPE_GPU` names; without the variable, they have."""
    if not os.environ.get("CAPE_GPU") or '"row":"variants"' not in current.lock_text:
        return True
    from cape.lock import parse_lock
    from cape.names import System
    from cape.operations.composing import lock_of
    from cape.operations.syncing import plan_for
    from cape.operations.variants import fitting

    lock = parse_lock(current.lock_text, path=current.directory / "cape.lock")
    made: list[tuple[str | None, Path]] = [(None, current.environment), *current.attached.items()]
    return all(
        plan_for(fitting(lock_of(lock, name)), System.current(), current.project).identity.hex.startswith(
            place.name
        )
        for name, place in made
    )


def _attach(project: Project, workshop: Workshop, current: Generation, environment: str) -> None:
    """Make another environment of the current generation, if it has not got it. Locks nothing."""
    from cape.environment.generations import attach_environment
    from cape.environment.kept import kept_manifest

    kept_manifest(current.project, current.directory, environment=environment)
    there = current.attached.get(environment)
    if there is not None and (there / "environment.json").exists():
        return
    from cape.lock import parse_lock
    from cape.operations.syncing import make_environment

    lock = parse_lock(current.lock_text, path=project.lock_path)
    made = make_environment(lock, environment, workshop)
    attach_environment(current.project, current, environment, made.environment)


def scripts_of(generation: Generation, environment: str | None) -> Path:
    """Where the sealed scripts of one environment of a generation are."""
    from cape.environment.sealing import ATTACHED

    return generation.directory / ATTACHED / environment if environment else generation.directory


def inside(
    generation: Generation,
    command: Sequence[str],
    *,
    pure: bool,
    environment: str | None = None,
    level: str | None = None,
) -> Inside:
    """The process that runs a command inside a generation: its sealed script, under `sh`."""
    mode = "pure" if pure else "run"
    return _sealed(generation, environment, (mode, level or "", "", ""), command)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entering:
    """What `cape activate` was asked for: a line to print, a shell, or a text through a shell."""

    shell: str | None = None
    level: str | None = None
    pure: bool = False
    text: str | None = None
    prints: bool = False


def entered(generation: Generation, entering: Entering, environment: str | None = None) -> Inside:
    """The process that `cape activate` becomes: the sealed script knows the shells."""
    mode = "string" if entering.text is not None else "print" if entering.prints else "enter"
    words = (mode, entering.level or "", entering.shell or "", "1" if entering.pure else "")
    return _sealed(generation, environment, words, (entering.text or "",))


def _sealed(
    generation: Generation, environment: str | None, words: tuple[str, ...], command: Sequence[str]
) -> Inside:
    starter = (
        "cape_known=1 cape_mode=$1 cape_level=$2 cape_shell=$3 cape_pure=$4 cape_project=$5 cape_script=$6; "
        'shift 6; . "$cape_script"; exit 70'
    )
    script = str(scripts_of(generation, environment) / "run.sh")
    start = ("/bin/sh", "-c", starter, "cape", *words, str(generation.project), script)
    return Inside(words=(*start, *command), variables=dict(os.environ))


def become(process: Inside) -> None:
    """Turn this process into that one. Returns only by raising `OSError`."""
    os.execve(process.words[0], list(process.words), dict(process.variables))
