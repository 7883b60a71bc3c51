"""A lock outlives its registries: vendored artifacts, artifact directories, and what a gone file gets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.harness import INTEGRITY, SOURCE, STATE, Project, World, add_program, files_below
from tests.mirrors.loopback import unused_url

DIGESTS = ("lock", "identity", "content")


def digests(project: Project) -> dict[str, str]:
    """The digests that two machines must agree on."""
    listed = json.loads(project.cape("list", "--json").succeeded().stdout)
    return {name: listed[name] for name in DIGESTS}


def cut_off(project: Project) -> Project:
    """The same project on a machine that reaches no registry."""
    nowhere = unused_url()
    return project.with_variables(
        CAPE_DEBIAN_MIRROR=nowhere, CAPE_PYPI_INDEX=f"{nowhere}/simple", CAPE_NPM_REGISTRY=f"{nowhere}/"
    )


@pytest.fixture
def vendored(stocked: World) -> tuple[Project, Path]:
    """A synced project of two packages, one for a system that this machine is not, and its artifacts."""
    for architecture in ("amd64", "arm64"):
        stocked.archive.add(
            "native", architecture=architecture, files={"usr/share/native/kind": architecture.encode()}
        )
    stocked.publish()
    project = stocked.project(hello="*", native="*")
    project.cape("sync").succeeded()
    directory = stocked.place / "vendor"
    told = json.loads(project.cape("vendor", str(directory), "--json").succeeded().stdout)
    assert (told["artifacts"], told["written"]) == (3, 3)
    return project, directory


def delete_from_mirror(world: World) -> None:
    """Delete every package from the mirror, as archives do, and its indices too."""
    shutil.rmtree(world.archive.directory / "pool")
    shutil.rmtree(world.archive.directory / "dists")


def test_a_vendored_tree_is_all_that_a_sync_needs(stocked: World, vendored: tuple[Project, Path]) -> None:
    project, directory = vendored
    delete_from_mirror(stocked)
    stocked.server.requests.clear()
    second = cut_off(stocked.clone(project, store="elsewhere/deeper/second-store"))
    second.cape("sync", "--from", str(directory)).succeeded()
    assert stocked.server.requests == []
    assert digests(second) == digests(project)
    assert second.store != project.store
    assert second.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_a_vendored_tree_may_be_named_relative_to_the_project(
    stocked: World, vendored: tuple[Project, Path]
) -> None:
    project, directory = vendored
    second = cut_off(stocked.clone(project, store="second-store"))
    shutil.copytree(directory, second.directory / "vendor")
    second.cape("sync", "--from", "vendor").succeeded()
    assert digests(second) == digests(project)


def test_vendoring_twice_writes_nothing(vendored: tuple[Project, Path]) -> None:
    project, directory = vendored
    before = files_below(directory)
    assert json.loads(project.cape("vendor", str(directory), "--json").stdout)["written"] == 0
    assert files_below(directory) == before


def test_an_artifact_that_the_tree_lacks_is_named(stocked: World, vendored: tuple[Project, Path]) -> None:
    project, directory = vendored
    for file in directory.glob("*/*"):
        file.unlink()
    second = stocked.clone(project, store="second-store")
    before = second.state()
    done = second.cape("sync", "--from", str(directory)).failed(
        STATE, str(directory), "`hello` 1.0-1", "cape vendor"
    )
    assert "sha256:" in done.stderr
    assert second.state() == before


def test_a_tree_that_is_not_there_is_told(stocked: World, vendored: tuple[Project, Path]) -> None:
    second = stocked.clone(vendored[0], store="second-store")
    second.cape("sync", "--from", "no-such-place").failed(STATE, "no-such-place", "hint: ")


def test_an_altered_artifact_of_the_tree_is_refused_and_written_anew(
    stocked: World, vendored: tuple[Project, Path]
) -> None:
    project, directory = vendored
    for file in directory.glob("*/*"):
        file.chmod(0o644)
        file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    second = stocked.clone(project, store="second-store")
    done = second.cape("sync", "--from", str(directory)).failed(INTEGRITY, str(directory), "`hello` 1.0-1")
    assert "hint: " in done.stderr
    assert not list(second.store.glob("artifacts/[0-9a-f][0-9a-f]/*"))
    assert json.loads(project.cape("vendor", str(directory), "--json").stdout)["written"] == 3
    second.cape("sync", "--from", str(directory)).succeeded()


def test_from_refuses_to_lock(stocked: World, vendored: tuple[Project, Path]) -> None:
    project, directory = vendored
    second = stocked.clone(project, store="second-store")
    second.manifest.write_text(second.manifest.read_text() + 'tool = "*"\n')
    before = second.state()
    second.cape("sync", "--from", str(directory)).failed(STATE, "`tool`", "run `cape lock`")
    assert second.state() == before


@pytest.mark.parametrize("how", ["variable", "setting", "flat"])
def test_artifact_directories_are_asked_before_any_registry(
    stocked: World, vendored: tuple[Project, Path], how: str
) -> None:
    project, directory = vendored
    second = cut_off(stocked.clone(project, store="second-store"))
    if how == "setting":
        second.cape("config", "artifacts", str(directory)).succeeded()
    else:
        second = second.with_variables(CAPE_ARTIFACTS=f"/nonexistent {directory}")
    if how == "flat":
        for file in list(directory.glob("*/*")):
            file.rename(directory / file.name)
    second.cape("sync", "--locked").succeeded()
    assert digests(second) == digests(project)


def test_a_deleted_artifact_says_since_when_and_the_ways_out(stocked: World, synced: Project) -> None:
    add_program(stocked.archive, "hello", "2.0-1")
    stocked.publish()
    (stocked.archive.directory / "pool/main/h/hello/hello_1.0-1_all.deb").unlink()
    second = stocked.clone(synced, store="second-store")
    before = second.state()
    done = second.cape("sync").failed(SOURCE, "`hello` 1.0-1", "2026-01-02", "`cape upgrade", "--from DIR")
    assert "cape config artifacts" in done.stderr
    assert json.loads(second.cape("sync", "--json").stdout)["error"]["slug"] == "artifact-gone"
    assert second.state() == before
    second.cape("upgrade", "hello").succeeded()
    assert second.cape("run", "--", "hello").stdout == "hello 2.0-1\n"


def test_a_dated_mirror_has_what_the_mirror_deleted(stocked: World, synced: Project) -> None:
    old = stocked.place / "snapshots" / "debian" / "20260102T030405Z"
    shutil.copytree(stocked.archive.directory, old)
    (stocked.archive.directory / "pool/main/h/hello/hello_1.0-1_all.deb").unlink()
    second = stocked.clone(synced, store="second-store").with_variables(
        CAPE_DEBIAN_DATED_MIRROR=f"file://{stocked.place}/snapshots/{{archive}}/{{date}}"
    )
    second.cape("sync", "--locked").succeeded()
    assert digests(second) == digests(synced)


def test_a_destination_that_cannot_be_written_is_told(stocked: World, synced: Project) -> None:
    file = stocked.place / "file"
    file.write_text("mine")
    synced.cape("vendor", str(file)).failed(STATE, str(file))
    assert file.read_text() == "mine"


def test_what_a_store_has_is_not_fetched_again(stocked: World, synced: Project) -> None:
    stocked.server.requests.clear()
    again = stocked.clone(synced, store="store")
    again.cape("sync", "--locked").succeeded()
    assert [path for path, _ in stocked.server.requests if "/pool/" in path] == []
