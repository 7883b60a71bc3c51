"""The archive's list of files: which package has a file of some name.

Owns the reading of `Contents`, which a signed `Release` vouches for as for any index. It is tens of
megabytes, so it is read through once, from the network, and not kept.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

from cape.errors import SourceError
from cape.sources.debian.index import Archive, fetch_checked
from cape.sources.download import shown_url

_PIECE_BYTES = 1 << 20


def packages_with(name: str, archives: Sequence[Archive], architecture: str) -> tuple[str, ...]:
    """The packages that have `name` among their libraries or programs, sorted.

    An archive that has no list, or does not give it, has none. Raises `IndexAltered`.
    """
    found: set[str] = set()
    for archive in archives:
        for component in archive.place.components:
            found.update(_owners(name, _pieces(archive, f"{component}/Contents-{architecture}.gz")))
    return tuple(sorted(found))


def _pieces(archive: Archive, path: str) -> Iterator[bytes]:
    """The list's text, in pieces that end with a line."""
    wanted = archive.release.file(path)
    if wanted is None:
        return
    base = f"{archive.place.base}/dists/{archive.place.suite}"
    try:
        data = fetch_checked(archive, base, path, wanted, shown_url(f"{base}/{path}"))
        decompressor = zlib.decompressobj(wbits=31)
        rest = b""
        for at in range(0, len(data), _PIECE_BYTES):
            piece = rest + decompressor.decompress(data[at : at + _PIECE_BYTES])
            whole, newline, rest = piece.rpartition(b"\n")
            yield whole + newline
        yield rest + decompressor.flush() + b"\n"
    except (SourceError, zlib.error):
        return


def _owners(name: str, pieces: Iterator[bytes]) -> Iterator[str]:
    """The packages in the lines of a file of that name: `usr/lib/libx.so.1    libs/x1,oldlibs/x1t64`."""
    place = rb"(?:usr/)?(?:lib(?:/[^/\s]+)?|s?bin|games)"
    line = re.compile(rb"^" + place + rb"/" + re.escape(name.encode()) + rb"[ \t]+(\S+)$", re.MULTILINE)
    for piece in pieces:
        if name.encode() not in piece:
            continue
        for packages in line.findall(piece):
            yield from (one.rpartition("/")[2] for one in packages.decode().split(","))
