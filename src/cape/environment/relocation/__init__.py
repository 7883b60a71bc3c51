"""Relocation: an unpacked package works below any directory, shared by environments through hard links.

Owns the few edits that make it so (ELF files, the loader, `#!` lines, links), the C library that redirects
a program's absolute paths, and the facts that are learnt on the way. Nothing here knows where objects are
kept, how environments are linked, or what a package manager is. The reasons and the measured rules are
in `docs/decisions/0001-relocation.md`.
"""

from __future__ import annotations

from cape.environment.relocation.facts import DamagedFacts, ElfFacts, ElfKind, TreeFacts
from cape.environment.relocation.loader import loader_path
from cape.environment.relocation.scripts import PLACEHOLDER, personalise
from cape.environment.relocation.tree import (
    RELOCATION_VERSION,
    RelocationContext,
    elf_facts,
    relocate_tree,
)

__all__ = [
    "PLACEHOLDER",
    "RELOCATION_VERSION",
    "DamagedFacts",
    "ElfFacts",
    "ElfKind",
    "RelocationContext",
    "TreeFacts",
    "elf_facts",
    "loader_path",
    "personalise",
    "relocate_tree",
]
