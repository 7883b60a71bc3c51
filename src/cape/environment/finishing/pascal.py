"""Free Pascal's configuration: where its units are, its tools, and what its linker is told.

Owns what `fpcmkcfg` would have written for Debian's layout, as far as it is not the compiler's own default.
The compiler makes its system calls itself, so the redirect does not reach it: all paths are real ones, and
the file lies where it looks by its own place, before `/etc`.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.finishing.linkers import LINKERS, search_path, write_linkers
from cape.environment.finishing.place import put_file, put_link
from cape.environment.relocation.loader import triplet
from cape.names import System

_CONFIGURATION = """\
#IFDEF RELEASE
  -O2
  -Xs
#ENDIF
#IFDEF DEBUG
  -gl
  -Crtoi
#ELSE
  -Xs
#ENDIF
-Sgic
-Fu{root}/{units}/$fpcversion/units/$fpctarget
-Fu{root}/{units}/$fpcversion/units/$fpctarget/*
-Fu{root}/{units}/$fpcversion/units/$fpctarget/rtl
-Fu~/.fppkg/lib/fpc/$fpcversion/units/$FPCTARGET/*
-FD{root}/{linkers}
{libraries}
-l
-viwn
"""
"""Its linker is one of our scripts: the compiler has room for a loader's path of 100 bytes."""


def configure_pascal(root: Path, final: Path, system: System) -> None:
    """Write `etc/fpc-VERSION.cfg` for each compiler in a root that will lie at `final`."""
    units = f"usr/lib/{triplet(system)}/fpc"
    for version in sorted(path.name for path in (root / units).glob("*") if (path / "units").is_dir()):
        libraries = [
            *search_path(final, system),
            *(f"{final}/{place}" for place in _start_files(root, system)),
        ]
        text = _CONFIGURATION.format(
            root=final,
            units=units,
            libraries="\n".join(f"-Fl{directory}" for directory in libraries),
            linkers=LINKERS,
        )
        put_file(root, f"etc/fpc-{version}.cfg", text.encode())
        put_link(root, f"{units}/etc/fpc.cfg", f"etc/fpc-{version}.cfg")
        write_linkers(root, final, system)
        if (root / "usr/bin/as").exists():
            put_link(root, f"{LINKERS}/as", "usr/bin/as")


def _start_files(root: Path, system: System) -> list[str]:
    """The directories of gcc's start-up files, newest last."""
    found = root.glob(f"usr/lib/gcc/{triplet(system)}/*/crtbegin.o")
    return sorted(str(file.parent.relative_to(root)) for file in found)
