"""Packages that want to write where they have no business: refused, with nothing written outside."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.end_to_end.harness import INTEGRITY, Project, World, files_below
from tests.mirrors.debian import entry, make_deb

LINK, HARD, CHARACTER, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE


def escapes(outside: Path) -> dict[str, list[tuple[tarfile.TarInfo, bytes]]]:
    """Ways out, each of which would make `victim` in `outside` if it were followed."""
    up = "../" * 40 + str(outside).lstrip("/")
    return {
        "a path with ..": [(entry(f"./usr/{up}/victim"), b"x")],
        "a path that begins with ..": [(entry("../victim"), b"x")],
        "a file through an absolute link": [
            (entry("./usr/away", kind=LINK, link=str(outside)), b""),
            (entry("./usr/away/victim"), b"x"),
        ],
        "a file through a relative link": [
            (entry("./usr/away", kind=LINK, link=up), b""),
            (entry("./usr/away/victim"), b"x"),
        ],
        "a file through two links": [
            (entry("./usr/a", kind=LINK, link="b"), b""),
            (entry("./usr/b", kind=LINK, link=up), b""),
            (entry("./usr/a/victim"), b"x"),
        ],
        "a directory through a link": [
            (entry("./usr/away", kind=LINK, link=str(outside)), b""),
            (entry("./usr/away/victim/", kind=tarfile.DIRTYPE, mode=0o755), b""),
        ],
        "a hard link to a file outside": [(entry("./usr/mine", kind=HARD, link=f"{outside}/secret"), b"")],
        "a hard link to a file above": [(entry("./usr/mine", kind=HARD, link=f"{up}/secret"), b"")],
        "a link in the place of a file, written through": [
            (entry("./usr/file", kind=LINK, link=f"{outside}/victim"), b""),
            (entry("./usr/file"), b"x"),
        ],
        "a directory of the tree itself as a link": [
            (entry("./usr", kind=LINK, link=str(outside)), b""),
            (entry("./usr/victim"), b"x"),
        ],
    }


HARMLESS = ("a link in the place of a file, written through",)
"""What dpkg does too: the later entry takes the place of the earlier one."""


@pytest.mark.parametrize("way", escapes(Path("/")))
def test_a_package_that_escapes_is_refused(stocked: World, way: str) -> None:
    outside = stocked.directory("outside")
    (outside / "secret").write_text("secret")
    control = "Package: evil\nVersion: 1-1\nArchitecture: all\nDescription: evil\n"
    deb = make_deb(control, escapes(outside)[way])
    stocked.archive.add("evil", "1-1", architecture="all", deb=deb)
    stocked.publish()
    project = stocked.project(hello="*")
    before, around = project.state(), files_below(outside)
    done = project.cape("install", "evil")
    if way in HARMLESS:
        done.succeeded()
    else:
        done.failed(INTEGRITY, "`evil` 1-1: the deb has a path that leads out of its tree")
        assert project.state() == before
    assert files_below(outside) == around
    assert all(project.store in file.parents for file in stocked.place.rglob("victim"))
    assert not _linked_outside(project, outside)


def _linked_outside(project: Project, outside: Path) -> bool:
    inode = (outside / "secret").stat().st_ino
    return any(file.lstat().st_ino == inode for file in project.store.rglob("*"))


@pytest.mark.parametrize("kind", [CHARACTER, tarfile.BLKTYPE, FIFO])
def test_a_package_with_a_device_is_refused(stocked: World, kind: bytes) -> None:
    members = [(entry("./usr/thing", kind=kind), b"")]
    control = "Package: evil\nVersion: 1-1\nArchitecture: all\nDescription: evil\n"
    stocked.archive.add("evil", "1-1", architecture="all", deb=make_deb(control, members))
    stocked.publish()
    project = stocked.project(evil="*")
    project.cape("sync").failed(INTEGRITY, "evil")


@pytest.mark.parametrize("deb", [b"", b"!<arch>\n", b"<html></html>", b"!<arch>\nfull of nonsense" * 9])
def test_a_deb_that_is_none_is_refused(stocked: World, deb: bytes) -> None:
    stocked.archive.add("evil", "1-1", architecture="all", deb=deb)
    stocked.publish()
    project = stocked.project(evil="*")
    before = project.state()
    project.cape("sync").failed(INTEGRITY, "evil")
    assert (project.state().current, before.current) == (None, None)


def test_a_setuid_program_loses_its_bit(stocked: World) -> None:
    control = "Package: su\nVersion: 1-1\nArchitecture: all\nDescription: su\n"
    deb = make_deb(control, [(entry("./usr/bin/su", mode=0o6755), b"no program\n")])
    stocked.archive.add("su", "1-1", architecture="all", deb=deb)
    stocked.publish()
    project = stocked.project(su='{ debian = "*", force = true }')
    project.cape("sync").succeeded()
    modes = {file.stat().st_mode & 0o7000 for file in project.store.rglob("su") if file.is_file()}
    assert modes == {0}
