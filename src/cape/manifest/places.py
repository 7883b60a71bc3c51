"""Where each key and value of a TOML text stands.

Owns a scanner that finds the offsets of keys, values, statements and table headers, which `tomllib` does
not tell. It decodes no value and judges nothing: a text is valid TOML when `tomllib` says so, and of a
text that is not, the scanner gives what it found up to the point where it lost the thread.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from dataclasses import dataclass

from cape.manifest.keys import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{1,2}(?!"))?', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:'{1,2}(?!'))?", re.DOTALL)
_PLAIN = re.compile(r"[^,\]}#\r\n]+")
_STRINGS = ((r'"""', _LONG_BASIC), ("'''", _LONG_LITERAL), ('"', _BASIC), ("'", _LITERAL))


@dataclass(frozen=True, slots=True)
class Statement:
    """One `key = value`, or one table header (then `value` is None).

    `path` is the whole path from the root. `key` and `end` are offsets: where the statement starts and
    where it stops, without white space and comments. `value` is where the value starts. `relative` says
    how many of the path's parts the statement itself spells. `inline` is the offset of the inline table
    that it stands in.
    """

    path: KeyPath
    key: int
    end: int
    value: int | None
    relative: int
    inline: int | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A path that is set twice: the offsets of both keys."""

    path: KeyPath
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Places:
    """The map of one text. `keys` and `values` give offsets by path."""

    text: str
    keys: dict[KeyPath, int]
    values: dict[KeyPath, int]
    statements: tuple[Statement, ...]
    duplicates: tuple[Duplicate, ...]
    lines: tuple[int, ...]

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Both counted from 1; columns in characters."""
        line = bisect_right(self.lines, offset)
        return line, offset - self.lines[line - 1] + 1

    def of_key(self, path: KeyPath) -> int:
        """Where the key of that path stands; for one that is absent, the nearest table around it."""
        while path and path not in self.keys:
            path = path[:-1]
        return self.keys.get(path, 0)

    def of_value(self, path: KeyPath) -> int:
        """Where the value of that path stands, or its key where the value has no place of its own."""
        return self.values.get(path, self.of_key(path))

    def below(self, prefix: KeyPath) -> Places:
        """The map of the table at that path, as if it were the root."""
        depth = len(prefix)
        keys = {path[depth:]: at for path, at in self.keys.items() if path[:depth] == prefix}
        values = {path[depth:]: at for path, at in self.values.items() if path[:depth] == prefix}
        return Places(self.text, keys, values, self.statements, self.duplicates, self.lines)


def find_places(text: str) -> Places:
    """The map of a TOML text. Never raises: a broken text gives the map of its readable beginning."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Lost, RecursionError):
        scanner.run()
    lines = (0, *(match.end() for match in re.finditer("\n", text)))
    return Places(
        text, scanner.keys, scanner.values, tuple(scanner.statements), tuple(scanner.duplicates), lines
    )


class _Lost(Exception):
    """The text is no TOML from here on."""


class _Scanner:
    """Walks a text once, from its beginning."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.table: KeyPath = ()
        self.keys: dict[KeyPath, int] = {}
        self.values: dict[KeyPath, int] = {}
        self.statements: list[Statement] = []
        self.duplicates: list[Duplicate] = []
        self.defined: dict[KeyPath, int] = {}
        self.array_lengths: dict[KeyPath, int] = {}

    def run(self) -> None:
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                self._array_header()
            elif self.text[self.at] == "[":
                self._header()
            else:
                self._statement(self.table, None)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()

    def _expect(self, token: str) -> None:
        if not self.text.startswith(token, self.at):
            raise _Lost
        self.at += len(token)

    def _array_header(self) -> None:
        start = self.at
        self._expect("[[")
        parts = self._key()
        self._expect("]]")
        path = self._note_parts((), parts, through_arrays=True)
        index = self.array_lengths.get(path, 0)
        self.array_lengths[path] = index + 1
        self.table = (*path, index)
        self.keys[self.table] = self.values[self.table] = start
        self.statements.append(Statement(self.table, start, self.at, None, len(parts)))

    def _header(self) -> None:
        start = self.at
        self._expect("[")
        parts = self._key()
        self._expect("]")
        self.table = self._note_parts((), parts, through_arrays=True)
        self._define(self.table, parts[-1][1])
        self.statements.append(Statement(self.table, start, self.at, None, len(parts)))

    def _statement(self, table: KeyPath, inline: int | None) -> None:
        start = self.at
        parts = self._key()
        path = self._note_parts(table, parts, through_arrays=False)
        self._define(path, parts[-1][1])
        self._expect("=")
        self._skip(_SPACE)
        value = self.at
        self._value(path)
        self.statements.append(Statement(path, start, self.at, value, len(parts), inline))

    def _define(self, path: KeyPath, offset: int) -> None:
        if path in self.defined:
            self.duplicates.append(Duplicate(path, self.defined[path], offset))
        self.defined.setdefault(path, offset)

    def _note_parts(self, table: KeyPath, parts: list[tuple[str, int]], *, through_arrays: bool) -> KeyPath:
        """Record where each part of a key stands, and give the whole path."""
        path = table
        for index, (part, offset) in enumerate(parts):
            path = (*path, part)
            self.keys.setdefault(path, offset)
            is_last = index == len(parts) - 1
            if through_arrays and not is_last and path in self.array_lengths:
                path = (*path, self.array_lengths[path] - 1)
        return path

    def _key(self) -> list[tuple[str, int]]:
        parts = []
        while True:
            self._skip(_SPACE)
            parts.append((self._key_part(), self.at))
            self.at = self._part_end
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _key_part(self) -> str:
        for pattern, decode in ((_BASIC, _decode), (_LITERAL, _strip), (_BARE_KEY, str)):
            if match := pattern.match(self.text, self.at):
                self._part_end = match.end()
                return decode(match.group())
        raise _Lost

    def _value(self, path: KeyPath) -> None:
        self.values[path] = self.at
        for opening, pattern in _STRINGS:
            if self.text.startswith(opening, self.at):
                self._take(pattern)
                return
        if self.text.startswith("[", self.at):
            self._array(path)
        elif self.text.startswith("{", self.at):
            self._inline_table(path)
        else:
            self._take(_PLAIN)
            while self.text[self.at - 1] in " \t":
                self.at -= 1

    def _take(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if not match:
            raise _Lost
        self.at = match.end()

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text.startswith("]", self.at):
                break
            self.keys[(*path, index)] = self.at
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            if not self.text.startswith(",", self.at):
                break
            self.at += 1
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        opening = self.at
        self.at += 1
        self._skip(_BLANK)
        while not self.text.startswith("}", self.at):
            self._statement(path, opening)
            self._skip(_BLANK)
            if not self.text.startswith(",", self.at):
                break
            self.at += 1
            self._skip(_BLANK)
        self._expect("}")


def _strip(quoted: str) -> str:
    return quoted[1:-1]


def _decode(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    import tomllib

    try:
        return str(tomllib.loads(f"key = {quoted}")["key"])
    except tomllib.TOMLDecodeError:
        raise _Lost from None
