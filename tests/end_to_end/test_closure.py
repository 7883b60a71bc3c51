"""A lock whose packages need what none has: told when it is locked, as far as the packages are here."""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.harness import STATE, Project, World
from tests.end_to_end.test_native import ARCHITECTURE, TRIPLET, libraries_of

LACKING = "#!/usr/bin/tclsh\nputs lacking\n"


@pytest.fixture
def archive(world: World) -> World:
    """An archive with this machine's C library, a program that lacks one, and scripts."""
    libraries = libraries_of("/bin/ls") if shutil.which("ldd") else {}
    others = sorted(name for name in libraries if name.startswith("libselinux"))
    if not ARCHITECTURE or "libc.so.6" not in libraries or not others:
        pytest.skip("this machine's `ls` is not Debian's")
    files = {f"usr/lib/{TRIPLET}/{name}": Path(path).read_bytes() for name, path in libraries.items()}
    selinux = {path: files.pop(path) for path in list(files) if "libselinux" in path}
    program = Path(os.path.realpath("/bin/ls")).read_bytes()
    world.archive.add("libc6", architecture=ARCHITECTURE, files=files, runnable=list(files))
    world.archive.add("libselinux1", architecture=ARCHITECTURE, files=selinux, depends="libc6")
    world.archive.add("lister", architecture=ARCHITECTURE, files={"usr/bin/lister": program}, depends="libc6")
    world.archive.add(
        "speaker", architecture="all", files={"usr/bin/speaker": LACKING.encode()}, depends="libc6"
    )
    world.archive.add(
        "both",
        architecture="all",
        files={"usr/bin/one": b"#!/bin/sh\n", "usr/bin/two": b"#!/usr/bin/env python9\n"},
        links={"usr/bin/sh": "dash"},
        depends="libc6, dash",
    )
    world.archive.add(
        "dash", architecture=ARCHITECTURE, files={"usr/bin/dash": program}, depends="libselinux1"
    )
    listed = f"usr/lib/{TRIPLET}/{others[0]}    libs/libselinux1\nusr/bin/tclsh    interpreters/tcl\n"
    contents = {f"main/Contents-{ARCHITECTURE}.gz": gzip.compress(listed.encode(), mtime=0)}
    world.publish(more=contents)
    return world


def project_here(world: World, **packages: str) -> Project:
    """A project for this machine's system."""
    project = world.project(**packages)
    system = f'systems = ["{platform.machine()}-linux"]'
    project.manifest.write_text(re.sub(r"systems = .*", system, project.manifest.read_text()))
    return project


def test_lock_says_what_it_leaves_for_sync(archive: World) -> None:
    project = project_here(archive, lister="*")
    assert "1 package is not in the store yet" in project.cape("lock").succeeded().stderr


def test_sync_names_the_package_that_has_a_missing_library(archive: World) -> None:
    project = project_here(archive, lister="*")
    done = project.cape("sync").failed(STATE, "needs `libselinux.so.1`", "`cape install libselinux1`")
    assert "`libselinux1` has it" in done.stderr


def test_lock_refuses_a_program_that_lacks_a_library_when_all_is_at_hand(archive: World) -> None:
    project = project_here(archive, lister="*", libc6="*")
    project.cape("lock").failed(STATE, "needs `libselinux.so.1`", "`libselinux1` has it")
    assert not project.lock.exists()


def test_lock_checks_what_an_earlier_sync_unpacked(archive: World) -> None:
    project = project_here(archive, libc6="*")
    project.cape("sync").succeeded()
    project.manifest.write_text(project.manifest.read_text() + 'lister = "*"\n')
    project.cape("lock").failed(STATE, "needs `libselinux.so.1`")


@pytest.mark.parametrize("command", ["lock", "sync"])
def test_a_package_whose_scripts_have_no_interpreter_is_refused(archive: World, command: str) -> None:
    project = project_here(archive, speaker="*", libc6="*")
    done = project.cape(command).failed(STATE, "`speaker` (speaker) is run by `/usr/bin/tclsh`")
    assert "`tcl` has it: `cape install tcl`" in done.stderr


@pytest.mark.parametrize("command", ["lock", "sync"])
def test_one_script_without_interpreter_is_a_note(archive: World, command: str) -> None:
    project = project_here(archive, both="*", libc6="*", dash="*", libselinux1="*")
    told = project.cape(command).succeeded().stderr
    assert "note: `two` (both) is run by `python9`, which no package of the environment has" in told
    assert "`one`" not in told
