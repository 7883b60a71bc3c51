"""Diversions: where a package's file goes when another package takes its name (`perl-doc` and `perldoc`).

Owns reading of `dpkg-divert` calls, which packages make before they are unpacked. Objects are shared, so a
diversion is carried out when they are merged, by `merging`. Pure but for the reading of scripts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cape.environment.finishing.shell import Call, calls_in
from cape.environment.relocation.paths import in_root

_COMMAND = "dpkg-divert"
_OTHER_ACTIONS = ("--remove", "--truename", "--list", "--listpackage")
_PROTECTIVE = ".usr-is-merged"
"""How names end that packages divert to while a system moves `/bin` to `/usr/bin`; here it always was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diversion:
    """Other packages' file at `path` goes to `target`, both below the root; `package` has its own there."""

    package: str
    path: str
    target: str


def parse_diversion(package: str, call: Call) -> Diversion | None:
    """The diversion that a `dpkg-divert` call adds; None when it does something else.

    >>> parse_diversion("p", ("dpkg-divert", "--rename", "--divert", "/bin/a.q", "/bin/a"))
    Diversion(package='p', path='usr/bin/a', target='usr/bin/a.q')
    """
    options, files = _parted(call[1:])
    if len(files) != 1 or not options.keys().isdisjoint(_OTHER_ACTIONS):
        return None
    target = options.get("--divert") or f"{files[0]}.distrib"
    path, place = in_root(files[0]), in_root(target)
    if path is None or place is None or path == place or target.endswith(_PROTECTIVE):
        return None
    return Diversion(package=options.get("--package") or package, path=path, target=place)


def _parted(words: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Options with their values, and the rest."""
    options: dict[str, str] = {}
    files: list[str] = []
    waiting = iter(words)
    for word in waiting:
        name, _, value = word.partition("=")
        if name in ("--divert", "--package"):
            options[name] = value or next(waiting, "")
        elif word.startswith("--"):
            options[word] = ""
        else:
            files.append(word)
    return options, files


def read_diversions(control: Iterable[Path]) -> Iterator[Diversion]:
    """The diversions that packages add before they are unpacked, in order.

    `control` are the directories of packages' scripts, each named after its package.
    """
    for directory in control:
        found = (parse_diversion(directory.name, call) for call in _calls(directory))
        yield from filter(None, found)


def _calls(directory: Path) -> list[Call]:
    try:
        script = (directory / "preinst").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    variables = {"1": "install", "DPKG_MAINTSCRIPT_PACKAGE": directory.name}
    return calls_in(script, frozenset({_COMMAND}), variables, lambda pattern: ())
