"""Disks that are full, not writable, or without hard links; stores of other users."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.harness import CAPE, STATE, Done, Project, World, add_program, noise

NOBODY = 1000
READING = "+dac_read_search"
BECOME_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *(f"--inh-caps={READING}", f"--ambient-caps={READING}"),
)
"""An ordinary user, with one right more: to read what is closed to others."""


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    """A file system of its own at `place`, or a skip."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("size_kb", [16, 64, 300, 420, 700, 840, 1100])
def test_a_full_disk_is_told_and_changes_nothing(stocked: World, size_kb: int) -> None:
    """Sizes at which the indices, the download, the object or the environment no longer fit."""
    add_program(stocked.archive, "big", files={"usr/share/big/noise": noise(400_000)})
    stocked.publish()
    project = stocked.project(big="*")
    before = project.state()
    with small_disk(project.store, f"size={size_kb}k"):
        done = project.cape("sync")
        if done.code:
            done.failed(STATE, "room")
            assert "hint: " in done.stderr
            assert project.state() == before
        assert not list(project.store.glob("objects/.*")), "half of an object"
        assert not list(project.store.glob("environments/.*")), "half of an environment"
        assert done.code == (0 if size_kb > 1000 else done.code)
        assert done.code == (STATE if size_kb < 800 else done.code)


def test_a_full_disk_that_gets_room_is_used_again(stocked: World) -> None:
    add_program(stocked.archive, "big", files={"usr/share/big/noise": noise(400_000)})
    stocked.publish()
    project = stocked.project(big="*")
    with small_disk(project.store, "size=600k"):
        project.cape("sync").failed(STATE, "room")
        subprocess.run(["mount", "-o", "remount,size=8m", project.store], check=True)
        project.cape("sync").succeeded()
        assert project.cape("run", "--", "big").stdout == "big 1.0-1\n"


def test_a_full_disk_under_the_project_changes_nothing(stocked: World) -> None:
    project = stocked.project(hello="*")
    text = project.manifest.read_text()
    with small_disk(project.directory, "size=512k"):
        project.manifest.write_text(text)
        project.cape("sync").succeeded()
        before = project.state()
        ballast = project.directory / "ballast"
        with pytest.raises(OSError), open(ballast, "wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)
        project.cape("install", "tool").failed(STATE, "room")
        assert project.state() == before
        ballast.unlink()
        project.cape("install", "tool").succeeded()


def test_a_project_disk_that_is_full_at_any_step_ends_old_or_new(stocked: World) -> None:
    """With one page more room each time, another step of the switch is the one that fails."""
    project = stocked.project(hello="*")
    text = project.manifest.read_text()
    codes = []
    for pages in range(0, 48, 3):
        with small_disk(project.directory, "size=512k"):
            project.manifest.write_text(text)
            project.cape("sync").succeeded()
            before = project.state()
            free = os.statvfs(project.directory)
            (project.directory / "ballast").write_bytes(b"x" * (free.f_bavail - pages) * free.f_bsize)
            done = project.cape("install", "tool")
            codes.append(done.code)
            if done.code:
                done.failed(STATE, "room")
                assert project.state() == before
                assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
            else:
                assert project.cape("run", "--", "tool").stdout == "tool 1.0-1\n"
    assert set(codes) == {0, STATE}
    assert codes == sorted(codes, reverse=True)


def test_a_collection_makes_room_on_disks_that_have_none(stocked: World) -> None:
    """Project and store are both full to the last byte: what frees room needs none."""
    add_program(stocked.archive, "big", files={"usr/share/big/noise": noise(400_000)})
    stocked.publish()
    project = stocked.project(hello="*", big="*")
    text = project.manifest.read_text()
    with small_disk(project.store, "size=4m"), small_disk(project.directory, "size=512k"):
        project.manifest.write_text(text)
        project.cape("sync").succeeded()
        project.cape("uninstall", "big").succeeded()
        for place in (project.store, project.directory):
            with pytest.raises(OSError), open(place / "ballast", "wb", buffering=0) as stream:
                while True:
                    stream.write(b"x" * 4096)
        project.cape("gc", "--keep", "1", "--dry-run").succeeded()
        project.cape("gc", "--keep", "1").succeeded()
        assert os.statvfs(project.store).f_bavail * os.statvfs(project.store).f_bsize > 400_000
        assert project.cape("run", "--", "hello").succeeded().stdout == "hello 1.0-1\n"


@pytest.mark.parametrize("which", ["a file", "below a file"])
def test_a_store_that_is_no_directory_is_told(synced: Project, which: str) -> None:
    file = synced.directory / "file"
    file.write_text("mine")
    before = synced.state()
    place = str(file if which == "a file" else file / "store")
    done = synced.cape("install", "tool", CAPE_STORE=place).failed(STATE, str(file))
    assert "hint: " in done.stderr
    assert synced.state() == before
    assert file.read_text() == "mine"


@contextmanager
def as_nobody(project: Project) -> Iterator[Project]:
    """The project, in the hands of an ordinary user who may not write to its store."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    for path in (project.directory, *project.directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    yield project


def run_as_nobody(project: Project, *words: str, **more: str) -> Done:
    """Run a command as an ordinary user, who may read everything: the checkout may be closed to others."""
    ended = subprocess.run(
        [*BECOME_NOBODY, CAPE, *words],
        cwd=project.directory,
        env={**project.environment, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(words=words, code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


@pytest.fixture
def open_place(stocked: World) -> Iterator[World]:
    """A world where commands may be run as an ordinary user; what pytest closed to others is open."""
    check = [*BECOME_NOBODY, CAPE, "--version"]
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root may become another user")
    if subprocess.run(check, cwd=stocked.place, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root become another user")
    modes = {one: one.stat().st_mode & 0o7777 for one in (stocked.place, *stocked.place.parents)}
    closed = {one: mode for one, mode in modes.items() if not mode & 0o001}
    for one, mode in closed.items():
        one.chmod(mode | 0o011)
    yield stocked
    for one, mode in closed.items():
        one.chmod(mode)


def test_a_store_of_another_user_is_told(open_place: World) -> None:
    project = open_place.project(hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    with as_nobody(project):
        done = run_as_nobody(project, "install", "tool").failed(STATE, str(project.store), "hint: ")
        assert "Permission" not in done.stdout
        assert project.state() == before


def test_an_ordinary_user_has_a_store_of_their_own(open_place: World) -> None:
    project = open_place.project(hello="*")
    home = open_place.directory("their-home")
    os.chown(home, NOBODY, NOBODY)
    with as_nobody(project):
        run_as_nobody(project, "sync", CAPE_STORE="", HOME=str(home), XDG_CONFIG_HOME="").succeeded()
        said = run_as_nobody(project, "run", "--", "hello", CAPE_STORE="", HOME=str(home))
    assert said.succeeded().stdout == "hello 1.0-1\n"
    assert (home / ".local/share/cape/objects").is_dir()


def test_a_project_that_cannot_be_written_is_told(open_place: World) -> None:
    project = open_place.project(hello="*")
    run_as_nobody(project, "sync", CAPE_STORE=str(open_place.place / "x")).failed(
        STATE, "cannot be written", "hint: "
    )
    assert not (project.directory / ".cape").exists()


def test_a_manifest_that_cannot_be_written_stays_and_nothing_tries_again(open_place: World) -> None:
    project = open_place.project(hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    with as_nobody(project):
        store = str(open_place.directory("their-store"))
        os.chown(store, NOBODY, NOBODY)
        run_as_nobody(project, "sync", CAPE_STORE=store).succeeded()
        before = project.state()
        project.directory.chmod(0o555)
        done = run_as_nobody(project, "install", "tool", CAPE_STORE=store)
        done.failed(STATE, "cannot be written", "hint: ")
        assert project.state() == before
        said = run_as_nobody(project, "run", "--", "hello", CAPE_STORE=store).succeeded()
        assert said.stdout == "hello 1.0-1\n"
        project.directory.chmod(0o755)
        run_as_nobody(project, "install", "tool", CAPE_STORE=store).succeeded()


def test_an_environment_on_another_disk_is_made_of_copies(stocked: World) -> None:
    """`link` gives EXDEV there, as it would on a file system without hard links."""
    linked = stocked.project(hello="*", tool="*")
    linked.cape("sync").succeeded()
    copied = stocked.clone(linked, store="split-store")
    with small_disk(copied.store / "environments", "size=4m"):
        copied.cape("sync", "--locked").succeeded()
        assert copied.cape("run", "--", "tool").stdout == "tool 1.0-1\n"
        files = [file for file in (copied.store / "environments").rglob("*") if file.is_file()]
        assert {file.lstat().st_nlink for file in files if not file.is_symlink()} == {1}
        assert copied.cape("list", "--json").stdout == linked.cape("list", "--json").stdout
        copied.cape("doctor", "--verify").succeeded()


def test_a_store_that_is_removed_is_made_again(synced: Project) -> None:
    shutil.rmtree(synced.store)
    before = synced.state()
    assert synced.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    assert synced.state().lock == before.lock


def test_removing_project_and_store_leaves_nothing(stocked: World) -> None:
    """One directory, and `rm -rf` uninstalls it: no file is written anywhere else."""
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    project.cape("run", "--", "hello").succeeded()
    home = Path(project.environment["HOME"])
    assert list(home.rglob("*")) == []
