"""npm's lock (version 3), read: which packages stand where, and which systems need them.

Owns node's rule of looking for a package in the directories above, and the `os`, `cpu` and `libc`
fields. Pure: no network, no files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cape.names import System
from cape.sources.protocol import RegistryGarbage

_CPUS = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """One package of the tree. `path` is its place, as in `node_modules/a/node_modules/b`.

    A bundled one comes inside the tarball of the package above it. `resolved` is a URL, or None where
    npm did not write it.
    """

    path: str
    name: str
    version: str
    resolved: str | None
    integrity: str | None
    programs: tuple[str, ...]
    needs: tuple[str, ...]
    wishes: tuple[str, ...]
    limits: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    is_bundled: bool
    is_link: bool
    has_scripts: bool
    node: str = ""
    """The range of releases of node that it says it runs with; empty where it says none."""

    def runs_on(self, system: System) -> bool:
        """Whether its `os`, `cpu` and `libc` allow the system."""
        kernel = "linux" if system.is_linux else "darwin"
        allowed, cpus, libcs = self.limits
        if not (_allows(allowed, kernel) and _allows(cpus, _CPUS[system.machine])):
            return False
        return not system.is_linux or _allows(libcs, "glibc")


@dataclass(frozen=True, slots=True)
class PackageTree:
    """All positions of an npm lock, by path."""

    positions: Mapping[str, Position]

    @classmethod
    def read(cls, text: str) -> PackageTree:
        """The tree in a `package-lock.json`. Raises `RegistryGarbage`."""
        try:
            packages = json.loads(text)["packages"]
            return cls({path: _position(path, entry) for path, entry in packages.items() if path})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RegistryGarbage("npm wrote a lock that cannot be read") from error

    def needed(self, roots: Iterable[str], system: System) -> set[str]:
        """The paths that packages of these names at the top need on a system, with themselves.

        What is wished for and does not run there is left out; what is needed is in, whether it runs
        there or not.
        """
        return self.needed_from((f"node_modules/{name}" for name in roots), system)

    def needed_from(self, starts: Iterable[str], system: System) -> set[str]:
        """As `needed`, from paths. A link leads to the directory of the project that it stands for."""
        waiting = list(starts)
        seen: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path in seen or path not in self.positions:
                continue
            seen.add(path)
            position = self.positions[path]
            if position.is_link and position.resolved:
                waiting.append(position.resolved)
            for name in (*position.needs, *position.wishes):
                found = self.look_up(path, name)
                if found and (name in position.needs or self.positions[found].runs_on(system)):
                    waiting.append(found)
        return seen

    def look_up(self, path: str, name: str) -> str | None:
        """Where the package at `path` finds the package `name`, or None."""
        above = path
        while True:
            candidate = f"{above}/node_modules/{name}" if above else f"node_modules/{name}"
            if candidate in self.positions:
                return candidate
            if not above:
                return None
            above = above.rpartition("node_modules/")[0].rstrip("/")

    def dependencies(self, path: str, among: set[str]) -> tuple[str, ...]:
        """The names of what the package at `path` uses of the paths `among`, sorted."""
        position = self.positions[path]
        found = {self.look_up(path, name) for name in (*position.needs, *position.wishes)}
        return tuple(sorted({self.positions[other].name for other in found if other and other in among}))


def _position(path: str, entry: Mapping[str, Any]) -> Position:
    name = entry.get("name") or path.rpartition("node_modules/")[2]
    peers = entry.get("peerDependencies", {})
    unneeded = {peer for peer, meta in entry.get("peerDependenciesMeta", {}).items() if meta.get("optional")}
    wishes = sorted({*entry.get("optionalDependencies", {}), *unneeded})
    needs = sorted({*entry.get("dependencies", {}), *peers} - set(wishes))
    return Position(
        path=path,
        name=name,
        version=entry.get("version", ""),
        resolved=entry.get("resolved"),
        integrity=entry.get("integrity"),
        programs=_programs(name, entry.get("bin", {})),
        needs=tuple(needs),
        wishes=tuple(wishes),
        limits=(_texts(entry.get("os")), _texts(entry.get("cpu")), _libcs(name, entry)),
        is_bundled=bool(entry.get("inBundle")),
        is_link=bool(entry.get("link")),
        has_scripts=bool(entry.get("hasInstallScript")),
        node=_node_range(entry.get("engines")),
    )


def _node_range(engines: object) -> str:
    """Old packages have a list of texts, or nothing that can be read."""
    found = engines.get("node") if isinstance(engines, Mapping) else None
    return found.strip() if isinstance(found, str) else ""


def _programs(name: str, bins: Mapping[str, str] | str) -> tuple[str, ...]:
    names: Sequence[str] = [name] if isinstance(bins, str) else sorted(bins)
    return tuple(program.rpartition("/")[2] for program in names)


def _libcs(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The C libraries it runs with.

    Registries leave the field out of their short answers, and older locks have none; packages built
    for musl then tell it by their name, as their loaders expect.
    """
    told = _texts(entry.get("libc"))
    if not told and entry.get("optional") and (name.endswith("-musl") or "linuxmusl" in name):
        return ("musl",)
    return told


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)  # type: ignore[attr-defined]


def _allows(limits: tuple[str, ...], word: str) -> bool:
    """npm's rule: `!word` forbids; if any word is allowed, no other is."""
    if f"!{word}" in limits:
        return False
    allowed = [limit for limit in limits if not limit.startswith("!")]
    return not allowed or word in allowed or "any" in allowed
