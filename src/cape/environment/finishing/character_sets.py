"""The table of modules that convert character sets, which libc reads instead of parsing their lists.

Owns the reading of the lists (`gconv-modules` and what lies in `gconv-modules.d`) and the writing of the
table. Its directory is written as `$ORIGIN/gconv`, which the loader takes from the place of the C library:
the same table serves every environment. That libc finds it is `relocation`'s work.

The table is in the order of bytes of the processor; both that have system packages are little-endian.
Source: glibc, `iconv/iconvconfig.h` (the table), `iconv/gconv_cache.c` (how it is read).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cape.environment.finishing.place import put_file

_DIRECTORY = "$ORIGIN/gconv/"
_MAGIC = 0x20010324
_HUB = "INTERNAL"
"""The character set that most modules convert from and to; its number in the table is 0."""


_BUILT_IN_ALIASES = {
    "ISO-10646/UCS4/": "UCS4// UCS-4// UCS-4BE// CSUCS4// ISO-10646// 10646-1:1993// 10646-1:1993/UCS4/ "
    "OSF00010104// OSF00010105// OSF00010106//",
    "INTERNAL": "WCHAR_T//",
    "ISO-10646/UTF8/": "UTF8// UTF-8// ISO-IR-193// OSF05010001// ISO-10646/UTF-8/",
    "ISO-10646/UCS2/": "UCS2// UCS-2// OSF00010100// OSF00010101// OSF00010102// UNICODELITTLE// UCS-2LE//",
    "ANSI_X3.4-1968//": "ANSI_X3.4// ISO-IR-6// ANSI_X3.4-1986// ISO_646.IRV:1991// ASCII// ISO646-US// "
    "US-ASCII// US// IBM367// CP367// CSASCII// OSF00010020//",
    "UNICODEBIG//": "UCS-2BE//",
}
_BUILT_IN = {
    "ISO-10646/UCS4/": "ucs4",
    "UCS-4LE//": "ucs4le",
    "ISO-10646/UTF8/": "utf8",
    "ISO-10646/UCS2/": "ucs2",
    "ANSI_X3.4-1968//": "ascii",
    "UNICODEBIG//": "ucs2reverse",
}
"""What the C library converts itself, and its word for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """A conversion between two character sets, and the file that does it; built in without a directory."""

    origin: str
    target: str
    file: str
    directory: str = _DIRECTORY


@dataclass(slots=True)
class CharacterSets:
    """What lists of modules say: names that stand for others, and conversions by origin and target."""

    aliases: dict[str, str] = field(default_factory=dict)
    modules: dict[tuple[str, str], Module] = field(default_factory=dict)


def table_character_sets(root: Path, triplet: str) -> tuple[str, ...]:
    """Make the table of a root that has lists of modules; a sentence when they do not fit into it."""
    home = root / f"usr/lib/{triplet}/gconv"
    lists = [home / "gconv-modules", *sorted((home / "gconv-modules.d").glob("*.conf"))]
    texts = [one.read_text(encoding="utf-8", errors="replace") for one in lists if one.is_file()]
    if not texts:
        return ()
    try:
        table = render_table(read_lists(texts))
    except struct.error:
        return ("programs know only the C library's own character sets: there are too many for its table",)
    put_file(root, f"usr/lib/{triplet}/gconv/gconv-modules.cache", table)
    return ()


def read_lists(texts: Iterable[str]) -> CharacterSets:
    """The lists' rows and what the C library has built in; of two rows for one name the first counts.

    >>> read_lists(["alias L1// ISO-8859-1//\\nmodule ISO-8859-1// INTERNAL ISO8859-1 1"]).aliases["L1//"]
    'ISO-8859-1//'
    """
    sets = CharacterSets()
    for text in texts:
        for line in text.splitlines():
            _read_row(sets, line.partition("#")[0].split())
    for target, names in _BUILT_IN_ALIASES.items():
        for name in names.split():
            sets.aliases.setdefault(name, target)
    for name, word in _BUILT_IN.items():
        _add(sets, Module(origin=_HUB, target=name, file=f"={_HUB}->{word}", directory=""))
        _add(sets, Module(origin=name, target=_HUB, file=f"={word}->{_HUB}", directory=""))
    return sets


def _read_row(sets: CharacterSets, words: Sequence[str]) -> None:
    match words:
        case ["alias", name, target, *_]:
            sets.aliases.setdefault(name.upper(), target.upper())
        case ["module", origin, target, file, *_]:
            file = file if file.endswith(".so") else f"{file}.so"
            _add(sets, Module(origin=origin.upper(), target=target.upper(), file=file))


def _add(sets: CharacterSets, module: Module) -> None:
    sets.modules.setdefault((module.origin, module.target), module)


def render_table(sets: CharacterSets) -> bytes:
    """The table's bytes. Raises `struct.error` when they are too many for its offsets.

    Names are found by a hash, each with a number; by that a row has a name and the modules from and to
    the hub, and the place of its other conversions, if any.
    """
    numbers = _numbered(sets)
    strings = _Strings()
    canonical = {number: name for name, number in reversed(numbers.items())}
    others = _Others(numbers, strings)
    rows = b"".join(
        struct.pack("<6H", strings.offset(canonical[number]), *_row(sets, canonical[number], strings, others))
        for number in range(len(canonical))
    )
    names = _hashed({**numbers, **_aliases(sets, numbers)}, strings)
    text = strings.text + b"\0" * (len(strings.text) % 2)
    at_names = 16 + len(text)
    at_rows = at_names + len(names)
    at_others = at_rows + len(rows)
    head = struct.pack("<IHHHHHxx", _MAGIC, 16, at_names, len(names) // 4, at_rows, at_others)
    return head + text + names + rows + others.data


def _numbered(sets: CharacterSets) -> dict[str, int]:
    """Each name that modules convert from or to, with its number."""
    names = sorted({name for pair in sets.modules for name in pair} - {_HUB})
    return {name: number for number, name in enumerate([_HUB, *names])}


def _aliases(sets: CharacterSets, numbers: Mapping[str, int]) -> dict[str, int]:
    """Other names with the number of what they stand for; those that stand for nothing are left out."""
    known = dict(numbers)
    for name, target in sorted(sets.aliases.items()):
        if target in known:
            known.setdefault(name, known[target])
    return known


class _Strings:
    """The strings of a table, each once, one after another; the first is empty."""

    def __init__(self) -> None:
        self.text = b"\0"
        self._places = {"": 0}

    def offset(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.text)
            self.text += text.encode() + b"\0"
        return self._places[text]


class _Others:
    """The conversions that do not go by the hub: for each origin a row of them, with a zero at its end."""

    def __init__(self, numbers: Mapping[str, int], strings: _Strings) -> None:
        self.data = b""
        self._numbers = numbers
        self._strings = strings

    def place(self, modules: Sequence[Module]) -> int:
        """Where the row begins, counted from 1; 0 for none."""
        if not modules:
            return 0
        start = len(self.data) + 1
        for one in modules:
            offsets = self._strings.offset(one.directory), self._strings.offset(one.file)
            self.data += struct.pack("<4H", 1, self._numbers[one.target], *offsets)
        self.data += struct.pack("<H", 0)
        return start


def _row(sets: CharacterSets, name: str, strings: _Strings, others: _Others) -> Iterator[int]:
    """The modules from the hub and to it, directory and file each, and the place of the others."""
    if name == _HUB:
        yield from (0, 0, 0, 0, 0)
        return
    for pair in ((_HUB, name), (name, _HUB)):
        module = sets.modules.get(pair)
        yield strings.offset(module.directory) if module else 0
        yield strings.offset(module.file) if module else 0
    elsewhere = [one for (origin, to), one in sorted(sets.modules.items()) if origin == name and to != _HUB]
    yield others.place(elsewhere)


def _hashed(numbers: Mapping[str, int], strings: _Strings) -> bytes:
    """The names by their hash: the second step of a search depends on it too, so the size is a prime."""
    size = next(one for one in count(len(numbers) * 7 // 5 | 1, 2) if _is_prime(one))
    slots = [(0, 0)] * size
    for name, number in sorted(numbers.items()):
        value = hash_of(name)
        at = value % size
        while slots[at][0]:
            at = (at + 1 + value % (size - 2)) % size
        slots[at] = (strings.offset(name), number)
    return b"".join(struct.pack("<2H", *slot) for slot in slots)


def _is_prime(odd: int) -> bool:
    return odd > 2 and all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))


def hash_of(name: str) -> int:
    """The C library's hash of a name. Source: P. J. Weinberger, in Aho, Sethi, Ullman, "Compilers", 1986."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value ^= high | high >> 24
    return value
