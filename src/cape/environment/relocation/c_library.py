"""The C library's own paths: those that it opens with calls that nothing can stand before.

Owns which of them lead to the environment instead, and the edit that does it: the path, with the
placeholder, is put into the room behind a segment, and the instructions that load its address are told.
The path that was there becomes one that cannot exist, so that a reference that is not understood leads
nowhere, and never to the host. The loader's paths are `loader`'s.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import replace

from cape.environment.relocation.elf import PT_LOAD, Elf, Patch, Segment
from cape.environment.relocation.loader import impossible_file, triplet
from cape.environment.relocation.scripts import END_OF_ROOM, PLACEHOLDER
from cape.names import System

C_LIBRARY = "libc.so.6"

_ROOM = range(256, 1025)
"""Bytes for one path; an environment whose path does not fit has only libc's own character sets."""

_EXECUTABLE = 1
_SEGMENT_BYTES = 56
_LEA = re.compile(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", re.DOTALL)
_ADRP_MASK, _ADRP = 0x9F000000, 0x90000000
_ADD_MASK, _ADD = 0xFFC00000, 0x91000000
_NEAR = 6
"""Instructions between the two that load an address on arm64."""


def led_paths(system: System) -> tuple[str, ...]:
    """The absolute paths that lead to the environment: the table of its character sets' modules."""
    return (f"/usr/lib/{triplet(system)}/gconv/gconv-modules.cache",)


def closed_paths(system: System) -> tuple[str, ...]:
    """The absolute paths that lead nowhere.

    The modules' directory, which the table knows better; the directory of locales and its archive, as the
    environment's are lent for each call (`LOCPATH`), and libc adds its own directory to what is lent.
    """
    return (f"/usr/lib/{triplet(system)}/gconv", "/usr/lib/locale", "/usr/lib/locale/locale-archive")


def library_patches(elf: Elf, system: System) -> tuple[Patch, ...]:
    """The writes that lead a C library to the environment; empty for one that they were made to.

    Where there is no room, or no reference is understood, a path only ceases to lead to the host.
    """
    data = bytes(elf.data)
    patches: list[Patch] = []
    for path in closed_paths(system):
        patches += _closed(data, path)
    for path in led_paths(system):
        closed = _closed(data, path)
        if closed:
            patches += [*closed, *_led(elf, data, path, closed[0][0])]
    return tuple(patches)


def _closed(data: bytes, path: str) -> list[Patch]:
    """Every place where the path stands alone, overwritten."""
    old = path.encode()
    places = re.finditer(rb"(?<=\0)" + re.escape(old) + rb"(?=\0)", data)
    return [(found.start(), impossible_file(old)) for found in places]


def _led(elf: Elf, data: bytes, path: str, offset: int) -> list[Patch]:
    home = _segment_at(elf, offset)
    if home is None or home.filesz != home.memsz:
        return []
    room = _room_behind(elf, home)
    references = list(_references(elf, data, offset - home.offset + home.vaddr))
    if room is None or not references:
        return []
    text = (PLACEHOLDER + b"/root" + path.encode()).ljust(len(room) - 1, b"\0") + END_OF_ROOM
    size = room.stop - home.offset
    header = elf.program_headers_at + elf.segments.index(home) * _SEGMENT_BYTES
    address = room.start - home.offset + home.vaddr
    edits = [_retargeted(elf, data, at, address) for at in references]
    grown = replace(home, filesz=size, memsz=size).pack()
    return [(room.start, text), (header, grown), *(edit for pair in edits for edit in pair)]


def _segment_at(elf: Elf, offset: int) -> Segment | None:
    loads = (segment for segment in elf.segments if segment.type == PT_LOAD)
    return next((s for s in loads if s.offset <= offset < s.offset + s.filesz), None)


def _room_behind(elf: Elf, home: Segment) -> range | None:
    """The file offsets of unused bytes behind a segment that loading it may take along; None for too few."""
    start = (home.offset + home.filesz + 15) // 16 * 16
    page = max(home.align, 0x1000)
    others = [s for s in elf.segments if s.type == PT_LOAD and s is not home]
    ends = [start + _ROOM.stop - 1]
    ends += [s.offset for s in others if s.offset + s.filesz > home.offset]
    ends += [s.vaddr // page * page - home.vaddr + home.offset for s in others if s.vaddr > home.vaddr]
    room = range(start, min(ends))
    return room if len(room) in _ROOM and not any(elf.data[room.start : room.stop]) else None


def _references(elf: Elf, data: bytes, address: int) -> Iterator[tuple[int, ...]]:
    """Where code loads an address: the file offsets of its instructions (one on x86_64, two on arm64)."""
    for segment in elf.segments:
        if segment.type == PT_LOAD and segment.flags & _EXECUTABLE:
            code = data[segment.offset : segment.offset + segment.filesz]
            find = _x86_64 if _is_x86_64(elf) else _aarch64
            for offsets in find(code, segment.vaddr, address):
                yield tuple(segment.offset + at for at in offsets)


def _is_x86_64(elf: Elf) -> bool:
    return elf.machine == 62


def _x86_64(code: bytes, base: int, address: int) -> Iterator[tuple[int, ...]]:
    for found in _LEA.finditer(code, 0, len(code) - 4):
        at = found.start()
        (distance,) = struct.unpack_from("<i", code, at + 3)
        if base + at + 7 + distance == address:
            yield (at,)


def _aarch64(code: bytes, base: int, address: int) -> Iterator[tuple[int, ...]]:
    """`adrp x, page` and `add x, x, rest`, near to each other and without a branch between them.

    As the second overwrites the register, nothing else can depend on the page that the first gave.
    """
    words = array("I", code[: len(code) // 4 * 4])
    page, rest = address >> 12, address & 0xFFF
    for index, word in enumerate(words):
        if word & _ADRP_MASK != _ADRP or ((base + index * 4) >> 12) + _adrp_pages(word) != page:
            continue
        register = word & 31
        wanted = _ADD | rest << 10 | register << 5 | register
        for other in range(index + 1, min(index + 1 + _NEAR, len(words))):
            if words[other] == wanted:
                yield (index * 4, other * 4)
                break
            if _may_leave(words[other]):
                break


def _adrp_pages(word: int) -> int:
    pages = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
    return pages - (1 << 21) if pages >> 20 else pages


def _may_leave(word: int) -> bool:
    """Whether an instruction is of the group of branches, exceptions and system calls."""
    return word >> 26 & 0b000111 == 0b000101


def _retargeted(elf: Elf, data: bytes, at: tuple[int, ...], address: int) -> list[Patch]:
    segment = _segment_at(elf, at[0])
    assert segment is not None, "code was found in a segment"
    here = at[0] - segment.offset + segment.vaddr
    if _is_x86_64(elf):
        return [(at[0] + 3, struct.pack("<i", address - here - 7))]
    first, second = (struct.unpack_from("<I", data, offset)[0] for offset in at)
    pages = (address >> 12) - (here >> 12) & 0x1FFFFF
    first = first & ~(3 << 29 | 0x7FFFF << 5) | (pages & 3) << 29 | pages >> 2 << 5
    second = second & ~(0xFFF << 10) | (address & 0xFFF) << 10
    return [(at[0], struct.pack("<I", first)), (at[1], struct.pack("<I", second))]
