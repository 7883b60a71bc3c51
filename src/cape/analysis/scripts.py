"""Whether the programs that are scripts find their interpreter inside of the environment.

Owns the reading of `#!` lines, and which of a package's scripts lack what they name. What there is comes
from outside as a question; no file is read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cape.environment.relocation.paths import in_root

_DIRECTORIES = ("usr/bin", "usr/sbin", "usr/games")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class MissingInterpreter:
    """A program that is a script, and the interpreter that it names and nothing has."""

    package: str
    path: str
    interpreter: str

    def __str__(self) -> str:
        name = posixpath.basename(self.path)
        program = f"`{name}` ({self.package})"
        return f"{program} is run by `{self.interpreter}`, which no package of the environment has"


def missing_interpreters(
    scripts: Iterable[tuple[str, str, str]], has: Callable[[str], bool]
) -> tuple[MissingInterpreter, ...]:
    """The scripts that lack their interpreter, sorted.

    `scripts` are (package, path, `#!` line without the two signs); `has` says whether there is a file at
    a path below the root.

    >>> missing_interpreters([("t", "root/usr/bin/t", "/usr/bin/env -S perl -w")], lambda path: False)
    (MissingInterpreter(package='t', path='root/usr/bin/t', interpreter='perl'),)
    """
    found = []
    for package, path, line in scripts:
        name, places = _interpreter(line)
        if places and not any(has(place) for place in places):
            found.append(MissingInterpreter(package=package, path=path, interpreter=name))
    return tuple(sorted(found))


def _interpreter(line: str) -> tuple[str, tuple[str, ...]]:
    """What a line names, and where below the root it may be; no places for a path of the machine's own."""
    words = line.split()
    if not words:
        return "", ()
    if posixpath.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if not words:
        return "", ()
    name = words[0]
    if "/" not in name:
        return name, tuple(f"{directory}/{name}" for directory in _DIRECTORIES)
    inside = in_root(name) if name.startswith("/") else None
    return (name, (inside,)) if inside is not None else (name, ())
