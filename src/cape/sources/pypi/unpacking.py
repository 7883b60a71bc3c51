"""A wheel's files, laid out as an installer would lay them out below an environment.

Owns reading the archive, the `.data` schemes, console scripts, and `RECORD`. Equal wheels give equal
bytes for one Python version: no time, no path of this machine is written. Nothing is ever run or imported.

A small reader of its own over `zipfile`'s directory: whole members are inflated at once, by Intel's
library where it is there, in large wheels by several threads (inflating lets go of the interpreter).
That is what makes it as fast as native installers.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.errors import IntegrityError
from cape.names import Digest
from cape.sources.download import disk_errors

inflating: Any = zlib
with contextlib.suppress(ImportError):  # none for this machine: Python's own takes twice the time
    from isal import isal_zlib

    inflating = isal_zlib

ENVIRONMENT = "/@cape-env@"
"""Stands for the environment's own path until an environment is made."""

_UNREADABLE: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, inflating.error, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, OSError),
)
"""What damaged archives raise. (`ValueError` also from names that are no text.)"""

_NOT_IN_IT: tuple[type[Exception], ...] = (KeyError, *_UNREADABLE)
_INTERPRETER = f"#!{ENVIRONMENT}/bin/python3"
_LARGEST_MEMBER_BYTES = 8 << 30
_THREADS = 2
_WORTH_THREADS_BYTES = 64 << 20
"""Wheels are unpacked by several processes side by side; threads besides pay only for the largest."""


class DamagedWheel(IntegrityError):
    """A wheel cannot be read, or has a path that leads out of the environment."""

    slug = "damaged-wheel"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """One file of the wheel and where it goes, relative to the environment."""

    info: zipfile.ZipInfo
    target: str
    is_script: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """Where the parts of one wheel go. `stem` is `name-version`, as its directories are called."""

    stem: str
    site: str
    headers: str

    def target(self, name: str) -> tuple[str, bool]:
        """The place of a member, and whether it is a script."""
        data = f"{self.stem}.data/"
        if not name.startswith(data):
            return f"{self.site}/{name}", False
        scheme, _, rest = name[len(data) :].partition("/")
        places = {"purelib": self.site, "platlib": self.site, "scripts": "bin", "headers": self.headers}
        if scheme == "data":
            return rest, False
        if scheme not in places:
            raise DamagedWheel(f"the wheel has files of an unknown scheme, `{name}`")
        return f"{places[scheme]}/{rest}", scheme == "scripts"


def unpack_wheel(wheel: Path, into: Path, *, python: str) -> None:
    """Lay out a wheel below `into` for a Python such as `3.13`.

    Raises `DamagedWheel`; `into` may then hold some files.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, open(wheel, "rb") as stream:
            layout = _layout_of(archive, python)
            members = [_placed(info, layout) for info in archive.infolist() if not info.is_dir()]
            _check_duplicates(members)
            _write_members(members, stream.fileno(), into)
            _finish(archive, layout, members, into)
    except DamagedWheel as error:
        error.where = error.where or str(wheel)
        raise
    except _UNREADABLE as error:
        raise DamagedWheel("the wheel cannot be read or laid out", where=str(wheel)) from error


def file_names(wheel: Path) -> dict[str, int]:
    """The files in a wheel and their sizes in bytes, by their path in it. Raises `DamagedWheel`."""
    with _opened(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}


def metadata_of(wheel: Path) -> Mapping[str, list[str]]:
    """The headers of a wheel's `METADATA`, keys in lower case. Raises `DamagedWheel`."""
    import email.parser

    with _opened(wheel) as archive:
        text = archive.read(f"{_stem(archive)}.dist-info/METADATA").decode("utf-8", "replace")
    message = email.parser.HeaderParser().parsestr(text)
    found: dict[str, list[str]] = {}
    for key, value in message.items():
        found.setdefault(key.lower(), []).append(str(value))
    return found


def extract_member(wheel: Path, member: str, target: Path) -> None:
    """Write one file of a wheel to `target`. Raises `DamagedWheel` when it is not in there."""
    try:
        with zipfile.ZipFile(wheel) as archive, open(wheel, "rb") as stream:
            info = archive.getinfo(member)
            with disk_errors(target), open(target, "wb") as output:
                for piece in _inflated(stream.fileno(), info):
                    output.write(piece)
    except _NOT_IN_IT as error:
        raise DamagedWheel(f"`{member}` cannot be read from the wheel", where=str(wheel)) from error


def digest_of_member(wheel: Path, member: str) -> Digest:
    """The digest of one file of a wheel. Raises `DamagedWheel` when it is not in there."""
    state = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, open(wheel, "rb") as stream:
            for piece in _inflated(stream.fileno(), archive.getinfo(member)):
                state.update(piece)
    except _NOT_IN_IT as error:
        raise DamagedWheel(f"`{member}` cannot be read from the wheel", where=str(wheel)) from error
    return Digest(state.hexdigest())


def _opened(wheel: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(wheel)
        _stem(archive)
        return archive
    except zipfile.BadZipFile as error:
        raise DamagedWheel("the wheel cannot be read", where=str(wheel)) from error


def _stem(archive: zipfile.ZipFile) -> str:
    """`name-version` of the one `.dist-info` directory that a wheel has."""
    stems = {
        name.partition("/")[0].removesuffix(".dist-info")
        for name in archive.namelist()
        if name.partition("/")[0].endswith(".dist-info")
    }
    if len(stems) != 1 or f"{next(iter(stems))}.dist-info/METADATA" not in archive.namelist():
        raise DamagedWheel("the wheel has no `.dist-info` directory of its own", where=archive.filename)
    return stems.pop()


def _layout_of(archive: zipfile.ZipFile, python: str) -> _Layout:
    stem = _stem(archive)
    name = stem.rpartition("-")[0]
    return _Layout(
        stem=stem, site=f"lib/python{python}/site-packages", headers=f"include/site/python{python}/{name}"
    )


def _placed(info: zipfile.ZipInfo, layout: _Layout) -> _Member:
    _check_path(info.filename)
    mode = info.external_attr >> 16
    if mode & 0o170000 == 0o120000:
        raise DamagedWheel(f"the wheel has a symbolic link, `{info.filename}`")
    if info.flag_bits & 1 or info.file_size > _LARGEST_MEMBER_BYTES:
        raise DamagedWheel(f"`{info.filename}` in the wheel is encrypted or absurdly large")
    target, is_script = layout.target(info.filename)
    _check_path(target)
    return _Member(info=info, target=target, is_script=is_script)


def _check_path(name: str) -> None:
    parts = name.split("/")
    if not name.strip("./") or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise DamagedWheel(f"the wheel has a path that escapes, `{name}`")


def _check_duplicates(members: Iterable[_Member]) -> None:
    seen: dict[str, str] = {}
    for member in members:
        if member.target in seen:
            raise DamagedWheel(f"the wheel has two files for `{member.target}`")
        seen[member.target] = member.info.filename


def _write_members(members: list[_Member], descriptor: int, into: Path) -> None:
    with disk_errors(into):
        for directory in sorted({os.path.dirname(member.target) for member in members}):
            os.makedirs(into / directory, exist_ok=True)
    base = os.fspath(into)

    def write(part: list[_Member]) -> None:
        with disk_errors(into):
            for member in part:
                _write_member(member, descriptor, base)

    parts = _shares(members, _THREADS)
    if len(parts) == 1:
        write(parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(write, parts))


def _shares(members: list[_Member], count: int) -> list[list[_Member]]:
    """The members in `count` shares of about equal work; one share when there is little to do.

    A directory's members stay together: the kernel makes files in one directory one after another.
    """
    if sum(member.info.file_size for member in members) < _WORTH_THREADS_BYTES:
        return [members]
    by_directory: dict[str, list[_Member]] = {}
    for member in members:
        by_directory.setdefault(os.path.dirname(member.target), []).append(member)
    costs = {
        directory: sum(member.info.file_size + 30_000 for member in group)
        for directory, group in by_directory.items()
    }
    loads = [0] * count
    shares: list[list[_Member]] = [[] for _ in range(count)]
    for directory in sorted(costs, key=lambda directory: (-costs[directory], directory)):
        lightest = loads.index(min(loads))
        shares[lightest] += by_directory[directory]
        loads[lightest] += costs[directory]
    return [share for share in shares if share]


def _write_member(member: _Member, descriptor: int, base: str) -> None:
    runnable = member.is_script or bool((member.info.external_attr >> 16) & 0o111)
    pieces = _inflated(descriptor, member.info)
    if member.is_script:
        pieces = iter([_with_interpreter(b"".join(pieces))])
    _write_file(f"{base}/{member.target}", pieces, 0o755 if runnable else 0o644)


def _write_file(path: str, pieces: Iterable[bytes], mode: int) -> None:
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(output, mode)
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(output, rest) :]
    finally:
        os.close(output)


_LOCAL_HEADER = struct.Struct("<4s22xHH")
_WHOLE_BYTES = 64 << 20


def _inflated(descriptor: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a member, checked against its size and CRC. Raises `DamagedWheel`, `zlib.error`."""
    head = os.pread(descriptor, 30, info.header_offset)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(head)
    if signature != b"PK\x03\x04":
        raise DamagedWheel(f"`{info.filename}` in the wheel has no header")
    start = info.header_offset + 30 + name_length + extra_length
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DamagedWheel(f"`{info.filename}` in the wheel is compressed in a way that wheels are not")
    size = checksum = 0
    for piece in _plain_pieces(descriptor, start, info):
        size += len(piece)
        if size > info.file_size:
            break
        checksum = inflating.crc32(piece, checksum)
        yield piece
    if size != info.file_size or checksum != info.CRC:
        raise DamagedWheel(f"`{info.filename}` in the wheel is damaged")


def _plain_pieces(descriptor: int, start: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The member's pieces, of at most some 64 MB each, neither counted nor checked."""
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    inflater = inflating.decompressobj(-15)
    end = start + info.compress_size
    while start < end:
        raw = os.pread(descriptor, min(_WHOLE_BYTES, end - start), start)
        if not raw:
            return
        start += len(raw)
        if not deflated:
            yield raw
            continue
        while raw:
            yield inflater.decompress(raw, _WHOLE_BYTES)
            raw = inflater.unconsumed_tail
    if deflated:
        yield inflater.flush()


def _with_interpreter(script: bytes) -> bytes:
    """A script of the wheel, with `#!python` turned into the environment's interpreter."""
    first, newline, rest = script.partition(b"\n")
    if re.match(rb"#!\s*pythonw?\s*\Z", first.rstrip(b"\r")):
        return _INTERPRETER.encode() + newline + rest
    return script


def _finish(archive: zipfile.ZipFile, layout: _Layout, members: list[_Member], into: Path) -> None:
    """Write what an installer adds: console scripts, `INSTALLER`, and the new `RECORD`."""
    info = f"{layout.site}/{layout.stem}.dist-info"
    written = {member.target for member in members}
    scripts = {
        f"bin/{name}": text
        for name, text in _console_scripts(archive, layout.stem)
        if f"bin/{name}" not in written
    }
    with disk_errors(into):
        for target, text in sorted(scripts.items()):
            (into / "bin").mkdir(parents=True, exist_ok=True)
            _write_file(str(into / target), [text.encode()], 0o755)
        _replace(into / info / "INSTALLER", b"cape\n")
        targets = {member.info.filename: member for member in members}
        record = _record(archive, layout, targets, sorted(scripts))
        _replace(into / info / "RECORD", record.encode())


def _replace(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    _write_file(str(path), [data], 0o644)


def _console_scripts(archive: zipfile.ZipFile, stem: str) -> Iterator[tuple[str, str]]:
    """Name and text of each program that the wheel's entry points ask for."""
    import configparser

    try:
        text = archive.read(f"{stem}.dist-info/entry_points.txt").decode("utf-8")
    except KeyError:
        return
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # names keep their case
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise DamagedWheel("the wheel's entry points cannot be read") from error
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section):
            for name, value in parser.items(section):
                yield name, _console_script(name, value)


_ENTRY = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attributes>[\w.]+)\s*(\[.*\])?\s*\Z")


def _console_script(name: str, value: str) -> str:
    if "/" in name or name in ("", ".", ".."):
        raise DamagedWheel(f"the wheel has a program whose name escapes, `{name}`")
    found = _ENTRY.match(value)
    if not found:
        raise DamagedWheel(f"the wheel's program `{name}` has no entry that can be read: `{value}`")
    module, attributes = found["module"], found["attributes"]
    first = attributes.partition(".")[0]
    return (
        f"{_INTERPRETER}\n"
        "import sys\n"
        f"from {module} import {first}\n"
        'if __name__ == "__main__":\n'
        '    sys.argv[0] = sys.argv[0].removesuffix(".exe")\n'
        f"    sys.exit({attributes}())\n"
    )


def _record(
    archive: zipfile.ZipFile, layout: _Layout, members: Mapping[str, _Member], scripts: list[str]
) -> str:
    """The `RECORD` of what is installed.

    Files that get the environment's own path later stand there without a hash, which is allowed.
    """
    own = f"{layout.stem}.dist-info/RECORD"
    rows: list[tuple[str, str, str]] = []
    for row in csv.reader(io.StringIO(archive.read(own).decode("utf-8")) if own in members else ()):
        if len(row) == 3 and row[0] in members and row[0] != own:
            member = members[row[0]]
            known = ("", "") if member.is_script else (row[1], row[2])
            rows.append((_from_site(member.target, layout), *known))
    rows += [(_from_site(target, layout), "", "") for target in scripts]
    rows += [(f"{layout.stem}.dist-info/INSTALLER", "", ""), (own, "", "")]
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(sorted(set(rows)))
    return output.getvalue()


def _from_site(target: str, layout: _Layout) -> str:
    inside = f"{layout.site}/"
    return target[len(inside) :] if target.startswith(inside) else os.path.relpath(target, layout.site)
