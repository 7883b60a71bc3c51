"""Builds the redirecting C library and the extractor of packs into the package, also for editable installs.

Owns how `src/redirect/*.c` becomes `src/cape/environment/relocation/lib/SYSTEM/libcape-redirect.so`, and
`src/extractor/*.c` the static program `src/cape/packing/lib/SYSTEM/cape-enter`: the compiler (a C compiler
of the machine, else PyPI's `ziglang`), the flags, and whether a build is needed at all.
`python hatch_build.py` builds both without hatchling. It imports nothing of the project, as the project is
not installed when it runs.

The library is linked against two empty stand-ins named like libc and libdl, so that its references
carry no version: one file loads under every glibc from 2.28 on. A built wheel needs no compiler.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent
SOURCES = PROJECT / "src" / "redirect"
LIBRARIES = PROJECT / "src" / "cape" / "environment" / "relocation" / "lib"
NAME = "libcape-redirect.so"
MACHINES = ("x86_64", "aarch64")
MARK = b"cape-redirect-source:"

COMPILE = [
    *("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-builtin", "-fno-stack-protector", "-g0"),
    *("-fno-delete-null-pointer-checks", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-U__OPTIMIZE__", "-w"),
]
LINK = [
    *("-shared", "-nostdlib", "-Wl,-soname,libcape-redirect.so", "-Wl,--hash-style=gnu"),
    *("-Wl,-z,relro", "-Wl,-z,noexecstack", "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined"),
]


def source_files() -> list[Path]:
    """The C files and headers, sorted."""
    return sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")])


def source_digest() -> str:
    """What a built library is compared with: a digest over the sources and the flags."""
    total = hashlib.sha256(" ".join([*COMPILE, *LINK]).encode())
    for file in source_files():
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def is_current(library: Path) -> bool:
    """Whether a library was built from the sources as they are."""
    try:
        return MARK + source_digest().encode() in library.read_bytes()
    except FileNotFoundError:
        return False


def own_machine() -> str | None:
    """The processor of this machine, when the library can run on it."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return machine if sys.platform == "linux" and machine in MACHINES else None


def _compiles(command: list[str]) -> bool:
    """Whether a compiler is there with the headers of libc."""
    probe = subprocess.run(
        [*command, "-x", "c", "-E", "-", "-o", os.devnull],
        input=b"#include <dlfcn.h>\n#include <spawn.h>\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return probe.returncode == 0


def _candidates(machine: str) -> Iterator[list[str]]:
    if machine == own_machine():
        if os.environ.get("CC"):
            yield shlex.split(os.environ["CC"])
        yield from (["cc"], ["gcc"], ["clang"])
    yield [f"{machine}-linux-gnu-gcc"]


def native_compiler(machine: str) -> list[str] | None:
    """The command of a C compiler of this machine that builds for a processor, or None."""
    for command in _candidates(machine):
        if shutil.which(command[0]) and _compiles(command):
            return command
    return None


def compiler(machine: str) -> list[str] | None:
    """The command that builds for a processor: a C compiler, else zig's, or None."""
    if native := native_compiler(machine):
        return native
    return zig_compiler(machine) if importlib.util.find_spec("ziglang") else None


def zig_compiler(machine: str) -> list[str]:
    """The command of PyPI's `ziglang` that builds for a processor, with an old glibc's headers."""
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.2.28"]
    return [*zig, "-fno-sanitize=all"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")


def _link(command: list[str], work: Path) -> Path:
    """Compile and link below a work directory, and give the library."""
    empty = work / "empty.c"
    empty.write_text("extern const int cape_stand_in; const int cape_stand_in = 0;\n")
    stand_ins = []
    for soname in ("libc.so.6", "libdl.so.2"):
        stand_in = work / soname
        _run([*command, "-shared", "-nostdlib", f"-Wl,-soname,{soname}", "-o", str(stand_in), str(empty)])
        stand_ins.append(str(stand_in))
    objects = []
    mark = f'-DCAPE_REDIRECT_SOURCE="{source_digest()}"'
    for source in (file for file in source_files() if file.suffix == ".c"):
        objects.append(str(work / f"{source.stem}.o"))
        _run([*command, *COMPILE, mark, "-c", str(source), "-o", objects[-1]])
    library = work / NAME
    _run([*command, *LINK, "-o", str(library), *objects, *stand_ins])
    if strip := shutil.which("strip"):  # for another processor it fails, and the symbols stay
        subprocess.run([strip, "--strip-unneeded", str(library)], capture_output=True, check=False)
    return library


def build(machine: str, command: list[str], target: Path) -> None:
    """Build the library for one processor; the target is replaced whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as work:
        library = _link(command, Path(work))
        library.chmod(0o644)
        os.replace(library, target)


def library_path(machine: str) -> Path:
    """Where the library for a processor goes."""
    return LIBRARIES / f"{machine}-linux" / NAME


def build_all(*, report: bool = False) -> list[str]:
    """Build what is not current, for every processor that can be built for; give those that are there.

    The machine's own must succeed. Raises `SystemExit` with the compiler's words.
    """
    there = []
    for machine in MACHINES:
        target = library_path(machine)
        if not is_current(target):
            command = compiler(machine)
            if command is None and machine == own_machine():
                raise SystemExit("no C compiler found; install one, or `pip install ziglang`")
            if command is None:
                target.unlink(missing_ok=True)  # one of older sources must not be shipped
                continue
            build(machine, command, target)
        there.append(machine)
        if report:
            print(f"{target.relative_to(PROJECT)}: {target.stat().st_size} bytes")
    return there


EXTRACTOR_SOURCES = PROJECT / "src" / "extractor"
EXTRACTORS = PROJECT / "src" / "cape" / "packing" / "lib"
EXTRACTOR_COMPILE = ["-static", "-O2", "-s", "-std=gnu11", "-w"]
EXTRACTOR_MARK = b"cape-extractor-source:"


def extractor_digest() -> str:
    """What a built extractor is compared with: a digest over its sources and flags."""
    total = hashlib.sha256(" ".join(EXTRACTOR_COMPILE).encode())
    for file in sorted(EXTRACTOR_SOURCES.glob("*.[ch]")):
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def _extractor_compiler(machine: str) -> list[str] | None:
    """The command that links static programs for a processor: zig's with musl, else a C compiler, or None."""
    if importlib.util.find_spec("ziglang"):
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-musl"]
        return [*zig, "-fno-sanitize=all"]
    return native_compiler(machine)


def build_extractors(*, report: bool = False) -> None:
    """Build the program in front of packs, for every processor that can be built for.

    Where none can be linked statically, `cape pack` says so; nothing else needs it.
    """
    for machine in MACHINES:
        target = EXTRACTORS / f"{machine}-linux" / "cape-enter"
        mark = EXTRACTOR_MARK + extractor_digest().encode()
        if target.exists() and mark in target.read_bytes():
            continue
        command = _extractor_compiler(machine)
        target.unlink(missing_ok=True)  # one of older sources must not be shipped
        if command is None:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as work:
            program = Path(work) / "cape-enter"
            sources = [str(file) for file in sorted(EXTRACTOR_SOURCES.glob("*.c"))]
            define = f'-DCAPE_EXTRACTOR_SOURCE="{extractor_digest()}"'
            done = subprocess.run(
                [*command, *EXTRACTOR_COMPILE, define, "-o", str(program), *sources],
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                program.chmod(0o644)
                os.replace(program, target)
                if report:
                    print(f"{target.relative_to(PROJECT)}: {target.stat().st_size} bytes")


def wheel_tag(machines: list[str]) -> str:
    """The tag of a wheel that holds libraries for these processors."""
    return "py3-none-" + ".".join(f"linux_{machine}" for machine in sorted(machines))


if importlib.util.find_spec("hatchling"):
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class CapeBuildHook(BuildHookInterface[Any]):
        """Makes hatchling build the library before it collects the package's files."""

        PLUGIN_NAME = "custom"

        def dependencies(self) -> list[str]:
            machine = own_machine()
            if machine is None or is_current(library_path(machine)) or native_compiler(machine):
                return []
            return ["ziglang>=0.13"]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            machines = build_all()
            build_extractors()
            if machines:
                build_data["pure_python"] = False
                build_data["tag"] = wheel_tag(machines)


if __name__ == "__main__":
    build_all(report=True)
    build_extractors(report=True)
