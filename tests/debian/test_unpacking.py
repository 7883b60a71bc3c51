"""What a deb becomes, and what no deb may do."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cape.errors import CapeError
from cape.sources.debian.deb import unpack
from cape.sources.debian.errors import DamagedPackage, EscapingPath, UnreadableCompression
from tests.mirrors.debian import MTIME, compress, entry, make_ar, make_deb, make_tar, tree_members

CONTROL = "Package: tool\nVersion: 1\nArchitecture: amd64\n"


def _unpacked(tmp_path: Path, deb: bytes) -> Path:
    artifact = tmp_path / "tool.deb"
    artifact.write_bytes(deb)
    into = tmp_path / "into"
    unpack(artifact, into, package="tool")
    return into / "root"


def _plain(files: dict[str, bytes], links: dict[str, str] | None = None, compression: str = "xz") -> bytes:
    return make_deb(CONTROL, tree_members(files, links or {}), compression=compression)


@pytest.mark.parametrize("compression", ["xz", "gz", ""])
def test_files_keep_bytes_modes_and_times(tmp_path: Path, compression: str) -> None:
    content = os.urandom(700_001)
    root = _unpacked(
        tmp_path, _plain({"usr/bin/tool": content, "etc/tool.conf": b""}, compression=compression)
    )
    tool = root / "usr/bin/tool"
    assert tool.read_bytes() == content
    assert stat.S_IMODE(tool.stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "etc/tool.conf").stat().st_mode) == 0o644
    assert {int(path.lstat().st_mtime) for path in root.rglob("*") if "var" not in path.parts} == {MTIME}


def test_control_files_are_kept_apart(tmp_path: Path) -> None:
    deb = make_deb(CONTROL, tree_members({"usr/x": b""}, {}), scripts={"postinst": b"#!/bin/sh\n"})
    control = _unpacked(tmp_path, deb) / "var/lib/cape/control/tool"
    assert (control / "control").read_text() == CONTROL
    assert (control / "postinst").read_bytes() == b"#!/bin/sh\n"


def test_top_directories_are_merged_below_usr(tmp_path: Path) -> None:
    files = {"bin/sh": b"s", "sbin/init": b"i", "lib/x/y.so": b"y", "lib64/ld.so": b"l", "usr/bin/z": b"z"}
    root = _unpacked(tmp_path, _plain(files))
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert found >= {"usr/bin/sh", "usr/sbin/init", "usr/lib/x/y.so", "usr/lib64/ld.so", "usr/bin/z"}
    assert not (root / "bin").exists()


def test_the_links_of_a_merged_system_stay(tmp_path: Path) -> None:
    root = _unpacked(tmp_path, _plain({"usr/x": b""}, {"bin": "usr/bin", "lib64": "usr/lib64"}))
    assert os.readlink(root / "bin") == "usr/bin"
    assert os.readlink(root / "lib64") == "usr/lib64"


def test_links_lead_where_they_would_in_an_installed_system(tmp_path: Path) -> None:
    links = {
        "lib/a/libx.so": "libx.so.1",
        "bin/editor": "../usr/share/editor",
        "usr/lib/liby.so": "../../lib/liby.so.1",
        "usr/share/absolute": "/etc/alternatives/absolute",
        "usr/share/beside": "./other",
    }
    root = _unpacked(tmp_path, _plain({"usr/x": b""}, links))
    assert os.readlink(root / "usr/lib/a/libx.so") == "libx.so.1"
    assert os.readlink(root / "usr/bin/editor") == "../share/editor"
    assert os.readlink(root / "usr/lib/liby.so") == "liby.so.1"
    assert os.readlink(root / "usr/share/absolute") == "/etc/alternatives/absolute"


def test_hard_links_are_hard_links(tmp_path: Path) -> None:
    members = tree_members({"bin/perl": b"p"}, {})
    members.append((entry("./usr/bin/perl5", kind=tarfile.LNKTYPE, link="./bin/perl"), b""))
    root = _unpacked(tmp_path, make_deb(CONTROL, members))
    assert (root / "usr/bin/perl").samefile(root / "usr/bin/perl5")


def test_set_user_bits_are_dropped(tmp_path: Path) -> None:
    root = _unpacked(tmp_path, make_deb(CONTROL, [(entry("./usr/su", mode=0o6755), b"s")]))
    assert stat.S_IMODE((root / "usr/su").stat().st_mode) == 0o755


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_strange_names_are_kept(tmp_path: Path, format: int) -> None:
    long = "usr/" + "/".join(["d" * 80] * 4) + "/é\t ü"
    members = [
        (entry(f"./{long}"), b"long"),
        (entry("./usr/link", kind=tarfile.SYMTYPE, link="t" * 300), b""),
    ]
    tars = {
        "control.tar": make_tar([(entry("./control"), b"")]),
        "data.tar": make_tar(members, format=format),
    }
    root = _unpacked(tmp_path, make_ar({"debian-binary": b"2.0\n", **tars}))
    assert (root / long).read_bytes() == b"long"
    assert os.readlink(root / "usr/link") == "t" * 300


ESCAPES: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    "dots": [(entry("../evil"), b"x")],
    "dots inside": [(entry("./usr/../../evil"), b"x")],
    "absolute": [(entry("/evil"), b"x")],
    "through a link": [(entry("./a", kind=tarfile.SYMTYPE, link=".."), b""), (entry("./a/evil"), b"x")],
    "through an absolute link": [
        (entry("./a", kind=tarfile.SYMTYPE, link="OUTSIDE"), b""),
        (entry("./a/evil"), b"x"),
    ],
    "through a merged link": [
        (entry("./usr/lib", kind=tarfile.SYMTYPE, link="OUTSIDE"), b""),
        (entry("./lib/evil"), b"x"),
    ],
    "a directory through a link": [
        (entry("./a", kind=tarfile.SYMTYPE, link="OUTSIDE"), b""),
        (entry("./a/evil/", kind=tarfile.DIRTYPE), b""),
    ],
    "a hard link to outside": [(entry("./evil", kind=tarfile.LNKTYPE, link="../secret"), b"")],
    "a hard link to a link": [
        (entry("./a", kind=tarfile.SYMTYPE, link="../../secret"), b""),
        (entry("./evil", kind=tarfile.LNKTYPE, link="./a"), b""),
    ],
    "a hard link through a link": [
        (entry("./a", kind=tarfile.SYMTYPE, link="OUTSIDE"), b""),
        (entry("./evil", kind=tarfile.LNKTYPE, link="./a/secret"), b""),
    ],
    "a hard link to nothing": [(entry("./evil", kind=tarfile.LNKTYPE, link="./nothing"), b"")],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    for member, _ in ESCAPES[name]:
        member.linkname = member.linkname.replace("OUTSIDE", str(outside))
    with pytest.raises(EscapingPath, match="leads out of its tree"):
        _unpacked(tmp_path, make_deb(CONTROL, ESCAPES[name]))
    assert not list(tmp_path.rglob("evil"))
    assert [path.name for path in outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("part", ["control.tar", "data.tar"])
def test_control_files_cannot_lead_out_either(tmp_path: Path, part: str) -> None:
    parts = {"control.tar": make_tar([(entry("./control"), b"")]), "data.tar": make_tar([])}
    parts[part] = make_tar([(entry("./../../evil"), b"x")])
    with pytest.raises(EscapingPath):
        _unpacked(tmp_path, make_ar({"debian-binary": b"2.0\n", **parts}))


def test_a_file_in_place_of_a_link_does_not_write_through_it(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    members = [(entry("./a", kind=tarfile.SYMTYPE, link=str(victim)), b""), (entry("./a"), b"theirs")]
    root = _unpacked(tmp_path, make_deb(CONTROL, members))
    assert victim.read_text() == "mine"
    assert (root / "a").read_text() == "theirs"


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(DamagedPackage, match="special file"):
        _unpacked(tmp_path, make_deb(CONTROL, [(entry("./dev/evil", kind=kind), b"")]))


def test_zstandard_is_refused_clearly_where_python_cannot_read_it(tmp_path: Path) -> None:
    deb = make_ar({"debian-binary": b"2.0\n", "control.tar.zst": b"(\xb5/\xfd", "data.tar.zst": b""})
    with pytest.raises((UnreadableCompression, DamagedPackage)):
        _unpacked(tmp_path, deb)


@pytest.mark.parametrize(
    "deb",
    [
        b"",
        b"!<arch>\n",
        b"<html>",
        make_ar({"debian-binary": b"2.0\n"}),
        make_ar({"control.tar": make_tar([]), "data.tar.bogus": b""}),
        make_ar({"control.tar.xz": b"not xz", "data.tar.xz": compress(make_tar([]), "xz")}),
        make_ar({"control.tar": b"\xff" * 512, "data.tar": make_tar([])}),
        make_ar({"control.tar": make_tar([]), "data.tar": b"\0" * 100}),
    ],
)
def test_what_is_no_deb_is_refused(tmp_path: Path, deb: bytes) -> None:
    with pytest.raises(DamagedPackage):
        _unpacked(tmp_path, deb)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_an_error_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(_plain({"usr/bin/tool": b"x" * 2000, "usr/y": b"y"}, compression="gz"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(whole)))
    shutil.rmtree(tmp_path / "into", ignore_errors=True)
    with contextlib.suppress(CapeError):
        _unpacked(tmp_path, bytes(whole[:length]))
    assert {path.name for path in tmp_path.iterdir()} <= {"into", "tool.deb"}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on this machine")
def test_a_deb_of_dpkg_unpacks_to_the_same_tree(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN/control").write_text(
        "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@invalid>\nDescription: x\n"
    )
    (source / "usr/share" / ("n" * 120)).mkdir(parents=True)
    (source / "usr/share" / ("n" * 120) / "file").write_bytes(b"content" * 9999)
    (source / "usr/share/link").symlink_to("n" * 120)
    subprocess.run(
        ["dpkg-deb", "--build", "-Zxz", source, tmp_path / "tool.deb"], check=True, capture_output=True
    )
    listing = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", tmp_path / "tool.deb"], check=True, capture_output=True
    ).stdout
    root = _unpacked(tmp_path, (tmp_path / "tool.deb").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(listing)) as archive:
        for member in archive:
            path = root / member.name
            assert path.is_dir() == (member.isdir() or member.issym())
            if member.isfile():
                assert path.stat().st_size == member.size
            if not member.issym():
                assert stat.S_IMODE(path.stat().st_mode) == member.mode
            assert int(path.lstat().st_mtime) == int(member.mtime)
