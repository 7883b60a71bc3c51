"""Alternatives: which of several programs of one purpose a common name stands for (`awk`, `cc`, `vi`).

Owns reading of `update-alternatives` calls, the choice among candidates, and the links that follow. A
pure choice from data to data; only `link_alternatives` looks at and writes into a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.environment.finishing.place import exists, put_link
from cape.environment.finishing.shell import Call
from cape.environment.relocation.paths import in_root


@dataclass(frozen=True, kw_only=True, slots=True)
class Slave:
    """A link that goes along with its master (a manual page): names and paths as on a real system."""

    link: str
    name: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """One package's candidate for a common name."""

    package: str
    link: str
    name: str
    path: str
    priority: int
    slaves: tuple[Slave, ...] = ()


def parse_call(package: str, call: Call) -> Alternative | None:
    """The candidate that an `update-alternatives` call installs; None when it does something else.

    >>> parse_call("mawk", ("update-alternatives", "--install", "/usr/bin/awk", "awk", "/usr/bin/mawk", "5"))
    Alternative(package='mawk', link='/usr/bin/awk', name='awk', path='/usr/bin/mawk', priority=5, slaves=())
    """
    if "--install" not in call:
        return None
    rest = call[call.index("--install") + 1 :]
    try:
        link, name, path, priority = rest[:4]
        slaves = tuple(
            Slave(link=rest[i + 1], name=rest[i + 2], path=rest[i + 3])
            for i, word in enumerate(rest)
            if word in ("--slave", "--follower")
        )
        return Alternative(
            package=package, link=link, name=name, path=path, priority=int(priority), slaves=slaves
        )
    except (IndexError, ValueError):
        return None


def choose(candidates: Iterable[Alternative], order: Sequence[str]) -> Mapping[str, Alternative]:
    """The best candidate of each name: by priority, then by the user's order of packages, then by name."""
    rank = {package: i for i, package in reversed(list(enumerate(order)))}

    def preference(one: Alternative) -> tuple[int, int, str, str]:
        return (-one.priority, rank.get(one.package, len(rank)), one.package, one.path)

    best: dict[str, Alternative] = {}
    for candidate in sorted(candidates, key=preference):
        best.setdefault(candidate.name, candidate)
    return best


def link_alternatives(root: Path, candidates: Iterable[Alternative], order: Sequence[str]) -> None:
    """Make the links of the chosen candidates, of those whose files are in the tree.

    A common name that a package ships as a file of its own stays that file.
    """
    present = (candidate for candidate in candidates if exists(root, candidate.path))
    for chosen in choose(present, order).values():
        _link(root, chosen.link, chosen.name, chosen.path)
        for slave in chosen.slaves:
            if exists(root, slave.path):
                _link(root, slave.link, slave.name, slave.path)


def _link(root: Path, link: str, name: str, path: str) -> None:
    place, target = in_root(link), in_root(path)
    if place is None or target is None or "/" in name or place == target:
        return
    if (root / place).exists() and not (root / place).is_symlink():
        return
    put_link(root, f"etc/alternatives/{name}", target)
    put_link(root, place, f"etc/alternatives/{name}")
