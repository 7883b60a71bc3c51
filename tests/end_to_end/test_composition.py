"""Several manifests, several environments: included, named, locked together, and run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.end_to_end.harness import INPUT, SOURCE, Project, World, add_program

HEAD = 'schema = 1\n\n[environment]\nsystems = ["x86_64-linux", "aarch64-linux"]\n'


def base_at(directory: Path, text: str, *, systems: str = '["x86_64-linux", "aarch64-linux"]') -> Path:
    """Write a manifest to include."""
    directory.mkdir(parents=True, exist_ok=True)
    head = f"schema = 1\n\n[environment]\nsystems = {systems}\n\n"
    (directory / "cape.toml").write_text(head + text)
    return directory


def including(world: World, *paths: str, text: str = "", **packages: str) -> Project:
    """A project that includes the directories of these paths."""
    rows = ", ".join(f'{{ path = "{path}" }}' for path in paths)
    return world.project(text=f"{text}\n[include]\nenvironments = [{rows}]\n", **packages)


# -- includes ----------------------------------------------------------------------------------------


def test_packages_variables_and_hooks_of_an_include_are_there(stocked: World) -> None:
    base_at(
        stocked.place / "base",
        '[packages]\nhello = "*"\n\n[vars]\nPLACE = "$INCLUDE_DIR/share"\nLEVEL = "base"\n'
        '\n[hook]\non-activate = "echo hook of base"\n',
    )
    project = including(
        stocked, "../base", text='[vars]\nLEVEL = "own"\n\n[hook]\non-activate = "echo own hook"\n', tool="*"
    )
    project.cape("sync").succeeded()
    ran = project.cape("run", "--", "sh", "-c", "hello; tool; echo $LEVEL; cd $PLACE/.. && pwd").succeeded()
    assert ran.stdout.splitlines() == ["hello 1.0-1", "tool 1.0-1", "own", str(stocked.place / "base")]
    assert ran.stderr.splitlines()[-2:] == ["hook of base", "own hook"]


def test_changed_include_is_noticed_without_being_asked(stocked: World) -> None:
    base = base_at(stocked.place / "base", '[packages]\nhello = "*"\n')
    project = including(stocked, "../base")
    project.cape("sync").succeeded()
    project.cape("run", "--", "hello").succeeded()
    base_at(base, '[packages]\nhello = "*"\ntool = "*"\n')
    assert "include `base` is not what was locked" in project.cape("lock", "--check").failed(1).stderr
    project.cape("sync", "--locked").failed(1, "include `base` is not what was locked")
    assert project.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    assert project.cape("lock", "--check").succeeded()
