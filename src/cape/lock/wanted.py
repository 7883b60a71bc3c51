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


IMPLICIT: Mapping[str, Implicit] = {
    "pypi": Implicit(
        source="debian", package="python3", unless=re.compile(r"python(3(\.\d+)?(-full|-minimal)?)?\Z")
    ),
}
"""What each source's requirements bring with them."""


def wanted_requirements(manifest: Manifest) -> tuple[Requirement, ...]:
    """The manifest's requirements and the implicit ones, sorted by name. Pure."""
    wanted = list(manifest.requirements)
    for source, implicit in IMPLICIT.items():
        wanted += _implied(manifest, source, implicit)
    return tuple(sorted(wanted, key=lambda requirement: requirement.name))


def _implied(manifest: Manifest, source: str, implicit: Implicit) -> list[Requirement]:
    """The implicit requirement for the systems that need it and have none named; empty when none do."""
    needing = {
        system
        for requirement in manifest.requirements
        if requirement.source == source
        for system in wanted_on(requirement, manifest.systems)
    }
    having = {
        system
        for requirement in manifest.requirements
        if requirement.source == implicit.source and implicit.unless.match(requirement.package)
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
            options={IMPLICIT_OPTION: source},
        )
    ]


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
