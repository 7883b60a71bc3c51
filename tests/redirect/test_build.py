"""The library as it is built and shipped: one small file without versions, for every glibc."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from cape.environment.relocation.elf import read_elf
from cape.environment.relocation.redirect import RedirectLibraryMissing, redirect_library
from cape.names import System
from tests.redirect.conftest import PROJECT


def test_library_needs_libc_and_libdl_and_no_version_of_them(library: Path) -> None:
    elf = read_elf(library.read_bytes())
    assert elf.needed == ("libc.so.6", "libdl.so.2")
    assert elf.soname == "libcape-redirect.so"
    assert list(elf.version_needs()) == []


def test_library_is_small(library: Path) -> None:
    assert library.stat().st_size < 150_000


def test_library_refers_to_nothing_newer_than_glibc_2_28(library: Path) -> None:
    """What is newer is looked up when it is needed; these are the names that came since."""
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    words = ["nm", "-D", "--undefined-only", "--format=posix", str(library)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {line.split()[0] for line in lines}
    assert names
    assert not names & {"stat", "fstat", "lstat", "fstatat", "mknod", "posix_spawn_file_actions_addchdir_np"}
    assert not any(name.startswith(("pthread_", "__isoc23", "__libc_single")) for name in names)


def test_build_is_skipped_when_up_to_date(build: ModuleType, library: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lib.so"
    assert not build.is_current(copy)
    copy.write_bytes(library.read_bytes())
    assert build.is_current(copy)
    copy.write_bytes(library.read_bytes().replace(build.source_digest().encode(), b"0" * 64))
    assert not build.is_current(copy)


def test_build_with_zig_makes_both_processors(build: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    zig = build.zig_compiler("aarch64")
    build.build("aarch64", zig, tmp_path / "libcape-redirect.so")
    elf = read_elf((tmp_path / "libcape-redirect.so").read_bytes())
    assert elf.machine == 183
    assert elf.needed == ("libc.so.6", "libdl.so.2")
    assert list(elf.version_needs()) == []


def test_failed_build_leaves_the_old_library(build: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "libcape-redirect.so"
    target.write_bytes(b"old")
    with pytest.raises(SystemExit):
        build.build("x86_64", ["false"], target)
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["libcape-redirect.so"]


def test_wheel_names_the_processors_that_it_holds(build: ModuleType) -> None:
    assert build.wheel_tag(["x86_64"]) == "py3-none-linux_x86_64"
    assert build.wheel_tag(["x86_64", "aarch64"]) == "py3-none-linux_aarch64.linux_x86_64"


def test_wheel_holds_the_library_and_a_platform(machine: str, tmp_path: Path, library: Path) -> None:
    pytest.importorskip("hatchling")
    from hatchling.builders.wheel import WheelBuilder

    wheel = Path(next(WheelBuilder(str(PROJECT)).build(directory=str(tmp_path), versions=["standard"])))
    assert f"linux_{machine}" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        inside = f"cape/environment/relocation/lib/{machine}-linux/libcape-redirect.so"
        assert archive.read(inside) == library.read_bytes()
        tags = archive.read(next(name for name in names if name.endswith("/WHEEL"))).decode()
    assert "Root-Is-Purelib: false" in tags
    assert f"Tag: py3-none-linux_{machine}" in tags


def test_library_of_each_system_is_found_or_explained(build: ModuleType, machine: str, library: Path) -> None:
    system = System(f"{machine}-linux")
    if build.library_path(machine).exists():
        assert redirect_library(system) == build.library_path(machine)
    with pytest.raises(RedirectLibraryMissing) as caught:
        redirect_library(System.AARCH64_DARWIN)
    assert caught.value.hint == "environments with system packages are made on Linux"
