"""What the locked system packages give to language packages.

Owns reading the interpreter's and the C library's version out of Debian rows, by the names that Debian
gives them, and the version of an interpreter that is not Debian's. It asks no source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cape.names import System
from cape.sources.protocol import LockedPackage, Platform

_PYTHON = re.compile(r"python(3\.\d+)\Z")
_THREE_NUMBERS = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+)")
_TWO_NUMBERS = re.compile(r"(?:\d+:)?(\d+\.\d+)")


def platforms_of(packages: Iterable[LockedPackage], systems: Iterable[System]) -> tuple[Platform, ...]:
    """The platform of each system, sorted.

    A system without system packages (darwin) has no C library; its Python is the one that the others
    agree on, because the project is written for that one.
    """
    rows = [package for package in packages if package.source in ("debian", "uv")]
    found = [_platform([row for row in rows if system in row.systems], system) for system in sorted(systems)]
    pythons = {platform.python for platform in found if platform.python}
    common = pythons.pop() if len(pythons) == 1 else None
    return tuple(
        platform
        if platform.python or platform.system.is_linux
        else Platform(system=platform.system, python=common)
        for platform in found
    )


def _platform(rows: list[LockedPackage], system: System) -> Platform:
    return Platform(system=system, python=_python(rows), glibc=_version_of(rows, "libc6"), node=_node(rows))


def _node(rows: list[LockedPackage]) -> str | None:
    return next(
        (found[1] for row in rows if row.name == "nodejs" and (found := _THREE_NUMBERS.match(row.version))),
        None,
    )


def _python(rows: list[LockedPackage]) -> str | None:
    """That of the interpreter which uv brought, else of `python3`, else of the newest `python3.X`."""
    if brought := next((row for row in rows if row.source == "uv"), None):
        return ".".join(brought.version.split(".")[:2])
    if own := _version_of(rows, "python3"):
        return own
    named = [match[1] for row in rows if (match := _PYTHON.match(row.name))]
    return max(named, key=lambda version: int(version.split(".")[1]), default=None)


def _version_of(rows: list[LockedPackage], name: str) -> str | None:
    for row in rows:
        if row.name == name and (match := _TWO_NUMBERS.match(row.version)):
            return match[1]
    return None
