"""The user's own environment: programs that are there in every directory.

Owns where it is: a project like any other, `cape/global` below the XDG configuration directory, with
generations of its own, and `bin` in it, which always leads to the programs of the current generation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cape.configuration import user_file
from cape.manifest import new_manifest
from cape.names import System, write_atomically
from cape.operations.project import DEFAULT_SUITE, DirectoryNotWritable, NoProject, Project, project_files

NAME = "global"


def personal_directory() -> Path:
    """Where the user's own environment is, or would be."""
    return user_file().parent / NAME


def programs_directory() -> Path:
    """The directory for PATH: it stays, and what is in it is always one whole generation's."""
    return personal_directory() / "bin"


def personal_project() -> Project:
    """The user's own environment. Raises `NoProject` before the first package."""
    project = Project(personal_directory())
    if not project.manifest_path.is_file():
        raise NoProject(
            "there is no environment of your own yet",
            where=str(project.directory),
            hint="`cape install --global PACKAGE` makes one",
        )
    return project


@contextlib.contextmanager
def personal_project_or_new() -> Iterator[Project]:
    """The user's own environment, made if there is none; gone again if the block fails then.

    Raises `DirectoryNotWritable`, `DiskFull`.
    """
    project = Project(personal_directory())
    is_new = not project.manifest_path.is_file()
    with project_files(project.directory):
        try:
            project.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
            raise DirectoryNotWritable(
                "there is no place for your own environment",
                where=str(project.directory),
                hint="`XDG_CONFIG_HOME`, or else `HOME`, says where it is; make that a directory of yours",
            ) from error
        if is_new:
            text = new_manifest(NAME, (System.current(),), DEFAULT_SUITE)
            write_atomically(project.manifest_path, text.replace("this project needs", "you need").encode())
    try:
        yield project
    except BaseException:
        if is_new and not project.lock_path.exists():
            project.manifest_path.unlink(missing_ok=True)
        raise
    with project_files(project.directory):
        _link_programs()


def _link_programs() -> None:
    link = programs_directory()
    if not os.path.lexists(link):
        os.symlink(".cape/current/bin", link)


def is_on_path() -> bool:
    """Whether PATH has the programs of the user's own environment."""
    return str(programs_directory()) in os.environ.get("PATH", "").split(":")
