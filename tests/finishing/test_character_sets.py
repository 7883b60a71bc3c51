"""libc's table of character sets, beside the one that the C library's own program writes."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.environment.finishing.character_sets import (
    hash_of,
    read_lists,
    render_table,
    table_character_sets,
)

TRIPLET = "x86_64-linux-gnu"
LISTS = Path(f"/usr/lib/{TRIPLET}/gconv")

Row = tuple[str, str, str, str, str, frozenset[tuple[str, str, str]]]


class Table:
    """A reader that looks a name up as the C library does."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.magic, self.strings, self.names, self.size, self.rows, self.others = struct.unpack_from(
            "<IHHHHH", data
        )

    def text(self, offset: int) -> str:
        start = self.strings + offset
        return self.data[start : self.data.index(b"\0", start)].decode()

    def number(self, name: str) -> int | None:
        at, step = hash_of(name) % self.size, 1 + hash_of(name) % (self.size - 2)
        while True:
            offset, number = struct.unpack_from("<HH", self.data, self.names + 4 * at)
            if not offset:
                return None
            if self.text(offset) == name:
                return int(number)
            at = (at + step) % self.size

    def known(self) -> set[str]:
        slots = struct.iter_unpack("<HH", self.data[self.names : self.names + 4 * self.size])
        return {self.text(offset) for offset, _ in slots if offset}

    def row(self, name: str) -> Row | None:
        number = self.number(name)
        if number is None:
            return None
        *offsets, others = struct.unpack_from("<6H", self.data, self.rows + 12 * number)
        canonical, *modules = map(self.text, offsets)
        return canonical, modules[0], modules[1], modules[2], modules[3], frozenset(self._others(others))

    def _others(self, place: int) -> list[tuple[str, str, str]]:
        found, at = [], self.others + place - 1
        while place and struct.unpack_from("<H", self.data, at)[0]:
            _, target, *offsets = struct.unpack_from("<4H", self.data, at)
            name = self.text(struct.unpack_from("<H", self.data, self.rows + 12 * target)[0])
            found.append((name, *map(self.text, offsets)))
            at += 8
        return [(one[0], one[1], one[2]) for one in found]


def test_names_aliases_and_modules_are_found_by_their_hash() -> None:
    lists = ["alias L1// ISO-8859-1//\nmodule ISO-8859-1// INTERNAL iso 1\nmodule internal ISO-8859-1// iso"]
    table = Table(render_table(read_lists(lists)))
    directory = "$ORIGIN/gconv/"
    assert table.row("L1//") == ("ISO-8859-1//", directory, "iso.so", directory, "iso.so", frozenset())
    assert table.number("INTERNAL") == table.number("WCHAR_T//") == 0
    assert table.row("UTF-8//") == table.row("ISO-10646/UTF8/")
    assert table.row("NONE//") is None


def test_a_conversion_that_does_not_go_by_the_hub_has_a_row_of_its_own() -> None:
    table = Table(render_table(read_lists(["module A// B// AB 1\nmodule A// C// AC 1"])))
    directory = "$ORIGIN/gconv/"
    assert table.row("A//") == (
        *("A//", "", "", "", ""),
        frozenset({("B//", directory, "AB.so"), ("C//", directory, "AC.so")}),
    )


def test_the_table_is_the_one_that_the_c_librarys_program_writes(tmp_path: Path) -> None:
    program = shutil.which("iconvconfig", path="/usr/sbin:/sbin")
    if program is None or not (LISTS / "gconv-modules").exists():
        pytest.skip("no `iconvconfig` on this machine")
    root = tmp_path / "root"
    home = root / f"usr/lib/{TRIPLET}/gconv"
    shutil.copytree(LISTS, home, ignore=shutil.ignore_patterns("*.so", "*.cache"))
    place = tmp_path / "$ORIGIN"
    place.mkdir()
    (place / "gconv").symlink_to(home)
    command = [program, "--nostdlib", "-o", "theirs", "$ORIGIN/gconv"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert table_character_sets(root, TRIPLET) == ()
    theirs = Table((tmp_path / "theirs").read_bytes())
    ours = Table((home / "gconv-modules.cache").read_bytes())
    assert ours.known() == theirs.known()
    assert {name: ours.row(name) for name in ours.known()} == {
        name: theirs.row(name) for name in theirs.known()
    }


@settings(max_examples=30)
@given(st.lists(st.text("ABCDEFG-_0123456789", min_size=1, max_size=9), max_size=60))
def test_every_name_is_found_whatever_the_names_are(names: list[str]) -> None:
    lists = "".join(f"module {name}// INTERNAL {name}\n" for name in names)
    table = Table(render_table(read_lists([lists])))
    for name in names:
        row = table.row(f"{name}//")
        assert row is not None
        assert (row[0], row[4]) == (f"{name}//", f"{name}.so")


def test_too_many_character_sets_are_a_sentence(tmp_path: Path) -> None:
    home = tmp_path / f"usr/lib/{TRIPLET}/gconv"
    home.mkdir(parents=True)
    rows = "".join(f"module A-CHARACTER-SET-{one}// INTERNAL M\n" for one in range(4000))
    (home / "gconv-modules").write_text(rows)
    (note,) = table_character_sets(tmp_path, TRIPLET)
    assert "too many" in note
