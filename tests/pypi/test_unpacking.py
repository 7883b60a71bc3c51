"""Wheels laid out below an environment: programs, data, records, and archives that mean harm."""

from __future__ import annotations

import csv
import stat
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.sources.pypi import unpacking
from cape.sources.pypi.unpacking import (
    DamagedWheel,
    extract_member,
    file_names,
    metadata_of,
    unpack_wheel,
)
from tests.mirrors.pypi import make_wheel, zip_of

SITE = "lib/python3.13/site-packages"


def wheel_in(place: Path, **parts: object) -> Path:
    name, data = make_wheel("app", "1.0", **parts)  # type: ignore[arg-type]
    (place / name).write_bytes(data)
    return place / name


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_files_programs_and_data_go_where_an_installer_puts_them(tmp_path: Path) -> None:
    files = {
        "app/__init__.py": b"x = 1\n",
        "app-1.0.data/scripts/tool": b"#!python\nprint(1)\n",
        "app-1.0.data/scripts/plain": b"#!/bin/sh\necho\n",
        "app-1.0.data/data/share/man/man1/app.1": b"page",
        "app-1.0.data/headers/app.h": b"int x;",
        "app-1.0.data/purelib/more.py": b"y = 2\n",
    }
    unpack_wheel(wheel_in(tmp_path, files=files), tmp_path / "tree", python="3.13")
    found = tree(tmp_path / "tree")
    assert found[f"{SITE}/app/__init__.py"] == (0o644, b"x = 1\n")
    assert found["bin/tool"] == (0o755, b"#!/@cape-env@/bin/python3\nprint(1)\n")
    assert found["bin/plain"] == (0o755, b"#!/bin/sh\necho\n")
    assert found["share/man/man1/app.1"][1] == b"page"
    assert found["include/site/python3.13/app/app.h"][1] == b"int x;"
    assert found[f"{SITE}/more.py"][1] == b"y = 2\n"
    assert not any(".data/" in path for path in found)


def test_entry_points_become_programs_of_the_environments_python(tmp_path: Path) -> None:
    wheel = wheel_in(
        tmp_path,
        files={"app.py": b"class Main:\n    @staticmethod\n    def run():\n        print('ran')\n"},
        entry_points="[console_scripts]\nmyApp = app:Main.run\n[other]\nx = y\n",
    )
    unpack_wheel(wheel, tmp_path / "tree", python="3.13")
    program = (tmp_path / "tree/bin/myApp").read_text()
    assert program.startswith("#!/@cape-env@/bin/python3\n")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "tree/bin/myApp")],
        env={"PYTHONPATH": str(tmp_path / "tree" / SITE)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "ran\n", done.stderr


def test_the_record_names_every_file_and_only_those(tmp_path: Path) -> None:
    files = {"app/a.py": b"1", "app-1.0.data/scripts/tool": b"#!python\n"}
    wheel = wheel_in(tmp_path, files=files, entry_points="[console_scripts]\nrun = app:main\n")
    unpack_wheel(wheel, tmp_path / "tree", python="3.13")
    site = tmp_path / "tree" / SITE
    rows = list(csv.reader((site / "app-1.0.dist-info/RECORD").read_text().splitlines()))
    recorded = {(site / path).resolve() for path, _, _ in rows}
    assert recorded == {path.resolve() for path in (tmp_path / "tree").rglob("*") if path.is_file()}
    assert (site / "app-1.0.dist-info/INSTALLER").read_text() == "cape\n"


def test_a_program_in_the_package_stays_runnable(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path, files={"app/bin/x": b"\x7fELF"}, runnable=["app/bin/x"])
    unpack_wheel(wheel, tmp_path / "tree", python="3.13")
    assert tree(tmp_path / "tree")[f"{SITE}/app/bin/x"][0] == 0o755


def test_equal_wheels_give_equal_bytes(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path, files={f"app/{n}.py": b"#" * 90_000 for n in range(30)})
    for name in ("one", "two"):
        unpack_wheel(wheel, tmp_path / name, python="3.13")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py",
        "/etc/evil",
        "app/../../evil.py",
        "app-1.0.data/data/../../evil",
        "app-1.0.data/scripts/../../evil",
        "app-1.0.data/strange/x",
        "a\\..\\evil",
    ],
)
def test_a_path_that_escapes_is_refused_and_writes_nothing(tmp_path: Path, path: str) -> None:
    home = tmp_path / "deep" / "tree"
    wheel = wheel_in(tmp_path, files={"app.py": b"", path: b"evil"})
    with pytest.raises(DamagedWheel) as caught:
        unpack_wheel(wheel, home, python="3.13")
    assert caught.value.exit_code == 3 and caught.value.where == str(wheel)
    assert not home.exists() and sorted(p.name for p in tmp_path.iterdir()) == [wheel.name]


def test_a_program_whose_name_escapes_is_refused(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path, entry_points="[console_scripts]\n../../x = app:main\n")
    with pytest.raises(DamagedWheel, match="name escapes"):
        unpack_wheel(wheel, tmp_path / "tree", python="3.13")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path)
    with zipfile.ZipFile(wheel, "a") as archive:
        info = zipfile.ZipInfo("app/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DamagedWheel, match="symbolic link"):
        unpack_wheel(wheel, tmp_path / "tree", python="3.13")


def test_two_files_for_one_place_are_refused(tmp_path: Path) -> None:
    files = {"app.py": b"1", "app-1.0.data/purelib/app.py": b"2"}
    with pytest.raises(DamagedWheel, match="two files"):
        unpack_wheel(wheel_in(tmp_path, files=files), tmp_path / "tree", python="3.13")


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    for data in (
        b"",
        b"not a zip",
        zip_of({"x": b"y"}),
        zip_of({"a-1.dist-info/METADATA": b"", "b-1.dist-info/x": b""}),
    ):
        (tmp_path / "a-1-py3-none-any.whl").write_bytes(data)
        with pytest.raises(DamagedWheel):
            unpack_wheel(tmp_path / "a-1-py3-none-any.whl", tmp_path / "tree", python="3.13")


@settings(deadline=None)
@given(place=st.integers(min_value=0, max_value=2**31), value=st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_never_raises_anything_else_nor_changes_a_file_unseen(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    home = tmp_path_factory.mktemp("flip")
    body = bytes(range(256)) * 40
    name, data = make_wheel("app", "1.0", files={"app/data.bin": body})
    broken = bytearray(data)
    broken[place % len(data)] ^= value
    (home / name).write_bytes(broken)
    try:
        unpack_wheel(home / name, home / "tree", python="3.13")
    except DamagedWheel:
        return
    assert all(path.read_bytes() == body for path in (home / "tree").rglob("data.bin"))


def test_one_file_comes_out_alone(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path, files={"app/model.onnx": b"m" * 1000}, licence="Apache-2.0")
    assert file_names(wheel)["app/model.onnx"] == 1000
    assert metadata_of(wheel)["license-expression"] == ["Apache-2.0"]
    extract_member(wheel, "app/model.onnx", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == b"m" * 1000
    with pytest.raises(DamagedWheel, match="cannot be read"):
        extract_member(wheel, "app/other", tmp_path / "other")


@pytest.mark.parametrize("piece_bytes", [7, 1000, 64 << 20])
def test_the_fast_library_and_pythons_own_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    """The second implementation is the reference; pieces are small so that members come in many."""
    pytest.importorskip("isal")
    files = {
        "app/zeros.bin": bytes(50_000),
        "app/mixed.bin": Random(1).randbytes(20_000) * 3,
        "app/none": b"",
    }
    wheel = wheel_in(tmp_path, files=files)
    monkeypatch.setattr(unpacking, "_WHOLE_BYTES", piece_bytes)
    for name, library in (("fast", unpacking.inflating), ("own", zlib)):
        monkeypatch.setattr(unpacking, "inflating", library)
        unpack_wheel(wheel, tmp_path / name, python="3.13")
    assert unpacking.inflating is zlib
    assert tree(tmp_path / "fast") == tree(tmp_path / "own")
    assert tree(tmp_path / "own")[f"{SITE}/app/mixed.bin"][1] == files["app/mixed.bin"]
