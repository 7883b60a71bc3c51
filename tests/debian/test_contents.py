"""What a deb holds, told without unpacking it, is what unpacking it gives; and set-user bits are noted."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from cape.analysis.contents import gather
from cape.names import System
from cape.sources.debian.deb import contents, listed_paths, unpack
from cape.sources.debian.errors import DamagedPackage
from tests.mirrors.debian import entry, make_deb

CONTROL = "Package: tool\nVersion: 1\nArchitecture: amd64\n"
SCRIPTS = {
    "postinst": b"#!/bin/sh\nchmod 4755 /usr/bin/late\n",
    "md5sums": b"0 usr/bin/su\n".replace(b" ", b"  ") + b"0  bin/script\n",
}
MEMBERS = [
    (entry("./", kind=tarfile.DIRTYPE, mode=0o755), b""),
    (entry("./usr/bin/", kind=tarfile.DIRTYPE, mode=0o755), b""),
    (entry("./usr/bin/su", mode=0o4755), b"\x7fELF..."),
    (entry("./usr/bin/wall", mode=0o2755), b"x" * 700),
    (entry("./bin/script", mode=0o755), b"#!/usr/bin/perl -w\nprint 1;\n"),
    (entry("./usr/bin/sh", kind=tarfile.SYMTYPE, link="../../bin/dash"), b""),
    (entry("./usr/bin/other", kind=tarfile.LNKTYPE, link="./bin/script"), b""),
    (entry("./var/lib/tool/", kind=tarfile.DIRTYPE, mode=0o700), b""),
    (entry("./usr/share/data", mode=0o644), b"#!/not/a/script"),
]


@pytest.fixture(params=["xz", "gz", ""])
def deb(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "tool.deb"
    path.write_bytes(make_deb(CONTROL, MEMBERS, scripts=SCRIPTS, compression=request.param))
    return path


def test_contents_are_what_unpacking_gives(deb: Path, tmp_path: Path) -> None:
    unpack(deb, tmp_path / "tree", package="tool")
    there = {
        str(path.relative_to(tmp_path / "tree"))
        for path in (tmp_path / "tree" / "root").rglob("*")
        if "var/lib/cape" not in str(path)
    }
    told = {one.path: one for one in contents(deb) if not one.path.startswith("control/")}
    assert {path for path, one in told.items() if one.kind != "d"} <= there
    for path, one in told.items():
        if one.kind == "l":
            assert os.readlink(tmp_path / "tree" / path) == one.target
        if one.kind == "h":
            assert os.path.samefile(tmp_path / "tree" / path, tmp_path / "tree" / one.target)


def test_modes_have_the_bits_that_unpacking_takes_away(deb: Path) -> None:
    modes = {one.path: one.mode for one in contents(deb)}
    assert modes["root/usr/bin/su"] == 0o4755
    assert modes["root/usr/bin/wall"] == 0o2755


def test_unpacking_notes_the_bits_that_it_takes_away(deb: Path, tmp_path: Path) -> None:
    unpack(deb, tmp_path / "tree", package="tool")
    noted = tmp_path / "tree" / "root/var/lib/cape/control/tool/privileged"
    assert noted.read_text() == "4755 usr/bin/su\n2755 usr/bin/wall\n"
    assert (tmp_path / "tree" / "root/usr/bin/su").stat().st_mode & 0o7000 == 0


def test_a_package_without_such_bits_gets_no_note(tmp_path: Path) -> None:
    path = tmp_path / "plain.deb"
    path.write_bytes(make_deb(CONTROL, MEMBERS[:2]))
    unpack(path, tmp_path / "tree", package="plain")
    assert not list((tmp_path / "tree").rglob("privileged"))


def test_bytes_may_be_read_or_left(deb: Path) -> None:
    read = {one.path: one.read() for one in contents(deb) if one.path.endswith(("script", "postinst"))}
    assert read["root/usr/bin/script"].startswith(b"#!/usr/bin/perl")
    assert read["control/postinst"] == SCRIPTS["postinst"]


def test_scripts_and_maintainer_scripts_are_gathered(deb: Path) -> None:
    found = gather(contents(deb), System.X86_64_LINUX)
    assert found.scripts == {"root/usr/bin/script": "/usr/bin/perl -w"}
    assert found.control == {"postinst": SCRIPTS["postinst"].decode()}
    assert [file.path for file in found.files if file.kind == "d"][-1] == "root/var/lib/tool"


def test_the_beginning_of_a_deb_tells_its_paths(deb: Path) -> None:
    data = deb.read_bytes()
    control_end = data.index(b"data.tar")
    assert listed_paths(data[:control_end], where=deb) == ("root/usr/bin/su", "root/usr/bin/script")
    assert listed_paths(data[: control_end - 40], where=deb) is None
    assert listed_paths(b"<!DOCTYPE html>", where=deb) is None


def test_a_damaged_beginning_is_told(deb: Path) -> None:
    data = bytearray(deb.read_bytes())
    data[140:200] = b"\xff" * 60
    with pytest.raises(DamagedPackage):
        listed_paths(bytes(data), where=deb)
