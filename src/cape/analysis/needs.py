"""What a language package needs of the system: libraries, symbol versions, and names loaded at run time.

Owns `PackageNeeds`, one artifact's needs as values, and their form as JSON. How they are read from an
artifact is `wheels`' and `loads`' to know, and whether an environment has them is `missing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NEEDS_VERSION = 20
"""Counts up when reading learns something else, so that what was kept is read anew."""


class LoadKind(StrEnum):
    """What a name stands for that is looked for at run time."""

    LIBRARY = "library"
    """A name for `find_library` (told only while reading)."""
    FILE = "file"
    """A library's file: `libmagic.so.1`, or with a star before it any version: `*magic`."""
    PROGRAM = "program"
    TYPELIB = "typelib"


class Reach(StrEnum):
    """When a load happens, and what its failure does."""

    IMPORT = "import"
    """On import, and the import fails with it."""
    USE = "use"
    """When something is called, and the call fails with it."""
    OPTIONAL = "optional"
    """The code goes on without it."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Load:
    """One place that looks for something by name: any of `names` will do."""

    path: str
    line: int
    kind: LoadKind
    names: tuple[str, ...]
    reach: Reach
    places: int = 1
    """How often the code asks for it, as far as that is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfNeeds:
    """One ELF file, placed where it will lie below the environment.

    `role` is `extension` for what an interpreter imports, `program` for what is started, `library` for the
    rest. `versions` are (library, symbol version). `is_foreign`: it is for another kind of machine. (Names of
    libraries among its texts say nothing: none that `dlopen` could be given was needed in either corpus.)
    """

    path: str
    role: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    is_foreign: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageNeeds:
    """All that one artifact says.

    `libraries` are the file names of all that may be a library; `programs` those that it puts on PATH.
    `described` are the words of its description, where something is loaded by name, `stressed` those that
    it says more than twice. `glibc_promised` is
    what its manylinux tag says. `unread` counts files that were too large to be looked into.
    """

    elf: tuple[ElfNeeds, ...] = ()
    loads: tuple[Load, ...] = ()
    libraries: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    described: tuple[str, ...] = ()
    stressed: tuple[str, ...] = ()
    glibc_promised: str | None = None
    unread: int = 0
    modules: int = 0
    """How many Python modules there are."""

    def to_json(self) -> dict[str, Any]:
        """The needs as plain lists and texts."""
        return {
            "version": NEEDS_VERSION,
            "elf": [
                [
                    one.path,
                    one.role,
                    one.soname,
                    list(one.needed),
                    list(one.search_path),
                    [list(pair) for pair in one.versions],
                    one.is_foreign,
                ]
                for one in self.elf
            ],
            "loads": [
                [one.path, one.line, one.kind, list(one.names), one.reach, one.places] for one in self.loads
            ],
            "libraries": list(self.libraries),
            "programs": list(self.programs),
            "described": list(self.described),
            "stressed": list(self.stressed),
            "glibc_promised": self.glibc_promised,
            "unread": self.unread,
            "modules": self.modules,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PackageNeeds | None:
        """What `to_json` gave; None for that of another version, or for anything else."""
        try:
            if value["version"] != NEEDS_VERSION:
                return None
            return cls(
                elf=tuple(_elf(row) for row in value["elf"]),
                loads=tuple(_load(row) for row in value["loads"]),
                libraries=tuple(value["libraries"]),
                programs=tuple(value["programs"]),
                described=tuple(value["described"]),
                stressed=tuple(value["stressed"]),
                glibc_promised=value["glibc_promised"],
                unread=value["unread"],
                modules=value["modules"],
            )
        except (KeyError, TypeError, ValueError):
            return None


def _elf(row: list[Any]) -> ElfNeeds:
    path, role, soname, needed, search_path, versions, is_foreign = row
    return ElfNeeds(
        path=path,
        role=role,
        soname=soname,
        needed=tuple(needed),
        search_path=tuple(search_path),
        versions=tuple((library, version) for library, version in versions),
        is_foreign=is_foreign,
    )


def _load(row: list[Any]) -> Load:
    path, line, kind, names, reach, places = row
    return Load(
        path=path, line=line, kind=LoadKind(kind), names=tuple(names), reach=Reach(reach), places=places
    )
