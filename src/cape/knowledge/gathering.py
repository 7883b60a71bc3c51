"""Finds the documents that a knowledge base's patterns name.

Owns patterns and the walk over a project's directories. It opens no file; what is in one is `extraction`'s.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cape.errors import InputError, StateError

_ANY_DEPTH = "**"


class BadPattern(InputError):
    """A pattern for documents that does not stay within the project."""

    slug = "bad-document-pattern"


class NoSuchProject(StateError):
    """The directory to look for documents in cannot be read."""

    slug = "documents-unreachable"


class FoundFile(NamedTuple):
    """A file that a pattern names: its path in the project with `/`, and what tells whether it changed.

    A plain tuple, for there may be 100,000.
    """

    path: str
    size_bytes: int
    modified_ns: int
    inode: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathering:
    """The files found, by path, each once; and sentences for the user on what was passed over."""

    files: tuple[FoundFile, ...]
    notes: tuple[str, ...]


def gather(directory: Path, patterns: Sequence[str]) -> Gathering:
    """The files below `directory` that any of `patterns` names.

    `*`, `?` and `[...]` match within one name, `**` any number of directories. A directory whose name
    begins with a dot is never entered, and no wildcard matches such a name. Links are followed within the
    project only, each real directory once for what is looked for in it. Only regular files are found.

    Raises:
        BadPattern: one is empty, absolute, or has a `..`.
        NoSuchProject: `directory` itself cannot be read.
    """
    compiled = [_Pattern.parse(pattern) for pattern in patterns]
    try:
        root = directory.resolve(strict=True)
        os.scandir(root).close()
    except OSError as error:
        raise NoSuchProject(f"`{directory}` cannot be read: {error.strerror}") from error
    walk = _Walk(root, compiled)
    walk.run()
    notes = [*walk.notes]
    for index, pattern in enumerate(compiled):
        if index not in walk.matched:
            notes.append(_nothing(root, pattern))
    return Gathering(
        files=tuple(walk.found[path] for path in sorted(walk.found)), notes=tuple(dict.fromkeys(notes))
    )


def _nothing(root: Path, pattern: _Pattern) -> str:
    if not any(mark in pattern.text for mark in "*?[") and (root / pattern.text).is_dir():
        return f"`{pattern.text}` is a directory; `{pattern.text.rstrip('/')}/**` names the files in it"
    return f"no file matches `{pattern.text}`"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern, as the parts between its slashes; None stands for `**`."""

    text: str
    parts: tuple[re.Pattern[str] | str | None, ...]

    @classmethod
    def parse(cls, text: str) -> _Pattern:
        names = [name for name in text.split("/") if name not in ("", ".")]
        if text.startswith("/") or ".." in names or not names or "\0" in text:
            reason = "is absolute" if text.startswith("/") else "has a `..`" if ".." in names else "is empty"
            raise BadPattern(f"the pattern `{text}` {reason}", hint="write it relative to the project")
        parts: list[re.Pattern[str] | str | None] = []
        for name in names:
            if name == _ANY_DEPTH:
                if parts[-1:] != [None]:
                    parts.append(None)
            elif any(mark in name for mark in "*?["):
                parts.append(re.compile(fnmatch.translate(name)))
            else:
                parts.append(name)
        return cls(text, tuple(parts))


_State = frozenset[tuple[int, int]]
"""Where the patterns stand in a directory: (pattern, part that comes next)."""


@dataclass(slots=True)
class _Walk:
    """One walk. Real directories come first, then linked ones by path, so the result is the same always."""

    root: Path
    patterns: list[_Pattern]
    found: dict[str, FoundFile] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    matched: set[int] = field(default_factory=set)
    _seen: set[tuple[int, int, _State]] = field(default_factory=set)
    _closures: dict[_State, _State] = field(default_factory=dict)
    _links: list[tuple[str, str, _State, tuple[tuple[int, int], ...]]] = field(default_factory=list)

    def run(self) -> None:
        start = self._closure({(index, 0) for index in range(len(self.patterns))})
        self._directory(str(self.root), "", start, ())
        while self._links:
            links, self._links = sorted(self._links, key=lambda link: link[1]), []
            for place, path, state, above in links:
                self._linked(place, path, state, above)

    def _closure(self, state: set[tuple[int, int]]) -> _State:
        """`**` may also stand for no directory at all."""
        key = frozenset(state)
        if key not in self._closures:
            more = {
                (index, part + 1)
                for index, part in state
                if part < len(self.patterns[index].parts) - 1 and self.patterns[index].parts[part] is None
            }
            self._closures[key] = key | more
        return self._closures[key]

    def _directory(self, place: str, path: str, state: _State, above: tuple[tuple[int, int], ...]) -> None:
        """`above` are the real directories that this one lies in, by device and inode."""
        pending = [(place, path, state, above)]
        while pending:
            place, path, state, above = pending.pop()
            try:
                identity = _identity(os.stat(place))
                with os.scandir(place) as entries:
                    listed = list(entries)
            except OSError as error:
                self.notes.append(f"the directory `{path or '.'}` cannot be read: {error.strerror}")
                continue
            key = (*identity, state)
            if key in self._seen:
                continue
            self._seen.add(key)
            for entry in listed:
                below = self._entry(entry, path, state, (*above, identity))
                if below is not None:
                    pending.append(below)

    def _entry(
        self, entry: os.DirEntry[str], parent: str, state: _State, above: tuple[tuple[int, int], ...]
    ) -> tuple[str, str, _State, tuple[tuple[int, int], ...]] | None:
        """A directory to enter; files and links are dealt with here."""
        name = entry.name
        ends, below = self._advance(name, state)
        if not ends and not below:
            return None
        path = f"{parent}/{name}" if parent else name
        if entry.is_symlink():
            self._link(entry, path, ends, below, above)
        elif entry.is_dir(follow_symlinks=False):
            return (entry.path, path, below, above) if below and not name.startswith(".") else None
        elif ends:
            self._file(entry.path, path, ends)
        return None

    def _advance(self, name: str, state: _State) -> tuple[list[int], _State]:
        """The patterns that end with this name, and where the others stand below it."""
        ends: list[int] = []
        below: set[tuple[int, int]] = set()
        for index, part in state:
            parts = self.patterns[index].parts
            if not _matches(parts[part], name):
                continue
            last = part == len(parts) - 1
            if last:
                ends.append(index)
            if parts[part] is None:
                below.add((index, part))
            elif not last:
                below.add((index, part + 1))
        return ends, self._closure(below) if below else frozenset()

    def _link(
        self,
        entry: os.DirEntry[str],
        path: str,
        ends: list[int],
        below: _State,
        above: tuple[tuple[int, int], ...],
    ) -> None:
        target = os.path.realpath(entry.path)
        if not (f"{target}/").startswith(f"{self.root}/".replace("//", "/")):
            self.notes.append(f"the link `{path}` leads out of the project; it was not followed")
            return
        inside = os.path.relpath(target, self.root).split("/")
        if any(name.startswith(".") for name in inside if name != "."):
            self.notes.append(f"the link `{path}` leads to something hidden; it was not followed")
            return
        try:
            is_directory = stat.S_ISDIR(os.stat(entry.path).st_mode)
        except OSError:
            self.notes.append(f"the link `{path}` leads nowhere")
            return
        if not is_directory:
            if ends:
                self._file(entry.path, path, ends)
        elif below and not entry.name.startswith("."):
            self._links.append((entry.path, path, below, above))

    def _linked(self, place: str, path: str, state: _State, above: tuple[tuple[int, int], ...]) -> None:
        try:
            identity = _identity(os.stat(place))
        except OSError:
            self.notes.append(f"the link `{path}` leads nowhere")
            return
        if identity in above:
            self.notes.append(f"the link `{path}` leads back to a directory that it lies in; it was cut")
            return
        self._directory(place, path, state, above)

    def _file(self, place: str, path: str, ends: list[int]) -> None:
        try:
            if not path.isascii():
                path.encode()
            status = os.stat(place)
        except UnicodeEncodeError:
            shown = path.encode(errors="surrogateescape").decode(errors="replace")
            self.notes.append(f"`{shown}` was passed over: its name is not UTF-8")
            return
        except OSError as error:
            self.notes.append(f"`{path}` was passed over: {error.strerror}")
            return
        if not stat.S_ISREG(status.st_mode):
            self.notes.append(f"`{path}` was passed over: it is not a regular file")
            return
        self.matched.update(ends)
        self.found[path] = FoundFile(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _matches(part: re.Pattern[str] | str | None, name: str) -> bool:
    if isinstance(part, str):
        return part == name
    if name.startswith("."):
        return part is not None and part.pattern.startswith(r"(?s:\.")
    return part is None or part.match(name) is not None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
