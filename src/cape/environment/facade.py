"""The facade: the few programs of a big closure that come on PATH.

Owns which system programs those are, and the links in `bin` that lead to them. Programs of language
packages are placed by `merging`; what `finishing` made of alternatives is only read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Set
from pathlib import Path

from cape.environment.merging import PROGRAMS, Merged
from cape.environment.plan import EnvironmentPlan
from cape.sources.protocol import LockedPackage

PROGRAM_DIRECTORIES = ("usr/bin", "usr/sbin", "usr/games")
"""Where system packages keep programs, below the root; earlier ones win."""


_BESIDE_ITSELF = re.compile(
    rb"""dirname\s+(--\s+)?["']?\$[{]?[01]|\$[{]0%|BASH_SOURCE|\$FindBin::Bin\b|abspath\(sys\.argv"""
)
"""What a script says that looks for files beside the name that it was called by."""


def build_facade(environment: Path, plan: EnvironmentPlan, merged: Merged, *, final: Path) -> tuple[str, ...]:
    """Make `bin/NAME -> ../root/usr/bin/NAME` for every exposed system program; the names, sorted.

    A program of a language package that is there already stays. A script that looks for files beside
    itself (`python3-config`) is called by its own name instead, below `final`, where the environment
    will lie.
    """
    programs = system_programs(environment / "root", merged)
    speakers = speaking_packages(plan, {owner for _, owner in programs.values()})
    wanted = {
        name: place
        for name, (place, owner) in programs.items()
        if (owner in speakers or name in plan.expose) and name not in plan.hide
    }
    directory = environment / PROGRAMS
    directory.mkdir(exist_ok=True)
    for name, place in wanted.items():
        if os.path.lexists(directory / name):
            continue
        if _looks_beside_itself(environment / "root" / place):
            _write_call(directory / name, final / "root" / place)
        else:
            os.symlink(f"../root/{place}", directory / name)
    return tuple(sorted(os.listdir(directory)))


def _looks_beside_itself(program: Path) -> bool:
    with open(program, "rb") as stream:
        return stream.read(2) == b"#!" and _BESIDE_ITSELF.search(stream.read(1 << 16)) is not None


def _write_call(place: Path, program: Path) -> None:
    from cape.environment.shells.quoting import quoted

    place.write_bytes(os.fsencode(f'#!/bin/sh\nexec {quoted(str(program))} "$@"\n'))
    place.chmod(0o555)


def system_programs(root: Path, merged: Merged) -> Mapping[str, tuple[str, int]]:
    """Every system program: its place below the root, and the index of the package that it is of.

    A link that no package ships (an alternative) is of the package that its target is of.
    """
    found: dict[str, tuple[str, int]] = {}
    for directory in PROGRAM_DIRECTORIES:
        for name in _listed(root / directory):
            place = f"{directory}/{name}"
            owner = _owner(root, place, merged)
            if owner is not None and os.access(root / place, os.X_OK) and name not in found:
                found[name] = (place, owner)
    return found


def _listed(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _owner(root: Path, place: str, merged: Merged) -> int | None:
    for _ in range(8):
        placed = merged.placed.get(f"root/{place}")
        if placed is not None:
            return placed.owner
        path = root / place
        if not path.is_symlink():
            return None
        target = os.path.normpath(os.path.join(os.path.dirname(place), os.readlink(path)))
        if target.startswith(("..", "/")):
            return None
        place = target
    return None


def speaking_packages(plan: EnvironmentPlan, owners: Set[int]) -> set[int]:
    """The indices of system packages whose programs are exposed; `owners` are those that have any.

    Those are the roots, and for each of them the dependencies that carry its programs: all direct ones
    of a package that only leads to others (`default-jdk`, `imagemagick`), those that are named after it
    (`perl` keeps its program in `perl-base`, `python3` in `python3-minimal`), and those that are built
    from its source (`openjdk-21-jdk-headless` leaves `java` to `openjdk-21-jre-headless`). Of packages that
    a project built itself, those that it asks for.
    """
    index = {one.name: at for at, one in enumerate(plan.packages) if one.source == "debian"}
    roots = {index[name] for source, name in plan.roots if source == "debian" and name in index}
    leaders = _leaders(plan, index, roots, owners)
    asked = set(plan.roots)
    speakers = {
        at
        for at, one in enumerate(plan.packages)
        if one.source == "build" and (one.source, one.name) in asked
    }
    waiting = sorted(roots | leaders)
    while waiting:
        at = waiting.pop()
        if at in speakers:
            continue
        speakers.add(at)
        below = [index[name] for name in plan.packages[at].dependencies if name in index]
        waiting += [
            one for one in below if at in leaders or _is_deputy(plan.packages[one], plan.packages[at])
        ]
    return speakers


def _leaders(plan: EnvironmentPlan, index: Mapping[str, int], roots: Set[int], owners: Set[int]) -> set[int]:
    """The roots without programs, and what they lead to that has none either, libraries apart."""
    leaders: set[int] = set()
    waiting = sorted(roots - owners)
    while waiting:
        at = waiting.pop()
        leaders.add(at)
        below = [index[name] for name in plan.packages[at].dependencies if name in index]
        waiting += [
            one
            for one in below
            if one not in owners and one not in leaders and not plan.packages[one].name.startswith("lib")
        ]
    return leaders


def _is_deputy(other: LockedPackage, package: LockedPackage) -> bool:
    """Whether it keeps a part of a package's programs. Essential ones are of the system, not of a package."""
    if other.name.startswith(f"{package.name}-"):
        return True
    return built_from(other) == built_from(package) and "essential" not in other.attributes


def built_from(package: LockedPackage) -> str:
    """The source package: the archive's pool has a directory for each."""
    return package.artifact.location.rpartition("/")[0].rpartition("/")[2]
