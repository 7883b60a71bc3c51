"""Finishing an environment for another kind of machine: none of its programs is run."""

from __future__ import annotations

import struct
from pathlib import Path

from cape.environment.finishing.caches import Cache, make_caches
from cape.environment.finishing.place import put_file
from cape.environment.relocation.elf import MACHINES
from cape.names import System


def test_cache_of_a_program_for_another_machine_is_left_out_and_told(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put_file(root, "usr/share/data/one.xml", b"")
    foreign = next(number for name, number in MACHINES.items() if name != System.current().machine)
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, foreign)
    put_file(root, "usr/bin/tool", head, mode=0o755)
    cache = Cache(name="data", program="usr/bin/tool", reads="usr/share/data")
    (note,) = make_caches(root, "t", (cache,))
    assert note.startswith("the cache of data could not be made: its maker is a program for ")
    assert sorted(path.name for path in (root / "usr/share/data").iterdir()) == ["one.xml"]
