"""Logs of services: what they print, byte for byte, in files of bounded size; times are kept beside.

`NAME.log` holds the output and nothing else; `NAME.log.times` has a line `OFFSET MILLISECONDS` for each
piece that arrived. When a file has reached its size it becomes `NAME.log.1`, and so on; the oldest goes.
Owns writing (in the supervisor's process, so imports are light) and reading. What is logged is never judged.
"""

from __future__ import annotations

import os
import time

LIMIT_BYTES = 10_000_000
KEPT = 3


class LogFile:
    """The log of one service, being written. A disk that is full loses output, and counts what it lost."""

    def __init__(
        self, directory: str, name: str, *, limit_bytes: int = LIMIT_BYTES, kept: int = KEPT
    ) -> None:
        self.path = os.path.join(directory, f"{name}.log")
        self.lost_bytes = 0
        self.trouble: str | None = None
        self._limit = limit_bytes
        self._kept = kept
        self._file = -1
        self._times = -1
        self._size = 0
        self.tail = b""

    def write(self, data: bytes) -> None:
        """Append what arrived now."""
        self.tail = (self.tail + data)[-8192:]
        try:
            self._open()
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
                self._open()
            line = f"{self._size} {time.time_ns() // 1_000_000}\n"
            written = os.write(self._file, data)
            self._size += written
            self.lost_bytes += len(data) - written
            os.write(self._times, line.encode())
        except OSError as error:
            self.lost_bytes += len(data)
            self.trouble = error.strerror

    def close(self) -> None:
        for descriptor in (self._file, self._times):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._times = -1

    def last_lines(self, count: int) -> list[str]:
        """The last lines, from memory."""
        return self.tail.decode("utf-8", "replace").splitlines()[-count:]

    def _open(self) -> None:
        if self._file >= 0:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o600)
        self._times = os.open(self.path + ".times", flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._kept - 1, 0, -1):
            older = f"{self.path}.{number}"
            newer = self.path if number == 1 else f"{self.path}.{number - 1}"
            for suffix in ("", ".times"):
                try:
                    os.replace(newer + suffix, older + suffix)
                except FileNotFoundError:
                    continue
        if self._kept == 1:
            os.unlink(self.path)
            os.unlink(self.path + ".times")
        self._size = 0


class LogLine:
    """One line of a log; `at_ms` is when its beginning arrived, None where that is not known."""

    __slots__ = ("at_ms", "text")

    def __init__(self, text: str, at_ms: int | None) -> None:
        self.text = text
        self.at_ms = at_ms


def last_lines(directory: str, name: str, count: int | None) -> list[LogLine]:
    """The last lines of a service's log, oldest first; all that are kept where `count` is None."""
    path = os.path.join(directory, f"{name}.log")
    found: list[LogLine] = []
    number = 0
    while count is None or len(found) < count:
        file = path if number == 0 else f"{path}.{number}"
        try:
            found = _lines(file) + found
        except FileNotFoundError:
            break
        number += 1
    return found if count is None else found[len(found) - min(count, len(found)) :]


def _lines(file: str) -> list[LogLine]:
    with open(file, "rb") as stream:
        data = stream.read()
    times = _times(file)
    found = []
    offset = at = 0
    for line in data.splitlines(keepends=True):
        while at + 1 < len(times) and times[at + 1][0] <= offset:
            at += 1
        moment = times[at][1] if times and times[at][0] <= offset else None
        found.append(LogLine(line.rstrip(b"\r\n").decode("utf-8", "replace"), moment))
        offset += len(line)
    return found


def _times(file: str) -> list[tuple[int, int]]:
    try:
        with open(file + ".times", "rb") as stream:
            rows = [row.split() for row in stream.read().splitlines()]
    except FileNotFoundError:
        return []
    return [(int(row[0]), int(row[1])) for row in rows if len(row) == 2]


class Follower:
    """Reads what is added to a service's log, through rotations, from its end at the time of making.

    A log that is not there yet is empty.
    """

    def __init__(self, directory: str, name: str) -> None:
        self.name = name
        self._path = os.path.join(directory, f"{name}.log")
        self._file = -1
        self._rest = b""
        self._open()
        if self._file >= 0:
            os.lseek(self._file, 0, os.SEEK_END)

    def lines(self) -> list[str]:
        """The lines that were finished since the last call."""
        data = self._rest + self._read()
        *done, self._rest = data.split(b"\n")
        return [line.rstrip(b"\r").decode("utf-8", "replace") for line in done]

    def _read(self) -> bytes:
        data = self._pieces()
        if self._was_rotated():
            if self._file >= 0:
                data += self._pieces()
                os.close(self._file)
                self._file = -1
            self._open()
            data += self._pieces()
        return data

    def _pieces(self) -> bytes:
        pieces = []
        while self._file >= 0 and (piece := os.read(self._file, 65536)):
            pieces.append(piece)
        return b"".join(pieces)

    def _was_rotated(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._file < 0:
            return True
        mine = os.fstat(self._file)
        return (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino)

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._file = -1
