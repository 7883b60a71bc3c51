"""What an X server reads of a directory of fonts: the list of bitmap fonts, and the aliases.

Owns the writing of `fonts.dir` and `fonts.alias`, which Debian's tools write when a package with fonts is
installed. Scalable fonts are found by fontconfig, and need none of it.
Source: the format of PCF files, as the X server's font library reads it.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from cape.environment.finishing.place import put_file

_FONTS = "usr/share/fonts/X11"
_ALIASES = ("etc/X11/fonts", "etc/X11/fonts/X11R7")
_PROPERTIES = 1
_MOST_SIGNIFICANT_FIRST = 4
_BDF_NAME = re.compile(rb"^FONT\s+(-[^\r\n]*)", re.MULTILINE)


def list_x_fonts(root: Path) -> None:
    """Write both files into each directory of X11's fonts that lacks them."""
    for directory in sorted(path for path in (root / _FONTS).glob("*") if path.is_dir()):
        place = str(directory.relative_to(root))
        rows = list(_rows(directory))
        if rows and not (directory / "fonts.dir").exists():
            put_file(root, f"{place}/fonts.dir", f"{len(rows)}\n{''.join(rows)}".encode())
        pieces = [file for top in _ALIASES for file in sorted((root / top / directory.name).glob("*.alias"))]
        if pieces and not (directory / "fonts.alias").exists():
            text = b"".join(piece.read_bytes().rstrip(b"\n") + b"\n" for piece in pieces)
            put_file(root, f"{place}/fonts.alias", text)


def _rows(directory: Path) -> Iterator[str]:
    for file in sorted(directory.iterdir()):
        name = _name(file)
        if name:
            yield f"{file.name} {name.lower()}\n"


def _name(file: Path) -> str | None:
    """The logical name that a bitmap font gives itself; None for other files and broken ones."""
    suffixes = file.name.removesuffix(".gz").rpartition(".")[2]
    if suffixes not in ("pcf", "bdf"):
        return None
    try:
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
        return pcf_name(data) if suffixes == "pcf" else _bdf_name(data)
    except (OSError, EOFError, ValueError, struct.error, zlib.error):
        return None


def _bdf_name(data: bytes) -> str | None:
    found = _BDF_NAME.search(data)
    return found[1].decode("latin-1").strip() if found else None


def pcf_name(data: bytes) -> str | None:
    """The property `FONT` of a PCF file; None without one. Raises `ValueError`, `struct.error`."""
    if data[:4] != b"\x01fcp":
        return None
    for kind, _, _, offset in struct.iter_unpack(
        "<4I", data[8 : 8 + 16 * struct.unpack_from("<I", data, 4)[0]]
    ):
        if kind == _PROPERTIES:
            return _properties(data, offset).get("FONT")
    return None


def _properties(data: bytes, at: int) -> dict[str, str]:
    """The properties that are texts, of the table at `at`."""
    order = ">" if struct.unpack_from("<I", data, at)[0] & _MOST_SIGNIFICANT_FIRST else "<"
    count = struct.unpack_from(f"{order}I", data, at + 4)[0]
    rows = at + 8
    texts = rows + 9 * count + -count % 4 + 4

    def text(offset: int) -> str:
        return data[texts + offset : data.index(b"\0", texts + offset)].decode("latin-1")

    found = {}
    for row in range(count):
        name, is_text, value = struct.unpack_from(f"{order}IBI", data, rows + 9 * row)
        if is_text:
            found[text(name)] = text(value)
    return found
