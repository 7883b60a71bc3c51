"""Where Debian's absolute paths lie in a tree.

Owns the merge of `/bin`, `/sbin` and `/lib*` into `/usr`, and which top directories stay the machine's.
Pure functions on text; nothing here looks at a file system.
"""

from __future__ import annotations

import posixpath

MERGED = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})
"""Top directories that are links into `/usr`."""

MACHINE_DIRECTORIES = frozenset({"dev", "proc", "run", "sys", "tmp"})
MACHINE_FILES = frozenset(
    {
        "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/hosts", "/etc/resolv.conf",
        "/etc/hostname", "/etc/localtime", "/etc/machine-id", "/etc/nsswitch.conf", "/etc/mtab",
    }
)  # fmt: skip
"""Files that belong to the machine and are never an environment's."""


def in_root(path: str) -> str | None:
    """Where an absolute path lies below the root: `/bin/sh` gives `usr/bin/sh`.

    None for a path that stays the machine's. `..` never climbs above the root.
    """
    clean = posixpath.normpath("/" + path.lstrip("/"))
    top = clean.split("/")[1]
    if not top or top in MACHINE_DIRECTORIES or clean in MACHINE_FILES:
        return None
    return ("usr" + clean) if top in MERGED else clean[1:]
