"""npm tarballs laid out below an environment: programs, modes, and archives that mean harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.sources.npm.unpacking import DamagedTarball, read_member, unpack_tarball
from tests.mirrors.npm import make_tarball

PLACE = "lib/node_modules/app"


def tarball_in(
    place: Path, files: dict[str, bytes], described: dict[str, object], *, top: str = "package"
) -> Path:
    text = json.dumps({"name": "app", "version": "1.0.0", **described}).encode()
    path = place / "app.tgz"
    path.write_bytes(make_tarball({"package.json": text, **files}, top=top))
    return path


def tarball_of(place: Path, *members: tarfile.TarInfo) -> Path:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    path = place / "app.tgz"
    path.write_bytes(gzip.compress(output.getvalue()))
    return path


def member(name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    found.size = 1 if kind == tarfile.REGTYPE else 0
    return found


def unpack(tarball: Path, into: Path, *, root: bool = True) -> None:
    unpack_tarball(tarball, into, placement=PLACE, link_programs=root)


def test_the_first_directory_is_stripped_whatever_its_name(tmp_path: Path) -> None:
    unpack(tarball_in(tmp_path, {"lib/x.js": b"x"}, {}, top="app-1.0.0"), tmp_path / "tree")
    assert (tmp_path / "tree" / PLACE / "lib/x.js").read_bytes() == b"x"


def test_programs_of_a_requested_package_are_linked_and_runnable(tmp_path: Path) -> None:
    tarball = tarball_in(
        tmp_path, {"bin/a.js": b"#!/usr/bin/env node\r\nx\r\n"}, {"bin": {"a": "./bin/a.js"}}
    )
    unpack(tarball, tmp_path / "tree")
    link = tmp_path / "tree/bin/a"
    assert os.readlink(link) == f"../{PLACE}/bin/a.js"
    assert link.read_bytes() == b"#!/usr/bin/env node\nx\r\n"
    assert stat.S_IMODE(link.stat().st_mode) == 0o755


def test_programs_of_a_dependency_are_runnable_and_not_linked(tmp_path: Path) -> None:
    unpack(tarball_in(tmp_path, {"cli.js": b"#!x\n"}, {"bin": "cli.js"}), tmp_path / "tree", root=False)
    assert not (tmp_path / "tree/bin").exists()
    assert os.access(tmp_path / "tree" / PLACE / "cli.js", os.X_OK)


def test_a_directory_of_programs_is_linked(tmp_path: Path) -> None:
    unpack(tarball_in(tmp_path, {"bin/one": b"1"}, {"directories": {"bin": "bin"}}), tmp_path / "tree")
    assert (tmp_path / "tree/bin/one").read_bytes() == b"1"


def test_a_scoped_package_with_one_program_drops_the_scope(tmp_path: Path) -> None:
    unpack(tarball_in(tmp_path, {"c.js": b""}, {"name": "@team/tool", "bin": "c.js"}), tmp_path / "tree")
    assert os.listdir(tmp_path / "tree/bin") == ["tool"]


def test_links_in_the_archive_are_left_out(tmp_path: Path) -> None:
    tarball = tarball_of(
        tmp_path,
        member("package/link", kind=tarfile.SYMTYPE, target="/etc"),
        member("package/hard", kind=tarfile.LNKTYPE, target="package/a"),
        member("package/device", kind=tarfile.CHRTYPE),
        member("package/a"),
    )
    unpack(tarball, tmp_path / "tree")
    assert os.listdir(tmp_path / "tree" / PLACE) == ["a"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "package/../../evil", "package/a\\..\\evil"])
def test_a_path_that_escapes_is_refused(tmp_path: Path, name: str) -> None:
    tarball = tarball_of(tmp_path, member(name))
    with pytest.raises(DamagedTarball, match="escapes") as caught:
        unpack(tarball, tmp_path / "deep/tree")
    assert caught.value.exit_code == 3 and caught.value.where == str(tarball)
    assert sorted(os.listdir(tmp_path)) == ["app.tgz", "deep"]


@pytest.mark.parametrize("bins", [{"../../x": "a"}, {"..": "a"}, {"x": "../../../a"}, {"a\\b": "a"}])
def test_a_program_that_escapes_is_refused(tmp_path: Path, bins: dict[str, str]) -> None:
    expected = "x" if "../../x" in bins else None
    tarball = tarball_in(tmp_path, {"a": b""}, {"bin": bins})
    if expected:
        unpack(tarball, tmp_path / "tree")
        assert os.listdir(tmp_path / "tree/bin") == [expected]
    else:
        with pytest.raises(DamagedTarball):
            unpack(tarball, tmp_path / "tree")


@pytest.mark.parametrize("data", [b"", b"not gzip", gzip.compress(b"not tar" * 100)])
def test_what_is_no_tarball_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "app.tgz").write_bytes(data)
    with pytest.raises(DamagedTarball):
        unpack(tmp_path / "app.tgz", tmp_path / "tree")


def test_a_truncated_tarball_is_refused(tmp_path: Path) -> None:
    tarball = tarball_in(tmp_path, {"x": os.urandom(10_000)}, {})
    tarball.write_bytes(tarball.read_bytes()[:5_000])
    with pytest.raises(DamagedTarball):
        unpack(tarball, tmp_path / "tree")


@settings(deadline=None)
@given(place=st.integers(min_value=0, max_value=2**31), value=st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    home = tmp_path_factory.mktemp("flip")
    tarball = tarball_in(home, {"a/b.js": bytes(range(256)) * 8}, {"bin": "a/b.js"})
    broken = bytearray(tarball.read_bytes())
    broken[place % len(broken)] ^= value
    tarball.write_bytes(broken)
    try:
        unpack(tarball, home / "tree")
    except DamagedTarball:
        return
    assert set(os.listdir(home)) == {"app.tgz", "tree"}


def test_one_file_comes_out_alone(tmp_path: Path) -> None:
    tarball = tarball_in(tmp_path, {"bin/node": b"elf"}, {})
    read_member(tarball, "bin/node", tmp_path / "node", mode=0o755)
    assert (tmp_path / "node").read_bytes() == b"elf" and os.access(tmp_path / "node", os.X_OK)
    with pytest.raises(DamagedTarball, match="has no"):
        read_member(tarball, "bin/other", tmp_path / "other")
