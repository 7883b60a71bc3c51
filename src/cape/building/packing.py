"""A build's result as one archive, equal to the byte wherever it is made; and what differs between two.

Owns the form: a plain tar, sorted, with fixed owners, times and modes, and only files, directories and links
that stay inside. It is not compressed: compressors of other versions give other bytes.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from cape.building.errors import NothingBuilt, OutputEscapes

TIME_S = 315532800
"""1 January 1980, the time of every entry."""

_LARGEST_SHOWN = 12


def pack(tree: Path, archive: Path, *, patterns: Sequence[str] = (), what: str) -> int:
    """Write the files of a tree into an archive; how many. Raises `NothingBuilt`, `OutputEscapes`."""
    paths = _chosen(tree, patterns, what)
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as stream:
        for path in paths:
            _add(stream, tree, path, what)
    return len(paths)


def unpack(archive: Path, into: Path) -> None:
    """Lay the files of an archive out below a directory. Raises `tarfile.TarError`, `OSError`."""
    with tarfile.open(archive, "r:") as stream:
        for member in stream:
            parts = member.name.split("/")
            if member.name.startswith("/") or ".." in parts or not (member.isfile() or member.issym()):
                raise tarfile.ReadError(f"`{member.name}` does not belong into such an archive")
            target = into / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                target.symlink_to(member.linkname)
                continue
            content = stream.extractfile(member)
            assert content is not None
            target.write_bytes(_placed(content.read()))
            target.chmod(0o755 if member.mode & 0o111 else 0o644)


_BUILT_IN = b"#!/build/environment/"
"""How a script begins whose interpreter is of the environment that it was built in."""


def _placed(data: bytes) -> bytes:
    """The script with the place of the environment that it is laid out in still open."""
    return b"#!/@cape-env@/" + data.removeprefix(_BUILT_IN) if data.startswith(_BUILT_IN) else data


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two trees, as sentences that name file and first byte."""
    left, right = dict(_entries(one)), dict(_entries(other))
    told = [f"`{path}` is in the first only" for path in sorted(left.keys() - right.keys())]
    told += [f"`{path}` is in the second only" for path in sorted(right.keys() - left.keys())]
    for path in sorted(left.keys() & right.keys()):
        if left[path] != right[path]:
            told.append(_difference(path, left[path], right[path]))
    return told


def _entries(tree: Path) -> Iterator[tuple[str, tuple[str, bytes]]]:
    for path in _walk(tree):
        file = tree / path
        if file.is_symlink():
            yield path, ("link", os.readlink(file).encode())
        else:
            kind = "program" if file.stat().st_mode & 0o100 else "file"
            yield path, (kind, file.read_bytes())


def _difference(path: str, one: tuple[str, bytes], other: tuple[str, bytes]) -> str:
    if one[0] != other[0]:
        return f"`{path}` is a {one[0]} in the first, a {other[0]} in the second"
    at = next((n for n, pair in enumerate(zip(one[1], other[1], strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return f"`{path}` has {len(one[1])} bytes in the first, {len(other[1])} in the second"
    shown = [repr(data[max(0, at - 16) : at + 24])[1:] for _, data in (one, other)]
    return f"`{path}` differs from byte {at}: {shown[0]} in the first, {shown[1]} in the second"


def _chosen(tree: Path, patterns: Sequence[str], what: str) -> list[str]:
    paths = sorted(_walk(tree))
    if not paths:
        raise NothingBuilt(f"{what} left nothing in `$out`", hint="install there: `$out/bin`, `$out/lib` ...")
    if not patterns:
        return paths
    chosen: set[str] = set()
    for pattern in patterns:
        found = [
            path for path in paths if fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")
        ]
        if not found:
            there = ", ".join(f"`{path}`" for path in paths[:_LARGEST_SHOWN])
            raise NothingBuilt(f"{what} left no `{pattern}` in `$out`; there is {there}")
        chosen.update(found)
    return sorted(chosen)


def _walk(tree: Path) -> Iterator[str]:
    for directory, names, files in os.walk(tree):
        links = [name for name in names if os.path.islink(os.path.join(directory, name))]
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(directory, name), tree)


def _add(stream: tarfile.TarFile, tree: Path, path: str, what: str) -> None:
    file = tree / path
    status = file.lstat()
    entry = tarfile.TarInfo(path)
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = TIME_S, 0, 0, "", ""
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(file)
        if target.startswith("/") or posixpath.normpath(
            posixpath.join(posixpath.dirname(path), target)
        ).startswith(".."):
            raise OutputEscapes(
                f"{what} left the link `{path}` to `{target}`, outside of `$out`",
                hint="link within `$out`, relatively",
            )
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
        stream.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        entry.mode, entry.size = (0o755 if status.st_mode & 0o111 else 0o644), status.st_size
        with open(file, "rb") as content:
            stream.addfile(entry, content)
    else:
        raise OutputEscapes(f"{what} left `{path}`, which is neither a file nor a link")
