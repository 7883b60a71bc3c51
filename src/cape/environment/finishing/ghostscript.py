"""Ghostscript's maps of fonts: names that stand for files, joined from what packages bring.

Owns the joining, which Debian's `update-gsfontmap` does.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.finishing.place import put_file

_MADE = "var/lib/ghostscript/fonts"
_JOINED = (("etc/ghostscript/fontmap.d", "Fontmap"), ("etc/ghostscript/cidfmap.d", "cidfmap"))


def map_ghostscript_fonts(root: Path) -> None:
    """Write both maps into a root with Ghostscript, empty where no package brings a piece."""
    for pieces, name in _JOINED:
        if (root / _MADE).is_dir() and (root / pieces).is_dir():
            files = sorted((root / pieces).glob("*.conf"))
            text = b"".join(file.read_bytes().rstrip(b"\n") + b"\n" for file in files)
            put_file(root, f"{_MADE}/{name}", text)
