"""Edited programs really run, with a private copy of this host's C library and nothing else of the host."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cape.environment.relocation import ElfKind, RelocationContext, relocate_tree
from cape.environment.relocation.elf import read_elf
from cape.names import System
from tests.relocation.conftest import HELLO, Compile, host_library, loaded_files, run
from tests.relocation.test_elf import readelf, without_property

KINDS = {
    "position-independent": ("-pie", "-fPIE"),
    "at a fixed address": ("-no-pie",),
    "with a big bss": ("-DBIG=67108864L",),
    "with a big bss at a fixed address": ("-DBIG=67108864L", "-no-pie"),
    "without spare dynamic entries": ("-Wl,--spare-dynamic-tags=0",),
    "with few pages": ("-Wl,-z,noseparate-code",),
    "with an old search path": ("-Wl,-rpath,/usr/lib/sample:$ORIGIN/../share",),
    "of the lazy kind": ("-Wl,-z,lazy", "-Wl,-z,norelro"),
    "with huge pages": ("-Wl,-z,max-page-size=0x200000",),
}


def placed(tree: Path, sample: Path, *, moved_headers: bool = False, at: str = "root/usr/bin/hello") -> Path:
    place = tree / at
    place.parent.mkdir(parents=True, exist_ok=True)
    data = sample.read_bytes()
    place.write_bytes(without_property(data) if moved_headers else data)
    place.chmod(0o755)
    return place


@pytest.mark.parametrize("moved_headers", [False, True], ids=["headers stay", "headers move"])
@pytest.mark.parametrize("flags", KINDS.values(), ids=KINDS.keys())
def test_program_runs_with_libraries_of_its_tree_only(
    tree: Path,
    with_libc: RelocationContext,
    compile_c: Compile,
    flags: tuple[str, ...],
    moved_headers: bool,
) -> None:
    program = placed(tree, compile_c(*flags), moved_headers=moved_headers)
    relocate_tree(tree, with_libc)
    assert run(program, "there") == "hello 2 there\n"
    assert all(file.startswith(str(tree)) for file in loaded_files(program)), loaded_files(program)
    assert any(file.endswith("libcape-redirect.so") for file in loaded_files(program))
    readelf(program, "-a")


def test_static_programs_stay_as_they_are(
    tree: Path, with_libc: RelocationContext, compile_c: Compile
) -> None:
    for flags in (("-static",), ("-static-pie",)):
        sample = compile_c(*flags)
        program = placed(tree, sample, at=f"root/usr/bin/hello{flags[0]}")
        facts = relocate_tree(tree, with_libc)
        assert program.read_bytes() == sample.read_bytes()
        kinds = {elf.path: elf.kind for elf in facts.elf}
        assert kinds[f"root/usr/bin/hello{flags[0]}"] is ElfKind.STATIC
        assert run(program) == "hello 1 \n"


def test_stripped_afterwards_a_program_still_runs(
    tree: Path, with_libc: RelocationContext, compile_c: Compile
) -> None:
    if shutil.which("strip") is None:
        pytest.skip("no strip on this machine")
    sample = compile_c()
    if b"\x53\xe5\x74\x64" not in sample.read_bytes()[:2000]:
        pytest.skip("this compiler writes no PT_GNU_PROPERTY")
    program = placed(tree, sample)
    relocate_tree(tree, with_libc)
    subprocess.run(["strip", program], check=True)
    assert run(program) == "hello 1 \n"


def test_program_runs_after_its_environment_was_moved_and_linked(
    tree: Path, with_libc: RelocationContext, compile_c: Compile, tmp_path: Path
) -> None:
    placed(tree, compile_c())
    relocate_tree(tree, with_libc)
    for number in (1, 2):
        environment = tmp_path / f"environment{number}"
        shutil.copytree(tree, environment, copy_function=os.link, symlinks=True)
        moved = environment.rename(tmp_path / f"moved{number}")
        program = moved / "root/usr/bin/hello"
        assert program.stat().st_ino == (tree / "root/usr/bin/hello").stat().st_ino
        assert all(str(moved) in file for file in loaded_files(program) if "ld-linux" not in file)


def test_executable_of_a_wheel_finds_the_system_libraries(
    tree: Path, with_libc: RelocationContext, compile_c: Compile
) -> None:
    for place in ("bin/tool", "lib/python3.13/site-packages/tool/bin/tool", "lib/node_modules/@a/tool/bin/t"):
        program = placed(tree, compile_c(), at=place)
        relocate_tree(tree, with_libc)
        assert run(program) == "hello 1 \n"


def test_library_with_runpath_finds_what_the_executable_finds(
    tree: Path, with_libc: RelocationContext, compile_c: Compile, compiler: tuple[str, ...], tmp_path: Path
) -> None:
    """`DT_RUNPATH` cuts the inherited search path off; relocated, the same library loads."""
    inner = compile_c("-shared", "-fPIC", "-Wl,-soname,libinner.so", source="int inner(void) { return 7; }")
    shutil.copy(inner, tmp_path / "libinner.so")
    outer = compile_c(
        "-shared", "-fPIC", f"-L{tmp_path}", "-linner", "-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/none",
        source="int inner(void); int outer(void) { return inner(); }",
    )  # fmt: skip
    shutil.copy(outer, tmp_path / "libouter.so")
    main = compile_c(
        f"-L{tmp_path}", "-louter", "-Wl,-rpath-link," + str(tmp_path), "-Wl,--allow-shlib-undefined",
        source="int putchar(int); int outer(void); int main(void) { putchar(48 + outer()); return 0; }",
    )  # fmt: skip
    libraries = tree / "root/usr/lib"
    shutil.copy(inner, libraries / "libinner.so")
    shutil.copy(outer, libraries / "libouter.so")
    program = placed(tree, main)
    relocate_tree(tree, with_libc)
    assert run(program) == "7"


def test_hard_links_in_two_directories_each_find_their_libraries(
    tree: Path, with_libc: RelocationContext, compile_c: Compile
) -> None:
    program = placed(tree, compile_c())
    deep = tree / "root/usr/lib/tool/deep/hello"
    deep.parent.mkdir(parents=True)
    os.link(program, deep)
    os.link(program, program.with_name("hello-again"))
    relocate_tree(tree, with_libc)
    assert run(program) == run(deep) == run(program.with_name("hello-again")) == "hello 1 \n"
    assert program.stat().st_ino == program.with_name("hello-again").stat().st_ino


def test_missing_library_is_an_error_even_if_the_host_has_it(
    tree: Path, with_libc: RelocationContext, compile_c: Compile
) -> None:
    program = placed(tree, compile_c("-lm", "-Wl,--no-as-needed", "-lm"))
    relocate_tree(tree, with_libc)
    if "libm.so.6" not in read_elf(program.read_bytes()).needed:
        pytest.skip("the linker left libm out")
    done = subprocess.run([program], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 127
    assert "libm.so.6: cannot open shared object file: No such file or directory" in done.stderr


@pytest.mark.slow
def test_programs_of_another_linker_and_of_arm_are_edited(
    tree: Path, with_libc: RelocationContext, tmp_path: Path
) -> None:
    """PyPI's `ziglang` links with LLVM's linker, and for other machines."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no ziglang on this machine")
    (tmp_path / "hello.c").write_text(HELLO)
    assert with_libc.loader is not None
    for name in ("libpthread.so.0", "libdl.so.2", "libm.so.6", "librt.so.1", "libutil.so.1"):
        shutil.copy(host_library(name), with_libc.loader.parent / name)
    for target in ("x86_64", "aarch64"):
        flags = [
            "-target",
            f"{target}-linux-gnu.2.31",
            "-o",
            str(tmp_path / target),
            str(tmp_path / "hello.c"),
        ]
        subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags], check=True, capture_output=True)
        program = placed(tree, tmp_path / target, at=f"root/usr/bin/{target}")
        loader = with_libc.loader if target == with_libc.system.machine else Path("/store/ld.so")
        relocate_tree(tree, RelocationContext(system=System(f"{target}-linux"), loader=loader))
        assert read_elf(program.read_bytes()).interpreter == str(loader)
        readelf(program, "-a")
        if target == with_libc.system.machine:
            assert run(program) == "hello 1 \n"
