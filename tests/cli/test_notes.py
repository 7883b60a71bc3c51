"""Notes: what could not be made, and libraries that are not there, is said once, and in `--json` too."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from cape.environment.relocation.facts import ElfFacts, ElfKind, TreeFacts
from cape.names import System
from cape.operations.closing import check_libraries
from tests.end_to_end.harness import World


def test_a_generated_file_that_could_not_be_made_is_a_note(world: World) -> None:
    project = world.project(name="noting", types="*")
    note = "the cache of types of files could not be made: no types today"
    assert json.loads(project.cape("sync", "--json").succeeded().stdout)["notes"] == [note]
    other = world.project(name="noting-text", store="store-noting", types="*")
    assert f"note: {note}\n" in other.cape("sync").succeeded().stderr


def test_add_ons_that_lack_a_library_are_five_notes_and_a_count() -> None:
    facts = TreeFacts(
        elf=tuple(
            ElfFacts(
                path=f"root/usr/lib/plug-in/{n}.so", kind=ElfKind.LIBRARY, needed=(f"libabsent{n}.so.1",)
            )
            for n in range(8)
        )
    )
    plan: Any = SimpleNamespace(libc="libc6", system=System.X86_64_LINUX)
    notes = check_libraries([("plug-ins", facts)], plan, lambda name: ())
    assert len(notes) == 6
    assert "plug-in/0.so` (plug-ins) needs `libabsent0.so.1`" in notes[0]
    assert notes[-1].startswith("and 3 more ")
