"""Edits by the tool: all or nothing, comments kept; history, rollback, collection, doctor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.harness import (
    INPUT,
    INTEGRITY,
    NO,
    STATE,
    Project,
    World,
    add_program,
    files_below,
    make_writable,
)

COMMENTED = """\
# Our tools. Ask Kim before you touch this.
schema = 1

[environment]
name = "commented"      # shown in prompts
systems = [
    "x86_64-linux",     # laptops
    "aarch64-linux",    # servers
]
debian = "trixie"

[packages]
# greetings
hello = "*"             # as polite as it gets

# end of packages
"""


def generations(project: Project) -> dict[str, object]:
    told: dict[str, object] = json.loads(project.cape("history", "--json").succeeded().stdout)
    return told


def numbers(project: Project) -> list[int]:
    return [one["number"] for one in generations(project)["generations"]]  # type: ignore[attr-defined]


def test_install_and_uninstall_keep_comments_and_order(stocked: World) -> None:
    project = stocked.project()
    project.manifest.write_text(COMMENTED)
    project.cape("install", "tool", "other@>=1").succeeded()
    text = project.manifest.read_text()
    kept = [line for line in COMMENTED.splitlines() if line]
    assert [line for line in text.splitlines() if line in kept] == kept
    assert 'tool = "*"' in text and 'other = ">=1"' in text
    assert project.cape("run", "--", "other").stdout == "other 1.0-1\n"
    project.cape("uninstall", "tool", "other").succeeded()
    assert project.manifest.read_text() == COMMENTED


def test_a_dry_run_changes_nothing_at_all(synced: Project) -> None:
    before, store = synced.state(), files_below(synced.store)
    for words in (
        ("install", "tool"),
        ("uninstall", "hello"),
        ("upgrade",),
        ("lock",),
        ("sync",),
        ("gc",),
    ):
        synced.cape(*words, "--dry-run").succeeded()
        assert json.loads(synced.cape(*words, "--dry-run", "--json").succeeded().stdout)["dry_run"] is True
    assert synced.state() == before
    after = files_below(synced.store)
    assert {path for path in after if not path.startswith("indices/")} == {
        path for path in store if not path.startswith("indices/")
    }


def test_a_dry_run_says_what_the_run_does(synced: Project) -> None:
    foreseen = synced.cape("install", "tool", "--dry-run").stdout
    assert foreseen == synced.cape("install", "tool").stdout == "+ tool 1.0-1\n"


def test_installing_again_changes_nothing(synced: Project) -> None:
    before = synced.state()
    synced.cape("install", "hello").succeeded()
    assert synced.state() == before


def test_a_sync_without_changes_makes_no_generation_and_asks_nobody(stocked: World, synced: Project) -> None:
    before = synced.state()
    stocked.server.requests.clear()
    synced.cape("sync").succeeded()
    assert synced.state() == before
    assert stocked.server.requests == []


def test_an_install_that_fails_late_leaves_all_as_it_was(stocked: World, synced: Project) -> None:
    """Two packages that hold different files of one name: found when the environment is made."""
    add_program(stocked.archive, "rival", files={"usr/bin/tool": b"#!/bin/sh\nexit 1\n"})
    stocked.publish()
    shutil.rmtree(synced.store / "indices")
    before = synced.state()
    done = synced.cape("install", "tool", "rival").failed(
        INPUT, "`tool` 1.0-1", "`rival` 1.0-1", "usr/bin/tool"
    )
    assert "hint: " in done.stderr
    assert synced.state() == before
    assert synced.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_history_tells_what_made_each_generation(synced: Project) -> None:
    synced.cape("install", "tool").succeeded()
    synced.cape("uninstall", "hello").succeeded()
    lines = synced.cape("history").succeeded().stdout.splitlines()
    assert [line.split()[-2:] for line in lines] == [
        ["uninstall", "hello"],
        ["hello", "1.0-1"],
        ["install", "tool"],
        ["tool", "1.0-1"],
        ["cape", "sync"],
        ["hello", "1.0-1"],
    ]
    assert lines[0].startswith("*")
    assert generations(synced)["current"] == 3


def test_rollback_brings_back_manifest_lock_and_environment(synced: Project) -> None:
    before = synced.state()
    synced.cape("install", "tool").succeeded()
    after = synced.state()
    dry = synced.cape("rollback", "--dry-run").succeeded()
    assert "generation 1 would be current" in dry.stderr
    assert synced.state() == after
    synced.cape("rollback").succeeded()
    assert (synced.manifest.read_bytes(), synced.lock.read_bytes()) == (before.manifest, before.lock)
    synced.cape("run", "--", "tool").failed(127, "`tool`")
    assert synced.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    synced.cape("rollback", "2").succeeded()
    assert (synced.manifest.read_bytes(), synced.lock.read_bytes()) == (after.manifest, after.lock)
    assert synced.cape("run", "--", "tool").stdout == "tool 1.0-1\n"


def test_rollback_needs_no_registry_and_no_store_work(stocked: World, synced: Project) -> None:
    synced.cape("install", "tool").succeeded()
    stocked.server.requests.clear()
    synced.cape("rollback").succeeded()
    assert stocked.server.requests == []


def test_rollback_of_the_first_generation_is_told(synced: Project) -> None:
    before = synced.state()
    synced.cape("rollback").failed(STATE, "no generation before 1", "`cape history`")
    assert synced.state() == before


def test_upgrade_moves_what_is_named_and_can_be_undone(stocked: World) -> None:
    project = stocked.project(hello="*", tool="*")
    project.cape("sync").succeeded()
    for name in ("hello", "tool"):
        add_program(stocked.archive, name, "2.0-1")
    stocked.publish()
    shutil.rmtree(project.store / "indices")
    assert project.cape("upgrade", "hello").succeeded().stdout == "~ hello 1.0-1 -> 2.0-1\n"
    assert project.cape("run", "--", "hello").stdout == "hello 2.0-1\n"
    assert project.cape("run", "--", "tool").stdout == "tool 1.0-1\n"
    project.cape("rollback").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_collection_says_first_what_it_removes_and_removes_just_that(synced: Project) -> None:
    synced.cape("install", "tool").succeeded()
    synced.cape("rollback").succeeded()
    assert "nothing to remove" in synced.cape("gc", "--dry-run").stderr
    before = files_below(synced.store)
    foreseen = json.loads(synced.cape("gc", "--keep", "1", "--dry-run", "--json").succeeded().stdout)
    assert files_below(synced.store) == before
    synced.cape("rollback", "2").succeeded()
    foreseen = json.loads(synced.cape("gc", "--keep", "1", "--dry-run", "--json").succeeded().stdout)
    removed = json.loads(synced.cape("gc", "--keep", "1", "--json").succeeded().stdout)
    assert {**foreseen, "dry_run": False} == removed
    assert len(removed["environments"]) == 1
    assert numbers(synced) == [2]
    assert synced.cape("run", "--", "tool").stdout == "tool 1.0-1\n"
    assert synced.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_collection_keeps_what_another_project_needs(stocked: World, synced: Project) -> None:
    other = stocked.project(other="*")
    other.cape("sync").succeeded()
    shutil.rmtree(synced.directory)
    other.cape("gc").succeeded()
    assert other.cape("run", "--", "other").stdout == "other 1.0-1\n"
    other.cape("doctor", "--verify").succeeded()


def test_rollback_to_a_collected_generation_is_told(synced: Project) -> None:
    synced.cape("install", "tool").succeeded()
    first = json.loads(synced.cape("history", "--json").stdout)["generations"][1]
    shutil.rmtree(synced.store / "environments" / first["identity"].removeprefix("sha256:")[:32])
    before = synced.state()
    synced.cape("rollback").failed(STATE, "generation 1", "not in the store", "hint: ")
    assert synced.state() == before


def test_doctor_is_content_with_a_project_that_works(synced: Project) -> None:
    lines = synced.cape("doctor", "--verify").succeeded().stdout.splitlines()
    assert all(line.startswith("ok") for line in lines)
    assert all(one["ok"] for one in json.loads(synced.cape("doctor", "--json").stdout)["checks"])


def an_object(project: Project) -> Path:
    """The tree of the object that has `hello`."""
    (control,) = project.store.glob("objects/*/tree/root/var/lib/cape/control/hello")
    return control.parents[5]


@pytest.mark.parametrize("harm", ["changed", "added", "removed", "longer", "mode"])
def test_doctor_finds_an_object_that_was_tampered_with(synced: Project, harm: str) -> None:
    tree = an_object(synced)
    make_writable(tree)
    program = tree / "root/usr/bin/hello"
    data = program.read_bytes()
    match harm:
        case "changed":
            program.write_bytes(data.replace(b"echo", b"ECHO"))
        case "longer":
            program.write_bytes(data + b"\n")
        case "added":
            (tree / "root/usr/bin/evil").write_bytes(data)
        case "removed":
            program.unlink()
        case "mode":
            program.chmod(0o644)
    synced.cape("doctor").succeeded()
    done = synced.cape("doctor", "--verify")
    assert done.code == INTEGRITY, done
    assert "WRONG" in done.stdout and str(tree.parent) in done.stdout and "hint: " in done.stdout
    assert ("usr/bin/evil" if harm == "added" else "usr/bin/hello") in done.stdout


def test_doctor_tells_each_thing_that_is_wrong(synced: Project) -> None:
    synced.manifest.write_text(synced.manifest.read_text() + 'tool = "*"\n')
    shutil.rmtree(synced.store / "environments")
    done = synced.cape("doctor")
    assert done.code == NO
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 2
    assert "run `cape lock`" in done.stdout and "run `cape sync`" in done.stdout


def test_a_lost_environment_is_made_again(synced: Project) -> None:
    shutil.rmtree(synced.store / "environments")
    before = synced.state()
    assert synced.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    assert synced.state().lock == before.lock
