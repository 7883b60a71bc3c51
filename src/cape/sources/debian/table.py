"""One architecture's packages of one index, as a file that is searched where it lies.

Owns the file's format: reading an index's text once, and answering from the file afterwards without
parsing it. It knows records by name and does not know what they mean, nor where they came from.

An index of 68,000 packages is 57 MB of text; the table keeps the fields that cape uses, sorted by name,
with the places of the records, so that a start reads only the records that a resolution touches.
"""

from __future__ import annotations

import mmap
import re
import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

_MAGIC = b"capedeb3" if sys.byteorder == "little" else b"capedeB3"
_HEADER = struct.Struct("=8sIIIIQQQQ")
"""Magic, checksum of the rest, number of records, of provided names, of essential bytes; four ends."""

_KEPT = frozenset(
    b"Version Architecture Multi-Arch Essential Priority Depends Pre-Depends Provides Conflicts "
    b"Breaks Replaces Recommends Filename Size SHA256 Description Section Homepage Installed-Size".split()
)


class BrokenTable(Exception):
    """A file that is not a table, or not a whole one. Never leaves this source: the table is rebuilt."""


_MENTIONING = tuple(
    b"Depends Pre-Depends Suggests Recommends Conflicts Breaks Replaces Enhances Provides".split()
)
"""Fields that name other packages, in the order in which apt reads them."""

_READ = _KEPT.union(_MENTIONING, [b"Package"])

_NAME = re.compile(rb"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)")


def build(index: bytes) -> bytes:
    """The table of an index's text (stanzas parted by empty lines)."""
    builder = _Builder()
    for stanza in index.split(b"\n\n"):
        builder.add(stanza.split(b"\n"))
    return builder.table()


class _Builder:
    """Collects what a table is made of.

    Of providers that are equal otherwise, apt takes the one with the highest number, and it numbers names
    as it meets them. So the providers of a name stand in a table in this order: the one whose first
    mention is the last in the index comes first.
    """

    def __init__(self) -> None:
        self._records: list[tuple[bytes, bytes]] = []
        self._essentials: set[bytes] = set()
        self._providers: dict[bytes, list[bytes]] = {}
        self._summaries: list[bytes] = []
        self._mentions: dict[bytes, int] = {}

    def add(self, lines: Sequence[bytes]) -> None:
        """Take in a stanza."""
        fields: dict[bytes, bytes] = {}
        for line in lines:
            field, colon, value = line.partition(b": ")
            if colon and field in _READ:
                fields[field] = value
        name = fields.get(b"Package")
        if not name:
            return
        self._note_mentions(name, fields)
        kept = [b"Package: " + name]
        kept += [b"%b: %b" % item for item in fields.items() if item[0] in _KEPT]
        self._records.append((name, b"\n".join(kept)))
        self._summaries.append(b"%b\t%b" % (name, fields.get(b"Description", b"")))
        if fields.get(b"Essential") == b"yes":
            self._essentials.add(name)
        if b"Provides" in fields:
            for provided in dict.fromkeys(_NAME.findall(fields[b"Provides"])):
                self._providers.setdefault(provided, []).append(name)

    def _note_mentions(self, name: bytes, fields: dict[bytes, bytes]) -> None:
        mentions = self._mentions
        mentions.setdefault(name, len(mentions))
        for field in _MENTIONING:
            if field in fields:
                for mentioned in _NAME.findall(fields[field]):
                    mentions.setdefault(mentioned, len(mentions))

    def table(self) -> bytes:
        """The file of what was taken in."""
        self._records.sort(key=lambda item: item[0])
        for names in self._providers.values():
            names[:] = sorted(set(names), key=lambda name: -self._mentions[name])
        records = [record for _, record in self._records]
        return _assemble(records, self._providers, sorted(self._essentials), self._summaries)


def _assemble(
    records: Sequence[bytes],
    providers: dict[bytes, list[bytes]],
    essentials: Sequence[bytes],
    summaries: Sequence[bytes],
) -> bytes:
    provided = [b"%b\n%b" % (name, b" ".join(names)) for name, names in sorted(providers.items())]
    essential = b" ".join(essentials)
    places = _places(records) + _places(provided)
    sections = [places.tobytes(), b"".join(records), b"".join(provided), essential, b"\n".join(summaries)]
    body = b"".join(sections)
    ends, at = [], _HEADER.size
    for section in sections[:4]:
        at += len(section)
        ends.append(at)
    header = _HEADER.pack(_MAGIC, zlib.crc32(body), len(records), len(provided), len(essential), *ends)
    return header + body


def _places(items: Sequence[bytes]) -> array[int]:
    places, at = array("I", [0]), 0
    for item in items:
        at += len(item)
        places.append(at)
    return places


class Table:
    """An open table. Lookups read the mapped file; nothing is kept in memory."""

    def __init__(self, path: Path) -> None:
        """Open the table at `path`. Raises `BrokenTable`, `FileNotFoundError`."""
        with open(path, "rb") as stream:
            try:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise BrokenTable("empty") from error
        view = memoryview(self._map)
        if len(view) < _HEADER.size:
            raise BrokenTable("short")
        magic, checksum, n_records, _, _, *ends = _HEADER.unpack_from(view)
        if magic != _MAGIC or zlib.crc32(view[_HEADER.size :]) != checksum:
            raise BrokenTable("damaged")
        places = view[_HEADER.size : ends[0]].cast("I")
        self._records = _Rows(self._map, places[: n_records + 1], ends[0], skip=len(b"Package: "))
        self._provided = _Rows(self._map, places[n_records + 1 :], ends[1], skip=0)
        self._essentials = bytes(view[ends[2] : ends[3]])
        self._summaries_at = ends[3]

    def __len__(self) -> int:
        """How many records it has."""
        return len(self._records)

    def mentions(self, name: str) -> int:
        """How often records name a package in a relation."""
        literal = re.escape(name.encode())
        return len(re.findall(literal + rb"(?<=[ ,|]" + literal + rb")(?= \(|,|\n)", self._map))

    def records(self, name: str) -> list[bytes]:
        """The records of the packages of that name, in the index's order; empty when there are none."""
        return list(self._records.of(name.encode()))

    def has(self, name: str) -> bool:
        return any(True for _ in self._records.of(name.encode()))

    def providers(self, name: str) -> list[str]:
        """The names of the packages that say to provide `name`, those that apt prefers first."""
        for row in self._provided.of(name.encode()):
            return row.partition(b"\n")[2].decode().split(" ")
        return []

    @property
    def essentials(self) -> list[str]:
        """The names of the essential packages, sorted."""
        return self._essentials.decode().split()

    def summaries(self) -> bytes:
        """All packages, a line each: name, tab, summary."""
        return self._map[self._summaries_at :]


class _Rows:
    """Rows that start with their name and a newline, sorted by name."""

    def __init__(self, data: mmap.mmap, places: memoryview[int], start: int, *, skip: int) -> None:
        self._data = data
        self._places = places
        self._length: int = len(places) - 1
        self._start = start
        self._skip = skip

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> bytes:
        """The name of a row, for bisection."""
        begin = self._start + self._places[index] + self._skip
        return self._data[begin : self._data.find(b"\n", begin)]

    def of(self, name: bytes) -> Iterator[bytes]:
        index = bisect_left(self, name)
        while index < len(self) and self[index] == name:
            start = self._start
            yield self._data[start + self._places[index] : start + self._places[index + 1]]
            index += 1
