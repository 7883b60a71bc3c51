"""A small environment with the real library, and a program that calls functions of libc by name."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from cape.environment.relocation.loader import loader_name, triplet
from cape.names import System
from tests.relocation.conftest import host_library

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
Compile = Callable[..., Path]


def load_build() -> ModuleType:
    """The project's build, which is no module of the package."""
    spec = importlib.util.spec_from_file_location("hatch_build", PROJECT / "hatch_build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build() -> ModuleType:
    return load_build()


@pytest.fixture(scope="session")
def machine(build: ModuleType) -> str:
    """This machine's, or $CAPE_TEST_MACHINE where the kernel starts its programs by an emulator."""
    found = os.environ.get("CAPE_TEST_MACHINE") or build.own_machine()
    if found is None:
        pytest.skip("the library is for Linux on x86_64 and aarch64")
    return str(found)


@pytest.fixture(scope="session")
def system(machine: str) -> System:
    return System(f"{machine}-linux")


@pytest.fixture(scope="session")
def compiler(build: ModuleType, machine: str) -> list[str]:
    found = build.compiler(machine)
    if found is None:
        pytest.skip("no C compiler, and no ziglang")
    return list(found)


@pytest.fixture(scope="session")
def library(
    build: ModuleType, machine: str, compiler: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The library of the sources as they are: the package's, or one that is built now."""
    shipped = Path(build.library_path(machine))
    if build.is_current(shipped):
        return shipped
    target = tmp_path_factory.mktemp("library") / "libcape-redirect.so"
    build.build(machine, compiler, target)
    return target


@pytest.fixture(scope="session")
def compile_c(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles a C file, or text, into a program or library of a given name."""

    def run(source: Path | str, *flags: str, name: str, command: Sequence[str] = compiler) -> Path:
        target = tmp_path_factory.mktemp("compiled") / name
        if isinstance(source, str):
            text, source = source, target.with_suffix(".source.c")
            source.write_text(text)
        words = [*command, "-O1", "-w", "-o", str(target), str(source), *flags]
        subprocess.run(words, check=True, capture_output=True)
        return target

    return run


@pytest.fixture(scope="session")
def for_driver(build: ModuleType, machine: str, compiler: list[str]) -> list[str]:
    """The compiler of what runs on the driver's libc."""
    return list(build.zig_compiler(machine)) if os.environ.get("CAPE_TEST_LIBC") else compiler


@pytest.fixture(scope="session")
def driver(compile_c: Compile, for_driver: list[str]) -> Path:
    """The driver; with $CAPE_TEST_LIBC, a directory with another glibc and its loader, run on that one."""
    other = os.environ.get("CAPE_TEST_LIBC")
    program = compile_c(HERE / "driver.c", "-lpthread", "-ldl", name="driver", command=for_driver)
    if not other:
        return program
    loader = next(Path(other).glob("ld-linux-*"))
    words = f'exec "{loader}" --library-path "{other}" "{program}" "$@"'
    return write(program.with_name("other"), f"#!/bin/sh\n{words}\n", 0o755)


@pytest.fixture(scope="session")
def teller(compile_c: Compile) -> Path:
    return compile_c(HERE / "teller.c", name="teller")


@dataclass
class House:
    """An environment, a project beside it, and the driver."""

    top: Path
    driver: Path

    @property
    def environment(self) -> Path:
        return self.top / "store" / "environments" / "e1"

    @property
    def root(self) -> Path:
        return self.environment / "root"

    @property
    def project(self) -> Path:
        return self.top / "project"

    @property
    def state(self) -> Path:
        return self.project / ".cape" / "state"

    @property
    def overlay(self) -> Path:
        return self.state / "overlay"

    @property
    def library(self) -> Path:
        return self.root / "usr" / "lib" / "libcape-redirect.so"

    def variables(self, *, inside: bool, state: bool = False, **more: str) -> dict[str, str]:
        kept = {"PATH": "/usr/bin:/bin", "HOME": str(self.project)}
        if inside:
            kept["LD_PRELOAD"] = str(self.library)
        if state:
            kept["CAPE_STATE"] = str(self.state)
        return kept | more

    def call(
        self,
        *words: str | Path,
        inside: bool = True,
        state: bool = False,
        cwd: Path | None = None,
        **more: str,
    ) -> str:
        """What the driver prints for a function and its paths."""
        done = subprocess.run(
            [self.driver, *map(str, words)],
            env=self.variables(inside=inside, state=state, **more),
            cwd=cwd or self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 1), f"{words}: {done.returncode} {done.stdout}{done.stderr}"
        said = done.stdout.strip()
        return said if inside else said.split(" (errno became")[0]  # libc itself may change errno

    def in_tree(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@dataclass
class Jail(House):
    """The same in a file system that has nothing of the host's; the tree has a C library of its own."""

    jail: Path
    root_of_jail: Path

    @property
    def libraries(self) -> Path:
        return next((self.root / "usr/lib").glob("*-linux-gnu"))

    def command(
        self, words: Sequence[str], *, inside: bool, cwd: Path | None
    ) -> tuple[list[str], dict[str, str]]:
        """How to start the driver there; `inside` with the library, by the loader of the tree."""
        variables = {"JAIL_PRELOAD": str(self.library)} if inside else {}
        loader = next(self.libraries.glob("ld-linux-*"))
        start = [str(loader), "--library-path", str(self.libraries), str(self.driver), *words]
        place = [str(self.jail), str(self.root_of_jail), str(self.top), str(cwd or self.project)]
        return place + start, variables

    def call(
        self,
        *words: str | Path,
        inside: bool = True,
        state: bool = False,
        cwd: Path | None = None,
        **more: str,
    ) -> str:
        command, variables = self.command([str(word) for word in words], inside=inside, cwd=cwd)
        done = subprocess.run(
            command,
            env=self.variables(inside=False, state=state, **more) | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 1), f"{words}: {done.returncode} {done.stdout}{done.stderr}"
        said = done.stdout.strip()
        return said if inside else said.split(" (errno became")[0]


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def house(tmp_path: Path, library: Path, driver: Path, teller: Path) -> House:
    made = House(tmp_path.resolve(), driver)
    made.state.mkdir(parents=True)
    share = made.in_tree("/usr/share/cape")
    for name in ("file", "dir/one", "dir/two"):
        write(share / name, f"tree {name}\n", 0o444)
    (share / "link").symlink_to("file")
    (share / "loop").symlink_to("loop")
    for name in ("etc/cape/file", "etc/passwd", "var/lib/cape/file"):
        write(made.root / name, f"tree {name}\n")
    for name in ("usr/bin/sh", "usr/bin/teller"):
        (made.root / name).parent.mkdir(exist_ok=True)
        shutil.copy2(teller, made.root / name)
    write(made.root / "usr/bin/script", "#!/usr/bin/teller with flag\nbody\n", 0o755)
    write(made.root / "usr/bin/nested", "#!/usr/bin/script\n", 0o755)
    write(made.root / "usr/bin/plain", "no first line\n", 0o755)
    write(made.project / "script", "#! /usr/bin/teller\n", 0o755)
    (made.root / "usr/lib").mkdir(exist_ok=True)
    shutil.copy2(library, made.library)
    with contextlib.suppress(OSError):  # a file system without attributes: the calls then fail alike
        os.setxattr(share / "file", "user.cape", b"tree")
    return made


@pytest.fixture(scope="session")
def jail_program(compile_c: Compile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = compile_c(HERE / "jail.c", name="jail")
    empty = tmp_path_factory.mktemp("jail")
    make_mount_points(empty, empty)
    words = [program, empty, empty, "/", "/nothing"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if not done.stderr.startswith("/nothing"):
        pytest.skip(f"this machine lets nobody have a file system of their own: {done.stderr.strip()}")
    return program


def make_mount_points(jail: Path, top: Path) -> None:
    for place in ("proc", "dev", str(top).lstrip("/")):
        (jail / place).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def jail(house: House, jail_program: Path, system: System, tmp_path_factory: pytest.TempPathFactory) -> Jail:
    """The house, seen from where there is no host: no `/usr`, no `/lib`, no `/bin`, no `/etc`."""
    if os.environ.get("CAPE_TEST_LIBC"):
        pytest.skip("the driver is started by another libc's loader")
    root = tmp_path_factory.mktemp("nothing")
    make_mount_points(root, house.top)
    shutil.copy2(house.driver, house.top / "driver")
    made = Jail(house.top, house.top / "driver", jail_program, root)
    libraries = house.root / "usr/lib" / triplet(system)
    libraries.mkdir(parents=True)
    for name in ("libc.so.6", "libdl.so.2", "libpthread.so.0", loader_name(system)):
        shutil.copy2(host_library(name), libraries / name)
    return made


def snapshot(top: Path) -> dict[str, tuple[int, int, bytes]]:
    """All files below a directory with mode, time and contents."""
    found = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        body = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, body)
    return found
