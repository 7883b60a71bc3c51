"""What cape asks of a place, and which place a text names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from cape.errors import InputError


class UnknownPlace(InputError):
    """A text that names no kind of place."""

    slug = "unknown-place"


class Place(Protocol):
    """Named bytes, kept where others can read them.

    Paths are relative, with `/`. Names that begin with `blobs/` are digests of their bytes, so writing one
    twice is harmless. All methods raise `PlaceUnreachable`; those that write also `PlaceNotWritable`.
    """

    shown: str
    """The place for people and records, without credentials."""

    def read(self, path: str) -> bytes | None:
        """The bytes of that name; None when there are none."""

    def fetch(self, path: str, into: Path) -> bool:
        """Write the bytes of that name to a file; False when there are none."""

    def has(self, path: str) -> bool:
        """Whether there are bytes of that name."""

    def names(self, directory: str) -> list[str] | None:
        """Names directly in a directory, files and directories, sorted; None where a place cannot list."""

    def put(self, path: str, data: bytes | Path) -> None:
        """Keep bytes, or those of a file. Others need not see them before the next `commit`."""

    def commit(self, path: str, data: bytes) -> bool:
        """Keep bytes under a name that nobody has taken, with all that was put before.

        False: somebody has taken it, and nothing of this was changed. Whatever ends this process, others
        see all of it or nothing.
        """

    def overwrite(self, path: str, data: bytes) -> None:
        """Keep bytes under a name in place of what it had; of several writers the last wins."""

    def hint(self, path: str, data: bytes) -> None:
        """Write bytes that may lag behind and that nobody believes, for readers who cannot list."""


def open_place(text: str, *, cache: Path) -> Place:
    """The place that a text names; `cache` is a directory for what may be had again.

    `DIR`, `file:DIR`, `git+URL[#BRANCH]`, `http(s)://...`, `s3://BUCKET/PREFIX`. Nothing is asked yet.
    Raises `UnknownPlace`.
    """
    kind = re.match(r"([a-z0-9+]+):(?!\\)", text)
    if kind is None:
        return _directory(text)
    if kind[1] == "file":
        return _directory(re.sub(r"\Afile:(//)?", "", text))
    if kind[1].startswith("git+"):
        from cape.sharing.places.git import GitPlace

        url, _, branch = text.removeprefix("git+").partition("#")
        return GitPlace(url, branch or "cape", cache=cache / "git")
    if kind[1] in ("http", "https"):
        from cape.sharing.places.web import WebPlace

        return WebPlace(text)
    if kind[1] == "s3":
        from cape.sharing.places.bucket import BucketPlace

        return BucketPlace(text)
    raise UnknownPlace(
        f"`{text}` is no place that cape knows",
        hint="a place is a directory, `git+URL`, an `http` address, or `s3://BUCKET/PREFIX`",
    )


def without_login(text: str) -> str:
    """A text without the user and password that addresses in it have.

    >>> without_login("cape push git+https://anna:x@127.0.0.1/places.git#b")
    'cape push git+https://127.0.0.1/places.git#b'
    """
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1", text)


def _directory(text: str) -> Place:
    from cape.sharing.places.directory import DirectoryPlace

    return DirectoryPlace(Path(os.path.abspath(os.path.expanduser(text))))
