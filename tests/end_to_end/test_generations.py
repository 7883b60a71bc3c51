"""Generations as a user sees them: what made them, what is new in them, going back, and forgetting."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import CAPE, STATE, USAGE, Project, World, add_program


def history(project: Project) -> list[dict[str, Any]]:
    told = json.loads(project.cape("history", "--json").succeeded().stdout)
    return list(told["generations"])


def test_history_says_who_by_what_command_and_what_is_new(stocked: World) -> None:
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    project.cape("install", "tool").succeeded()
    add_program(stocked.archive, "hello", "2.0-1")
    stocked.publish()
    project.cape("upgrade").succeeded()
    project.cape("uninstall", "tool").succeeded()
    told = history(project)
    commands = [" ".join(one["argv"]) for one in told]
    assert commands == ["uninstall tool", "upgrade", "install tool", "sync"]
    assert {one["user"] for one in told} == {getpass.getuser()}
    added = {"kind": "added", "name": "tool", "before": None, "after": "1.0-1"}
    assert told[2]["changes"] == [added]
    assert told[1]["changes"] == [{"kind": "changed", "name": "hello", "before": "1.0-1", "after": "2.0-1"}]
    assert told[0]["changes"] == [{"kind": "removed", "name": "tool", "before": "1.0-1", "after": None}]
    text = project.cape("history").succeeded().stdout
    assert "        ~ hello 1.0-1 -> 2.0-1\n" in text
    assert "cape install tool" in text and getpass.getuser() in text


def test_an_edit_by_hand_is_a_generation_that_names_the_keys(stocked: World) -> None:
    project = stocked.project(text='\n[vars]\nA = "1"\n', hello="*")
    project.cape("sync").succeeded()
    project.manifest.write_text(project.manifest.read_text().replace('A = "1"', 'A = "2"\nB = "3"'))
    assert project.cape("run", "--", "sh", "-c", "echo $A $B").stdout == "2 3\n"
    newest = history(project)[0]
    assert newest["changes"] == [
        {"kind": "changed", "name": "vars.A", "before": None, "after": None},
        {"kind": "added", "name": "vars.B", "before": None, "after": None},
    ]


def test_packages_that_a_lock_brought_are_told_by_the_sync_after_it(stocked: World) -> None:
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    project.manifest.write_text(project.manifest.read_text() + 'tool = "*"\n')
    project.cape("lock").succeeded()
    project.cape("sync").succeeded()
    assert history(project)[0]["changes"] == [
        {"kind": "added", "name": "tool", "before": None, "after": "1.0-1"}
    ]


def test_rollback_takes_variables_back_and_is_told(stocked: World) -> None:
    project = stocked.project(text='\n[vars]\nA = "1"\n', hello="*")
    project.cape("sync").succeeded()
    project.manifest.write_text(project.manifest.read_text().replace('A = "1"', 'A = "2"'))
    project.cape("sync").succeeded()
    project.cape("rollback").succeeded()
    assert project.cape("run", "--", "sh", "-c", "echo $A").stdout == "1\n"
    assert "cape rollback  (2 -> 1)" in project.cape("history").stdout
    told = json.loads(project.cape("history", "--json").stdout)
    assert (told["current"], told["rollbacks"][0]["from"], told["rollbacks"][0]["to"]) == (1, 2, 1)


def test_rollback_says_what_of_an_included_directory_stays(stocked: World) -> None:
    base = stocked.place / "base"
    base.mkdir()
    head = 'schema = 1\n\n[environment]\nsystems = ["x86_64-linux", "aarch64-linux"]\n'
    (base / "cape.toml").write_text(head)
    project = stocked.project(text='\n[include]\nenvironments = [{ path = "../base" }]\n', hello="*")
    project.cape("sync").succeeded()
    (base / "cape.toml").write_text(head + '\n[vars]\nA = "new"\n')
    project.cape("sync").succeeded()
    told = project.cape("rollback").succeeded().stderr
    assert f"`{base}/cape.toml` is not what generation 1 included" in told


def test_knowledge_follows_a_rollback(stocked: World) -> None:
    text = '\n[knowledge.notes]\nsources = ["*.md"]\n'
    project = stocked.project(text=text, hello="*")
    note = project.directory / "a.md"
    note.write_text("# Colour\n\nThe gate is green.\n")
    project.cape("sync").succeeded()
    project.cape("index").succeeded()
    before = index_digest(project)
    project.cape("install", "tool").succeeded()
    note.write_text("# Colour\n\nThe gate is yellow.\n")
    project.cape("index").succeeded()
    after = index_digest(project)
    told = project.cape("rollback").succeeded().stderr
    assert "the index of `notes` is back at its generation 1" in told
    assert index_digest(project) == before != after
    project.cape("rollback", "2").succeeded()
    assert index_digest(project) == after
    shutil.rmtree(project.directory / ".cape" / "knowledge")
    assert "knowledge base `notes` has no index here" in project.cape("rollback", "1").succeeded().stderr


def index_digest(project: Project) -> object:
    told = json.loads(project.cape("index", "status", "--json").stdout)
    return told["bases"][0]["digest"]


def made(stocked: World, count: int) -> Project:
    """A project with some generations, each of other packages."""
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    for words in (["install", "tool"], ["install", "other"], ["uninstall", "hello"])[: count - 1]:
        project.cape(*words).succeeded()
    return project


def test_old_generations_go_by_number_and_age(stocked: World) -> None:
    project = made(stocked, 4)
    planned = json.loads(project.cape("gc", "--keep", "2", "--dry-run", "--json").succeeded().stdout)
    assert (planned["generations"], len(planned["environments"])) == ([1, 2], 2)
    assert len(history(project)) == 4
    young = json.loads(project.cape("gc", "--keep", "1", "--older-than", "30d", "--json").succeeded().stdout)
    assert young["generations"] == []
    age(project, 1)
    old = json.loads(project.cape("gc", "--keep", "1", "--older-than", "30d", "--json").succeeded().stdout)
    assert old["generations"] == [1]
    assert "removed 1 generation, 1 environment" in project.cape("gc", "--keep", "2").succeeded().stderr
    assert [one["number"] for one in history(project)] == [4, 3]
    project.cape("gc", "--older-than", "soon").failed(USAGE, "`--older-than` is an age such as `30d`")


def age(project: Project, number: int) -> None:
    record = project.directory / ".cape" / "generations" / str(number) / "generation.json"
    facts = json.loads(record.read_text())
    record.write_text(json.dumps({**facts, "created_s": facts["created_s"] - 40 * 86400}))


def test_current_generation_stays_however_old_it_is(stocked: World) -> None:
    project = made(stocked, 3)
    project.cape("rollback", "1").succeeded()
    project.cape("gc", "--keep", "1").succeeded()
    assert [one["number"] for one in history(project)] == [3, 1]
    assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_what_a_running_process_uses_stays(stocked: World) -> None:
    project = made(stocked, 1)
    sleeper = subprocess.Popen(
        [CAPE, "run", "--", "sleep", "60"], cwd=project.directory, env=dict(project.environment)
    )
    try:
        wait_until_inside(sleeper.pid)
        project.cape("install", "tool").succeeded()
        project.cape("install", "other").succeeded()
        gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
        assert gone["generations"] == [2]
        assert [one["number"] for one in history(project)] == [3, 1]
    finally:
        sleeper.kill()
        sleeper.wait()
    gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert gone["generations"] == [1]


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_what_a_shell_was_led_into_in_place_stays(stocked: World, shell: str) -> None:
    """The variables that the kernel shows of such a shell are those from before."""
    project = made(stocked, 1)
    text = f'eval "$({CAPE} activate --shell {shell})"; echo in; read go; hello'
    inside = subprocess.Popen(
        [shell, "-c", text], cwd=project.directory, env=dict(project.environment), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert inside.stdout is not None and inside.stdout.readline() == "in\n"
    project.cape("install", "tool").succeeded()
    project.cape("install", "other").succeeded()
    gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert gone["generations"] == [2]
    assert inside.communicate("go\n", timeout=20)[0] == "hello 1.0-1\n"
    gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert gone["generations"] == [1]


def test_what_a_running_service_was_started_from_stays(stocked: World) -> None:
    """It is between two starts, so no process shows where it belongs."""
    service = '\n[services.a]\ncommand = "exit 3"\nrestart-limit = 100\n'
    project = stocked.project(text=service, hello="*")
    project.cape("services", "up", "--no-wait").succeeded()
    try:
        project.cape("install", "tool").succeeded()
        gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
        assert gone["generations"] == []
    finally:
        project.cape("services", "down").succeeded()
    gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert gone["generations"] == [1]


def test_nothing_is_forgotten_while_somebody_is_inside_who_does_not_say_where(stocked: World) -> None:
    """As the shells of an older cape, whose notes do not name the environment."""
    project = made(stocked, 3)
    start = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()[19]
    note = project.directory / ".cape" / "attached" / str(os.getpid())
    note.write_text(f"{start}\n0123456789abcdef - bash\n")
    gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert gone["generations"] == []
    note.unlink()
    gone = json.loads(project.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert gone["generations"] == [1, 2]


def wait_until_inside(pid: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if b"CAPE_ENV=" in Path(f"/proc/{pid}/environ").read_bytes():
            return
        time.sleep(0.02)
    raise AssertionError("the process never came inside")


def test_what_another_project_reaches_stays(stocked: World) -> None:
    one, other = made(stocked, 2), stocked.project(hello="*")
    other.cape("sync").succeeded()
    one.cape("gc", "--keep", "1").succeeded()
    assert other.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    assert other.cape("sync").succeeded()


def test_keep_wants_a_project(stocked: World) -> None:
    here = Project(directory=stocked.directory(), environment=stocked.variables())
    here.cape("gc", "--keep", "3").failed(STATE, "has a `cape.toml`")
    here.cape("gc").succeeded()


def test_generation_of_an_older_cape_is_listed(stocked: World) -> None:
    project = made(stocked, 2)
    record = project.directory / ".cape" / "generations" / "1" / "generation.json"
    facts = json.loads(record.read_text())
    del facts["user"], facts["changes"]
    record.write_text(json.dumps(facts))
    told = history(project)
    assert (told[1]["user"], told[1]["changes"]) == (None, None)
    assert "  -  cape sync" in project.cape("history").succeeded().stdout
    os.utime(project.manifest)
    assert project.cape("run", "--", "tool").stdout == "tool 1.0-1\n"
