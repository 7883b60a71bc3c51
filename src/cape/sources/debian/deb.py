"""A deb, unpacked without dpkg: an ar of two tars, written below a directory and nowhere else.

Owns the formats (ar, tar with GNU and pax names) and the rules of what may be written where. It runs
nothing of a package, keeps no owner, and does not know what the files are for.

Layout. Files lie below `root/`, and since environments are merged, what a deb puts into `bin`, `sbin` or
`lib*` lies in the same directory below `usr/`; relative links that this moves, or that lead through
those directories, are written anew. Control files lie below `root/var/lib/cape/control/PACKAGE/`. Times
are the archive's. Modes are too, without set-user and set-group bits: with no owner kept they would give
away the rights of whoever unpacks.

Tar is read here rather than by the standard library, which takes longer for the members than liblzma
does for the bytes.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from cape.sources.debian.errors import DamagedPackage, EscapingPath, UnreadableCompression
from cape.sources.download import disk_errors

CONTROL = "var/lib/cape/control"
"""Where the control files of packages lie below `root`."""

PRIVILEGED = "privileged"
"""The control file that unpacking writes for a package with set-user or set-group bits: for each program
the bits, in octal, and the path below `root`. There is none for other packages."""

_PIECE_BYTES = 1 << 18
_NAME_LIMIT_BYTES = 1 << 16
_BLOCK = 512
_MERGED = frozenset((b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libo32", b"libx32"))
_REGULAR = (b"0", b"\0", b"7")


def unpack(artifact: Path, into: Path, *, package: str) -> None:
    """Put the files of a deb below `into/root`, and its control files where `CONTROL` says.

    Raises `DamagedPackage`, `EscapingPath`, `UnreadableCompression`, `StateError` (the disk).
    """
    with open(artifact, "rb") as stream, disk_errors(into):
        writer = _Writer(into / "root", artifact)
        for kind, reader in _parts(stream, artifact):
            writer.prefix = b"" if kind == "data" else os.fsencode(f"{CONTROL}/{package}")
            for member in _tar_members(reader, artifact):
                writer.write(member, reader)
        writer.finish(package)


@dataclass(frozen=True, kw_only=True, slots=True)
class DebEntry:
    """One entry of a deb.

    `path` is below the object's tree, `root/usr/bin/rg`, and `control/NAME` for control files.
    `kind` is `f` for a file, `d`, `l` for a link, `h` for a hard link, whose `target` is below the tree.
    `mode` has the set-user and set-group bits that unpacking takes away. `read` gives a file's bytes; it
    may be called once, before the next entry is asked for.
    """

    path: str
    kind: str
    mode: int = 0
    size_bytes: int = 0
    target: str = ""
    read: Callable[[], bytes] = bytes


def contents(artifact: Path) -> Iterator[DebEntry]:
    """What a deb holds, in its order; nothing is written.

    Raises `DamagedPackage`, `EscapingPath`, `UnreadableCompression`.
    """
    with open(artifact, "rb") as stream:
        places = _Places(artifact)
        for kind, reader in _parts(stream, artifact):
            places.prefix = b"" if kind == "data" else b"control"
            for member in _tar_members(reader, artifact):
                entry = places.entry(member, reader)
                left = reader.at + _padded(member.size) if member.kind in _REGULAR else reader.at
                if entry is not None:
                    yield entry
                for _ in reader.pieces(left - reader.at):
                    pass


def listed_paths(head: bytes, *, where: Path) -> tuple[str, ...] | None:
    """The paths below the tree of the regular files of a deb, by its own list, from its first bytes.

    Configuration files, links and directories are not in that list, and no modes. None when the bytes do
    not reach so far, or the deb has no list. Nobody has verified such bytes: what they say is a hint.
    Raises `DamagedPackage`, `UnreadableCompression`.
    """
    at = 8 + 60 + 4
    header = head[at : at + 60]
    name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
    if not name.startswith("control.tar") or not size.isdigit() or len(head) < at + 60 + int(size):
        return None
    stream = BytesIO(head[at + 60 : at + 60 + int(size)])
    suffix = name.removeprefix("control.tar")
    reader = _Reader(stream, int(size), _decompressor(suffix, where), where)
    for member in _tar_members(reader, where):
        if member.name.removeprefix(b"./") == b"md5sums" and member.kind in _REGULAR:
            lines = reader.read(member.size).decode("utf-8", "surrogateescape").split("\n")
            places = _Places(where)
            names = (places.checked(os.fsencode(line.partition("  ")[2])) for line in lines if "  " in line)
            return tuple(os.fsdecode(b"root/" + places.placed(name, is_link=False)) for name in names)
        for _ in reader.pieces(_padded(member.size) if member.kind in _REGULAR else 0):
            pass
    return None


def _parts(stream: BinaryIO, artifact: Path) -> Iterator[tuple[str, _Reader]]:
    """`control` and `data`, each with its bytes, in the deb's order. Raises when one is not there."""
    seen = set()
    for name, size in _ar_members(stream, artifact):
        kind, _, suffix = name.partition(".tar")
        if kind not in ("data", "control") or name == kind:
            continue
        seen.add(kind)
        yield kind, _Reader(stream, size, _decompressor(suffix, artifact), artifact)
    if seen != {"data", "control"}:
        raise DamagedPackage("the deb lacks its `control` or `data` part", where=str(artifact))


def _ar_members(stream: BinaryIO, artifact: Path) -> Iterator[tuple[str, int]]:
    """Name and size of each member, the stream at its first byte."""
    if stream.read(8) != b"!<arch>\n":
        raise DamagedPackage("the file is not a deb", where=str(artifact))
    end = os.fstat(stream.fileno()).st_size
    at = 8
    while at < end:
        stream.seek(at)
        header = stream.read(60)
        try:
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        except ValueError:
            raise DamagedPackage("the deb has a broken part", where=str(artifact)) from None
        if len(header) < 60 or header[58:] != b"`\n" or size < 0 or at + 60 + size > end:
            raise DamagedPackage("the deb is cut short", where=str(artifact))
        yield name, size
        at += 60 + size + size % 2


class _Decompressor(Protocol):
    """What `lzma` and `bz2` call a decompressor."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Plain:
    """No compression."""

    eof = False
    needs_input = True

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return data


class _Gzip:
    """zlib's decompressor in the shape of lzma's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))


def _decompressor(suffix: str, artifact: Path) -> _Decompressor:
    if suffix == "":
        return _Plain()
    if suffix == ".gz":
        return _Gzip()
    if suffix in (".xz", ".lzma"):
        import lzma

        return lzma.LZMADecompressor()
    if suffix == ".bz2":
        import bz2

        return bz2.BZ2Decompressor()
    if suffix == ".zst":
        return _zstandard(artifact)
    raise DamagedPackage(f"the deb is compressed in an unknown way, `{suffix}`", where=str(artifact))


def _zstandard(artifact: Path) -> _Decompressor:
    from importlib import import_module

    for module in ("compression.zstd", "backports.zstd"):
        try:
            found: _Decompressor = import_module(module).ZstdDecompressor()
            return found
        except ImportError:
            continue
    raise UnreadableCompression(
        "the deb is compressed with zstandard, which this Python cannot read",
        where=str(artifact),
        hint="Python 3.14 can, and so can older ones with the package `backports.zstd`",
    )


class _Reader:
    """The decompressed bytes of an ar member, read in order."""

    def __init__(self, stream: BinaryIO, size: int, decompressor: _Decompressor, artifact: Path) -> None:
        self._stream = stream
        self._left = size
        self._decompressor = decompressor
        self._artifact = artifact
        self._buffer = b""
        self._at = 0
        self._before = 0

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._before + self._at

    def read(self, size: int) -> bytes:
        """Exactly that many bytes. Raises `DamagedPackage` when there are fewer."""
        end = self._at + size
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
            return data
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces."""
        while size:
            if self._at == len(self._buffer):
                self._fill()
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def _fill(self) -> None:
        """The next bytes into the buffer, at least one."""
        self._before += self._at
        self._buffer, self._at = b"", 0
        while not self._buffer:
            data = b""
            if self._decompressor.needs_input:
                data = self._stream.read(min(self._left, _PIECE_BYTES))
                self._left -= len(data)
                if not data:
                    raise self._cut_short()
            if self._decompressor.eof:
                raise self._cut_short()
            try:
                self._buffer = self._decompressor.decompress(data, _PIECE_BYTES)
            except Exception as error:  # each compression has its own
                raise DamagedPackage("the deb cannot be decompressed", where=str(self._artifact)) from error

    def _cut_short(self) -> DamagedPackage:
        return DamagedPackage("the deb is cut short", where=str(self._artifact))


@dataclass(slots=True)
class _Member:
    """One entry of a tar. `mtime` in seconds; `link` is empty for what is no link."""

    name: bytes
    kind: bytes
    mode: int
    mtime: int
    size: int
    link: bytes


def _tar_members(reader: _Reader, artifact: Path) -> Iterator[_Member]:
    """The entries in order. The bytes of a regular file must be read, with padding, before the next."""
    extras: dict[str, bytes] = {}
    while True:
        block = reader.read(_BLOCK)
        if block.count(b"\0") == _BLOCK:
            return
        member = _parse_header(block, artifact)
        if member.kind in b"LKxg":
            if member.size > _NAME_LIMIT_BYTES:
                raise DamagedPackage("the deb has a path without end", where=str(artifact))
            _note_extra(extras, member.kind, reader.read(_padded(member.size))[: member.size], artifact)
            continue
        if extras:
            member.name = extras.get("path", member.name)
            member.link = extras.get("linkpath", member.link)
            if "size" in extras:
                member.size = _number(extras["size"], artifact)
            if "mtime" in extras:
                member.mtime = _number(extras["mtime"].partition(b".")[0], artifact)
            extras = {}
        yield member


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _number(text: bytes, artifact: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise DamagedPackage("the deb has a broken entry", where=str(artifact)) from None


def _parse_header(block: bytes, artifact: Path) -> _Member:
    try:
        checksum = int(block[148:156].strip(b" \0") or b"0", 8)
        if checksum != sum(block) - sum(block[148:156]) + 256:
            raise ValueError("checksum")
        name = block[:100].split(b"\0", 1)[0]
        if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
            name = prefix + b"/" + name
        return _Member(
            name=name,
            kind=block[156:157],
            mode=_octal(block[100:108]),
            mtime=_octal(block[136:148]),
            size=_octal(block[124:136]),
            link=block[157:257].split(b"\0", 1)[0],
        )
    except ValueError:
        raise DamagedPackage("the deb has a broken entry", where=str(artifact)) from None


def _octal(field: bytes) -> int:
    """A number in octal digits, or in GNU's binary form for large ones."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.strip(b" \0") or b"0", 8)


def _note_extra(extras: dict[str, bytes], kind: bytes, data: bytes, artifact: Path) -> None:
    """Remember what a `L`, `K` or `x` entry says of the entry after it; `g` entries say nothing needed."""
    if kind == b"L":
        extras["path"] = data.rstrip(b"\0")
    elif kind == b"K":
        extras["linkpath"] = data.rstrip(b"\0")
    elif kind == b"x":
        while data:
            length = _number(data.partition(b" ")[0], artifact)
            key, _, value = data[:length].partition(b" ")[2].rstrip(b"\n").partition(b"=")
            if key in (b"path", b"linkpath", b"size", b"mtime"):
                extras[key.decode()] = value
            if length <= 0:
                raise DamagedPackage("the deb has a broken entry", where=str(artifact))
            data = data[length:]


class _Places:
    """Where the entries of a deb lie in a merged tree. No entry leaves it: no name may hold `..`."""

    def __init__(self, artifact: Path) -> None:
        self._artifact = artifact
        self.prefix = b""
        """What goes before the names of entries; without one, the tree is a system's, and merged."""

    def entry(self, member: _Member, reader: _Reader) -> DebEntry | None:
        """The entry as a value; None for what is no file, directory or link."""
        original = self.checked(member.name)
        path = self.placed(original, is_link=member.kind == b"2")
        shown = os.fsdecode(path if self.prefix else b"root/" + path)
        if member.kind == b"5":
            return DebEntry(path=shown.rstrip("/"), kind="d", mode=member.mode)
        if member.kind in _REGULAR:
            size = member.size
            return DebEntry(
                path=shown, kind="f", mode=member.mode, size_bytes=size, read=lambda: reader.read(size)
            )
        if member.kind == b"2":
            return DebEntry(
                path=shown, kind="l", target=os.fsdecode(self.target(original, path, member.link))
            )
        if member.kind == b"1":
            target = b"root/" + self.placed(self.checked(member.link), is_link=False)
            return DebEntry(path=shown, kind="h", mode=member.mode, target=os.fsdecode(target))
        return None

    def checked(self, name: bytes) -> bytes:
        """An entry's name as a relative path without `.` parts. Raises `EscapingPath`."""
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if name.startswith(b"/") or b".." in parts or b"\0" in name:
            raise self._escape(name)
        return b"/".join(parts)

    def _escape(self, name: bytes) -> EscapingPath:
        return EscapingPath(
            f"the deb has a path that leads out of its tree, `{_shown(name)}`", where=str(self._artifact)
        )

    def placed(self, path: bytes, *, is_link: bool) -> bytes:
        """Where a path lies in a merged tree. The links `bin`, `lib` ... themselves stay where they are."""
        if self.prefix:
            return self.prefix + b"/" + path if path else self.prefix
        first, slash, _ = path.partition(b"/")
        if first in _MERGED and (slash or not is_link):
            return b"usr/" + path
        return path

    def target(self, original: bytes, path: bytes, target: bytes) -> bytes:
        """A link's target, so that it leads where it would in an installed, merged system.

        Absolute ones stay: whoever knows where the tree will lie makes them relative.
        """
        if self.prefix or target.startswith(b"/") or not target:
            return target
        led = os.path.normpath(b"/" + os.path.join(os.path.dirname(original), target)).lstrip(b"/")
        placed = self.placed(led, is_link=False)
        climbs = target.count(b"..") > original.count(b"/")
        if path == original and placed == led and not climbs:
            return target
        return os.path.relpath(b"/" + placed, b"/" + os.path.dirname(path))


class _Writer(_Places):
    """Writes entries below a directory. No entry leaves it: no parent may be a link, no name `..`."""

    def __init__(self, base: Path, artifact: Path) -> None:
        super().__init__(artifact)
        base.mkdir(parents=True, exist_ok=True)
        self._base = os.fsencode(base)
        self._directories: set[bytes] = {b""}
        self._times: dict[bytes, tuple[int, int]] = {}
        self._privileged: dict[bytes, int] = {}

    def write(self, member: _Member, reader: _Reader) -> None:
        """Make the entry; the reader stands behind its bytes afterwards."""
        original = self.checked(member.name)
        path = self.placed(original, is_link=member.kind == b"2")
        if member.kind == b"5":
            self._ensure(path)
            self._times[path] = (member.mode & 0o1777 | 0o700, member.mtime)
        elif not path:
            raise DamagedPackage("the deb has an entry without a name", where=str(self._artifact))
        elif member.kind in _REGULAR:
            self._ensure(os.path.dirname(path))
            self._write_file(path, member, reader)
            if member.mode & 0o6000:
                self._privileged[path] = member.mode
        elif member.kind == b"2":
            self._ensure(os.path.dirname(path))
            self._write_symlink(original, path, member)
        elif member.kind == b"1":
            self._ensure(os.path.dirname(path))
            self._write_hard_link(path, member)
        else:
            raise DamagedPackage(
                f"the deb has a device or another special file, `{_shown(member.name)}`",
                where=str(self._artifact),
            )

    def finish(self, package: str) -> None:
        """Note the bits that were taken away; give the directories modes and times, the innermost first."""
        if self._privileged:
            place = os.fsencode(f"{CONTROL}/{package}/{PRIVILEGED}")
            self._ensure(os.path.dirname(place))
            lines = [b"%o %s\n" % (mode & 0o7777, path) for path, mode in sorted(self._privileged.items())]
            descriptor = self._create(place)
            with open(descriptor, "wb") as stream:
                stream.write(b"".join(lines))
            os.utime(self._full(place), (0, 0))
        for path in sorted(self._times, reverse=True):
            mode, mtime = self._times[path]
            full = self._full(path)
            os.chmod(full, mode)
            os.utime(full, (mtime, mtime))

    def _full(self, path: bytes) -> bytes:
        return self._base + b"/" + path

    def _ensure(self, path: bytes) -> None:
        """Make the directory and those above it. A link or a file among them is refused."""
        if path in self._directories:
            return
        end = -1
        while end < len(path):
            end = path.find(b"/", end + 1)
            end = len(path) if end < 0 else end
            self._ensure_one(path[:end])

    def _ensure_one(self, path: bytes) -> None:
        if path in self._directories:
            return
        full = self._full(path)
        try:
            os.mkdir(full, 0o755)
            self._times[path] = (0o755, 0)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(full).st_mode):
                raise self._escape(path) from None
        self._directories.add(path)

    def _write_file(self, path: bytes, member: _Member, reader: _Reader) -> None:
        descriptor = self._create(path)
        try:
            for piece in reader.pieces(member.size):
                written = os.write(descriptor, piece)
                while written < len(piece):
                    written += os.write(descriptor, piece[written:])
            os.fchmod(descriptor, member.mode & 0o1777 | 0o400)
            os.utime(descriptor, (member.mtime, member.mtime))
        finally:
            os.close(descriptor)
        if padding := -member.size % _BLOCK:
            reader.read(padding)

    def _create(self, path: bytes) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        full = self._full(path)
        try:
            return os.open(full, flags, 0o600)
        except FileExistsError:
            self._make_way(path)
            return os.open(full, flags, 0o600)

    def _make_way(self, path: bytes) -> None:
        """Remove what an earlier entry of the same name made; a directory stays, and is an error."""
        try:
            os.unlink(self._full(path))
        except IsADirectoryError:
            raise DamagedPackage(
                f"the deb has `{_shown(path)}` twice, as a directory and not", where=str(self._artifact)
            ) from None
        except FileNotFoundError:
            pass

    def _write_symlink(self, original: bytes, path: bytes, member: _Member) -> None:
        target = self.target(original, path, member.link)
        full = self._full(path)
        try:
            os.symlink(target, full)
        except FileExistsError:
            self._make_way(path)
            os.symlink(target, full)
        os.utime(full, (member.mtime, member.mtime), follow_symlinks=False)

    def _write_hard_link(self, path: bytes, member: _Member) -> None:
        target = self.placed(self.checked(member.link), is_link=False)
        parent = os.path.dirname(target)
        if parent not in self._directories:
            raise self._escape(member.link)
        try:
            if not stat.S_ISREG(os.lstat(self._full(target)).st_mode):
                raise self._escape(member.link)
        except FileNotFoundError:
            raise self._escape(member.link) from None
        if target == path:
            return
        self._make_way(path)
        os.link(self._full(target), self._full(path), follow_symlinks=False)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace").encode("unicode_escape").decode()
