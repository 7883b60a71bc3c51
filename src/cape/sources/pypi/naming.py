"""Packages that one named index serves: what their requirements and rows say of it.

Owns the option and the attribute `index`. Where an index of a name is, the machine's configuration says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from cape.sources.protocol import LockedPackage, Requirement
from cape.sources.pypi.wheels import Wheel

if TYPE_CHECKING:
    from cape.sources.pypi.tool import Target

INDEX = "index"


def indices_of(requirements: Iterable[Requirement]) -> tuple[tuple[str, str], ...]:
    """The packages that name an index, each with its name, sorted."""
    named = {(_canonical(one.package), one.options[INDEX]) for one in requirements if INDEX in one.options}
    return tuple(sorted(named))


def indices_of_rows(rows: Iterable[LockedPackage]) -> tuple[tuple[str, str], ...]:
    """The same of locked packages."""
    return tuple(sorted({(row.name, row.attributes[INDEX]) for row in rows if INDEX in row.attributes}))


def with_index(wheel: Wheel, package: str, target: Target) -> Wheel:
    """The file of a package; one of a named index says so in its row."""
    name = dict(target.indices).get(package)
    return replace(wheel, attributes={**wheel.attributes, INDEX: name}) if name else wheel


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
