"""Small value types that every room shares: digests, systems, generation numbers.

Owns parsing and printing of these values. Nothing that reads the network or knows a room belongs
here; it imports only `errors`.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NewType

from cape.errors import InputError, StateError

GenerationId = NewType("GenerationId", int)

_HEX64 = re.compile(r"[0-9a-f]{64}\Z")


class UnknownSystem(InputError):
    """A system name that cape does not know."""

    slug = "unknown-system"


class UnsupportedMachine(StateError):
    """This machine is none of the systems that cape realises environments on."""

    slug = "unsupported-machine"


@dataclass(frozen=True, slots=True)
class Age:
    """How old something is, as people write it: `7 days`, `12 hours`, `2 weeks`."""

    text: str
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Age:
        """The age that a text says. Raises `ValueError`.

        >>> Age.parse("7 days").seconds, Age.parse("0 days").seconds
        (604800, 0)
        """
        found = re.fullmatch(r"\s*(\d{1,5})\s*(hour|day|week)s?\s*", text)
        if found is None:
            raise ValueError(f"not an age: {text!r}")
        return cls(text.strip(), int(found[1]) * {"hour": 3600, "day": 86400, "week": 604800}[found[2]])

    def before(self, instant: str) -> str:
        """The instant that lies by this age before another, both as `2026-01-16T00:00:00Z`."""
        return _instant(datetime.fromisoformat(instant) - timedelta(seconds=self.seconds))

    def after(self, instant: str) -> str:
        """The instant at which what came at another is of this age."""
        return _instant(datetime.fromisoformat(instant) + timedelta(seconds=self.seconds))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def this_hour() -> str:
    """When this hour began, in UTC: ages are counted back from it, so that equal questions stay equal."""
    return _instant(datetime.now(UTC).replace(minute=0, second=0, microsecond=0))


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A SHA-256 digest; prints as `sha256:` and 64 hexadecimal digits."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX64.match(self.hex):
            raise ValueError(f"not a SHA-256 in hexadecimal: {self.hex!r}")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest in `sha256:HEX`. Raises `ValueError` on any other text."""
        algorithm, _, hexadecimal = text.partition(":")
        if algorithm != "sha256":
            raise ValueError(f"not a sha256 digest: {text!r}")
        return cls(hexadecimal)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of some bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Digest:
        """The digest of a file's bytes, read in pieces. Raises `OSError`."""
        with open(path, "rb") as stream:
            return cls(hashlib.file_digest(stream, "sha256").hexdigest())

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> Digest:
        """The digest of lines of text, each followed by a newline, in the order given."""
        total = hashlib.sha256()
        for line in lines:
            total.update(line.encode() + b"\n")
        return cls(total.hexdigest())

    @property
    def short(self) -> str:
        """The first twelve digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


class System(StrEnum):
    """A kind of machine that a lock covers."""

    X86_64_LINUX = "x86_64-linux"
    AARCH64_LINUX = "aarch64-linux"
    AARCH64_DARWIN = "aarch64-darwin"
    X86_64_DARWIN = "x86_64-darwin"

    @property
    def is_linux(self) -> bool:
        return self.value.endswith("-linux")

    @property
    def machine(self) -> str:
        """The processor, as `uname -m` on Linux names it: `x86_64` or `aarch64`."""
        return self.value.split("-")[0]

    @classmethod
    def parse(cls, text: str) -> System:
        """The system of that name. Raises `UnknownSystem`."""
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(f"`{system}`" for system in cls)
            raise UnknownSystem(f"unknown system `{text}`", hint=f"cape knows {known}") from None

    @classmethod
    def current(cls) -> System:
        """The system of this machine. Raises `UnsupportedMachine`."""
        told = os.uname().machine
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(told, told)
        kernel = "darwin" if sys.platform == "darwin" else "linux"
        try:
            return cls(f"{machine}-{kernel}")
        except ValueError:
            raise UnsupportedMachine(f"cape does not know this machine, `{machine}-{kernel}`") from None


def nearest(word: str, known: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """The known words that look most like `word`, best first; empty when none does."""
    import difflib

    return tuple(difflib.get_close_matches(word, list(known), n=limit, cutoff=0.6))


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path` so that a reader sees the old file or the new one, even after a crash.

    The file and its directory are fsynced. Raises `OSError`; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` last through a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
