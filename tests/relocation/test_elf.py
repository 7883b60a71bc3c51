"""The reader and the editor of ELF files, beside `readelf` and lief, on programs of this host."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cape.environment.relocation.elf import (
    DT_RPATH,
    DT_RUNPATH,
    PT_GNU_PROPERTY,
    PT_LOAD,
    DamagedElf,
    Edit,
    Elf,
    machine_of,
    patches_for,
    read_elf,
)
from tests.relocation.conftest import Compile

EDIT = Edit(interpreter="/store/ld.so", rpath=("$ORIGIN/../lib", "$ORIGIN"), needed_first="libfirst.so")


def applied(data: bytes, edit: Edit) -> bytes:
    out = bytearray(data)
    for offset, patch in patches_for(read_elf(data), edit):
        out.extend(b"\0" * (offset + len(patch) - len(out)))
        out[offset : offset + len(patch)] = patch
    return bytes(out)


def host_files(count: int, pattern: str = "*", below: str = "/usr/bin") -> list[Path]:
    files = [path for path in sorted(Path(below).glob(pattern)) if path.is_file() and not path.is_symlink()]
    found = [path for path in files if path.stat().st_size < 4_000_000 and _is_dynamic(path)]
    return random.Random(count).sample(found, min(count, len(found)))


def _is_dynamic(path: Path) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(64)
    return machine_of(head) is not None and read_elf(path.read_bytes()).is_dynamic


def readelf(path: Path, option: str) -> str:
    if shutil.which("readelf") is None:
        pytest.skip("no readelf on this machine")
    done = subprocess.run(["readelf", option, "-W", path], capture_output=True, text=True, check=True)
    assert not done.stderr, f"readelf complains about {path}: {done.stderr}"
    return done.stdout


def test_reader_agrees_with_lief_on_programs_of_this_host() -> None:
    """lief is the independent reader."""
    lief = pytest.importorskip("lief")
    for path in host_files(20):
        ours, theirs = read_elf(path.read_bytes()), lief.ELF.parse(str(path))
        assert list(ours.needed) == list(theirs.libraries), path
        assert (ours.interpreter or "") == (theirs.interpreter if theirs.has_interpreter else ""), path
        assert {version for _, version in ours.version_needs()} == {
            auxiliary.name
            for requirement in theirs.symbols_version_requirement
            for auxiliary in requirement.get_auxiliary_symbols()
        }, path


def test_edited_program_says_what_the_edit_says_to_lief(tmp_path: Path) -> None:
    """lief is the independent reader; it checks offsets and sections more strictly than we do."""
    lief = pytest.importorskip("lief")
    for path in host_files(10):
        if read_elf(path.read_bytes()).interpreter is None:
            continue
        file = tmp_path / path.name
        file.write_bytes(applied(path.read_bytes(), EDIT))
        edited = lief.ELF.parse(str(file))
        assert edited.interpreter.rstrip("\0") == "/store/ld.so", path
        assert edited.libraries[0] == "libfirst.so", path
        assert edited.get(lief.ELF.DynamicEntry.TAG.RPATH).rpath == "$ORIGIN/../lib:$ORIGIN", path
        assert not edited.has(lief.ELF.DynamicEntry.TAG.RUNPATH), path


def test_readelf_has_no_complaint_about_edited_programs(tmp_path: Path) -> None:
    for path in host_files(10):
        file = tmp_path / path.name
        file.write_bytes(applied(path.read_bytes(), EDIT))
        before, after = readelf(path, "--dyn-syms"), readelf(file, "--dyn-syms")
        assert before == after, path
        assert "libfirst.so" in readelf(file, "-d"), path
        readelf(file, "-a")


def test_sections_name_the_moved_tables(compile_c: Compile, tmp_path: Path) -> None:
    file = tmp_path / "edited"
    file.write_bytes(applied(compile_c().read_bytes(), EDIT))
    assert "/store/ld.so" in readelf(file, "--string-dump=.interp")
    assert "libfirst.so" in readelf(file, "--string-dump=.dynstr")


def test_applying_an_edit_twice_changes_nothing_more(compile_c: Compile) -> None:
    once = applied(compile_c().read_bytes(), EDIT)
    assert patches_for(read_elf(once), EDIT) == ()


def test_program_headers_stay_where_a_note_can_be_spared(compile_c: Compile) -> None:
    data = compile_c().read_bytes()
    if PT_GNU_PROPERTY not in {segment.type for segment in read_elf(data).segments}:
        pytest.skip("this compiler writes no PT_GNU_PROPERTY")
    edited = read_elf(applied(data, EDIT))
    assert edited.program_headers_at == read_elf(data).program_headers_at


def test_moved_program_headers_lie_at_address_minus_base(compile_c: Compile) -> None:
    """Kernels before 5.18 compute AT_PHDR so."""
    edited = read_elf(applied(without_property(compile_c("-DBIG=9000000").read_bytes()), EDIT))
    loads = [segment for segment in edited.segments if segment.type == PT_LOAD]
    assert (
        edited.program_headers_at == loads[-1].offset == loads[-1].vaddr - (loads[0].vaddr - loads[0].offset)
    )
    assert [load.vaddr for load in loads] == sorted(load.vaddr for load in loads)


HEAP = """
#include <stdio.h>
#include <sys/personality.h>
#include <unistd.h>
int main(int count, char **words) {
    if (count < 2 && personality(ADDR_NO_RANDOMIZE) >= 0) execl(words[0], words[0], "again", NULL);
    printf("%p", sbrk(0));
    return 0;
}
"""


def dumped(data: bytes) -> bytes:
    """A program as if it had been dumped from memory: all of its last segment is in the file."""
    elf = read_elf(data)
    last = max(i for i, segment in enumerate(elf.segments) if segment.type == PT_LOAD)
    at, size = elf.program_headers_at + last * 56, elf.segments[last].memsz
    offset = elf.segments[last].offset
    whole = bytearray(data.ljust(offset + size, b"\0"))
    whole[at + 32 : at + 40] = struct.pack("<Q", size)
    return bytes(whole)


def test_a_dumped_program_keeps_the_place_of_its_heap(compile_c: Compile) -> None:
    """GNU Common Lisp's programs go on where their file's data end (maxima, ACL2)."""
    program = compile_c("-no-pie", source=HEAP)
    program.write_bytes(dumped(program.read_bytes()))
    data = program.read_bytes()
    before = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    edit = Edit(
        interpreter=read_elf(data).interpreter, rpath=("$ORIGIN/libraries",), needed_first="libm.so.6"
    )
    program.write_bytes(applied(data, edit))
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == before
    edited = read_elf(program.read_bytes())
    assert edited.needed == ("libm.so.6", "libc.so.6")
    assert edited.search_path == ("$ORIGIN/libraries",)
    assert patches_for(edited, edit) == ()


def test_a_dumped_program_gets_another_loader(compile_c: Compile) -> None:
    once = applied(dumped(compile_c("-no-pie", source=HEAP).read_bytes()), EDIT)
    edited = read_elf(once)
    assert edited.interpreter == "/store/ld.so"
    loads = [segment for segment in edited.segments if segment.type == PT_LOAD]
    assert edited.program_headers_at == loads[0].offset
    assert [load.vaddr for load in loads] == sorted(load.vaddr for load in loads)


def without_property(data: bytes) -> bytes:
    """The same program as a linker writes it that knows no PT_GNU_PROPERTY."""
    return data.replace(struct.pack("<II", PT_GNU_PROPERTY, 4), struct.pack("<II", 0, 4))


def test_arm_programs_are_aligned_to_64_kib(compile_c: Compile) -> None:
    data = bytearray(compile_c().read_bytes())
    data[18:20] = struct.pack("<H", 183)
    edited = read_elf(applied(bytes(data), EDIT))
    new = [segment for segment in edited.segments if segment.type == PT_LOAD][-1]
    assert (new.vaddr % 0x10000, new.offset % 0x10000, new.align) == (0, 0, 0x10000)


def test_runpath_becomes_rpath_in_eight_bytes(compile_c: Compile) -> None:
    data = compile_c(
        "-shared", "-fPIC", "-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/x", source="int sample;"
    ).read_bytes()
    edited = applied(data, Edit(rpath=("$ORIGIN/x",)))
    assert len(edited) == len(data)
    assert [i for i in range(len(data)) if data[i] != edited[i]] == [
        data.index(_runpath_entry(read_elf(data)))
    ]
    assert read_elf(edited).value(DT_RPATH) is not None
    assert read_elf(edited).value(DT_RUNPATH) is None


def _runpath_entry(elf: Elf) -> bytes:
    return struct.pack("<qQ", DT_RUNPATH, elf.value(DT_RUNPATH) or 0)


def test_machine_is_told_from_the_first_bytes() -> None:
    program = Path("/proc/self/exe").resolve()
    assert machine_of(program.read_bytes()[:20]) in (62, 183)
    assert machine_of(b"\x7fELF") is None
    assert machine_of(b"#!/bin/sh\n" + b"\0" * 20) is None


def test_garbage_is_refused_as_damaged() -> None:
    with pytest.raises(DamagedElf, match="64 bits"):
        read_elf(b"#!/bin/sh\n" * 20)
    with pytest.raises(DamagedElf, match="ends before"):
        read_elf(b"\x7fELF\x02\x01")


@settings(max_examples=150, deadline=None)
@given(
    head=st.integers(0, 2000) | st.integers(0, 1 << 15),
    noise=st.binary(max_size=64),
    end=st.none() | st.integers(0, 1 << 15),
)
@example(head=37, noise=b"\0\0\x80", end=None)  # section headers at an address of 64 bits
def test_a_damaged_file_is_refused_or_read_but_never_crashes(
    head: int, noise: bytes, end: int | None, sample_file: Path
) -> None:
    """Cut or overwritten anywhere, a program is either readable or `DamagedElf`."""
    sample = sample_file.read_bytes()
    damaged = (sample[:head] + noise + sample[head + len(noise) :])[:end]
    try:
        elf = read_elf(damaged)
        list(elf.version_needs())
        assert isinstance(elf.needed, tuple)
        patches_for(elf, EDIT)
    except DamagedElf:
        pass


@pytest.fixture(scope="module")
def sample_file(compile_c: Compile) -> Path:
    """A path, since hypothesis prints arguments, and a program's bytes are too long for that."""
    return compile_c()


def test_absurd_segments_are_refused_and_not_written(compile_c: Compile) -> None:
    elf = read_elf(compile_c().read_bytes())
    load = next(i for i, segment in enumerate(elf.segments) if segment.type == PT_LOAD)
    data = bytearray(elf.data)
    struct.pack_into("<Q", data, elf.program_headers_at + 56 * load + 40, 1 << 63)
    with pytest.raises(DamagedElf, match="span"):
        patches_for(read_elf(bytes(data)), EDIT)
