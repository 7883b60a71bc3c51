"""Reading and editing of ELF files: what a file is, what it needs, and the few bytes that relocation changes.

Owns the layout of 64-bit little-endian ELF. An edit is a tuple of patches (offset, bytes), computed from a
read-only buffer: nothing here opens or writes a file, and nothing here knows environments or packages.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cape.errors import IntegrityError

MAGIC = b"\x7fELF"
MACHINES = {"x86_64": 62, "aarch64": 183}

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR = 1, 2, 3, 4, 6
PT_GNU_PROPERTY = 0x6474E553
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_SONAME = 0, 1, 5, 10, 14
DT_RPATH, DT_RUNPATH, DT_FLAGS_1 = 15, 29, 0x6FFFFFFB
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
DF_1_PIE = 0x08000000
ET_EXEC, ET_DYN = 2, 3
_SHT_STRTAB, _SHT_DYNAMIC, _SHT_NOBITS = 3, 6, 8

INTERPRETER_ROOM = 256
"""Bytes kept for the interpreter's path, so that a moved store needs one write per file."""

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")
_LARGEST_IMAGE = 1 << 36
_LOWEST_ADDRESS = 0x10000
"""What kernels let programs map at all."""

_BEFORE = 1 << 63
"""Offsets from here on are negative ones: the loader adds them in 64 bits."""

_LONGEST_STRING = 1 << 16
_PAGE = {62: 0x1000, 183: 0x10000}

Buffer = bytes | mmap.mmap
Patch = tuple[int, bytes]


class DamagedElf(IntegrityError):
    """A file that begins as ELF and does not hold what its headers promise."""

    slug = "damaged-elf"


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header, in the order of the file's fields."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int

    def pack(self) -> bytes:
        return _SEGMENT.pack(
            self.type, self.flags, self.offset, self.vaddr, self.paddr, self.filesz, self.memsz, self.align
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Elf:
    """What was read of one ELF file. `dynamic` ends before the first null entry.

    `dynamic_slots` counts all entries that `.dynamic` has room for, nulls among them. `interpreter` is
    None for libraries and static files.
    """

    data: Buffer
    machine: int
    type: int
    program_headers_at: int
    section_headers: tuple[int, int]
    """File offset and count; (0, 0) for a file without sections."""
    segments: tuple[Segment, ...]
    interpreter: str | None
    dynamic: tuple[tuple[int, int], ...]
    dynamic_slots: int
    strings: bytes
    """The dynamic string table; empty for a static file."""

    @property
    def is_dynamic(self) -> bool:
        return any(segment.type == PT_DYNAMIC for segment in self.segments)

    @property
    def is_executable(self) -> bool:
        """Whether the kernel starts it with an interpreter and it is not a library that also can be run.

        Some libraries have an interpreter only to print their version when run.
        """
        if self.interpreter is None:
            return False
        is_pie = bool((self.value(DT_FLAGS_1) or 0) & DF_1_PIE)
        return self.type == ET_EXEC or is_pie or self.soname is None

    @property
    def soname(self) -> str | None:
        offset = self.value(DT_SONAME)
        return None if offset is None else self.string(offset)

    @property
    def needed(self) -> tuple[str, ...]:
        """The libraries that it names, in order."""
        return tuple(self.string(value) for tag, value in self.dynamic if tag == DT_NEEDED)

    @property
    def search_path(self) -> tuple[str, ...]:
        """The entries of `DT_RUNPATH`, or without one of `DT_RPATH`, as written; empty entries dropped."""
        for wanted in (DT_RUNPATH, DT_RPATH):
            offset = self.value(wanted)
            if offset is not None:
                return tuple(entry for entry in self.string(offset).split(":") if entry)
        return ()

    def value(self, tag: int) -> int | None:
        """The value of the first dynamic entry with this tag, or None."""
        return next((value for found, value in self.dynamic if found == tag), None)

    def string(self, offset: int) -> str:
        """The dynamic string at `offset`, as the loader finds it: a string may also lie before the table.

        Raises `DamagedElf` when it does not end where strings are.
        """
        if offset >= _BEFORE:
            return self._string_before(offset - (1 << 64))
        end = self.strings.find(b"\0", offset)
        if not 0 <= offset <= end:
            raise DamagedElf(f"string {offset} lies outside of the dynamic strings")
        return self.strings[offset:end].decode(errors="surrogateescape")

    def _string_before(self, offset: int) -> str:
        at = _file_offset(self.segments, (self.value(DT_STRTAB) or 0) + offset)
        text, end, _ = bytes(self.data[at : at + _LONGEST_STRING]).partition(b"\0")
        if not end:
            raise DamagedElf(f"string {offset} does not end")
        return text.decode(errors="surrogateescape")

    def version_needs(self) -> Iterator[tuple[str, str]]:
        """(library, version) for each symbol version that it needs: (`libc.so.6`, `GLIBC_2.34`)."""
        address = self.value(DT_VERNEED)
        count = self.value(DT_VERNEEDNUM) or 0
        if address is None:
            return
        at = _file_offset(self.segments, address)
        for _ in range(min(count, 4096)):
            _, needs, library, first, following = _read("<HHIII", self.data, at)
            need_at = at + first
            for _ in range(needs):
                _, _, _, name, step = _read("<IHHII", self.data, need_at)
                yield self.string(library), self.string(name)
                need_at += step
            at += following


def read_elf(data: Buffer) -> Elf:
    """What an ELF file of 64 bits, little-endian, holds. Raises `DamagedElf`."""
    _, kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, _ = _unpack(
        _HEADER, data, 0
    )
    if bytes(data[:6]) != MAGIC + b"\x02\x01":
        raise DamagedElf("not an ELF file of 64 bits, little-endian")
    if phnum and phentsize != _SEGMENT.size:
        raise DamagedElf(f"program headers of {phentsize} bytes")
    segments = tuple(Segment(*_unpack(_SEGMENT, data, phoff + i * _SEGMENT.size)) for i in range(phnum))
    dynamic, slots = _read_dynamic(data, segments)
    return Elf(
        data=data,
        machine=machine,
        type=kind,
        program_headers_at=phoff,
        section_headers=(shoff, shnum) if shentsize == _SECTION.size and shoff else (0, 0),
        segments=segments,
        interpreter=_read_interpreter(data, segments),
        dynamic=dynamic,
        dynamic_slots=slots,
        strings=_read_strings(data, segments, dict(reversed(dynamic))),
    )


def machine_of(head: bytes) -> int | None:
    """The machine number in a file's first 20 bytes; None unless it is ELF, 64 bits, little-endian.

    Only programs and libraries have one: None for object files, kernel modules and core files too.
    """
    if len(head) < 20 or head[:6] != MAGIC + b"\x02\x01":
        return None
    kind, machine = struct.unpack_from("<HH", head, 16)
    return int(machine) if kind in (ET_EXEC, ET_DYN) else None


def is_separate_debug_file(elf: Elf) -> bool:
    """Whether the file holds only debugging information: its loaded sections take no room."""
    probe = next((s for s in elf.segments if s.type in (PT_INTERP, PT_DYNAMIC)), None)
    if probe is None:
        return False
    return any(fields[3] == probe.vaddr and fields[1] == _SHT_NOBITS for _, fields in _sections(elf))


def _read_interpreter(data: Buffer, segments: Sequence[Segment]) -> str | None:
    segment = next((s for s in segments if s.type == PT_INTERP), None)
    if segment is None:
        return None
    text = bytes(data[segment.offset : segment.offset + segment.filesz])
    if not 0 < segment.filesz == len(text):
        raise DamagedElf("the interpreter's path lies outside of the file")
    return text.split(b"\0", 1)[0].decode(errors="surrogateescape")


def _read_dynamic(data: Buffer, segments: Sequence[Segment]) -> tuple[tuple[tuple[int, int], ...], int]:
    segment = next((s for s in segments if s.type == PT_DYNAMIC), None)
    if segment is None:
        return (), 0
    raw = bytes(data[segment.offset : segment.offset + segment.filesz])
    if len(raw) < segment.filesz:
        raise DamagedElf("the dynamic section lies outside of the file")
    entries: list[tuple[int, int]] = []
    for tag, value in _DYNAMIC.iter_unpack(raw[: len(raw) // 16 * 16]):
        if tag == DT_NULL:
            break
        entries.append((tag, value))
    return tuple(entries), len(raw) // 16


def _read_strings(data: Buffer, segments: Sequence[Segment], dynamic: dict[int, int]) -> bytes:
    if DT_STRTAB not in dynamic:
        return b""
    at, size = _file_offset(segments, dynamic[DT_STRTAB]), dynamic.get(DT_STRSZ, 0)
    strings = bytes(data[at : at + size])
    if len(strings) < size:
        raise DamagedElf("the dynamic strings lie outside of the file")
    return strings


def _file_offset(segments: Sequence[Segment], address: int) -> int:
    for segment in segments:
        if segment.type == PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.filesz:
            return address - segment.vaddr + segment.offset
    raise DamagedElf(f"address {address:#x} is in no loaded segment")


def _sections(elf: Elf) -> Iterator[tuple[int, tuple[int, ...]]]:
    start, count = elf.section_headers
    for index in range(count):
        at = start + index * _SECTION.size
        yield at, _unpack(_SECTION, elf.data, at)


def _read(layout: str, data: Buffer, at: int) -> tuple[int, ...]:
    return _unpack(struct.Struct(layout), data, at)


def _unpack(layout: struct.Struct, data: Buffer, at: int) -> tuple[int, ...]:
    try:
        return layout.unpack_from(data, at)
    except (struct.error, OverflowError):
        raise DamagedElf(f"the file ends before byte {at + layout.size}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """What shall change in a file; None leaves a part as it is.

    `rpath` becomes the only search path, as `DT_RPATH`; an empty one removes it. `needed_first` is put
    before all other needed libraries, unless it is there already.
    """

    interpreter: str | None = None
    rpath: tuple[str, ...] | None = None
    needed_first: str | None = None


def patches_for(elf: Elf, edit: Edit) -> tuple[Patch, ...]:
    """The writes that make `edit` true of a file; empty when it is true already.

    A search path that stays the same text costs one tag in place. Everything else appends a segment.
    Raises `DamagedElf` for a file without the tables that an edit needs.
    """
    if edit.rpath is not None and edit.rpath == elf.search_path:
        edit = replace(edit, rpath=None)
        entries = _with_rpath_tag(elf.dynamic)
    else:
        entries = elf.dynamic
    if edit.needed_first in elf.needed[:1]:
        edit = replace(edit, needed_first=None)
    if edit.interpreter == elf.interpreter:
        edit = replace(edit, interpreter=None)
    if edit == Edit():
        if entries == elf.dynamic:
            return ()
        return ((_dynamic_at(elf), _pack_dynamic(entries, elf.dynamic_slots)),)
    if _is_dumped(elf) and (prepended := _Prepended(elf, edit, entries)).fits:
        return prepended.patches()
    return _Appended(elf, edit, entries).patches()


def _is_dumped(elf: Elf) -> bool:
    """Whether a program was dumped from memory with its heap: nothing is left to be zeroed at its end.

    Such a program (GNU Common Lisp's) goes on with its heap where the file's data end.
    """
    loads = [segment for segment in elf.segments if segment.type == PT_LOAD]
    last = max(loads, key=lambda segment: segment.vaddr, default=None)
    return elf.type == ET_EXEC and bool(elf.strings) and last is not None and last.filesz == last.memsz


class _Prepended:
    """One new segment before all others of a dumped program: program headers, interpreter, new strings.

    There is little room, so the table of strings stays, and the new ones are named by negative offsets.
    The program headers move too: from the first segment older kernels tell where they are.
    """

    def __init__(self, elf: Elf, edit: Edit, entries: tuple[tuple[int, int], ...]) -> None:
        first = min(segment.vaddr for segment in elf.segments if segment.type == PT_LOAD)
        self.elf = elf
        self.headers_size = (len(elf.segments) + 1) * _SEGMENT.size
        self.interpreter = b"" if edit.interpreter is None else _room_for(edit.interpreter)
        needed = _terminated(edit.needed_first)
        self.strings = needed + _terminated(":".join(edit.rpath or ()) or None)
        self.page = _PAGE.get(elf.machine, 0x10000)
        self.size = self.headers_size + len(self.interpreter) + len(self.strings)
        self.vaddr = (first - self.size) // self.page * self.page
        self.offset = _round_up(len(elf.data), self.page)
        start = self.vaddr + self.headers_size + len(self.interpreter) - (elf.value(DT_STRTAB) or 0)
        self.entries = list(entries)
        if edit.rpath is not None:
            self.entries = [entry for entry in entries if entry[0] not in (DT_RPATH, DT_RUNPATH)]
            self.entries += [(DT_RPATH, (start + len(needed)) % (1 << 64))] if edit.rpath else []
        if edit.needed_first is not None:
            self.entries.insert(0, (DT_NEEDED, start % (1 << 64)))

    @property
    def fits(self) -> bool:
        """Whether there is room before the first segment, and in `.dynamic`."""
        return self.vaddr >= _LOWEST_ADDRESS and len(self.entries) < self.elf.dynamic_slots

    def patches(self) -> tuple[Patch, ...]:
        headers = b"".join(segment.pack() for segment in self._segments())
        return (
            (self.offset, headers + self.interpreter + self.strings),
            (32, struct.pack("<Q", self.offset)),
            (56, struct.pack("<H", len(self.elf.segments) + 1)),
            (_dynamic_at(self.elf), _pack_dynamic(self.entries, self.elf.dynamic_slots)),
        )

    def _segments(self) -> Iterator[Segment]:
        new = Segment(PT_LOAD, 4, self.offset, self.vaddr, self.vaddr, self.size, self.size, self.page)
        first = True
        for segment in self.elf.segments:
            if segment.type == PT_LOAD and first:
                yield new
                first = False
            if segment.type == PT_PHDR:
                yield _at(segment, self.offset, self.vaddr, 0, self.headers_size)
            elif segment.type == PT_INTERP and self.interpreter:
                yield _at(segment, self.offset, self.vaddr, self.headers_size, len(self.interpreter))
            else:
                yield segment


def _terminated(text: str | None) -> bytes:
    return b"" if text is None else text.encode(errors="surrogateescape") + b"\0"


def _with_rpath_tag(entries: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The entries with `DT_RUNPATH` as `DT_RPATH`; of both, the loader would have heeded the former only."""
    if all(tag != DT_RUNPATH for tag, _ in entries):
        return entries
    return tuple((DT_RPATH if tag == DT_RUNPATH else tag, value) for tag, value in entries if tag != DT_RPATH)


def _pack_dynamic(entries: Sequence[tuple[int, int]], slots: int) -> bytes:
    return b"".join(_DYNAMIC.pack(*entry) for entry in entries).ljust(slots * _DYNAMIC.size, b"\0")


def _segment_of(elf: Elf, kind: int) -> Segment:
    found = next((segment for segment in elf.segments if segment.type == kind), None)
    if found is None:
        raise DamagedElf(f"the file has no program header of type {kind}")
    return found


def _dynamic_at(elf: Elf) -> int:
    return _segment_of(elf, PT_DYNAMIC).offset


def _round_up(value: int, step: int) -> int:
    return (value + step - 1) // step * step


def _room_for(interpreter: str) -> bytes:
    text = interpreter.encode(errors="surrogateescape")
    return text.ljust(max(INTERPRETER_ROOM, _round_up(len(text) + 1, 16)), b"\0")


def _at(segment: Segment, offset: int, address: int, at: int, size: int) -> Segment:
    """A segment's header when it lies `at` bytes into the part of file and memory that begins there."""
    address += at
    return replace(segment, offset=offset + at, vaddr=address, paddr=address, filesz=size, memsz=size)


def _spare_header(elf: Elf) -> int | None:
    """The index of a program header that may go: a note that `PT_GNU_PROPERTY` names as well.

    The C library and the kernel read the latter and then pass over the former.
    """
    named = {(s.offset, s.filesz) for s in elf.segments if s.type == PT_GNU_PROPERTY}
    spare = (i for i, s in enumerate(elf.segments) if s.type == PT_NOTE and (s.offset, s.filesz) in named)
    return next(spare, None)


class _Appended:
    """One new segment at the end of a file: interpreter, strings, perhaps `.dynamic` and program headers.

    The program headers stay where they are when one of them can be spared. `strip` demands that, for
    binutils know no other place for them. Else they move too, and then the segment's file offset is its
    address minus the load base: kernels before 5.18 take the address of the program headers from their
    file offset. Where `.bss` lies between, such a file has a hole.
    """

    def __init__(self, elf: Elf, edit: Edit, entries: tuple[tuple[int, int], ...]) -> None:
        loads = [segment for segment in elf.segments if segment.type == PT_LOAD]
        if not loads or not elf.strings:
            raise DamagedElf("the file has no loaded segment or no dynamic strings")
        self.elf, self.edit = elf, edit
        page = _PAGE.get(elf.machine, 0x10000)
        base = loads[0].vaddr - loads[0].offset
        end = max(s.vaddr + s.memsz for s in loads)
        if not 0 < end - base <= _LARGEST_IMAGE:
            raise DamagedElf(f"the loaded segments span {end - base} bytes")
        self.page = page
        self.spare = _spare_header(elf)
        if self.spare is None:
            self.vaddr = _round_up(max(end, base + len(elf.data)), page)
            self.offset = self.vaddr - base
            self.headers_size = (len(elf.segments) + 1) * _SEGMENT.size
        else:
            self.vaddr = _round_up(end, page)
            self.offset = _round_up(len(elf.data), page)
            self.headers_size = 0
        self.strings = elf.strings
        self.interpreter = self._interpreter_bytes()
        self.strings_at = self.headers_size + len(self.interpreter)
        self.entries = self._new_entries(entries)
        self.dynamic_moves = len(self.entries) + 1 > elf.dynamic_slots
        self.dynamic_at = _round_up(self.strings_at + len(self.strings), 16)

    def _interpreter_bytes(self) -> bytes:
        return b"" if self.edit.interpreter is None else _room_for(self.edit.interpreter)

    def _add_string(self, text: str) -> int:
        at = len(self.strings)
        self.strings += text.encode(errors="surrogateescape") + b"\0"
        return at

    def _new_entries(self, entries: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        new = list(entries)
        if self.edit.rpath is not None:
            new = [entry for entry in new if entry[0] not in (DT_RPATH, DT_RUNPATH)]
            if self.edit.rpath:
                new.append((DT_RPATH, self._add_string(":".join(self.edit.rpath))))
        if self.edit.needed_first is not None:
            new.insert(0, (DT_NEEDED, self._add_string(self.edit.needed_first)))
        moved = {DT_STRTAB: self.vaddr + self.strings_at, DT_STRSZ: len(self.strings)}
        return tuple((tag, moved.get(tag, value)) for tag, value in new)

    def patches(self) -> tuple[Patch, ...]:
        headers, tail = self._headers_and_tail()
        if self.spare is None:
            patches = [(self.offset, headers + tail), (32, struct.pack("<Q", self.offset))]
            patches.append((56, struct.pack("<H", len(self.elf.segments) + 1)))
        else:
            patches = [(self.offset, tail), (self.elf.program_headers_at, headers)]
        if not self.dynamic_moves:
            patches.append((_dynamic_at(self.elf), _pack_dynamic(self.entries, self.elf.dynamic_slots)))
        return (*patches, *self._section_patches())

    def _headers_and_tail(self) -> tuple[bytes, bytes]:
        tail = self.interpreter + self.strings
        size = self.strings_at + len(self.strings)
        if self.dynamic_moves:
            tail = tail.ljust(self.dynamic_at - self.headers_size, b"\0") + self._moved_dynamic()
            size = self.headers_size + len(tail)
        return b"".join(segment.pack() for segment in self._segments(size)), tail

    def _moved_dynamic(self) -> bytes:
        return _pack_dynamic(self.entries, len(self.entries) + 4)

    def _segments(self, size: int) -> list[Segment]:
        segments = [self._moved(segment) for segment in self.elf.segments]
        last_load = max(i for i, segment in enumerate(segments) if segment.type == PT_LOAD)
        flags = 6 if self.dynamic_moves else 4  # the loader writes DT_DEBUG into .dynamic
        new = Segment(PT_LOAD, flags, self.offset, self.vaddr, self.vaddr, size, size, self.page)
        segments.insert(last_load + 1, new)
        if self.spare is not None:
            del segments[self.spare if self.spare <= last_load else self.spare + 1]
        return segments

    def _moved(self, segment: Segment) -> Segment:
        if segment.type == PT_PHDR and self.spare is None:
            return self._placed(segment, 0, self.headers_size)
        if segment.type == PT_INTERP and self.interpreter:
            return self._placed(segment, self.headers_size, len(self.interpreter))
        if segment.type == PT_DYNAMIC and self.dynamic_moves:
            return self._placed(segment, self.dynamic_at, len(self._moved_dynamic()))
        return segment

    def _placed(self, segment: Segment, at: int, size: int) -> Segment:
        return _at(segment, self.offset, self.vaddr, at, size)

    def _section_patches(self) -> Iterator[Patch]:
        """Section headers of what moved, so that debuggers and `strip` are told the truth."""
        interpreter = next((s.vaddr for s in self.elf.segments if s.type == PT_INTERP), None)
        dynamic = _segment_of(self.elf, PT_DYNAMIC).vaddr
        for at, (_, kind, _, address, *_) in _sections(self.elf):
            if kind == _SHT_STRTAB and address == self.elf.value(DT_STRTAB):
                place = (self.strings_at, len(self.strings))
            elif kind == _SHT_DYNAMIC and address == dynamic and self.dynamic_moves:
                place = (self.dynamic_at, len(self._moved_dynamic()))
            elif address == interpreter and address and self.interpreter:
                place = (self.headers_size, len(self.interpreter))
            else:
                continue
            yield at + 16, struct.pack("<QQQ", self.vaddr + place[0], self.offset + place[0], place[1])
