"""Locks: for all systems from one machine, fresh or stale, equal when made twice, merged by git."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.end_to_end.harness import INPUT, NO, STATE, Project, World, add_program


@pytest.fixture
def both(world: World) -> World:
    """A world whose `tool` is another file on each system, and whose `only` is for one of them."""
    for architecture in ("amd64", "arm64"):
        world.archive.add(
            "tool",
            architecture=architecture,
            files={"usr/share/tool/kind": architecture.encode()},
            depends="base",
        )
    world.archive.add("only", architecture="amd64")
    world.archive.add("base", architecture="all")
    for name in ("hello", "other"):
        add_program(world.archive, name)
    world.publish()
    return world


def rows(project: Project) -> list[dict[str, object]]:
    return [json.loads(line) for line in project.lock.read_text().splitlines()[1:]]


def test_all_systems_are_locked_from_one_machine(both: World) -> None:
    project = both.project(tool="*")
    project.cape("lock").succeeded()
    packages = [row for row in rows(project) if row["row"] == "package"]
    assert {(row["name"], *row["systems"]) for row in packages} == {  # type: ignore[misc]
        ("base", "aarch64-linux", "x86_64-linux"),
        ("tool", "aarch64-linux"),
        ("tool", "x86_64-linux"),
    }
    assert "127.0.0.1" not in project.lock.read_text()


def test_a_package_that_one_system_lacks_is_told(both: World) -> None:
    project = both.project(only="*")
    project.cape("lock").failed(INPUT, "`only`", "aarch64-linux", "hint: ")
    assert not project.lock.exists()


def test_check_says_fresh_or_stale_and_writes_nothing(both: World) -> None:
    project = both.project(tool="*")
    project.cape("lock", "--check").failed(NO, "there is no `cape.lock`", "run `cape lock`")
    assert not project.lock.exists()
    project.cape("lock").succeeded()
    project.cape("lock", "--check").succeeded()
    project.manifest.write_text(project.manifest.read_text() + 'hello = "*"\n')
    before = project.state()
    project.cape("lock", "--check").failed(NO, "`hello`")
    told = json.loads(project.cape("lock", "--check", "--json").stdout)
    assert told["fresh"] is False and told["reasons"]
    assert project.state() == before


def test_check_needs_no_network(both: World) -> None:
    project = both.project(tool="*")
    project.cape("lock").succeeded()
    both.server.requests.clear()
    project.cape("lock", "--check", CAPE_STORE=str(both.place / "empty")).succeeded()
    assert both.server.requests == []


def test_locking_twice_gives_equal_bytes(both: World) -> None:
    first, second = both.project(tool="*", hello="*"), both.project(store="other", hello="*", tool="*")
    first.cape("lock").succeeded()
    second.cape("lock").succeeded()
    assert first.lock.read_bytes() == second.lock.read_bytes()
    text = first.lock.read_bytes()
    first.cape("lock").succeeded()
    assert first.lock.read_bytes() == text


def test_rows_stay_when_their_requirement_did_not_change(both: World) -> None:
    project = both.project(hello="*")
    project.cape("sync").succeeded()
    add_program(both.archive, "hello", "2.0-1")
    both.publish()
    project.cape("install", "other", CAPE_STORE=str(both.place / "fresh-store")).succeeded()
    assert "hello  1.0-1" in project.cape("list").stdout
    project.cape("upgrade", "hello", CAPE_STORE=str(both.place / "fresher-store")).succeeded()
    assert "hello  2.0-1" in project.cape("list").stdout


def test_locked_refuses_a_stale_lock(both: World) -> None:
    project = both.project(hello="*")
    project.cape("sync", "--locked").failed(STATE, "there is no `cape.lock`", "run `cape lock`")
    project.cape("sync").succeeded()
    project.manifest.write_text(project.manifest.read_text() + 'other = "*"\n')
    before = project.state()
    project.cape("sync", "--locked").failed(STATE, "`other`")
    assert project.state() == before


def test_a_system_without_rows_is_told(both: World) -> None:
    project = both.project(hello="*")
    text = project.manifest.read_text().replace('"x86_64-linux", ', "")
    project.manifest.write_text(text)
    project.cape("lock").succeeded()
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    if machine == "x86_64":
        project.cape("sync").failed(STATE, "no rows for `x86_64-linux`", 'add `"x86_64-linux"`')


def git(project: Project, *words: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=project.directory,
        env={**project.environment, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_locks_of_two_branches_merge_without_a_conflict(both: World) -> None:
    if subprocess.run(["git", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no git here")
    project = Project(directory=both.directory(), environment=both.variables())
    project.cape("init", "--name", "merged").succeeded()
    assert "cape.lock merge=union" in (project.directory / ".gitattributes").read_text()
    project.cape("install", "base").succeeded()
    git(project, "init", "-q")
    git(project, "add", "-A")
    assert ".cape" not in git(project, "ls-files")
    git(project, "commit", "-qm", "base")
    git(project, "checkout", "-qb", "side")
    project.cape("install", "tool").succeeded()
    git(project, "commit", "-qam", "tool")
    git(project, "checkout", "-q", "main")
    project.cape("install", "hello").succeeded()
    git(project, "commit", "-qam", "hello")
    text = project.manifest.read_text()
    subprocess.run(["git", "merge", "-q", "side"], cwd=project.directory, capture_output=True, check=False)
    project.manifest.write_text(text.rstrip("\n") + '\ntool = "*"\n')
    assert "<<<<" not in project.lock.read_text()
    project.cape("lock", "--check").failed(NO)
    project.cape("sync").succeeded()
    project.cape("lock", "--check").succeeded()
    clean = both.project(name="clean", store="clean-store")
    clean.manifest.write_bytes(project.manifest.read_bytes())
    clean.cape("lock").succeeded()
    assert project.lock.read_bytes() == clean.lock.read_bytes()


def test_conflict_markers_in_a_lock_are_resolved(both: World) -> None:
    one, two = both.project(hello="*"), both.project(other="*")
    for project in (one, two):
        project.cape("lock").succeeded()
    merged = both.project(hello="*", other="*")
    merged.lock.write_text(
        f"<<<<<<< HEAD\n{one.lock.read_text()}=======\n{two.lock.read_text()}>>>>>>> side\n"
    )
    merged.cape("sync").succeeded()
    clean = both.project(hello="*", other="*")
    clean.cape("lock").succeeded()
    assert merged.lock.read_bytes() == clean.lock.read_bytes()


def test_a_dry_run_of_lock_writes_nothing(both: World) -> None:
    project = both.project(hello="*")
    done = project.cape("lock", "--dry-run").succeeded()
    assert "hello 1.0-1" in done.stdout
    assert not project.lock.exists()
