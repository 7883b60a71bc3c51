"""`cape sync --system`: the environment of another system, made beside the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cape.names import System
from tests.end_to_end.harness import INPUT, STATE, Project, World

OTHER = next(one for one in (System.AARCH64_LINUX, System.X86_64_LINUX) if one is not System.current())


@pytest.fixture
def native(stocked: World) -> Project:
    """A synced project of a package that is another file for each system."""
    for architecture in ("amd64", "arm64"):
        stocked.archive.add(
            "native", architecture=architecture, files={"usr/share/native/kind": architecture.encode()}
        )
    stocked.publish()
    project = stocked.project(native="*")
    project.cape("sync").succeeded()
    return project


def test_the_environment_of_another_system_is_made_and_the_project_stays(native: Project) -> None:
    before = native.state()
    made = Path(native.cape("sync", "--system", str(OTHER)).succeeded().stdout.strip())
    kind = {System.X86_64_LINUX: "amd64", System.AARCH64_LINUX: "arm64"}[OTHER]
    assert (made / "root/usr/share/native/kind").read_text() == kind
    assert json.loads((made / "environment.json").read_text())["system"] == str(OTHER)
    assert native.state() == before


def test_this_machines_own_system_is_the_environment_that_is_there(native: Project) -> None:
    told = json.loads(native.cape("sync", "--system", str(System.current()), "--json").succeeded().stdout)
    assert (told["objects_made"], told["downloaded"]) == (0, 0)


def test_a_foreseen_environment_is_not_made(native: Project) -> None:
    told = json.loads(native.cape("sync", "--system", str(OTHER), "--dry-run", "--json").succeeded().stdout)
    assert told["to_download"] == 1
    assert len(list((native.store / "environments").iterdir())) == 1


def test_a_system_that_is_unknown_or_not_locked_is_told(native: Project) -> None:
    native.cape("sync", "--system", "vax").failed(INPUT, "unknown system `vax`")
    native.cape("sync", "--system", "x86_64-darwin").failed(STATE, "no rows for `x86_64-darwin`")


def test_a_stale_lock_is_not_locked_on_the_way(native: Project) -> None:
    native.manifest.write_text(native.manifest.read_text().replace('native = "*"', 'hello = "*"'))
    native.cape("sync", "--system", str(OTHER)).failed(STATE, "the lock does not answer the manifest")
