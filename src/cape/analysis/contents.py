"""What a package of the system holds, told from its artifact before anything is unpacked.

Owns `PackageContents`, how it is gathered from a package's entries, and its form as JSON. What follows
from it is for `limits`, `closure` and `scripts` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cape.environment.relocation.facts import DamagedFacts, ElfFacts, TreeFacts
from cape.names import System

CONTENTS_VERSION = 1
"""Counts up when `gather` learns something else, so that what was kept is gathered anew."""

PROGRAMS = re.compile(r"root/usr/(?:bin|sbin|games)/[^/]+")
"""The files that a shell finds by name."""


class Entry(Protocol):
    """An entry of a package, as its source gives it."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def mode(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def target(self) -> str: ...
    @property
    def read(self) -> Callable[[], bytes]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageFile:
    """One path of a package below its tree. `kind` is `f`, `d`, `l` or `h`; `mode` has every bit."""

    path: str
    kind: str = "f"
    mode: int = 0o644
    target: str = ""

    @property
    def is_program(self) -> bool:
        """Whether a shell finds it by its name."""
        return self.kind != "d" and PROGRAMS.fullmatch(self.path) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageContents:
    """What is known of one artifact.

    `has_modes` is false where only the paths of regular files are known. `scripts` maps programs to the
    `#!` line that they start with, without the two signs. `control` holds the maintainer scripts.
    """

    files: tuple[PackageFile, ...] = ()
    elf: tuple[ElfFacts, ...] = ()
    scripts: Mapping[str, str]
    control: Mapping[str, str]
    has_modes: bool = True

    @classmethod
    def of_paths(cls, paths: Iterable[str]) -> PackageContents:
        """What is known of a package of which only the paths are."""
        files = tuple(PackageFile(path=path) for path in sorted(set(paths)))
        return cls(files=files, scripts={}, control={}, has_modes=False)

    def to_json(self) -> dict[str, Any]:
        """The contents as plain lists and texts."""
        return {
            "version": CONTENTS_VERSION,
            "files": [[one.kind, one.mode, one.path, one.target] for one in self.files],
            "elf": TreeFacts(elf=self.elf).to_json()["elf"],
            "scripts": dict(self.scripts),
            "control": dict(self.control),
            "has_modes": self.has_modes,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PackageContents | None:
        """What `to_json` gave; None for that of another version, or for anything else."""
        try:
            if value["version"] != CONTENTS_VERSION:
                return None
            return cls(
                files=tuple(
                    PackageFile(kind=kind, mode=mode, path=path, target=target)
                    for kind, mode, path, target in value["files"]
                ),
                elf=TreeFacts.from_json({"private": (), "elf": value["elf"], "notes": ()}).elf,
                scripts=dict(value["scripts"]),
                control=dict(value["control"]),
                has_modes=value["has_modes"] is True,
            )
        except (KeyError, TypeError, ValueError, DamagedFacts):
            return None


def gather(entries: Iterable[Entry], system: System) -> PackageContents:
    """Read a package's entries once. Raises what the entries' source raises."""
    from cape.environment.relocation import elf_facts

    files: list[PackageFile] = []
    elf: list[ElfFacts] = []
    scripts: dict[str, str] = {}
    control: dict[str, str] = {}
    for entry in entries:
        if entry.path.startswith("control/"):
            if entry.kind == "f" and entry.path in _MAINTAINER_SCRIPTS:
                control[entry.path.removeprefix("control/")] = entry.read().decode("utf-8", "replace")
            continue
        file = PackageFile(path=entry.path, kind=entry.kind, mode=entry.mode, target=entry.target)
        files.append(file)
        if entry.kind != "f" or not _may_be_program(file) or entry.size_bytes < 4:
            continue
        data = entry.read()
        if data.startswith(b"#!") and file.is_program:
            scripts[file.path] = data[2:].partition(b"\n")[0].decode("utf-8", "replace").strip()
        elif data.startswith(b"\x7fELF") and (facts := elf_facts(data, file.path, system)):
            elf.append(facts)
    return PackageContents(
        files=tuple(sorted(files, key=lambda file: file.path)),
        elf=tuple(sorted(elf, key=lambda facts: facts.path)),
        scripts=scripts,
        control=control,
    )


_MAINTAINER_SCRIPTS = frozenset({"control/preinst", "control/postinst", "control/config"})


def _may_be_program(file: PackageFile) -> bool:
    """Whether relocation would look into it."""
    name = file.path.rpartition("/")[2]
    return bool(file.mode & 0o111) or ".so" in name or name.endswith(".node")
