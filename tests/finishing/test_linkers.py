"""Linkers in an environment: what the scripts that stand for them say to the real one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cape.environment.finishing.linkers import linker_script, write_collect_linkers
from cape.environment.finishing.place import put_file
from cape.names import System

SYSTEM = System.X86_64_LINUX


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root whose linker prints its words."""
    root = tmp_path / "root"
    put_file(root, "usr/bin/ld", b'#!/bin/sh\necho "$@"\n', mode=0o755)
    (root / "usr/bin/sh").symlink_to("/bin/sh")
    return root


def said(root: Path, *words: str, has_flags: bool = True) -> str:
    script = root / "script"
    script.write_bytes(linker_script(root / "usr/bin/ld", root, SYSTEM, has_flags=has_flags))
    script.chmod(0o755)
    return subprocess.run([script, *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "library", ["-lpython3.13", "-lguile-3.0", "-lR", "/e/libpython3.13.so", "/e/libperl.so.5.40"]
)
def test_a_program_that_embeds_an_interpreter_is_redirected_before_the_c_library(
    root: Path, library: str
) -> None:
    redirect = f"--push-state --no-as-needed {root}/usr/lib/libcape-redirect.so --pop-state"
    assert said(root, "a.o", library, "-lc", "-lgcc", "-lc") == f"a.o {library} {redirect} -lc -lgcc -lc"


@pytest.mark.parametrize(
    "words", ["a.o -lz -lc", "-shared a.o -lpython3.13 -lc", "-static a.o -lperl -lc", "-r a.o"]
)
def test_other_programs_and_libraries_are_not(root: Path, words: str) -> None:
    assert said(root, *words.split()) == words


def test_a_loader_is_replaced_by_the_environments_and_others_stay(root: Path) -> None:
    own = f"{root}/usr/lib/x86_64-linux-gnu"
    flags = f"-rpath {own} -rpath {root}/usr/lib --disable-new-dtags"
    usual = "--dynamic-linker=/lib64/ld-linux-x86-64.so.2"
    theirs = "--dynamic-linker=/lib/ld-linux-aarch64.so.1"
    replaced = f"{usual} a.o --dynamic-linker={own}/ld-linux-x86-64.so.2 {flags}"
    assert said(root, usual, "a.o", has_flags=False) == replaced
    assert said(root, theirs, "a.o", has_flags=False) == f"{theirs} a.o {flags}"


def test_gcc_finds_its_linkers_script_first(root: Path) -> None:
    home = "usr/libexec/gcc/x86_64-linux-gnu/14"
    put_file(root, f"{home}/collect2", b"")
    write_collect_linkers(root, Path("/final/root"), SYSTEM)
    assert "exec '/final/root/usr/bin/ld' \"$@\"\n" in (root / home / "collect-ld").read_text()
