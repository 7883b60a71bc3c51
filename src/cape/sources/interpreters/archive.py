"""An archive of a standalone Python, laid out at the environment's `/usr/local`.

Owns the form of such an archive (one directory `python`), and what in it names the place and the compiler
that it was built with.
"""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

from cape.errors import IntegrityError
from cape.sources.download import disk_errors

HOME = "root/usr/local"
PLACE = "/@cape-env@/root/usr/local"
"""Where it will be, for the files that say so: see `environment.relocation.scripts`."""

_TOP = "python/"
_LEFT_OUT = re.compile(r"(lib/python3\.\d+/(test|idlelib|ensurepip|site-packages|turtledemo)|share)/")
"""What an environment does not need of it: its packages come from the lock."""

_BUILT_AT = b"/install"
_TELLING = re.compile(r"(_sysconfigdata_.*\.py|Makefile|.*\.pc|python3\.\d+-config)\Z")


class DamagedInterpreter(IntegrityError):
    """The archive of an interpreter cannot be read, or has a path that escapes."""

    slug = "damaged-interpreter"


def lay_out(archive: Path, into: Path) -> None:
    """Unpack an interpreter below `into`. Raises `DamagedInterpreter`, `DiskFull`."""
    home = into / HOME
    try:
        with disk_errors(into), tarfile.open(archive, "r:*") as stream:
            for member in stream:
                if place := _place_of(member):
                    _write(stream, member, home / place)
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise DamagedInterpreter("the archive of a Python cannot be read", where=str(archive)) from error
    if not any(home.glob("bin/python3.*")):
        raise DamagedInterpreter(
            "the archive holds no interpreter: there is no `python/bin/python3.*`", where=str(archive)
        )
    _tell_the_place(home)


def _place_of(member: tarfile.TarInfo) -> str | None:
    """Where an entry goes below the interpreter's home; None for what is left out."""
    name = member.name.removeprefix("./")
    if ".." in name.split("/") or name.startswith("/"):
        raise tarfile.ReadError(f"`{name}` leads out of the archive")
    if not name.startswith(_TOP) or member.isdir():
        return None
    place = name.removeprefix(_TOP)
    if _LEFT_OUT.match(place) or place.endswith((".pyc", ".a")):
        return None
    return place


def _write(stream: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        aimed = os.path.normpath(f"{os.path.dirname(member.name)}/{member.linkname}")
        if member.linkname.startswith("/") or not f"{aimed}/".startswith(_TOP):
            raise tarfile.ReadError(f"`{member.name}` links out of the archive")
        target.symlink_to(member.linkname)
        return
    content = stream.extractfile(member) if member.isfile() or member.islnk() else None
    if content is None:
        raise tarfile.ReadError(f"`{member.name}` is neither a file nor a link")
    with content, open(target, "wb") as out:
        while block := content.read(1 << 20):
            out.write(block)
    target.chmod(0o755 if member.mode & 0o111 else 0o644)


def _tell_the_place(home: Path) -> None:
    """Let what describes the build say where it is now, and name a compiler that environments have."""
    for file in home.rglob("*"):
        if not _TELLING.match(file.name) or file.is_symlink() or not file.is_file():
            continue
        before = file.read_bytes()
        after = re.sub(rb"(?<![\w./-])" + _BUILT_AT + rb"(?=[/'\"\s]|\Z)", PLACE.encode(), before)
        after = re.sub(rb"(?<![\w/+-])clang(\+\+)?(?=[\s'\"])", _compiler, after)
        if after != before:
            file.write_bytes(after)


def _compiler(found: re.Match[bytes]) -> bytes:
    return b"c++" if found[1] else b"cc"
