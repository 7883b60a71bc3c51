"""Real programs to relocate: compiled samples, and a tree with a private copy of this host's C library."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cape.environment.relocation import RelocationContext, loader_path, relocate_tree
from cape.environment.relocation.loader import triplet
from cape.names import System

HELLO = r"""
#include <stdio.h>
#ifdef BIG
static char big[BIG];
#endif
int main(int count, char **words) {
#ifdef BIG
    for (long i = 0; i < BIG; i += 4096) if (big[i]) return 3;
    big[BIG - 1] = 1;
#endif
    printf("hello %d %s\n", count, count > 1 ? words[1] : "");
    return 0;
}
"""

Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def system() -> System:
    current = System.current()
    if not current.is_linux:
        pytest.skip("programs are relocated on Linux")
    return current


@pytest.fixture(scope="session")
def compiler() -> tuple[str, ...]:
    """A C compiler's command: gcc, or the one that PyPI's `ziglang` carries."""
    if gcc := shutil.which("gcc"):
        return (gcc,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc")
    pytest.skip("no C compiler on this machine")


@pytest.fixture(scope="session")
def compile_c(compiler: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile C text with some flags; gives the file. Skips what this machine's compiler cannot make."""
    made: dict[tuple[str, ...], Path] = {}

    def build(*flags: str, source: str = HELLO) -> Path:
        key = (*flags, source)
        if key not in made:
            directory = tmp_path_factory.mktemp("sample")
            (directory / "sample.c").write_text(source)
            command = [*compiler, "-o", "sample", "sample.c", *flags]
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"the compiler refuses {flags}: {done.stderr[-200:]}")
            made[key] = directory / "sample"
        return made[key]

    return build


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty tree whose path no program was built for."""
    place = tmp_path / "objects" / "one" / "tree"
    (place / "root/usr/bin").mkdir(parents=True)
    return place


@pytest.fixture
def with_libc(tree: Path, system: System, compile_c: Compile) -> RelocationContext:
    """The tree gets this host's loader (cut off), libc, and an empty redirecting library."""
    libraries = tree / "root/usr/lib" / triplet(system)
    libraries.mkdir(parents=True)
    loader = tree / loader_path(system)
    shutil.copy(host_library(loader.name), loader)
    shutil.copy(host_library("libc.so.6"), libraries / "libc.so.6")
    relocate_tree(tree, RelocationContext(system=system, loader=None))
    empty = compile_c("-shared", "-nostdlib", "-fPIC", source="int cape_sample;")
    shutil.copy(empty, tree / "root/usr/lib/libcape-redirect.so")
    return RelocationContext(system=system, loader=loader)


def host_library(name: str) -> Path:
    """A file of this host's C library. Skips on a host that has another one."""
    system = System.current()
    host = Path("/lib64" if system is System.X86_64_LINUX else "/lib") / loader_path(system).rsplit("/", 1)[1]
    if not host.exists():
        pytest.skip("this host has another C library")
    return (host.resolve().parent / name).resolve()


def run(program: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a program prints, in an empty environment."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, env=env or {}, timeout=30
    )
    assert done.returncode == 0, f"{program} exits {done.returncode}: {done.stderr}"
    return done.stdout


def loaded_files(program: Path) -> list[str]:
    """The libraries that the loader opens for a program, as it tells them itself."""
    done = subprocess.run(
        [str(program)], capture_output=True, text=True, check=False, env={"LD_TRACE_LOADED_OBJECTS": "1"}
    )
    lines = [line.split("=>")[-1].split("(")[0].strip() for line in done.stdout.splitlines()]
    return [line for line in lines if line.startswith("/")]
