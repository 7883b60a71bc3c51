"""Whose command is whose: what the packages of a manifest offer on PATH, read when they are locked or made.

Owns where a package's commands are read from: npm's rows name them, a wheel's and a deb's are in their
artifacts or objects. What is not at hand while locking is looked at by sync, before anything is switched.
"""

from __future__ import annotations

import configparser
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.sources.protocol import PROJECT_OPTION, LockedPackage, Requirement

if TYPE_CHECKING:
    from cape.environment.plan import EnvironmentPlan
    from cape.lock import Lock
    from cape.manifest import Manifest
    from cape.operations.project import Workshop
    from cape.store import StoreObject

_SYSTEM_PROGRAM = re.compile(r"root/usr/(?:bin|sbin|games)/([^/]+)\Z")
_OWN_PROGRAM = re.compile(r"bin/([^/]+)\Z")
_SCRIPT = re.compile(r"[^/]+\.data/scripts/([^/]+)\Z")


class CommandClash(InputError):
    """Two packages of the manifest offer one command, and `expose` does not say whose it is."""

    slug = "command-clash"


def check_locked_commands(manifest: Manifest, lock: Lock, workshop: Workshop) -> None:
    """Look for clashes among what is at hand of a lock that was just made. Raises `CommandClash`."""
    from cape.operations.judging import Lookout, judged_system

    system = judged_system(manifest.systems)
    if system is None:
        return
    lookout = Lookout(workshop, system, may_bring=False)
    rows = _deputies([row for row in lock.packages if system in row.systems], lock)
    lookout.look([row for row in rows if row.source == "debian"])

    def commands(row: LockedPackage) -> Iterable[str]:
        if row.source == "npm":
            return row.attributes.get("bin", "").split()
        if row.source == "pypi":
            return wheel_commands(workshop.store.artifacts.path(row.artifact.digest))
        contents = lookout.contents(row) if row.source == "debian" else None
        paths = (file.path for file in contents.files if file.is_program) if contents else ()
        return _matches(_SYSTEM_PROGRAM, paths)

    _check(manifest.requirements, lock, {_key(row): frozenset(commands(row)) for row in rows}, manifest)


def check_made_commands(plan: EnvironmentPlan, objects: Sequence[StoreObject], lock: Lock) -> None:
    """Look for clashes among objects that were made. Raises `CommandClash`."""
    from cape.lock.queries import rows_for

    wanted = {_key(row) for row in _deputies(rows_for(lock, plan.system), lock)}
    found = {}
    for row, one in zip(plan.packages, objects, strict=True):
        if _key(row) in wanted:
            pattern = _SYSTEM_PROGRAM if row.source == "debian" else _OWN_PROGRAM
            paths = (entry.path for entry in one.listing() if entry.kind != "d")
            found[_key(row)] = frozenset(_matches(pattern, paths))
    _check(lock.requirements, lock, found, None)


def with_places(lock: Lock, manifest: Manifest) -> Lock:
    """The lock whose requirements say where the manifest has them; it is equal to the one given."""
    places = {one.name: one.where for one in manifest.requirements}
    return replace(
        lock, requirements=tuple(replace(one, where=places.get(one.name)) for one in lock.requirements)
    )


def _check(
    requirements: Sequence[Requirement],
    lock: Lock,
    commands: Mapping[tuple[str, str], frozenset[str]],
    manifest: Manifest | None,
) -> None:
    from cape.analysis.commands import Offer, clashes, explained
    from cape.lock.model import IMPLICIT_OPTION
    from cape.operations.written import line_at, written_line

    rows = {(row.source, row.name): row for row in lock.packages}
    offers = [
        Offer(
            requirement=one,
            commands=frozenset(
                command
                for root in lock.roots.get(one.name, ())
                for key in _with_deputies((one.source, root), rows)
                for command in commands.get(key, ())
            ),
        )
        for one in requirements
        if IMPLICIT_OPTION not in one.options and PROJECT_OPTION not in one.options and one.source != "model"
    ]

    def written(one: Requirement) -> str:
        return line_at(one.where, manifest) or written_line(one, one.constraint)

    errors = []
    for clash in clashes(offers, lock.expose):
        names = " and ".join(f"`{one.name}`" for one in clash.requirements)
        told = ", ".join(f"`{command}`" for command in clash.commands)
        error = CommandClash(
            f"{names} both have {told}",
            where=", ".join(one.where for one in clash.requirements if one.where) or None,
        )
        error.explanation = explained(clash, offers, lock.expose, written)
        errors.append(error)
    if errors:
        errors[0].also = tuple(errors[1:])
        raise errors[0]


def _key(row: LockedPackage) -> tuple[str, str]:
    return (row.source, row.name)


def _matches(pattern: re.Pattern[str], paths: Iterable[str]) -> Iterator[str]:
    return (match[1] for path in paths if (match := pattern.match(path)))


def _deputies(rows: Sequence[LockedPackage], lock: Lock) -> list[LockedPackage]:
    """The rows of the requirements' packages, with those that keep their programs for them."""
    by_key = {_key(row): row for row in rows}
    keys = {
        key
        for one in lock.requirements
        for root in lock.roots.get(one.name, ())
        for key in _with_deputies((one.source, root), by_key)
    }
    return [by_key[key] for key in sorted(keys) if key in by_key]


def _with_deputies(
    key: tuple[str, str], rows: Mapping[tuple[str, str], LockedPackage]
) -> Iterator[tuple[str, str]]:
    """A package, and those that it needs and that are named after it: `python3` with `python3-minimal`."""
    yield key
    row = rows.get(key)
    if row is not None and row.source == "debian":
        yield from ((row.source, other) for other in row.dependencies if other.startswith(f"{row.name}-"))


def wheel_commands(wheel: Path) -> frozenset[str]:
    """The programs that a wheel installs; none of one that is not at hand, or cannot be read."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            found = set(_matches(_SCRIPT, names))
            for name in names:
                if re.fullmatch(r"[^/]+\.dist-info/entry_points\.txt", name):
                    found |= _entry_points(archive.read(name).decode("utf-8", "replace"))
            return frozenset(found)
    except (OSError, zipfile.BadZipFile, KeyError):
        return frozenset()


def _entry_points(text: str) -> set[str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    try:
        parser.read_string(text)
    except configparser.Error:
        return set()
    sections = ("console_scripts", "gui_scripts")
    return {name for section in sections if parser.has_section(section) for name in parser.options(section)}


def module_notes(lock: Lock) -> tuple[str, ...]:
    """Sentences about Python packages that come from two sources."""
    from cape.analysis.commands import doubled_modules

    named = {root for one in lock.requirements_of("debian") for root in lock.roots.get(one.name, ())}
    pypi = {row.name: row.version for row in lock.packages_of("pypi")}
    debian = {row.name: row.version for row in lock.packages_of("debian") if row.name in named}
    return tuple(doubled_modules(pypi, debian))
