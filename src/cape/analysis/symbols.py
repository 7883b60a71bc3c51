"""The symbol versions that a library defines, read from its ELF.

Owns the layout of version definitions. What a version is worth is `missing`'s to say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cape.environment.relocation.elf import PT_LOAD, DamagedElf, Elf, read_elf

_DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFFC, 0x6FFFFFFD
_DEFINITION = struct.Struct("<HHHHIII")
_NAME = struct.Struct("<II")
_MOST = 4096


def defined_versions(data: bytes) -> frozenset[str]:
    """The versions that a library defines (`GLIBCXX_3.4.33`); empty for a file without any."""
    try:
        return frozenset(_versions(read_elf(data)))
    except (DamagedElf, struct.error):
        return frozenset()


def _versions(elf: Elf) -> Iterator[str]:
    address = elf.value(_DT_VERDEF)
    if address is None:
        return
    at = _file_offset(elf, address)
    for _ in range(min(elf.value(_DT_VERDEFNUM) or 0, _MOST)):
        *_, first, following = _DEFINITION.unpack_from(elf.data, at)
        name, _ = _NAME.unpack_from(elf.data, at + first)
        yield elf.string(name)
        at += following


def _file_offset(elf: Elf, address: int) -> int:
    for segment in elf.segments:
        if segment.type == PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.filesz:
            return address - segment.vaddr + segment.offset
    raise DamagedElf("the version definitions are in no loaded segment")
