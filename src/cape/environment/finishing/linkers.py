"""Linkers as compilers call them: scripts that tell the real one what a program of the environment needs.

Owns the search path, and which programs look at files with the environment's eyes: those that embed an
interpreter or a library with files of its own (Guile, Python, GTK). A compiled program is not redirected
otherwise, since what it does below `/usr` is its own affair.
"""

from __future__ import annotations

import os
from pathlib import Path

from cape.environment.finishing.place import put_file
from cape.environment.relocation.loader import loader_name, triplet
from cape.environment.relocation.scripts import PLACEHOLDER, personalise
from cape.names import System

LINKERS = "usr/lib/cape/linkers"
"""Where the scripts are that stand for each linker of the root, under its name."""

_REDIRECT = "libcape-redirect.so"
_EMBEDDED = (
    *("python3*", "guile-*", "perl", "ruby*", "R", "tcl*", "tk*", "php*", "octave", "octinterp", "swipl"),
    *("mono*", "ecl", "gtk-*", "gstreamer-*", "gs", "Magick*", "GraphicsMagick*", "gvc", "gdal", "proj"),
    *("magic", "Qt5*", "Qt6*", "hamlib", "babeltrace*", "enchant-*", "pango-*", "rsvg-*", "vips*"),
)
"""Libraries that look for files of their own at fixed places; `-l` words and paths name them so."""

_SCRIPT = b"""embeds= loader=
for word; do
case "$word" in
--no-dynamic-linker|-r|--relocatable|-static) exec '%(linker)s' "$@" ;;
-shared) embeds=no ;;
*/%(loader_name)s) loader=yes ;;
%(embedded)s) embeds=${embeds:-yes} ;;
esac
done
if [ "$embeds" = yes ]; then
for word; do
shift
if [ "$word" = -lc ] && [ "$embeds" ]; then
set -- "$@" --push-state --no-as-needed '%(redirect)s' --pop-state
embeds=
fi
set -- "$@" "$word"
done
fi
"""
_OWN_FLAGS = b"""[ -z "$loader" ] || set -- "$@" '--dynamic-linker=%(loader)s'
exec '%(linker)s' "$@" %(path)s --disable-new-dtags
"""


def search_path(root: Path, system: System) -> tuple[str, str]:
    """Where a program made by a compiler finds its libraries."""
    return f"{root}/usr/lib/{triplet(system)}", f"{root}/usr/lib"


def write_linkers(root: Path, final: Path, system: System) -> None:
    """A script for each linker of a root that will lie at `final`, for compilers that know no conditions."""
    for pattern in ("usr/bin/ld", "usr/bin/ld.*", "usr/lib/llvm-*/bin/ld.lld"):
        for linker in sorted(root.glob(pattern)):
            real = final / linker.relative_to(root)
            put_file(root, f"{LINKERS}/{linker.name}", linker_script(real, final, system), mode=0o755)


def write_collect_linkers(root: Path, final: Path, system: System) -> None:
    """A script where each gcc looks for its linker first; what its specs say is not said again."""
    for collect in sorted(root.glob(f"usr/lib*/gcc/{triplet(system)}/*/collect2")):
        if (root / "usr/bin/ld").exists():
            script = linker_script(final / "usr/bin/ld", final, system, has_flags=True)
            put_file(root, str(collect.relative_to(root).with_name("collect-ld")), script, mode=0o755)


def linker_script(linker: Path, root: Path, system: System, *, has_flags: bool = False) -> bytes:
    """A script that starts a linker with the search path, unless it makes a static or a partial program.

    `clang.cfg` has no conditions, and a static program that is position independent dies of a search
    path: glibc's start-up code asserts that there is none. With `has_flags` the caller gives it himself.
    """
    path = search_path(root, system)
    words = {
        b"linker": os.fsencode(linker),
        b"loader_name": loader_name(system).encode(),
        b"loader": f"{path[0]}/{loader_name(system)}".encode(),
        b"embedded": b"|".join(_patterns()),
        b"redirect": f"{root}/usr/lib/{_REDIRECT}".encode(),
        b"path": " ".join(f"-rpath '{directory}'" for directory in path).encode(),
    }
    last = b"exec '%(linker)s' \"$@\"\n" if has_flags else _OWN_FLAGS
    return personalise(b"#!" + PLACEHOLDER + b"/root/usr/bin/sh\n" + (_SCRIPT + last) % words, root.parent)


def _patterns() -> list[bytes]:
    """The patterns of sh for words of a linker that name such a library."""
    return [
        form.encode() for name in _EMBEDDED for form in (f"-l{name}", f"*/lib{name}.so", f"*/lib{name}.so.*")
    ]
