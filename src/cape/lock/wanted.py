"""What a manifest asks the sources for, with what cape adds of its own.

Owns the implicit requirements, and which systems a requirement is wanted on. It asks no source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cape.lock.errors import NoSourceOnSystem, NoSuite
from cape.lock.model import IMPLICIT_OPTION
from cape.manifest.model import Manifest
from cape.names import System
from cape.sources.protocol import Requirement


@dataclass(frozen=True, kw_only=True, slots=True)
class Implicit:
    """A package that requirements of one source need from another, unless the manifest names one."""

    source: str
    package: str
    unless: re.Pattern[str]
    """Packages of `source` that a user may name instead."""
    or_from: frozenset[str] = frozenset()
    """Sources any package of which does as well."""


_CXX_LIBRARY = Implicit(source="debian", package="libstdc++6", unless=re.compile(r"libstdc\+\+6\Z"))
"""Wheels leave the C++ library to the system by their own standard, and node's binaries need it."""

IMPLICIT: Mapping[str, tuple[Implicit, ...]] = {
    "pypi": (
        Implicit(
            source="debian",
            package="python3",
            unless=re.compile(r"python(3(\.\d+)?(-full|-minimal)?)?\Z"),
            or_from=frozenset({"uv"}),
        ),
        _CXX_LIBRARY,
    ),
    "npm": (_CXX_LIBRARY,),
    "uv": (_CXX_LIBRARY,),
}
"""What each source's requirements bring with them."""


def wanted_requirements(manifest: Manifest) -> tuple[Requirement, ...]:
    """The manifest's requirements and the implicit ones, sorted by name. Pure."""
    wanted = list(manifest.requirements)
    for implicit in dict.fromkeys(one for group in IMPLICIT.values() for one in group):
        wanted += _implied(manifest, implicit)
    wanted += _of_builds(manifest, {requirement.name for requirement in wanted})
    return tuple(sorted(wanted, key=lambda requirement: requirement.name))


def _implied(manifest: Manifest, implicit: Implicit) -> list[Requirement]:
    """The implicit requirement for the systems that need it and have none named; empty when none do."""
    bringing = [source for source, group in IMPLICIT.items() if implicit in group]
    used = [source for source in bringing if any(one.source == source for one in manifest.requirements)]
    needing = {
        system
        for requirement in manifest.requirements
        if requirement.source in used
        for system in wanted_on(requirement, manifest.systems)
    }
    having = {
        system
        for requirement in manifest.requirements
        if _does(requirement, implicit)
        for system in wanted_on(requirement, manifest.systems)
    }
    lacking = {system for system in needing - having if system.is_linux}
    if not lacking:
        return []
    taken = manifest.requirement(implicit.package) is not None
    everywhere = lacking == set(manifest.systems)
    return [
        Requirement(
            source=implicit.source,
            name=f"{implicit.source}:{implicit.package}" if taken else implicit.package,
            package=implicit.package,
            systems=() if everywhere else tuple(sorted(lacking)),
            options={IMPLICIT_OPTION: " ".join(used)},
        )
    ]


def _does(requirement: Requirement, implicit: Implicit) -> bool:
    """Whether a requirement is what the implicit one would bring."""
    if requirement.source in implicit.or_from:
        return True
    return requirement.source == implicit.source and bool(implicit.unless.match(requirement.package))


def _of_builds(manifest: Manifest, named: set[str]) -> list[Requirement]:
    """The Debian packages that installed builds of this project need, and that nothing names."""
    added: dict[str, Requirement] = {}
    for requirement in manifest.requirements:
        if requirement.source != "build" or requirement.options.get("project"):
            continue
        build = manifest.build.get(requirement.package)
        for package in build.get("runtime", ()) if isinstance(build, Mapping) else ():
            if package not in named:
                options = {IMPLICIT_OPTION: requirement.name}
                added[package] = Requirement(
                    source="debian",
                    name=package,
                    package=package,
                    systems=requirement.systems,
                    options=options,
                )
    return list(added.values())


def wanted_on(requirement: Requirement, systems: tuple[System, ...]) -> tuple[System, ...]:
    """The systems of the manifest that a requirement is wanted on, sorted."""
    return tuple(sorted(set(requirement.systems) & set(systems) if requirement.systems else systems))


def check_possible(manifest: Manifest, wanted: tuple[Requirement, ...]) -> None:
    """Raise for a system package where there is none: `NoSourceOnSystem`, `NoSuite`."""
    for requirement in wanted:
        if requirement.source != "debian":
            continue
        foreign = [system for system in wanted_on(requirement, manifest.systems) if not system.is_linux]
        if foreign:
            raise NoSourceOnSystem(
                f"`{requirement.name}` comes from Debian, which has nothing for "
                + " and ".join(f"`{system}`" for system in foreign),
                where=requirement.where,
                hint=f"limit it: `{requirement.name} = {_limited(requirement, manifest)}`",
            )
        if manifest.debian is None:
            implied = requirement.options.get(IMPLICIT_OPTION)
            reason = f" (its `{implied}` packages need it)" if implied else ""
            raise NoSuite(
                f"`{requirement.name}` comes from Debian{reason}, and the manifest names no suite",
                where=requirement.where or str(manifest.path),
                hint='add a suite to `[environment]`, for example `debian = "trixie"`',
            )


def _limited(requirement: Requirement, manifest: Manifest) -> str:
    linux = [f'"{system}"' for system in wanted_on(requirement, manifest.systems) if system.is_linux]
    return f'{{ debian = "{requirement.constraint}", systems = [{", ".join(linux)}] }}'
