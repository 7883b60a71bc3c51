"""What is carried of an environment: its entries in order, with the placeholder for every path of the store.

Owns the form that is equal from every store: files that name the environment hold the placeholder, and
say where. How a form on disk fills them in is the form's affair.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cape.environment.realisation import RECORD, objects_of
from cape.environment.relocation import personalise
from cape.environment.relocation.elf import MAGIC, PT_INTERP, DamagedElf, read_elf
from cape.environment.relocation.scripts import END_OF_ROOM, PLACEHOLDER
from cape.environment.relocation.tree import DRIVERS
from cape.names import Digest
from cape.store import Store

_PADDED = re.compile(re.escape(PLACEHOLDER) + rb"[^\0]*\0+(?=" + END_OF_ROOM + rb")")
_PROLOGUE = re.compile(
    rb"#!/bin/sh\ncase \"\$\{CAPE_SCRIPT-\}\" in [^\n]*; "
    rb"exec '([^'\n]+)'(?: '([^'\n]*)')? \"\$0\" \"\$@\" ;; esac(?=\n)"
)
"""How a generated shell script begins where the store's path is too long for a `#!` line."""

_STRING = re.compile(re.escape(PLACEHOLDER) + rb"[^\0]*\0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A string in a program that begins with the placeholder, and the bytes that it may take, its zero too.

    Where `must` is false and the path does not fit, the program does without.
    """

    offset: int
    room: int
    must: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A file's bytes with the placeholder. `text`: each one may be replaced; otherwise at `sites` only."""

    data: bytes
    text: bool = False
    sites: tuple[Site, ...] = ()

    def placed(self, place: str) -> bytes:
        """The bytes for an environment that lies in `place`."""
        if self.text:
            return self.data.replace(PLACEHOLDER, place.encode())
        data = bytearray(self.data)
        for site in self.sites:
            old = bytes(data[site.offset : site.offset + site.room]).split(b"\0", 1)[0]
            new = place.encode() + old[len(PLACEHOLDER) :]
            if len(new) < site.room:
                data[site.offset : site.offset + site.room] = new.ljust(site.room, b"\0")
        return bytes(data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One path: `d`, `l` (with `target`) or `f`, whose content is read when it is wanted."""

    kind: str
    path: str
    mode: int = 0o755
    target: str = ""


class Carried:
    """An environment as it is carried: entries sorted by path, parents first."""

    def __init__(self, environment: Path, store: Store) -> None:
        self._top = environment
        prefix = re.escape(os.fsencode(environment.parent.parent))
        name = re.escape(os.fsencode(environment.name))
        self._store = os.fsencode(environment.parent.parent)
        self._paths = re.compile(prefix + rb"/(?:objects/[0-9a-f]{64}/tree|environments/" + name + rb")")
        self._originals = _originals(environment, store)

    def entries(self) -> Iterator[Entry]:
        """Every entry but the link to this machine's GPU drivers."""
        yield from self._below("")

    def _below(self, prefix: str) -> Iterator[Entry]:
        with os.scandir(self._top / prefix) as scanned:
            children = sorted(scanned, key=lambda child: child.name)
        for child in children:
            path = prefix + child.name
            if child.is_symlink():
                if path != DRIVERS:
                    yield Entry(kind="l", path=path, target=self._target(child.path))
            elif child.is_dir(follow_symlinks=False):
                yield Entry(kind="d", path=path)
                yield from self._below(path + "/")
            else:
                mode = 0o555 if child.stat().st_mode & stat.S_IXUSR else 0o444
                yield Entry(kind="f", path=path, mode=mode)

    def _target(self, link: str) -> str:
        """A link's target; one to the environment by its full path becomes relative."""
        target = os.readlink(link)
        if not target.startswith(os.fsdecode(self._store) + "/"):
            return target
        inside = self._paths.sub(b"", os.fsencode(target), count=1)
        here = "/" + os.path.relpath(os.path.dirname(link), self._top)
        return os.path.relpath(os.fsdecode(inside), here)

    def content(self, entry: Entry) -> Content:
        """The content of a file."""
        if entry.path == RECORD:
            return Content(data=_record(self._top))
        data = (self._top / entry.path).read_bytes()
        if self._store not in data and PLACEHOLDER not in data:
            return Content(data=data)
        original = self._originals.get(Digest.of(data).hex)
        if original is not None:
            return _located(original)
        return _located(self._with_placeholder(data))

    def _with_placeholder(self, data: bytes) -> bytes:
        """Paths of the store replaced; in a program, each string keeps its length."""
        if b"\0" not in data:
            return _with_short_line(self._paths.sub(PLACEHOLDER, data))
        strings = re.compile(self._paths.pattern + rb"([^\0]*)")

        def shortened(found: re.Match[bytes]) -> bytes:
            return (PLACEHOLDER + found[1]).ljust(len(found[0]), b"\0")

        return strings.sub(shortened, data)


def _with_short_line(data: bytes) -> bytes:
    """A shell script with its `#!` line, whatever a long store made of it."""
    found = _PROLOGUE.match(data)
    if found is None or not found[1].startswith(PLACEHOLDER):
        return data
    return b"#!" + b" ".join(word for word in found.groups() if word) + data[found.end() :]


def _originals(environment: Path, store: Store) -> Mapping[str, bytes]:
    """What objects hold for the private files of an environment, by the digest of the private copy."""
    found: dict[str, bytes] = {}
    for one in objects_of(environment, store):
        for path in one.facts.get("private", ()):
            data = (one.tree / path).read_bytes()
            found[Digest.of(personalise(data, environment)).hex] = data
    return found


def _record(environment: Path) -> bytes:
    """The environment's record, without what follows from the store's place."""
    record = json.loads((environment / RECORD).read_bytes())
    for key in ("objects", "content"):
        record.pop(key, None)
    return json.dumps(record, indent=1).encode() + b"\n"


def _located(data: bytes) -> Content:
    """Where the placeholder stands in a file."""
    if b"\0" not in data:
        return Content(data=data, text=PLACEHOLDER in data)
    interpreter = _interpreter(data)
    padded = {found.start(): len(found[0]) for found in _PADDED.finditer(data)}
    sites = []
    for found in _STRING.finditer(data):
        at = found.start()
        if interpreter and interpreter[0] == at:
            sites.append(Site(offset=at, room=interpreter[1], must=True))
        else:
            sites.append(Site(offset=at, room=padded.get(at, len(found[0])), must=False))
    return Content(data=data, sites=tuple(sites))


def _interpreter(data: bytes) -> tuple[int, int] | None:
    """Offset and size of the interpreter's room in a program."""
    if not data.startswith(MAGIC):
        return None
    try:
        segments = read_elf(data).segments
    except DamagedElf:
        return None
    return next(((one.offset, one.filesz) for one in segments if one.type == PT_INTERP), None)
