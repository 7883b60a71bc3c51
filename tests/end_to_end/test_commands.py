"""Two packages with one command, one name in two sources: told while locking, decided by the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.harness import STATE, Project, World, add_program, script

ENTRY = "[console_scripts]\ntool = tool:main\n"
MAIN = {"tool/__init__.py": b"def main():\n    print('the wheel')\n"}
JS = {"cli.js": b"#!/usr/bin/env node\nconsole.log('npm')\n"}


@pytest.fixture
def python(world: World) -> World:
    """A wheel, a Debian package and an npm package that all have the command `tool`."""
    world.archive.add("python3", "3.13.5-1", architecture="all", depends="libc6")
    for name in ("libc6", "libstdc++6", "libgcc-s1"):
        world.archive.add(name, "2.41-12", architecture="all")
    world.archive.add("debtool", architecture="all", files={"usr/bin/tool": script("echo the deb")})
    add_program(world.archive, "other")
    world.publish()
    world.index.add_wheel("wheeltool", "1.0", files=MAIN, entry_points=ENTRY)
    world.npm.publish("npmtool", "1.0.0", files=JS, bin={"tool": "cli.js"})
    return world


def expose(project: Project, line: str) -> None:
    project.manifest.write_text(
        project.manifest.read_text().replace("[environment]\n", f"[environment]\n{line}\n")
    )


def ways(done_stdout: str) -> list[str]:
    found = json.loads(done_stdout)["error"]["explanation"]["relaxations"]
    return [line for one in found for line in one["lines"]]


def test_a_command_of_two_sources_is_refused_while_locking_with_both_lines(python: World) -> None:
    project = python.project(debtool="*", npmtool='{ npm = "*" }')
    done = project.cape("lock", "--json", timeout_s=120).failed(
        STATE, "`debtool` and `npmtool` both have `tool`", 'debtool = "*"', 'npmtool = { npm = "*" }'
    )
    assert json.loads(done.stdout)["error"]["slug"] == "command-clash"
    assert ways(done.stdout) == [
        'expose = { add = ["debtool:tool"] }',
        'expose = { add = ["npmtool:tool"] }',
    ]
    assert not project.lock.exists()


def test_a_wheel_that_is_not_at_hand_is_looked_at_before_anything_is_switched(python: World) -> None:
    project = python.project(debtool="*", wheeltool='{ pypi = "*" }')
    project.cape("lock").succeeded()
    done = project.cape("sync").failed(STATE, "`debtool` and `wheeltool` both have `tool`", "cape.toml:")
    assert 'wheeltool = { pypi = "*" }' in done.stderr
    assert not (project.directory / ".cape" / "current").exists()
    project.lock.unlink()
    project.cape("lock").failed(STATE, "`debtool` and `wheeltool` both have `tool`")


@pytest.mark.parametrize("winner", ["debtool", "wheeltool"])
def test_the_line_that_is_offered_decides(python: World, winner: str) -> None:
    project = python.project(debtool="*", wheeltool='{ pypi = "*" }')
    expose(project, f'expose = {{ add = ["{winner}:tool"] }}')
    project.cape("sync").succeeded()
    tool = Path(project.directory / ".cape" / "current").resolve()
    assert tool.exists()
    text = _program(project, "tool").read_bytes()
    assert (b"the deb" in text) == (winner == "debtool")


def _program(project: Project, name: str) -> Path:
    """The file that a command of the project's environment leads to."""
    found = project.cape("run", "--", "sh", "-c", f"command -v {name}").succeeded().stdout.strip()
    return Path(found).resolve()


def test_hiding_the_command_decides_too(python: World) -> None:
    project = python.project(debtool="*", npmtool='{ npm = "*" }')
    expose(project, 'expose = { hide = ["tool"] }')
    project.cape("lock", timeout_s=120).succeeded()


def test_what_expose_says_already_is_kept_in_the_line_to_write(python: World) -> None:
    project = python.project(other="*", debtool="*", npmtool='{ npm = "*" }')
    expose(project, 'expose = { add = ["perl"], hide = ["other"] }')
    done = project.cape("lock", "--json", timeout_s=120).failed(STATE)
    assert ways(done.stdout)[0] == 'expose = { add = ["perl", "debtool:tool"], hide = ["other"] }'


def test_a_name_that_debian_lacks_is_told_where_it_is(python: World) -> None:
    python.index.add_wheel("requests", "2.0")
    project = python.project(requests="*")
    project.cape("lock").failed(STATE, "`debian` has no package `requests`", "`pypi:requests`")


def test_a_key_that_stands_twice_is_told_with_both_lines(python: World) -> None:
    project = python.project(other="*", text='other = { pypi = "*" }\n')
    project.cape("lock").failed(STATE, "`packages.other` stands here again (first at line 10)", ":11:1")


def test_a_module_of_two_sources_is_told_with_the_one_that_is_imported(python: World) -> None:
    python.index.add_wheel("requests", "2.32")
    python.archive.add("python3-requests", "2.31-1", architecture="all", depends="python3")
    python.publish()
    project = python.project(python3_requests="*", requests='{ pypi = "*" }')
    done = project.cape("lock").succeeded()
    assert "`python` imports 2.32 of `pypi:requests`" in done.stderr
    assert "2.31-1 of `debian:python3-requests` is for Debian's own programs" in done.stderr
