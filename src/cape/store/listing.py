"""The listing of a tree: every entry with its kind, mode and digest, as values and as a text.

Owns walking, hashing and sealing of a tree, and the digest of its content in which the store's own place
plays no part. It knows nothing of keys, leases or environments.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cape.names import Digest

STORE_PLACEHOLDER = b"/@cape-store@"
"""Stands for the store's directory wherever content is hashed."""

ENVIRONMENT_PLACEHOLDER = b"/@cape-env@"
"""Stands for the environment's directory in private files of objects."""


class Entry(NamedTuple):
    """One entry of a tree. `kind` is `d`, `f` or `l`; `path` is relative, with `/`.

    `sha256` is of the file's bytes, `content` the same with the store's place replaced; for links both
    are empty and `target` holds where they point. `mode` is 0o555 or 0o444 for files.
    """

    kind: str
    path: str
    mode: int = 0
    size_bytes: int = 0
    sha256: str = ""
    content: str = ""
    target: str = ""

    @property
    def identity(self) -> str:
        """What two entries at one path must share to be the same: kind, mode, content or target."""
        return f"{self.kind} {self.mode:o} {self.content}{self.target}"


class ContentHasher:
    """Digests of files, with the places of a store (and of an environment) replaced by placeholders.

    An ELF file holds its interpreter's path in a reserved area that is filled with zeros, so a replaced
    path takes the zeros after it along: the length of the store's path leaves no trace. The key in
    `objects/KEY` depends on the store's place, and is replaced with it.
    """

    def __init__(self, store: Path, environment: Path | None = None) -> None:
        self._store = os.fsencode(store)
        self._environment = os.fsencode(environment) if environment else None
        self._in_store = re.compile(
            re.escape(self._store) + rb"(?:(/objects/)[0-9a-f]{64})?(?=[/\0\"'\s:]|\Z)"
        )

    def digests(self, path: str) -> tuple[str, str]:
        """The SHA-256 of a file's bytes, and of its content: equal where no place is in it."""
        with open(path, "rb", buffering=0) as stream:
            if os.fstat(stream.fileno()).st_size < _SMALL_BYTES:
                return self._digests_of(stream.read())
            exact, names_store = self._read_through(stream)
            if not names_store:
                return (exact, exact)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return (exact, hashlib.sha256(self.normalised(data[:])).hexdigest())

    def _read_through(self, stream: io.FileIO) -> tuple[str, bool]:
        """The SHA-256 of a large file, and whether the store's place is in it: one pass, in pieces.

        The end of each piece goes before the next, so that a place on the border is found.
        """
        total, found = hashlib.sha256(), False
        most = len(self._store) - 1
        piece = bytearray(most + _PIECE_BYTES)
        view = memoryview(piece)
        kept = 0
        while count := stream.readinto(view[kept : kept + _PIECE_BYTES]):
            end = kept + count
            total.update(view[kept:end])
            found = found or piece.find(self._store, 0, end) >= 0
            kept = min(most, end)
            piece[:kept] = piece[end - kept : end]
        return total.hexdigest(), found

    def _digests_of(self, data: bytes) -> tuple[str, str]:
        exact = hashlib.sha256(data).hexdigest()
        if self._store not in data:
            return (exact, exact)
        return (exact, hashlib.sha256(self.normalised(data)).hexdigest())

    def normalised(self, data: bytes) -> bytes:
        """`data` with the places replaced."""
        if self._environment:
            data = data.replace(self._environment, ENVIRONMENT_PLACEHOLDER)
        data = self._in_store.sub(_placeholder, data)
        return _PADDED.sub(rb"\1\0", data)


_PADDED = re.compile(rb"(/@cape-(?:store|env)@[^\0\n]*)\0+")


def _placeholder(found: re.Match[bytes]) -> bytes:
    return STORE_PLACEHOLDER + (b"/objects/@" if found[1] else b"")


_PIECE_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
"""Below this, reading a file costs less than mapping it."""


def seal_tree(tree: Path, hasher: ContentHasher) -> list[Entry]:
    """Make every file of a tree read-only and list it, sorted by path; modes become 0444 and 0555.

    Directories stay writable by their owner, so that `rm -rf` removes a store. Sockets, devices and
    pipes are removed: no package needs one. Setuid and setgid bits go.
    """
    return sorted(_seal(str(tree), "", hasher), key=lambda entry: entry.path)


def _seal(directory: str, prefix: str, hasher: ContentHasher) -> Iterator[Entry]:
    with os.scandir(directory) as scan:
        children = list(scan)
    for child in children:
        path = prefix + child.name
        if child.is_symlink():
            yield Entry("l", path, target=os.readlink(child.path))
        elif child.is_dir(follow_symlinks=False):
            os.chmod(child.path, 0o755)
            yield Entry("d", path, mode=0o755)
            yield from _seal(child.path, path + "/", hasher)
        elif child.is_file(follow_symlinks=False):
            yield _seal_file(child, path, hasher)
        else:
            os.unlink(child.path)


def _seal_file(child: os.DirEntry[str], path: str, hasher: ContentHasher) -> Entry:
    status = child.stat(follow_symlinks=False)
    mode = 0o555 if status.st_mode & 0o111 else 0o444
    if not status.st_mode & 0o400:
        os.chmod(child.path, mode)
    exact, content = hasher.digests(child.path)
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(child.path, mode)
    return Entry("f", path, mode, status.st_size, exact, content)


def list_tree(tree: Path, hasher: ContentHasher) -> list[Entry]:
    """The tree as it is now, sorted by path; nothing is changed."""
    found: list[Entry] = []
    _look(str(tree), "", hasher, found)
    return sorted(found, key=lambda entry: entry.path)


def _look(directory: str, prefix: str, hasher: ContentHasher, found: list[Entry]) -> None:
    with os.scandir(directory) as children:
        for child in children:
            path = prefix + child.name
            if child.is_symlink():
                found.append(Entry("l", path, target=os.readlink(child.path)))
            elif child.is_dir(follow_symlinks=False):
                found.append(Entry("d", path, mode=0o755))
                _look(child.path, path + "/", hasher, found)
            else:
                status = child.stat(follow_symlinks=False)
                exact, content = hasher.digests(child.path)
                mode = stat.S_IMODE(status.st_mode)
                found.append(Entry("f", path, mode, status.st_size, exact, content))


def content_digest(entries: Iterable[Entry]) -> Digest:
    """The digest of what a tree says, wherever its store is. Entries must be sorted by path."""
    return Digest.of_lines(f"{entry.identity} {_escape(entry.path)}" for entry in entries)


def render_listing(entries: Iterable[Entry]) -> bytes:
    """The listing as text, one entry a line, fields parted by tabs."""
    return b"".join(_line(entry) for entry in entries)


def _line(entry: Entry) -> bytes:
    path = _escape(entry.path)
    if entry.kind == "d":
        text = f"d\t{path}\n"
    elif entry.kind == "l":
        text = f"l\t{path}\t{_escape(entry.target)}\n"
    else:
        content = "" if entry.content == entry.sha256 else entry.content
        text = f"f\t{path}\t{entry.mode:o}\t{entry.size_bytes}\t{entry.sha256}\t{content}\n"
    return os.fsencode(text)


def parse_listing(data: bytes) -> list[Entry]:
    """The entries of a listing's text. Raises `ValueError` on any other text."""
    text = os.fsdecode(data)
    escaped = "\\" in text
    entries = []
    for line in text.split("\n")[:-1]:
        fields = line.split("\t")
        path = _unescape(fields[1]) if escaped else fields[1]
        if fields[0] == "f":
            _, _, mode, size, sha256, content = fields
            entries.append(Entry("f", path, int(mode, 8), int(size), sha256, content or sha256))
        elif fields[0] == "l":
            target = _unescape(fields[2]) if escaped else fields[2]
            entries.append(Entry("l", path, target=target))
        elif fields[0] == "d":
            entries.append(Entry("d", path, mode=0o755))
        else:
            raise ValueError(f"not a line of a listing: {line!r}")
    return entries


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_UNESCAPES = {written: plain for plain, written in _ESCAPES.items()}


def _escape(text: str) -> str:
    return re.sub(r"[\\\n\t]", lambda found: _ESCAPES[found[0]], text)


def _unescape(text: str) -> str:
    return re.sub(r"\\[\\nt]", lambda found: _UNESCAPES[found[0]], text)
