"""The closure check: every library that a program needs lies inside of the environment.

Owns the search for libraries as the loader will do it, over facts alone: no file is read. A library that
nothing provides is an error when a program needs it to start, and a note otherwise (an add-on may be
optional, or find its libraries loaded already). What to install instead is not decided here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cape.environment.drivers import is_driver_library
from cape.environment.relocation.facts import ElfFacts, ElfKind, TreeFacts
from cape.environment.relocation.loader import triplet
from cape.names import System


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class MissingLibrary:
    """A library that a file needs and that the loader will not find.

    `package` and `path` name the file that needs it. `program` is the executable that cannot start for
    that reason; empty when none is known to load the file. `elsewhere` is a file of that name in the
    closure, outside of the search path (an alternative's target, say); empty when there is none.
    """

    package: str
    path: str
    library: str
    program: str = ""
    elsewhere: str = ""

    def __str__(self) -> str:
        place = f"`{self.path}` ({self.package}) needs `{self.library}`"
        if self.elsewhere:
            return f"{place}, which is only at `{self.elsewhere}`"
        return f"{place}, which no package of the environment has"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosureReport:
    """What the check found; `errors` keep programs from starting. Both are sorted."""

    errors: tuple[MissingLibrary, ...] = ()
    notes: tuple[MissingLibrary, ...] = ()

    @property
    def is_closed(self) -> bool:
        return not self.errors


@dataclass(frozen=True, slots=True)
class _File:
    package: str
    elf: ElfFacts


def check_closure(facts: Sequence[tuple[str, TreeFacts]], system: System) -> ClosureReport:
    """Resolve what each file of an environment needs. `facts` are (package name, facts), in any order.

    A library is found by its soname or its file name, in the directories of the executable, of the
    libraries between, and the system's two; a GPU driver's is the machine's to have. Raises `NoLoader` for
    a system without system packages.
    """
    return _Search(facts, system).report()


class _Search:
    """One check: the files by directory and name, and what was visited already."""

    def __init__(self, facts: Sequence[tuple[str, TreeFacts]], system: System) -> None:
        self.defaults = (f"root/usr/lib/{triplet(system)}", "root/usr/lib")
        self.files = [_File(package, elf) for package, tree in facts for elf in tree.elf]
        self.files.sort(key=lambda file: file.elf.path)
        self.placed: dict[tuple[str, str], _File] = {}
        self.anywhere: dict[str, _File] = {}
        self.visited: set[tuple[str, tuple[str, ...]]] = set()
        self.reached: set[str] = set()
        for file in self.files:
            self._index(file)

    def _index(self, file: _File) -> None:
        if file.elf.kind is ElfKind.STATIC:
            return
        directory, name = posixpath.split(file.elf.path)
        for known in {name, file.elf.soname or name}:
            self.placed.setdefault((directory, known), file)
            self.anywhere.setdefault(known, file)

    def report(self) -> ClosureReport:
        programs = [file for file in self.files if file.elf.kind is ElfKind.EXECUTABLE]
        missing = {row for program in programs for row in self._visit_all(program)}
        others = [
            file
            for file in self.files
            if file.elf.kind is ElfKind.LIBRARY and file.elf.path not in self.reached
        ]
        missing |= {row for file in others for row in self._unreached(file)}
        errors = (row for row in missing if row.program and not row.elsewhere)
        notes = (row for row in missing if not row.program or row.elsewhere)
        return ClosureReport(errors=tuple(sorted(errors)), notes=tuple(sorted(notes)))

    def _visit_all(self, program: _File) -> Iterator[MissingLibrary]:
        """The misses below one program. A library is looked at once per inherited search path."""
        waiting: list[tuple[_File, tuple[str, ...]]] = [(program, ())]
        while waiting:
            file, inherited = waiting.pop()
            directories = tuple(dict.fromkeys((*file.elf.search_path, *inherited)))
            if (file.elf.path, directories) in self.visited:
                continue
            self.visited.add((file.elf.path, directories))
            self.reached.add(file.elf.path)
            for library in file.elf.needed:
                found = self._find(library, directories)
                if found is None and not is_driver_library(library):
                    yield self._miss(file, library, program.elf.path)
                elif found is not None:
                    waiting.append((found, directories))

    def _unreached(self, file: _File) -> Iterator[MissingLibrary]:
        for library in file.elf.needed:
            if library not in self.anywhere and not is_driver_library(library):
                yield self._miss(file, library, "")

    def _find(self, library: str, directories: Sequence[str]) -> _File | None:
        for directory in (*directories, *self.defaults):
            if (directory, library) in self.placed:
                return self.placed[directory, library]
        return None

    def _miss(self, file: _File, library: str, program: str) -> MissingLibrary:
        elsewhere = self.anywhere.get(library)
        return MissingLibrary(
            package=file.package,
            path=file.elf.path,
            library=library,
            program=program,
            elsewhere=elsewhere.elf.path if elsewhere else "",
        )
