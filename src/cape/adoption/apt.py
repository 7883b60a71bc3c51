"""Lists of Debian packages, one a line: `Aptfile`, `apt.txt`, `packages.txt`."""

from __future__ import annotations

import re

from cape.adoption.model import Reading, Wish

_NAME = re.compile(r"([a-z0-9][a-z0-9+.-]+)(?::[a-z0-9]+)?(?:[=/](\S+))?\Z")


def read_list(name: str, text: str, reading: Reading) -> None:
    """One package a line; `#` starts a comment, `:repo:` and urls are of Heroku's build pack."""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#", 1)[0].strip()
        for word in line.split() if not line.startswith(":") else [line]:
            add_package(word, f"{name}:{number}", reading)


def add_package(word: str, where: str, reading: Reading) -> None:
    """Add a package as apt's command line names it: `NAME`, `NAME=VERSION`, `NAME:ARCHITECTURE`."""
    match = _NAME.match(word)
    if match is None:
        reading.leave(where, word, "it is no name of a Debian package")
        return
    reading.wishes.append(Wish(source="debian", package=match[1], where=where, certain=False))
    if match[2]:
        reading.leave(where, word, f"`{match[1]}` is taken in the version of the suite")
