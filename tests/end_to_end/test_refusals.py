"""Packages of which nothing can work here: refused when they are locked, installed when that is wanted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, Project, World, add_program, script
from tests.mirrors.loopback import Fault

MANAGER = {"usr/bin/manager": script("echo managed"), "var/lib/dpkg/info/format": b"1\n"}
MODULE = {"usr/lib/modules/6.1/kernel/net/wg.ko": b"\x7fELF"}
FORCED = '{ debian = "*", force = true }'


def stocked_with_useless(world: World) -> World:
    world.archive.add("manager", "1.0-1", architecture="all", files=MANAGER)
    world.archive.add("wg-modules", "1.0-1", architecture="all", files=MODULE)
    world.archive.add("wg", "1.0-1", architecture="all", files={}, depends="wg-modules")
    add_program(world.archive, "served", files={"usr/lib/systemd/system/served.service": b"[Unit]\n"})
    add_program(world.archive, "hello")
    world.publish()
    return world


def test_lock_refuses_a_package_of_which_nothing_can_work(world: World) -> None:
    project = stocked_with_useless(world).project(hello="*", manager="*")
    done = project.cape("lock").failed(INPUT, "`manager` is a package manager", "force = true")
    assert f"{project.manifest}:11:1" in done.stderr
    assert not project.lock.exists()


def test_lock_names_every_package_that_is_refused(world: World) -> None:
    project = stocked_with_useless(world).project(manager="*", wg_modules="*")
    project.cape("lock").failed(INPUT, "`manager` is", "`wg-modules` holds nothing but kernel modules")


def test_a_package_that_only_leads_to_a_refused_one_is_refused(world: World) -> None:
    project = stocked_with_useless(world).project(wg="*")
    project.cape("lock").failed(INPUT, "`wg` is there for others only: `wg-modules` holds nothing")


def test_install_of_a_refused_package_changes_nothing(world: World) -> None:
    project = stocked_with_useless(world).project(hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    project.cape("install", "manager").failed(INPUT, "`manager` is a package manager")
    assert project.state() == before


def test_a_dry_run_refuses_by_the_paths_alone(world: World) -> None:
    """It brings nothing into the store: a deb's beginning lists its regular files, not its directories."""
    project = stocked_with_useless(world).project(served="*")
    done = project.cape("lock", "--dry-run").succeeded()
    assert "looked at by `cape sync`" in done.stderr
    assert not (project.store / "artifacts").exists()


def test_a_forced_package_is_installed_with_a_note(world: World) -> None:
    project = stocked_with_useless(world).project(manager=FORCED)
    assert "`manager` is a package manager" in project.cape("lock").succeeded().stderr
    assert "it is forced" in project.cape("sync").succeeded().stderr
    assert project.cape("run", "--", "manager").stdout == "managed\n"


def test_a_package_that_works_in_part_is_noted_once(world: World) -> None:
    project = stocked_with_useless(world).project(served="*")
    done = project.cape("sync").succeeded()
    assert done.stderr.count("has units of systemd (`served.service`)") == 1


def test_an_unchanged_row_is_not_told_of_again(world: World) -> None:
    project = stocked_with_useless(world).project(served="*")
    project.cape("lock").succeeded()
    project.manifest.write_text(project.manifest.read_text() + 'hello = "*"\n')
    assert "served.service" not in project.cape("lock").succeeded().stderr


def test_sync_refuses_what_a_lock_made_elsewhere_brings(world: World) -> None:
    """A lock may have been made where no artifact could be looked at, or by hand."""
    project = stocked_with_useless(world).project(manager=FORCED)
    project.cape("lock").succeeded()
    for file in (project.manifest, project.lock):
        text = file.read_text().replace(FORCED, '"*"').replace('"options":{"force":"true"},', "")
        file.write_text(text)
    before = project.state()
    project.cape("sync").failed(INPUT, "`manager` is a package manager")
    assert project.state() == before


def test_a_lock_is_made_though_artifacts_cannot_be_fetched(world: World) -> None:
    """The indices answer, the pool does not: nobody waits for long, and sync will ask again."""
    project = stocked_with_useless(world).project(manager="*", served="*")
    for file in world.archive.directory.rglob("*.deb"):
        path = f"/{file.relative_to(world.archive.directory)}"
        world.server.always[path] = Fault(stall=True)
    started = time.monotonic()
    told = project.cape("lock").succeeded().stderr
    assert "whether all of `manager`, `served` works here is looked at by `cape sync`" in told
    assert time.monotonic() - started < 20
    world.server.always.clear()
    project.cape("sync").failed(INPUT, "`manager` is a package manager")


def test_show_repeats_what_will_not_work(world: World) -> None:
    project = stocked_with_useless(world).project(served="*")
    project.cape("lock").succeeded()
    assert "note: `served` has units of systemd" in project.cape("show", "served").succeeded().stdout


REAL = {
    "opendoas": "needs the rights of root for `doas` by a setuid bit",
    "systemd-sysv": "is an init system",
    "linux-image-cloud-amd64": "is there for others only",
    "libpam-pwquality": "holds nothing but modules of PAM",
}


@pytest.mark.network
def test_real_packages_are_refused_and_no_other(tmp_path: Path) -> None:
    """`dbus` is a unit, and leads to `dbus-daemon` and `dbus-bin`, whose programs work."""
    names = [*REAL, "dbus", "fuse3"]
    rows = "".join(f'{name} = "*"\n' for name in names)
    head = 'schema = 1\n[environment]\nsystems = ["x86_64-linux"]\ndebian = "trixie"\n[packages]\n'
    store = {"CAPE_STORE": str(tmp_path / "store")}
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "NO_COLOR": "1"}
    project = Project(directory=tmp_path, environment=home | store)
    project.manifest.write_text(head + rows)
    done = project.cape("lock").failed(INPUT, *REAL.values())
    assert done.stderr.count("error: ") == len(REAL)
    project.manifest.write_text(head + 'dbus = "*"\nfuse3 = "*"\n')
    assert "rights of root (`fusermount3`)" in project.cape("lock").succeeded().stderr
