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


def test_own_environment_without_a_place_is_told(stocked: World) -> None:
    nowhere = stocked.project().with_variables(HOME="/proc/nowhere", XDG_CONFIG_HOME="")
    nowhere.cape("install", "--global", "hello").failed(STATE, "no place for your own environment", "hint: ")


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


# -- once --------------------------------------------------------------------------------------------


def test_program_is_run_once_where_there_is_no_project(stocked: World) -> None:
    here = somewhere(stocked)
    ran = here.cape("run", "--with", "hello", "--with", "tool", "--", "sh", "-c", "hello; tool").succeeded()
    assert ran.stdout == "hello 1.0-1\ntool 1.0-1\n"
    assert not list(here.directory.iterdir())
    offline = here.with_variables(CAPE_DEBIAN_MIRROR="http://127.0.0.1:1/debian")
    again = offline.cape("run", "--with", "tool", "--with", "hello", "--", "hello").succeeded()
    assert again.stdout == "hello 1.0-1\n"


def test_program_is_run_once_on_top_of_the_project(stocked: World) -> None:
    project = stocked.project(text='\n[vars]\nA = "1"\n', hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    ran = project.cape("run", "--with", "tool", "--", "sh", "-c", "hello; tool; echo $A $CAPE_PROJECT")
    assert ran.succeeded().stdout == f"hello 1.0-1\ntool 1.0-1\n1 {project.directory}\n"
    assert project.state() == before
    project.cape("run", "--", "sh", "-c", "command -v tool").failed(127)


def test_once_with_another_version_than_the_project_has(world: World) -> None:
    for version in ("1.0-1", "2.0-1"):
        add_program(world.archive, "hello", version)
    world.publish()
    project = world.project(hello="=1.0-1")
    project.cape("sync").succeeded()
    assert project.cape("run", "--with", "hello@=2.0-1", "--", "hello").stdout == "hello 2.0-1\n"
    assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_once_keeps_to_the_projects_versions(stocked: World) -> None:
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    add_program(stocked.archive, "hello", "2.0-1")
    stocked.publish()
    assert project.cape("run", "--with", "tool", "--", "hello").stdout == "hello 1.0-1\n"


def test_once_with_what_is_not_there_leaves_all_as_it_was(stocked: World) -> None:
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    project.cape("run", "--with", "no-such-package", "--", "true").failed(INPUT, "no-such-package")
    project.cape("run", "--with", "hello").failed(2, "`cape run` wants a command")
    assert project.state() == before


def test_collector_keeps_what_was_wanted_lately_and_lets_go_of_the_rest(stocked: World) -> None:
    here = somewhere(stocked)
    here.cape("run", "--with", "hello", "--", "hello").succeeded()
    here.cape("gc").succeeded()
    offline = here.with_variables(CAPE_DEBIAN_MIRROR="http://127.0.0.1:1/debian")
    assert offline.cape("run", "--with", "hello", "--", "hello").stdout == "hello 1.0-1\n"
    for record in (stocked.place / "store" / "once").glob("*/record.json"):
        os.utime(record, (0, 0))
    assert "1 environment" in here.cape("gc").succeeded().stderr
    assert not list((stocked.place / "store" / "once").glob("*/record.json"))
