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


def ready_generation(project: Project, workshop: Workshop, *, argv: Sequence[str]) -> Generation:
    """The generation that answers manifest and lock: the current one sealed anew, or a new one.

    Files whose times moved but whose bytes did not cost no sync.
    """
    from cape.operations.syncing import sync_project

    with held(project):
        heal(project.directory)
        current = current_generation(project.directory)
        if current is not None and is_up_to_date(project.directory, current):
            seal(project.directory, current)
            return current
        sync_project(project, workshop, argv=argv)
        made = current_generation(project.directory)
    assert made is not None
    return made


def inside(generation: Generation, command: Sequence[str], *, pure: bool) -> Inside:
    """The process that runs a command inside a generation: its sealed script, under `sh`."""
    script = generation.directory / "run.sh"
    mode = "pure" if pure else "run"
    starter = 'cape_mode=$1 cape_project=$2 cape_script=$3; shift 3; . "$cape_script"; exit 70'
    words = ("/bin/sh", "-c", starter, "cape", mode, str(generation.project), str(script), *command)
    return Inside(words=words, variables=dict(os.environ))


def become(process: Inside) -> None:
    """Turn this process into that one. Returns only by raising `OSError`."""
    os.execve(process.words[0], list(process.words), dict(process.variables))


def activation_line(generation: Generation) -> str:
    """What `eval "$(cape activate)"` evaluates."""
    from cape.environment.shells.quoting import quoted

    return f". {quoted(str(generation.directory / 'activate.bash'))}"


def shell_inside(generation: Generation) -> Inside:
    """The process of an interactive shell inside a generation."""
    bash = next(
        (
            Path(directory) / "bash"
            for directory in os.environ.get("PATH", "").split(":")
            if directory and os.access(Path(directory) / "bash", os.X_OK)
        ),
        generation.environment / "root" / "usr" / "bin" / "bash",
    )
    words = (str(bash), "--rcfile", str(generation.directory / "bashrc"), "-i")
    return Inside(words=words, variables=dict(os.environ))
