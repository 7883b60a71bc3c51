"""Compilers that are told of the environment, with this host's gcc as the real one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cape.environment.finishing import ControlFiles, finish
from cape.environment.finishing.compilers import (
    clang_configuration,
    extended_specs,
    link_flags,
)
from cape.environment.finishing.linkers import LINKERS, linker_script
from cape.environment.finishing.place import put_file
from cape.environment.relocation import RelocationContext, loader_path
from cape.environment.relocation.loader import triplet
from cape.names import System
from tests.relocation.conftest import HELLO, run
from tests.relocation.test_elf import readelf

NO_CONTROL: dict[str, ControlFiles] = {}


@pytest.fixture
def gcc(tree: Path, with_libc: RelocationContext, system: System) -> Path:
    """A root with a gcc (the host's behind a link) that finishing has told of the tree."""
    host = shutil.which("gcc")
    if host is None:
        pytest.skip("no gcc on this machine")
    root = tree / "root"
    (root / f"usr/bin/{triplet(system)}-gcc-9").symlink_to(host)
    put_file(root, f"usr/lib/gcc/{triplet(system)}/9/crtbegin.o", b"")
    assert finish(root, NO_CONTROL, order=[], system=system) == ()
    return Path(host)


def compiled(gcc: Path, tree: Path, system: System, *flags: str) -> Path:
    specs = tree / f"root/usr/lib/gcc/{triplet(system)}/9/specs"
    (tree / "hello.c").write_text(HELLO)
    command = [
        str(gcc),
        f"-specs={specs}",
        "-Wall",
        "-Werror",
        *flags,
        "-o",
        str(tree / "out"),
        f"{tree}/hello.c",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find -l" in done.stderr:
        pytest.skip("no static C library on this machine")
    assert (done.returncode, done.stderr) == (0, "")
    return tree / "out"


def test_compiled_program_runs_with_the_environments_loader_and_libraries(
    gcc: Path, tree: Path, system: System
) -> None:
    program = compiled(gcc, tree, system)
    assert str(tree / loader_path(system)) in readelf(program, "-l")
    assert f"Library rpath: [{tree}/root/usr/lib/{triplet(system)}:{tree}/root/usr/lib]" in readelf(
        program, "-d"
    )
    assert run(program) == "hello 1 \n"


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie",), ("-r",), ("-c",)])
def test_static_programs_and_parts_get_no_loader(
    gcc: Path, tree: Path, system: System, flags: tuple[str, ...]
) -> None:
    program = compiled(gcc, tree, system, *flags)
    assert str(tree).encode() not in program.read_bytes()


def test_shared_library_gets_a_search_path_and_no_loader(gcc: Path, tree: Path, system: System) -> None:
    library = compiled(gcc, tree, system, "-shared", "-fPIC")
    assert "INTERP" not in readelf(library, "-l")
    assert str(tree) in readelf(library, "-d")


def test_specs_keep_all_built_in_rules_and_are_extended_once(system: System) -> None:
    dumped = "*asm:\n%{x}\n\n*link:\n%{!r:--build-id}\n\n*lib:\n-lc\n"
    flags = link_flags(Path("/e/root"), system)
    once = extended_specs(dumped, flags)
    assert once.replace(f" {flags}", "") == dumped
    assert extended_specs(once, flags) == once
    with pytest.raises(ValueError, match="link"):
        extended_specs("*asm:\n", flags)


def test_linker_gets_the_search_path_except_for_static_and_partial_programs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put_file(root, "usr/bin/ld", b'#!/bin/sh\necho "$@"\n', mode=0o755)
    (root / "usr/bin/sh").symlink_to("/bin/sh")
    script = tmp_path / "ld"
    script.write_bytes(linker_script(root / "usr/bin/ld", root, System.X86_64_LINUX))
    script.chmod(0o755)

    def said(*words: str) -> str:
        return subprocess.run([script, *words], check=True, capture_output=True, text=True).stdout.strip()

    path = f"-rpath {root}/usr/lib/x86_64-linux-gnu -rpath {root}/usr/lib --disable-new-dtags"
    assert said("a b.o", "-lz") == f"a b.o -lz {path}"
    assert said("-static", "-pie", "--no-dynamic-linker", "x.o") == "-static -pie --no-dynamic-linker x.o"
    assert said("-r", "x.o") == "-r x.o"


def test_specs_name_where_the_environment_will_lie(tmp_path: Path) -> None:
    text = clang_configuration(Path("/final/root"))
    assert "--dyld-prefix=/final/root\n" in text
    root = tmp_path / "building"
    put_file(root, "usr/lib/llvm-19/bin/clang", b"")
    put_file(root, "usr/lib/llvm-19/bin/ld.lld", b"")
    finish(root, NO_CONTROL, order=[], system=System.AARCH64_LINUX, final=Path("/final/root"))
    assert (root / "usr/lib/llvm-19/bin/clang++.cfg").read_text() == text
    assert "-rpath '/final/root/usr/lib/aarch64-linux-gnu'" in (root / LINKERS / "ld.lld").read_text()


def test_path_with_blanks_is_told_and_no_specs_are_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put_file(root, "usr/lib/llvm-19/bin/clang", b"")
    notes = finish(root, NO_CONTROL, order=[], system=System.X86_64_LINUX, final=Path("/a b/root"))
    assert "blanks" in notes[0]
    assert not (root / "usr/lib/llvm-19/bin/clang.cfg").exists()


def test_ldconfig_lists_the_environments_libraries_by_soname(tmp_path: Path, system: System) -> None:
    root = tmp_path / "it's" / "root"
    directory = f"usr/lib/{triplet(system)}"
    for name in (
        f"{directory}/libz.so.1.3",
        f"{directory}/libplain.so",
        "usr/lib/libold.so.2",
        "usr/lib/x.so.txt-",
    ):
        put_file(root, name, b"")
    put_file(root, "usr/sbin/ldconfig", b"static")
    (root / directory / "libz.so.1").symlink_to("libz.so.1.3")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/sh").symlink_to("/bin/sh")
    finish(root, NO_CONTROL, order=[], system=system)
    assert os.access(root / "usr/sbin/ldconfig", os.X_OK)
    listed = run(root / "usr/sbin/ldconfig", "-p")
    assert re.findall(r"^\t(\S+) \(libc6,[\w-]+\) => (.*)$", listed, re.MULTILINE) == [
        ("libz.so.1", f"{root}/{directory}/libz.so.1"),
        ("libplain.so", f"{root}/{directory}/libplain.so"),
        ("libold.so.2", f"{root}/usr/lib/libold.so.2"),
    ]
    assert run(root / "usr/sbin/ldconfig") == ""
