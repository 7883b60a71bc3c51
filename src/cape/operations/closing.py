"""Whether the packages of a lock need nothing that they do not bring: libraries, and scripts' interpreters.

`check_lock_closure` asks what is at hand when a lock is made, and says what it left; `check_libraries`
and `check_scripts` ask everything when an environment is made.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cape.environment.objects import plan_keys
from cape.environment.plan import EnvironmentPlan
from cape.environment.relocation import TreeFacts
from cape.errors import CapeError, StateError
from cape.names import System
from cape.operations.project import Workshop
from cape.sources.protocol import LockedPackage, Source
from cape.store import StoreObject

if TYPE_CHECKING:
    from cape.analysis.closure import MissingLibrary
    from cape.analysis.contents import PackageContents
    from cape.analysis.scripts import MissingInterpreter
    from cape.lock import Lock

_NOTES_SHOWN = 5


class LibraryMissing(StateError):
    """A program of the environment needs a library that no locked package has."""

    slug = "library-missing"


class InterpreterMissing(StateError):
    """Every program of a package is a script for an interpreter that no locked package has."""

    slug = "interpreter-missing"


Owners = Callable[[str], Sequence[str]]
"""The packages that have a file of that name; empty when there are none, or nobody can be asked."""


def owners_of(sources: Mapping[str, Source], plan: EnvironmentPlan) -> Owners:
    """What the archive's own list of files says, asked when something is missing."""

    def owners(name: str) -> Sequence[str]:
        from cape.sources.debian import DebianSource

        source = sources["debian"]
        if not isinstance(source, DebianSource):
            return ()
        try:
            return source.packages_with(name, plan.system)
        except CapeError:
            return ()

    return owners


def _advice(name: str, owners: Owners) -> str:
    found = owners(name)
    if not found:
        return f"find the package that has `{name}` and `cape install` it"
    named = " or ".join(f"`{one}`" for one in found[:3])
    return f"{named} has it: `cape install {found[0]}`"


# -- libraries ----------------------------------------------------------------------------------------


def check_libraries(
    facts: Sequence[tuple[str, TreeFacts]], plan: EnvironmentPlan, owners: Owners
) -> tuple[str, ...]:
    """Sentences about add-ons that lack a library. Raises `LibraryMissing` where a program does."""
    from cape.analysis.closure import check_closure

    if plan.libc is None:
        return ()
    report = check_closure(facts, plan.system)
    if report.errors:
        first = report.errors[0]
        more = f", and {len(report.errors) - 1} more" if len(report.errors) > 1 else ""
        raise LibraryMissing(f"{first}{more}", hint=_advice(first.library, owners))
    return (*(note for one in facts for note in one[1].notes), *_first_of(report.notes))


def _first_of(missing: Sequence[MissingLibrary]) -> Iterator[str]:
    """The first few, a sentence each, and how many more there are: plug-ins often lack a dozen."""
    yield from (str(one) for one in missing[:_NOTES_SHOWN])
    if len(missing) > _NOTES_SHOWN:
        yield f"and {len(missing) - _NOTES_SHOWN} more files that need a library that is not there"


# -- scripts ------------------------------------------------------------------------------------------


def check_scripts(
    plan: EnvironmentPlan,
    scripts: Mapping[str, Mapping[str, str]],
    contents: Callable[[str], PackageContents],
    has: Callable[[str], bool],
    owners: Owners,
) -> tuple[str, ...]:
    """Sentences about programs that lack their interpreter.

    `scripts` maps packages to paths and `#!` lines, `contents` gives what a package has besides, and `has`
    says whether the finished environment has a file at a path below its root. Raises `InterpreterMissing`
    where no program of a package that the manifest names could start.
    """
    from cape.analysis.contents import PROGRAMS
    from cape.analysis.scripts import missing_interpreters

    rows = [
        (package, path, line)
        for package, found in scripts.items()
        for path, line in found.items()
        if PROGRAMS.fullmatch(path)
    ]
    missing = missing_interpreters(rows, has)
    roots = {name for source, name in plan.roots if source == "debian"}
    for package in sorted({one.package for one in missing} & roots):
        lacking = [one for one in missing if one.package == package]
        if len(lacking) == sum(file.is_program for file in contents(package).files):
            name = posixpath.basename(lacking[0].interpreter)
            raise InterpreterMissing(str(lacking[0]), hint=_advice(name, owners))
    return tuple(_told(missing))


def _told(missing: Sequence[MissingInterpreter]) -> Iterator[str]:
    yield from (str(one) for one in missing[:_NOTES_SHOWN])
    if len(missing) > _NOTES_SHOWN:
        yield f"and {len(missing) - _NOTES_SHOWN} more scripts whose interpreter is not there"


def exposed(plan: EnvironmentPlan) -> list[LockedPackage]:
    """The system packages that the manifest names, and those that are built with them."""
    from cape.environment.facade import built_from

    roots = {name for source, name in plan.roots if source == "debian"}
    system = [package for package in plan.packages if package.source == "debian"]
    named = {built_from(package) for package in system if package.name in roots}
    return [package for package in system if built_from(package) in named]


# -- while locking ------------------------------------------------------------------------------------

READ_BYTES = 16 << 20
"""How much of artifacts that are at hand and not unpacked is read for one lock; sync reads them all."""


def check_lock_closure(lock: Lock, workshop: Workshop, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Check this machine's part of a lock by what the store has; nothing is fetched.

    A sentence says what is left for sync. Raises `LibraryMissing`, `InterpreterMissing`.
    """
    from cape.operations.syncing import plan_for

    system = System.current()
    if system not in lock.systems:
        return ()
    plan = plan_for(lock, system)
    if plan.libc is None:
        return ()
    unknown = _absent(plan, workshop)
    known = {} if unknown else _at_hand(plan, workshop)
    unknown = unknown or sum(one.source == "debian" and one.name not in known for one in plan.packages)
    if unknown:
        packages = f"{unknown} packages are" if unknown > 1 else "1 package is"
        return (f"{packages} not in the store yet: whether every library is there is checked by `cape sync`",)
    owners = owners_of(sources, plan)
    facts = [(package.name, known[package.name].facts) for package in plan.packages if package.name in known]
    notes = check_libraries(facts, plan, owners)
    scripts = {package.name: known[package.name].scripts() for package in exposed(plan)}

    def contents(name: str) -> PackageContents:
        return known[name].contents()

    def has(path: str) -> bool:
        return _has(known.values(), path)

    return (*notes, *check_scripts(plan, scripts, contents, has, owners))


class _Known(Protocol):
    """A package that is at hand, unpacked or not."""

    @property
    def facts(self) -> TreeFacts: ...
    def has(self, path: str) -> bool: ...
    def scripts(self) -> Mapping[str, str]: ...
    def contents(self) -> PackageContents: ...


@dataclass(frozen=True, slots=True)
class _Object:
    name: str
    object: StoreObject

    @property
    def facts(self) -> TreeFacts:
        return TreeFacts.from_json(self.object.facts)

    def has(self, path: str) -> bool:
        return os.path.lexists(self.object.tree / "root" / path)

    def scripts(self) -> Mapping[str, str]:
        from cape.operations.judging import scripts_of_object

        return scripts_of_object(self.object, self.facts)

    def contents(self) -> PackageContents:
        from cape.operations.judging import contents_of_object

        return contents_of_object(self.object, self.name)


@dataclass(frozen=True, slots=True)
class _Artifact:
    found: PackageContents

    @property
    def facts(self) -> TreeFacts:
        return TreeFacts(elf=self.found.elf)

    def has(self, path: str) -> bool:
        return any(file.path == f"root/{path}" for file in self.found.files)

    def scripts(self) -> Mapping[str, str]:
        return self.found.scripts

    def contents(self) -> PackageContents:
        return self.found


def _absent(plan: EnvironmentPlan, workshop: Workshop) -> int:
    """How many system packages the store does not have in any form; nothing is read for it."""
    store = workshop.store
    return sum(
        package.source == "debian"
        and not (store.objects.root / key.hex).exists()
        and not store.artifacts.has(package.artifact.digest)
        for package, key in zip(plan.packages, plan_keys(plan, store), strict=True)
    )


def _at_hand(plan: EnvironmentPlan, workshop: Workshop) -> dict[str, _Known]:
    """The system packages that can be looked at, by name."""
    from cape.operations.judging import Lookout

    known: dict[str, _Known] = {}
    packed: list[LockedPackage] = []
    for package, key in zip(plan.packages, plan_keys(plan, workshop.store), strict=True):
        if package.source == "debian":
            found = workshop.store.objects.get(key)
            if found is None:
                packed.append(package)
            else:
                known[package.name] = _Object(package.name, found)
    lookout = Lookout(workshop, plan.system, may_bring=False, read_bytes=READ_BYTES)
    lookout.look(packed)
    for package in packed:
        if contents := lookout.contents(package):
            known[package.name] = _Artifact(contents)
    return known


def _has(known: Iterable[_Known], path: str) -> bool:
    """Whether a package has the file, or its maintainer script makes an alternative of that name."""
    members = list(known)
    if any(one.has(path) for one in members):
        return True
    word = re.compile(rf"/{re.escape(path)}(?![\w.+-])")
    name = re.compile(rf"(?<![\w.+-]){re.escape(posixpath.basename(path))}(?![\w.+-])")
    for one in members:
        postinst = one.contents().control.get("postinst", "")
        if "update-alternatives" in postinst and (word.search(postinst) or name.search(postinst)):
            return True
    return False
