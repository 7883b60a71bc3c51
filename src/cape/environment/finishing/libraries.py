"""Libraries without a cache: directories that `ld.so.conf.d` names, and the answer of `ldconfig -p`.

Owns the links that make libraries of further directories found (executables' search paths are equal in
all environments, so a directory that only some packages bring cannot stand there), those to separate
debug files, and a stand-in for `ldconfig`, which is static and would answer with the machine's libraries.
"""

from __future__ import annotations

import re
from pathlib import Path

from cape.environment.finishing.place import put_file, put_link
from cape.environment.relocation.loader import triplet
from cape.environment.relocation.paths import in_root
from cape.environment.relocation.scripts import PLACEHOLDER, personalise
from cape.names import System

_LDCONFIG = "usr/sbin/ldconfig"
_NAME = re.compile(r"\.so(\.[\w.]+)?\Z")
_LABELS = {System.X86_64_LINUX: "libc6,x86-64", System.AARCH64_LINUX: "libc6,AArch64"}


_COMPILED_IN = ("usr/lib/ghc/lib/*-linux-ghc-*", "usr/lib/haskell-packages/ghc/lib/*-linux-ghc-*")
"""Directories that a compiler writes into programs as search paths; those run without the redirect."""


def link_configured_libraries(root: Path, triplet: str) -> None:
    """Link each library of a configured directory into the system's, unless one of that name is there."""
    known = [f"usr/lib/{triplet}", "usr/lib"]
    for directory in _configured(root):
        if directory in known:
            continue
        known.append(directory)
        for library in sorted((root / directory).glob("*.so*")):
            name = f"usr/lib/{triplet}/{library.name}"
            if not (root / name).is_symlink() and not (root / name).exists():
                put_link(root, name, f"{directory}/{library.name}")


def _configured(root: Path) -> list[str]:
    found: list[str] = []
    for file in sorted((root / "etc/ld.so.conf.d").glob("*.conf")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            text = line.split("#", 1)[0].strip()
            inside = in_root(text) if text.startswith("/") else None
            if inside is not None and (root / inside).is_dir():
                found.append(inside)
    for pattern in _COMPILED_IN:
        found += [str(path.relative_to(root)) for path in sorted(root.glob(pattern))]
    return found


def link_debug_files(root: Path, triplet: str) -> None:
    """Link each separate debug file into `.debug` beside the system's libraries, under its link's name.

    Programs that know `/usr/lib/debug` find it there; valgrind's tools are static, so they see no
    `/usr/lib` but the machine's, and look beside a library next.
    """
    for file in sorted((root / "usr/lib/debug/.build-id").glob("*/*.debug")):
        put_link(root, f"usr/lib/{triplet}/.debug/{file.name}", str(file.relative_to(root)))


def answer_ldconfig(root: Path, final: Path, system: System) -> None:
    """Put a script in place of `ldconfig` that lists the environment's libraries; other calls do nothing.

    Python's `find_library` asks it, among others. Does nothing in a root without `ldconfig`. The script
    is a file of this environment alone, so it holds the path `final` where the root will lie.
    """
    if not (root / _LDCONFIG).exists():
        return
    lines = [f"\t{name} ({_LABELS[system]}) => {final}/{path}" for name, path in _libraries(root, system)]
    text = "\n".join([f"{len(lines)} libs found in the environment", *lines]).replace("'", "'\\''")
    script = b"#!" + PLACEHOLDER + b"/root/usr/bin/sh\n" + _ANSWER % text.encode()
    put_file(root, _LDCONFIG, personalise(script, final.parent), mode=0o755)


_ANSWER = b"""for word; do
case "$word" in
-p|--print-cache) printf '%%s\\n' '%s' ;;
esac
done
"""


def _libraries(root: Path, system: System) -> list[tuple[str, str]]:
    """(name, path) of each library that the loader finds by itself, newest name first as in the cache.

    A file that a link beside it points to goes by the link's name, which is its soname, only.
    """
    found: dict[str, str] = {}
    for directory in (f"usr/lib/{triplet(system)}", "usr/lib"):
        libraries = [path for path in (root / directory).glob("*.so*") if _NAME.search(path.name)]
        linked = {str(path.readlink()) for path in libraries if path.is_symlink()}
        for library in libraries:
            if library.is_file() and (library.is_symlink() or library.name not in linked):
                found.setdefault(library.name, f"{directory}/{library.name}")
    return sorted(found.items(), key=lambda row: _natural(row[0]), reverse=True)


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
