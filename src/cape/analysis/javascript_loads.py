"""The names that JavaScript code looks for at run time: libraries, and programs that it starts.

Owns the few forms of calls and assignments that tell such a name, as patterns: code is searched, line by
line, and neither parsed nor run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cape.analysis.needs import Load, LoadKind, Reach

_LIBRARY = re.compile(
    r"(?:\bdlopen|\bffi\.Library|\bkoffi\.load|\bLibrary|\bopen)\(\s*(?:\w+\s*,\s*)?[\"']"
    r"(lib[\w+.-]+?\.so[.\d]*)[\"']"
)
_PROGRAM = re.compile(
    r"(?:\b(?:spawn|execFile|spawnSync|execFileSync)|\b(?:utils\.)?which(?:\.sync)?)\(\s*[\"']([a-zA-Z][\w.+-]*)[\"']"
)
_KEPT = re.compile(
    r"\b(exec|executable|binary|bin|program|command|cmd)\s*[:=]\s*\[?\s*[\"']([a-z][\w.+-]*)[\"']"
)
"""A program's name that is kept before it is started: `bin = 'gm'`, `binary: "git"`."""

_LONGEST_LINE = 2000
"""Longer lines are those of packed files, which hold many packages."""


def read_script_loads(path: str, text: str) -> Iterator[Load]:
    """The libraries that a JavaScript file opens by name, and the programs that it starts."""
    if "dlopen" in text or "ffi" in text:
        for number, name in _found(_LIBRARY, text):
            yield Load(path=path, line=number, kind=LoadKind.FILE, names=(name[0],), reach=Reach.USE)
    starts = "child_process" in text or "spawn" in text
    if starts or "which" in text:
        for number, name in _found(_PROGRAM, text):
            yield Load(path=path, line=number, kind=LoadKind.PROGRAM, names=(name[0],), reach=Reach.USE)
    if starts:
        yield from _kept(path, text)


def _kept(path: str, text: str) -> Iterator[Load]:
    """The programs that variables of one name hold: one of them is started."""
    held: dict[str, list[tuple[int, str]]] = {}
    for number, (variable, name) in _found(_KEPT, text):
        held.setdefault(variable, []).append((number, name))
    for rows in held.values():
        names = tuple(dict.fromkeys(name for _, name in rows))
        yield Load(path=path, line=rows[0][0], kind=LoadKind.PROGRAM, names=names, reach=Reach.USE)


def _found(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, line in enumerate(text.splitlines(), 1):
        for match in pattern.finditer(line) if len(line) < _LONGEST_LINE else ():
            yield number, match.groups()
