"""Reading a pylock, and choosing the one wheel of a package that fits a system best.

Owns the pylock fields that cape needs and the order of wheel tags. Pure: no network, no files.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from cape.names import System
from cape.sources.protocol import Platform, RegistryGarbage

_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_LEGACY_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_UNKNOWN_GLIBC = "2.28"
_NEWEST_GLIBC = "2.99"
"""Newer than any: with it, all wheels for a machine fit."""
_NEWEST_MACOS = (26, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """One file of an index. `sha256` and `size_bytes` are None where the index does not say.

    `attributes` are what the lock says besides of a file that comes from elsewhere, or that is built.
    """

    file_name: str
    url: str
    sha256: str | None
    size_bytes: int | None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PylockPackage:
    """One package of a pylock: its wheels, and the marker under which it is wanted (None: always)."""

    name: str
    version: str
    marker: str | None
    wheels: tuple[Wheel, ...]
    sdist: Wheel | None = None
    """Its source release, where it has one."""
    archive: Wheel | None = None
    """The one file of a package that comes from an address or from this machine."""
    commit: str | None = None
    """The commit of a package that comes from git."""


def read_pylock(text: str) -> tuple[PylockPackage, ...]:
    """The packages of a pylock, in its order. Raises `RegistryGarbage`."""
    try:
        return tuple(_package(row) for row in tomllib.loads(text).get("packages", []))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RegistryGarbage("uv wrote a pylock that cannot be read") from error


def _package(row: Mapping[str, Any]) -> PylockPackage:
    return PylockPackage(
        name=row["name"],
        version=row.get("version", ""),
        marker=row.get("marker"),
        wheels=tuple(_wheel(entry) for entry in row.get("wheels", []) if "url" in entry),
        sdist=_wheel(row["sdist"]) if "url" in row.get("sdist", {}) else None,
        archive=_wheel(row["archive"]) if "archive" in row else None,
        commit=row["vcs"]["commit-id"] if "vcs" in row else None,
    )


def _wheel(entry: Mapping[str, Any]) -> Wheel:
    url = entry.get("url", entry.get("path", "")).split("#")[0]
    return Wheel(
        file_name=entry.get("name") or unquote(urlsplit(url).path.rpartition("/")[2]),
        url=url,
        sha256=entry.get("hashes", {}).get("sha256"),
        size_bytes=entry.get("size"),
    )


def best_wheel(package: PylockPackage, platform: Platform) -> Wheel | None:
    """The wheel that an installer would take on that platform, or None when none fits."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    assert platform.python is not None
    ranks = _tag_ranks(platform.system, platform.python, platform.glibc)
    candidates = []
    for wheel in package.wheels:
        try:
            _, _, build, tags = parse_wheel_filename(wheel.file_name)
        except InvalidWheelFilename:
            continue
        fitting = [ranks[tag] for tag in map(str, tags) if tag in ranks]
        if fitting:
            candidates.append((-min(fitting), build, wheel.file_name, wheel))
    return max(candidates, key=lambda candidate: candidate[:3])[3] if candidates else None


_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)\Z")


def what_wheels_need(package: PylockPackage, platform: Platform) -> tuple[str, ...]:
    """Sentences on what the wheels of a package need that the platform does not have; empty for none.

    The C library comes first: of all wheels for the machine and the interpreter, the oldest that one of them
    needs. Otherwise the interpreters and systems that there are wheels for.
    """
    assert platform.python is not None
    tags = _tags_of(package.wheels)
    if not tags:
        return ()
    named = f"`{package.name}` {package.version}"
    with_newest = _tag_ranks(platform.system, platform.python, _NEWEST_GLIBC)
    libcs = sorted(
        (int(found[1]), int(found[2]))
        for tag in tags
        if tag in with_newest and (found := _MANYLINUX.match(tag.rpartition("-")[2]))
    )
    if libcs:
        return (f"{named} needs glibc {libcs[0][0]}.{libcs[0][1]} or newer: so its wheels say",)
    listed = sorted({tag.replace("-", " ") for tag in tags})
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return (f"{named} has wheels for {', '.join(f'`{one}`' for one in listed[:4])}{more} only",)


def _tags_of(wheels: Sequence[Wheel]) -> list[str]:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    found: dict[str, None] = {}
    for wheel in wheels:
        with contextlib.suppress(InvalidWheelFilename):
            found |= dict.fromkeys(map(str, parse_wheel_filename(wheel.file_name)[3]))
    return list(found)


def holds(marker: str | None, platform: Platform) -> bool:
    """Whether a package with that marker is wanted on that platform."""
    from packaging.markers import Marker

    if marker is None:
        return True
    return Marker(marker).evaluate(dict(_marker_values(platform)))


def minor(python: str) -> str:
    """`3.13` of `3.13.5`."""
    return ".".join(python.split(".")[:2])


def _marker_values(platform: Platform) -> dict[str, str]:
    assert platform.python is not None
    system, python = platform.system, platform.python
    full = python if python.count(".") >= 2 else f"{python}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": "arm64" if system is System.AARCH64_DARWIN else system.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux" if system.is_linux else "Darwin",
        "platform_version": "",
        "python_full_version": full,
        "python_version": minor(python),
        "sys_platform": "linux" if system.is_linux else "darwin",
        "extra": "",
    }


@lru_cache(maxsize=16)
def _tag_ranks(system: System, python: str, glibc: str | None) -> Mapping[str, int]:
    """Every tag that fits, with its rank; 0 is the best."""
    from packaging import tags

    major, small = (int(part) for part in python.split(".")[:2])
    platforms = _platform_tags(system, glibc)
    interpreter = f"cp{major}{small}"
    ordered = [
        *tags.cpython_tags((major, small), abis=[interpreter], platforms=platforms),
        *tags.compatible_tags((major, small), interpreter=interpreter, platforms=platforms),
    ]
    ranks: dict[str, int] = {}
    for rank, tag in enumerate(ordered):
        ranks.setdefault(str(tag), rank)
    return ranks


def _platform_tags(system: System, glibc: str | None) -> Sequence[str]:
    if system.is_linux:
        return [*_manylinux_tags(system.machine, glibc or _UNKNOWN_GLIBC), f"linux_{system.machine}"]
    from packaging import tags

    machine = "arm64" if system is System.AARCH64_DARWIN else "x86_64"
    return list(tags.mac_platforms(_NEWEST_MACOS, machine))


def _manylinux_tags(machine: str, glibc: str) -> list[str]:
    """Newest first, down to the oldest that exists for the machine; old names after their number."""
    newest = int(glibc.split(".")[1])
    found = []
    for small in range(newest, _OLDEST_GLIBC[machine] - 1, -1):
        found.append(f"manylinux_2_{small}_{machine}")
        if small in _LEGACY_NAMES:
            found.append(f"{_LEGACY_NAMES[small]}_{machine}")
    return found
