"""The C library's own paths lead to the environment: on this host's, and on code made for the test."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.environment.relocation import RelocationContext, personalise, relocate_tree
from cape.environment.relocation.c_library import _aarch64, _retargeted, led_paths, library_patches
from cape.environment.relocation.elf import PT_LOAD, Elf, Segment, read_elf
from cape.environment.relocation.loader import triplet
from cape.names import System
from cape.store import ContentHasher
from tests.relocation.conftest import host_library


@pytest.fixture
def library(tmp_path: Path, system: System) -> Path:
    """A tree that has this host's C library, relocated as the libc object's."""
    place = tmp_path / f"tree/root/usr/lib/{triplet(system)}/libc.so.6"
    place.parent.mkdir(parents=True)
    shutil.copyfile(host_library("libc.so.6"), place)
    place.chmod(0o755)
    facts = relocate_tree(tmp_path / "tree", RelocationContext(system=system, loader=None))
    if not facts.private:
        pytest.skip("this host's C library has no room behind its constants")
    assert facts.private == (f"root/usr/lib/{triplet(system)}/libc.so.6",)
    return place


def test_a_c_library_is_edited_once(library: Path, system: System) -> None:
    assert library_patches(read_elf(library.read_bytes()), system) == ()


def test_no_path_of_the_hosts_character_sets_is_left(library: Path, system: System) -> None:
    data = library.read_bytes()
    assert f"\0/usr/lib/{triplet(system)}/gconv".encode() not in data
    assert f"/@cape-env@/root{led_paths(system)[0]}\0".encode() in data


def test_no_locale_of_the_host_is_left(library: Path) -> None:
    assert b"/usr/lib/locale" not in library.read_bytes()


def test_the_path_of_an_environment_takes_the_room_of_the_placeholder(library: Path, system: System) -> None:
    data = library.read_bytes()
    made = personalise(data, Path("/place/of/it"))
    assert len(made) == len(data)
    assert f"\0/place/of/it/root{led_paths(system)[0]}\0".encode() in made
    assert personalise(data, Path("/" + "x" * 2000)) == data


def test_the_content_of_a_c_library_is_equal_in_all_environments(library: Path) -> None:
    data = library.read_bytes()
    one, other = Path("/a/environments/1"), Path("/somewhere/else/environments/2")
    contents = {
        ContentHasher(place.parent.parent, place).normalised(personalise(data, place))
        for place in (one, other)
    }
    assert len(contents) == 1


_MOVE = 0xAA0103E1
_BRANCH = 0x14000001


def _arm_library(code: list[int], base: int) -> tuple[Elf, bytes]:
    data = struct.pack(f"<{len(code)}I", *code)
    segment = Segment(PT_LOAD, 5, 0, base, base, len(data), len(data), 0x10000)
    return (
        Elf(
            data=data,
            machine=183,
            type=3,
            program_headers_at=64,
            section_headers=(0, 0),
            segments=(segment,),
            interpreter=None,
            dynamic=(),
            dynamic_slots=0,
            strings=b"",
        ),
        data,
    )


@given(
    st.integers(0, 1 << 20).map(lambda n: n << 12),
    st.integers(0, 1 << 30),
    st.integers(0, 1 << 30),
    st.integers(0, 30),
)
def test_arm_code_loads_the_address_that_it_is_told(
    base: int, first: int, second: int, register: int
) -> None:
    """`adrp` and `add` as in the Arm manual, C6.2: pages relative to the instruction's own."""
    pages = (first >> 12) - (base >> 12) & 0x1FFFFF
    adrp = 0x90000000 | (pages & 3) << 29 | pages >> 2 << 5 | register
    add = 0x91000000 | (first & 0xFFF) << 10 | register << 5 | register
    elf, data = _arm_library([adrp, _MOVE, add], base)
    assert list(_aarch64(data, base, first)) == [(0, 8)]
    changed = bytearray(data)
    for at, patch in _retargeted(elf, data, (0, 8), second):
        changed[at : at + len(patch)] = patch
    assert list(_aarch64(bytes(changed), base, second)) == [(0, 8)]


def test_arm_code_with_a_branch_between_is_left_alone() -> None:
    adrp, add = 0x90000000, 0x91000000 | 8 << 10
    assert list(_aarch64(struct.pack("<3I", adrp, _MOVE, add), 0, 8)) == [(0, 8)]
    assert list(_aarch64(struct.pack("<3I", adrp, _BRANCH, add), 0, 8)) == []
