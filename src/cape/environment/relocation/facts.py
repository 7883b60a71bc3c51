"""What relocation learns of an object's tree, kept beside the object for whoever links or checks it.

Owns the facts and their form as JSON. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cape.errors import IntegrityError


class DamagedFacts(IntegrityError):
    """Facts beside an object that relocation did not write."""

    slug = "damaged-facts"


class ElfKind(StrEnum):
    """A program with an interpreter, a library or add-on, or a file that needs no loader."""

    EXECUTABLE = "executable"
    LIBRARY = "library"
    STATIC = "static"


@dataclass(frozen=True, kw_only=True, slots=True)
class ElfFacts:
    """One ELF file of this machine's architecture. `path` is relative to the tree.

    `search_path` are directories relative to the tree, in the loader's order, as after the edits;
    `needed` is as published, without the redirecting library. `glibc` is the newest version of the C
    library whose symbols it needs (`2.34`), None where it needs none.
    """

    path: str
    kind: ElfKind
    soname: str | None = None
    needed: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    glibc: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeFacts:
    """All that relocation learnt of one tree; each part is sorted.

    `private` are the files that hold the placeholder, `notes` sentences for people.
    """

    private: tuple[str, ...] = ()
    elf: tuple[ElfFacts, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The facts as plain lists and strings."""
        return {
            "private": list(self.private),
            "elf": [_listed(asdict(elf)) for elf in self.elf],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TreeFacts:
        """The facts that `to_json` wrote. Raises `DamagedFacts`."""
        try:
            return cls(
                private=tuple(value["private"]),
                elf=tuple(_elf_from_json(row) for row in value["elf"]),
                notes=tuple(value["notes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFacts("the facts of an object cannot be read") from error


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, ElfKind) else value
        for key, value in row.items()
    }


def _elf_from_json(row: Mapping[str, Any]) -> ElfFacts:
    return ElfFacts(
        path=row["path"],
        kind=ElfKind(row["kind"]),
        soname=row["soname"],
        needed=tuple(row["needed"]),
        search_path=tuple(row["search_path"]),
        glibc=row["glibc"],
    )
