"""An npm tarball's files, laid out below an environment.

Owns reading the archive, stripping its first directory, programs and their links. Nothing is ever run.
Equal tarballs give equal bytes.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from cape.errors import IntegrityError
from cape.sources.download import disk_errors

PROJECT_TREE = "lib/project/"
"""Where the tree of a project's own packages stands."""


class DamagedTarball(IntegrityError):
    """An npm tarball cannot be read, or has a path that leads out of its directory."""

    slug = "damaged-tarball"


def unpack_tarball(tarball: Path, into: Path, *, placement: str, link_programs: bool) -> None:
    """Lay out a tarball at `placement` below `into`; with `link_programs`, link them into `bin/`.

    Programs of a package in a project's own tree are in the `.bin` beside it too, as npm has them.

    Links in the archive are left out, as npm does. Raises `DamagedTarball`; `into` may then hold some
    files.
    """
    home = into / placement
    try:
        with disk_errors(into):
            home.mkdir(parents=True, exist_ok=True)
        _extract(tarball, home)
        for name, file in _programs_of(home).items():
            _make_runnable(home / file)
            if link_programs:
                _link_program(into, name, PurePosixPath(placement) / file)
            if placement.startswith(PROJECT_TREE):
                _link_beside(into, name, placement, file)
    except DamagedTarball as error:
        error.where = error.where or str(tarball)
        raise
    except (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError, ValueError) as error:
        raise DamagedTarball("the tarball cannot be read", where=str(tarball)) from error
    except OSError as error:
        raise DamagedTarball("the tarball cannot be read", where=str(tarball)) from error


def read_member(tarball: Path, name: str, target: Path, *, mode: int = 0o644) -> None:
    """Write one file of a tarball (its path without the first directory) to `target`."""
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for member in archive:
                if member.isfile() and _stripped(member.name) == name:
                    with disk_errors(target):
                        _write(archive, member, target, mode)
                    return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DamagedTarball("the tarball cannot be read", where=str(tarball)) from error
    raise DamagedTarball(f"the tarball has no `{name}`", where=str(tarball))


def _extract(tarball: Path, home: Path) -> None:
    made: set[str] = set()
    with tarfile.open(tarball, "r:gz") as archive:
        for member in archive:
            name = _stripped(member.name)
            if not member.isfile() or not name:
                continue
            target = home / name
            with disk_errors(target):
                if (parent := os.path.dirname(name)) not in made:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.add(parent)
                _write(archive, member, target, 0o755 if member.mode & 0o111 else 0o644)


def _stripped(name: str) -> str:
    """The path without its first directory. Raises `DamagedTarball` when it escapes."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise DamagedTarball(f"the tarball has a path that escapes, `{name}`")
    return "/".join(parts[1:])


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, mode: int) -> None:
    source = archive.extractfile(member)
    assert source is not None
    output = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(output, mode)
        while piece := source.read(1 << 20):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(output, rest) :]
    finally:
        os.close(output)


def _programs_of(home: Path) -> Mapping[str, str]:
    """The programs that `package.json` names, with their files, relative to the package."""
    try:
        described = json.loads((home / "package.json").read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    if not isinstance(described, dict):
        raise DamagedTarball("the tarball's `package.json` holds no object")
    return dict(_named_programs(described, home))


def _named_programs(described: Mapping[str, object], home: Path) -> Iterator[tuple[str, str]]:
    bins = described.get("bin")
    if isinstance(bins, str):
        bins = {str(described.get("name", "")): bins}
    if isinstance(bins, dict):
        for name, file in bins.items():
            yield _program_name(name), _inside(str(file))
    directories = described.get("directories")
    if not bins and isinstance(directories, dict) and isinstance(directories.get("bin"), str):
        folder = _inside(directories["bin"])
        for path in sorted((home / folder).glob("*")):
            if path.is_file():
                yield path.name, f"{folder}/{path.name}"


def _program_name(name: str) -> str:
    last = name.rpartition("/")[2]
    if last in ("", ".", "..") or "\0" in last or "\\" in last:
        raise DamagedTarball(f"the tarball has a program whose name escapes, `{name}`")
    return last


def _inside(file: str) -> str:
    path = os.path.normpath(file.lstrip("/"))
    if path.startswith(".."):
        raise DamagedTarball(f"the tarball has a program that lies outside, `{file}`")
    return path


def _make_runnable(path: Path) -> None:
    """Set the mode, and end the `#!` line as Unix does; npm does both when it installs."""
    if not path.is_file():
        return
    with disk_errors(path):
        with open(path, "r+b") as stream:
            head = stream.read(256)
            if re.match(rb"#![^\n]*\r\n", head):
                stream.seek(0)
                text = stream.read().replace(b"\r\n", b"\n", 1)
                stream.seek(0)
                stream.write(text)
                stream.truncate()
        path.chmod(0o755)


def _link_program(into: Path, name: str, file: PurePosixPath) -> None:
    with disk_errors(into):
        (into / "bin").mkdir(exist_ok=True)
        link = into / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{file}")


def _link_beside(into: Path, name: str, placement: str, file: str) -> None:
    above, _, own = placement.rpartition("node_modules/")
    bins = into / above / "node_modules" / ".bin"
    with disk_errors(into):
        bins.mkdir(exist_ok=True)
        link = bins / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{own}/{file}")
