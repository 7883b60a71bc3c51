"""The archive's list of files: which packages have a library, a program or a typelib of some name.

Owns the reading of `Contents`, and the short form of it that is kept: the names that a loader, a shell or
GObject's introspection looks for, and Java's, which alternatives bring to `/usr/bin` (no list has them
there). A list that is not the one that the signed `Release` names (mirrors lag behind with it, as apt itself
does not read it) is used as a hint, and says so: whoever acts on it looks into the package, whose digest is
signed.
"""

from __future__ import annotations

import logging
import mmap
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cape.errors import SourceError
from cape.names import write_atomically
from cape.sources.debian.errors import IndexAltered
from cape.sources.debian.index import Archive, fetch_checked
from cape.sources.download import disk_errors, fetch_bytes, shown_url

_log = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 20
_LARGEST_BYTES = 256 << 20
_FORM = 2
"""Counts up when the short form changes."""

_LINE = re.compile(
    rb"^(?:usr/)?(?:"
    rb"lib(?:64)?(?:/[a-z0-9_]+-linux-gnu)?(?:/(?:blas|lapack)|/jvm/[^/\s]+/lib/server)?/([^/\s]+\.so(?:\.[^/\s]*)?)"
    rb"|(?:(?:s?bin|games)|lib/jvm/[^/\s]+/bin)/([^/\s]+)"
    rb"|lib(?:/[a-z0-9_]+-linux-gnu)?/girepository-1\.0/([^/\s]+\.typelib)"
    rb")[ \t]+(\S+)$",
    re.MULTILINE,
)


class FileNames:
    """The names of one suite's files, and the packages that have them. `is_signed`: every list was."""

    def __init__(self, lists: Sequence[Path], *, is_signed: bool) -> None:
        self.is_signed = is_signed
        self._known: dict[str, tuple[str, ...]] = {}
        self._texts = [text for one in lists if (text := _mapped(one))]

    @property
    def is_known(self) -> bool:
        """Whether there is any list at all: without one nobody's absence is told."""
        return any(len(text) > 2 for text in self._texts)

    def owners(self, name: str) -> tuple[str, ...]:
        """The packages that have a file of exactly that name, sorted."""
        if name not in self._known:
            found = {owner for other, owner in self._lines(f"{name}\t") if other == name}
            self._known[name] = tuple(sorted(found))
        return self._known[name]

    def beginning(self, prefix: str) -> dict[str, tuple[str, ...]]:
        """The names that begin like that, with their packages."""
        found: dict[str, set[str]] = {}
        for name, owner in self._lines(prefix):
            found.setdefault(name, set()).add(owner)
        return {name: tuple(sorted(found[name])) for name in sorted(found)}

    def _lines(self, prefix: str) -> Iterator[tuple[str, str]]:
        wanted = b"\n" + prefix.encode()
        for text in self._texts:
            at = text.find(wanted)
            while at >= 0 and text[at : at + len(wanted)] == wanted:
                end = text.find(b"\n", at + 1)
                name, _, owners = text[at + 1 : end].decode("utf-8", "replace").partition("\t")
                yield from ((name, owner) for owner in owners.split(","))
                at = end


def _mapped(file: Path) -> mmap.mmap | None:
    try:
        with open(file, "rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None


def file_names(archives: Sequence[Archive], architecture: str) -> FileNames:
    """The names of all archives of a suite; what an archive does not give is missing.

    A list is read through once, and its short form kept beside the archive's indices.
    """
    lists: list[Path] = []
    is_signed = True
    for archive in archives:
        for component in archive.place.components:
            found = _kept_list(archive, f"{component}/Contents-{architecture}.gz")
            if found is not None:
                lists.append(found[0])
                is_signed = is_signed and found[1]
    return FileNames(lists, is_signed=is_signed)


def packages_with(name: str, archives: Sequence[Archive], architecture: str) -> tuple[str, ...]:
    """The packages that have `name` among their libraries or programs, sorted; empty when none is known."""
    return file_names(archives, architecture).owners(name)


def _kept_list(archive: Archive, path: str) -> tuple[Path, bool] | None:
    """The short form of a list, and whether a signature vouches for it; None when there is none."""
    wanted = archive.release.file(path)
    if wanted is None:
        return None
    stem = path.replace("/", "-").removesuffix(".gz")
    signed = archive.directory / f"{stem}-{_FORM}-{wanted.digest.hex[:32]}.names"
    hinted = signed.with_suffix(".hints")
    for file, is_signed in ((signed, True), (hinted, False)):
        if file.exists():
            return file, is_signed
    read = _read(archive, path)
    if read is None:
        return None
    data, is_signed = read
    file = signed if is_signed else hinted
    try:
        text = _short_form(data)
    except zlib.error:
        return None
    with disk_errors(file):
        write_atomically(file, text)
        for old in file.parent.glob(f"{stem}-*"):
            if old != file:
                old.unlink(missing_ok=True)
    return file, is_signed


def _read(archive: Archive, path: str) -> tuple[bytes, bool] | None:
    """The list's bytes, and whether they are what `Release` names."""
    wanted = archive.release.file(path)
    assert wanted is not None
    base = f"{archive.place.base}/dists/{archive.place.suite}"
    try:
        return fetch_checked(archive, base, path, wanted, shown_url(f"{base}/{path}")), True
    except IndexAltered as error:
        _log.debug("the list of files is taken as a hint only: %s", error)
    except SourceError as error:
        _log.debug("no list of files: %s", error)
        return None
    try:
        return fetch_bytes(f"{base}/{path}", limit_bytes=_LARGEST_BYTES), False
    except SourceError as error:
        _log.debug("no list of files: %s", error)
        return None


def _short_form(data: bytes) -> bytes:
    """Lines `name TAB package,package`, sorted, a line end before the first."""
    found: dict[bytes, set[bytes]] = {}
    for piece in _pieces(data):
        for library, program, typelib, packages in _LINE.findall(piece):
            owners = {one.rpartition(b"/")[2] for one in packages.split(b",")}
            found.setdefault(library or program or typelib, set()).update(owners)
    lines = (name + b"\t" + b",".join(sorted(found[name])) for name in sorted(found))
    return b"\n" + b"\n".join(lines) + b"\n"


def _pieces(data: bytes) -> Iterator[bytes]:
    """The list's text, in pieces that end with a line. Raises `zlib.error`."""
    decompressor = zlib.decompressobj(wbits=31)
    rest = b""
    for at in range(0, len(data), _PIECE_BYTES):
        piece = rest + decompressor.decompress(data[at : at + _PIECE_BYTES])
        whole, newline, rest = piece.rpartition(b"\n")
        yield whole + newline
    yield rest + decompressor.flush() + b"\n"
