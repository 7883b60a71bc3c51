"""Compilers whose programs run outside of the environment: gcc's specs and clang's configuration.

Owns the linker's flags that a program needs to find its loader and its libraries in the environment, and
how each compiler is told; `linkers` has the scripts that stand for linkers. rustc, cargo, ghc, cgo, cmake
and libtool link through one of the two.
"""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from cape.environment.finishing.linkers import (
    LINKERS,
    search_path,
    write_collect_linkers,
    write_linkers,
)
from cape.environment.finishing.place import put_file
from cape.environment.finishing.programs import require_native
from cape.environment.relocation.loader import loader_name, triplet
from cape.names import System

_log = logging.getLogger(__name__)


def configure_compilers(root: Path, final: Path, system: System) -> tuple[str, ...]:
    """Write the files for each compiler in a root that will lie at `final`; sentences about failures.

    gcc's file replaces all that is built into it, so it is the compiler's own output with one line made
    longer; a short file would lose the rules for libgcc and exceptions.
    """
    if len(str(final).split()) > 1:
        return (
            "compilers know no search path with blanks: their programs look for this machine's libraries",
        )
    notes = []
    for start in sorted(root.glob(f"usr/lib/gcc/{triplet(system)}/*/crtbegin.o")):
        version = start.parent.name
        driver = root / f"usr/bin/{triplet(system)}-gcc-{version}"
        if not driver.exists():
            continue
        specs = str((start.parent / "specs").relative_to(root))
        try:
            put_file(root, specs, extended_specs(_dumped(driver), link_flags(final, system)).encode())
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            _log.debug("specs of %s failed: %s", driver, error)
            notes.append(f"programs of gcc {version} will look for libraries of this machine: {error}")
    write_collect_linkers(root, final, system)
    configure_clang(root, final, system)
    return tuple(notes)


def configure_clang(root: Path, final: Path, system: System) -> None:
    """Write clang's configuration, and the linkers that it is told to use; nothing where it is not."""
    clangs = sorted(root.glob("usr/lib/llvm-*/bin/clang"))
    for clang in clangs:
        directory = str(clang.parent.relative_to(root))
        for name in ("clang.cfg", "clang++.cfg"):
            put_file(root, f"{directory}/{name}", clang_configuration(final).encode())
    if clangs:
        write_linkers(root, final, system)


def _dumped(driver: Path) -> str:
    """The specs that are built into a gcc. Its own earlier file would be read first, so it must be away."""
    require_native(driver)
    environment = {"LC_ALL": "C", "PATH": str(driver.parent)}
    command = [str(driver), "-dumpspecs"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment)
    return done.stdout.decode()


def extended_specs(dumped: str, link: str) -> str:
    """All specs, with `link` at the end of those for the linker. Raises `ValueError` without such.

    Applying it twice is the same as once.
    """
    lines = dumped.split("\n")
    at = lines.index("*link:") + 1
    if not lines[at].endswith(link):
        lines[at] = f"{lines[at]} {link}"
    return "\n".join(lines)


def link_flags(root: Path, system: System) -> str:
    """Specs text: loader and search path, neither for static programs nor for partial links.

    Shared libraries get no loader. `DT_RPATH` it is, as everywhere: libraries inherit it.
    """
    directories = search_path(root, system)
    paths = " ".join(f"-rpath {directory}" for directory in directories)
    loader = f"%{{!shared:-dynamic-linker {directories[0]}/{loader_name(system)}}}"
    flags = f"%{{!static:%{{!static-pie:%{{!r:{loader} {paths} --disable-new-dtags}}}}}}"
    return f"%{{m16|m32|mx32:;:{flags}}}" if system is System.X86_64_LINUX else flags


def clang_configuration(root: Path) -> str:
    """The same for clang: what goes before the loader's usual path, and where the linkers are.

    Where clang wants no loader (`-static-pie`) there is none.
    """
    lines = [f"--dyld-prefix={root}", f"-B{root}/{LINKERS}"]
    return "\n".join(["--start-no-unused-arguments", *lines, "--end-no-unused-arguments", ""])
