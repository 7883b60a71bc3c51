"""The table of modules that convert character sets, which libc reads instead of parsing their lists.

Owns the making of it. Its directory is written as `$ORIGIN/gconv`, which the loader takes from the place
of the C library: the same table serves every environment. That libc finds it is `relocation`'s work.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from cape.environment.finishing.place import put_file
from cape.environment.finishing.programs import require_native

_PROGRAM = "usr/sbin/iconvconfig"
_DIRECTORY = "$ORIGIN/gconv"
_TIME_LIMIT_S = 60


def table_character_sets(root: Path, triplet: str) -> tuple[str, ...]:
    """Make the table with the tree's own `iconvconfig`; a sentence when it failed.

    The program takes the directory as it will be written, so it runs where that name is a link.
    """
    modules = root / f"usr/lib/{triplet}/gconv"
    program = root / _PROGRAM
    if not program.exists() or not modules.is_dir():
        return ()
    with tempfile.TemporaryDirectory(prefix="cape-cache-") as directory:
        link = Path(directory) / _DIRECTORY
        link.parent.mkdir()
        link.symlink_to(modules)
        try:
            require_native(program)
            subprocess.run(
                [str(program), "--nostdlib", "-o", "table", _DIRECTORY],
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_TIME_LIMIT_S,
                cwd=directory,
                env={"LC_ALL": "C"},
            )
            table = (Path(directory) / "table").read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            return (f"programs know only the C library's own character sets: {error}",)
    put_file(root, f"usr/lib/{triplet}/gconv/gconv-modules.cache", table)
    return ()
