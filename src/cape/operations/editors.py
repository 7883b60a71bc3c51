"""Telling editors about a project's environment, by files that a user can see and take back."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cape.editors import (
    EMPTY,
    edit_members,
    kernel_text,
    members_of,
    settings_of,
    with_interpreter,
    without_interpreter,
)
from cape.environment.shells.quoting import quoted
from cape.errors import CapeError, InputError, StateError
from cape.names import Digest, write_atomically
from cape.operations.project import Project

EDITORS = ("vscode", "pycharm", "jupyter")


class NoInterpreter(StateError):
    """The environment has no Python that an editor could use."""

    slug = "no-interpreter"


class NotSynced(StateError):
    """The project has no environment that an editor could be told of."""

    slug = "not-synced"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileChange:
    """A file with its text before and after; None: it is not there."""

    path: Path
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What was, or would be, written, and sentences about what the user has to do himself."""

    changes: tuple[FileChange, ...]
    notes: tuple[str, ...]


def tell_editor(project: Project, editor: str, *, remove: bool = False, dry_run: bool = False) -> Told:
    """Lead an editor into the project's environment, or with `remove` out of it again.

    Raises `NotSynced`, `NoInterpreter`, `BadSettings`, `BadProjectFile`; then nothing is written.
    """
    project = Project(Path(os.path.realpath(project.directory)))
    tell: Callable[[Project, bool], Told] = {"vscode": _vscode, "pycharm": _pycharm, "jupyter": _jupyter}[
        editor
    ]
    told = tell(project, remove)
    if not dry_run:
        if not remove:
            _write_programs(project)
        for change in told.changes:
            _apply(change)
    return told


def _apply(change: FileChange) -> None:
    if change.after is None:
        change.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            change.path.parent.rmdir()
        return
    change.path.parent.mkdir(parents=True, exist_ok=True)
    mode = change.path.stat().st_mode & 0o777 if change.path.exists() else 0o644
    write_atomically(change.path, change.after.encode(), mode=mode)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise InputError("this file is no UTF-8 text", where=str(path)) from error


def _changes(path: Path, edit: Callable[[str], str], *, empty: str) -> tuple[FileChange, ...]:
    """One file's change, or none; a text that comes to nothing takes the file away."""
    before = _read(path)
    try:
        text: str | None = edit(before or "")
    except CapeError as error:
        error.where = f"{path}:{error.where}" if error.where else str(path)
        raise
    if text is not None and "".join(text.split()) == "".join(empty.split()):
        text = None
    return () if text == before else (FileChange(path=path, before=before, after=text),)


def _vscode(project: Project, remove: bool) -> Told:
    settings = settings_of(() if remove else _programs(project), removing=remove)
    path = project.directory / ".vscode" / "settings.json"
    if remove:
        ours = _ours(_read(path) or "")
        settings = {key: value for key, value in settings.items() if key in ours}
    elif not settings:
        raise NoInterpreter(
            "the environment exposes nothing that VS Code's settings could name",
            hint="for example `cape install python3`",
        )
    return Told(changes=_changes(path, lambda text: edit_members(text, settings), empty="{}"), notes=())


def _ours(text: str) -> set[str]:
    """The settings of the text that lead into an environment: a user's own are not taken away."""
    import json

    found = members_of(text)
    ours = {key for key, value in found.items() if "/.cape/editor/bin/" in json.dumps(value)}
    if "python.defaultInterpreterPath" in ours and found.get("python.terminal.activateEnvironment") is False:
        ours.add("python.terminal.activateEnvironment")
    return ours


def _pycharm(project: Project, remove: bool) -> Told:
    name = f"{project.directory.name} (cape)"
    path = project.directory / ".idea" / "misc.xml"
    if remove:
        changes = _changes(path, lambda text: without_interpreter(text, name), empty=EMPTY)
        return Told(changes=changes, notes=())
    _check_python(project)
    note = (
        f"add the interpreter once: Settings > Python > Interpreter > Add > Existing, "
        f"`{_place(project) / 'python3'}`, and call it `{name}`"
    )
    changes = _changes(path, lambda text: with_interpreter(text, name), empty="\0")
    return Told(changes=changes, notes=(note,))


def _jupyter(project: Project, remove: bool) -> Told:
    path = kernel_directory(project) / "kernel.json"
    if remove:
        before = _read(path)
        return Told(
            changes=() if before is None else (FileChange(path=path, before=before, after=None),), notes=()
        )
    _check_python(project)
    name = project.directory.name
    text = kernel_text(str(_place(project) / "python3"), name)
    notes = (
        () if _has_kernel(project) else ("the environment has no `ipykernel`: `cape install pypi:ipykernel`",)
    )
    return Told(changes=_changes(path, lambda _: text, empty="\0"), notes=notes)


def kernel_directory(project: Project) -> Path:
    """Where Jupyter looks for a user's kernels; the project's has a name that no other project's has."""
    own = os.environ.get("JUPYTER_DATA_DIR") or ""
    shared = os.environ.get("XDG_DATA_HOME") or ""
    data = Path(own) if own else (Path(shared) if shared else Path.home() / ".local/share") / "jupyter"
    word = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in project.directory.name
    )
    digest = Digest.of(os.fsencode(project.directory)).hex[:8]
    return data / "kernels" / f"cape-{word.lower()}-{digest}"


def _has_kernel(project: Project) -> bool:
    return any(_environment(project).glob("lib/python3*/site-packages/ipykernel/__init__.py"))


def _environment(project: Project) -> Path:
    try:
        return Path(os.path.realpath(os.readlink(project.state / "current" / "bin"))).parent
    except OSError:
        raise NotSynced("the project has no environment yet", hint="run `cape sync`") from None


def _programs(project: Project) -> tuple[str, ...]:
    """The programs that the environment exposes."""
    return tuple(sorted(os.listdir(_environment(project) / "bin")))


def _check_python(project: Project) -> None:
    if "python3" not in _programs(project):
        raise NoInterpreter("the environment has no `python3`", hint="run `cape install python3`")


# -- programs that enter by themselves --------------------------------------------------------------------


def _place(project: Project) -> Path:
    return project.state / "editor" / "bin"


def _write_programs(project: Project) -> None:
    """A small script for each exposed program, at a path that stays when the environment changes."""
    place = _place(project)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    programs = _programs(project)
    for name in programs:
        text = _script(project, name)
        if _read(place / name) != text:
            write_atomically(place / name, text.encode(), mode=0o755)
    for name in set(os.listdir(place)) - set(programs):
        shutil.rmtree(place / name) if (place / name).is_dir() else (place / name).unlink()


def _script(project: Project, name: str) -> str:
    """What an editor starts: inside if nothing changed since the last sync, else what was made last."""
    current = project.state / "current"
    return f"""\
#!/bin/sh
# Written by `cape editor`: `{name}` inside the environment of the project. It never syncs.
cape_project={quoted(str(project.directory))}
cape_mode=run cape_level= cape_shell= cape_pure=
set -- {quoted(name)} "$@"
if [ -f {quoted(str(current / "run.sh"))} ]; then . {quoted(str(current / "run.sh"))}; fi
shift
cape_bin=$(CDPATH='' cd -P {quoted(str(current / "bin"))} && pwd -P) || exit 127
exec "$cape_bin"/{quoted(name)} "$@"
"""
