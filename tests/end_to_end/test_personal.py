"""The user's own environment, and programs that are wanted once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.end_to_end.harness import INPUT, STATE, Project, World, add_program


def own(world: World) -> Path:
    return world.place / "home" / "config" / "cape" / "global"


def somewhere(world: World) -> Project:
    """A directory without a manifest."""
    return Project(directory=world.directory(), environment=world.variables())


def test_own_environment_is_made_by_its_first_package(stocked: World) -> None:
    here = somewhere(stocked)
    here.cape("list", "--global").failed(STATE, "`cape install --global PACKAGE` makes one")
    done = here.cape("install", "--global", "hello").succeeded()
    assert f'export PATH="{own(stocked)}/bin:$PATH"' in done.stderr
    program = own(stocked) / "bin" / "hello"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "hello 1.0-1\n"
    assert "hello" in here.cape("list", "--global").succeeded().stdout
    assert not list(here.directory.iterdir())


def test_first_package_that_is_not_there_leaves_nothing(stocked: World) -> None:
    somewhere(stocked).cape("install", "--global", "no-such-package").failed(INPUT)
    assert not (own(stocked) / "cape.toml").exists()
    somewhere(stocked).cape("uninstall", "--global", "hello").failed(STATE, "no environment of your own")


def test_programs_of_the_own_environment_change_as_one(stocked: World) -> None:
    here = somewhere(stocked)
    here.cape("install", "--global", "hello").succeeded()
    told = here.cape(
        "install", "--global", "tool", PATH=f"{own(stocked)}/bin:{os.environ['PATH']}"
    ).succeeded()
    assert "export PATH" not in told.stderr
    assert sorted(one.name for one in (own(stocked) / "bin").iterdir()) == ["hello", "tool"]
    here.cape("rollback", "--global").succeeded()
    assert [one.name for one in (own(stocked) / "bin").iterdir()] == ["hello"]
    assert len(here.cape("history", "--global").succeeded().stdout.splitlines()) >= 2
    here.cape("gc").succeeded()
    assert (own(stocked) / "bin" / "hello").exists()


def test_own_environment_is_upgraded(stocked: World) -> None:
    here = somewhere(stocked)
    here.cape("install", "--global", "hello").succeeded()
    add_program(stocked.archive, "hello", "2.0-1")
    stocked.publish()
    here.cape("upgrade", "--global").succeeded()
    program = own(stocked) / "bin" / "hello"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "hello 2.0-1\n"
    here.cape("uninstall", "--global", "hello").succeeded()
    assert not program.exists()
