"""`cape run`, `activate`, `deactivate` where the launcher left them to Python."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import StateError, UsageError

if TYPE_CHECKING:
    from cape.operations.living import Inside
    from cape.operations.project import Project, Workshop

SHELLS = ("bash", "zsh", "fish", "sh")
"""The shells that can be entered."""

MODES = ("run", "dev")
"""What an environment can be entered for."""


class NotActive(StateError):
    """There is no environment to leave."""

    slug = "not-active"


class NoCommand(UsageError):
    """`cape run` was not told what to run."""

    slug = "no-command"


class UnsupportedShell(UsageError):
    """A shell that cape cannot enter."""

    slug = "unsupported-shell"


class UnknownMode(UsageError):
    """A mode that no environment has."""

    slug = "unknown-mode"


def environment_name(arguments: argparse.Namespace) -> str | None:
    """The environment that `-e` names; None for the default one."""
    from cape.manifest.model import DEFAULT_ENVIRONMENT

    name: str | None = arguments.environment
    return None if name == DEFAULT_ENVIRONMENT else name


def obey_gpu(arguments: argparse.Namespace) -> None:
    """Let what `--gpu` says hold as `CAPE_GPU` for the rest of this command, and for what it starts."""
    import os

    if arguments.gpu:
        os.environ["CAPE_GPU"] = arguments.gpu


def is_global(arguments: argparse.Namespace) -> bool:
    """Whether the user's own environment is meant."""
    return bool(vars(arguments).get("global"))


def chosen_project(arguments: argparse.Namespace) -> Project:
    """The project around here; with `--global` the user's own environment. Raises `NoProject`."""
    from cape.operations.project import find_project

    if is_global(arguments):
        from cape.operations.personal import personal_project

        return personal_project()
    return find_project(Path.cwd())


def run(arguments: argparse.Namespace) -> int:
    """`cape run -- COMMAND ...`; does not return."""
    from cape.cli.agreeing import require_agreement
    from cape.cli.progress import progress
    from cape.operations import living
    from cape.operations.project import Workshop, find_project

    command = arguments.command
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise NoCommand("`cape run` wants a command", hint="for example `cape run -- python3 app.py`")
    name = environment_name(arguments)
    obey_gpu(arguments)
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    if vars(arguments)["with"]:
        living.become(_once(arguments, workshop, command, name))
    project = _borrowed(arguments, workshop) or find_project(Path.cwd())
    generation = living.ready_generation(project, workshop, argv=sys.argv[1:], environment=name)
    require_agreement(project, arguments)
    sys.stdout.flush()
    level = chosen_level(arguments)
    living.become(living.inside(generation, command, pure=arguments.pure, environment=name, level=level))
    return 0


def _borrowed(arguments: argparse.Namespace, workshop: Workshop) -> Project | None:
    """The project that stands for the place that `-r` names; None without one."""
    if not arguments.remote:
        return None
    from cape.cli.output import say
    from cape.cli.sharing import ask
    from cape.operations.borrowing import borrowed_project

    project, notes = borrowed_project(arguments.remote, workshop, argv=sys.argv[1:], consent=ask)
    for note in notes:
        say(f"note: {note}", quiet=arguments.quiet)
    return project


def _once(
    arguments: argparse.Namespace, workshop: Workshop, command: list[str], environment: str | None
) -> Inside:
    """The process of `cape run --with PACKAGE`."""
    from cape.manifest import parse_package_argument
    from cape.operations.once import inside_once

    packages = [parse_package_argument(word) for word in vars(arguments)["with"]]
    return inside_once(
        Path.cwd(),
        workshop,
        packages,
        command,
        argv=sys.argv[1:],
        pure=arguments.pure,
        environment=environment,
    )


def activate(arguments: argparse.Namespace) -> int:
    """`cape activate`: a shell inside, or with `--shell` (or into a pipe) a line to evaluate."""
    from cape.cli.agreeing import require_agreement
    from cape.cli.progress import progress
    from cape.operations import living
    from cape.operations.project import Workshop, find_project

    if arguments.shell not in (None, *SHELLS):
        raise UnsupportedShell(
            f"`{arguments.shell}` cannot be entered",
            hint=f"{', '.join(f'`{shell}`' for shell in SHELLS)} can; `cape run -- CMD` works in all",
        )
    entering = living.Entering(
        shell=arguments.shell,
        level=chosen_level(arguments),
        pure=arguments.pure,
        text=arguments.command,
        prints=bool(arguments.shell) or not sys.stdout.isatty(),
    )
    obey_gpu(arguments)
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    project = _borrowed(arguments, workshop) or find_project(Path.cwd())
    name = environment_name(arguments)
    generation = living.ready_generation(project, workshop, argv=sys.argv[1:], environment=name)
    require_agreement(project, arguments)
    _start_services(arguments, project, workshop)
    sys.stdout.flush()
    living.become(living.entered(generation, entering, name))
    return 0


def _start_services(arguments: argparse.Namespace, project: Project, workshop: Workshop) -> None:
    """Start the services that start with the environment; `--no-services` leaves them out."""
    import os

    from cape.cli.output import say
    from cape.operations.services import SEEN_TO, auto_start

    if arguments.no_services:
        os.environ[SEEN_TO] = "off"
        return
    failed = auto_start(project, workshop, argv=sys.argv[1:], environment=environment_name(arguments))
    if failed:
        say(f"warning: {failed}", quiet=False)


def chosen_level(arguments: argparse.Namespace) -> str | None:
    """The mode that `--mode` names; None for the default one. Raises `UnknownMode`."""
    level: str | None = arguments.mode
    if level not in (None, *MODES):
        raise UnknownMode(f"`{level}` is no mode", hint=f"{' and '.join(f'`{mode}`' for mode in MODES)} are")
    return level


def deactivate(arguments: argparse.Namespace) -> int:
    """`cape deactivate` reaches Python only where no environment was entered in place."""
    raise NotActive(
        "no environment was entered in place in this shell",
        hint="leave a shell that `cape activate` started with `exit`",
    )
