"""What names and constraints may look like.

Owns the patterns of package names per source, and of the names that a project gives. It says what is
wrong and does not say where: that is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cape.names import nearest

PACKAGE_SOURCES = ("debian", "pypi", "npm", "build", "uv")
"""The sources that a package may name, in the order in which messages list them."""

DIRECT_KEYS = ("git", "ref", "url", "path")
"""Keys of a Python package that say where it comes from, if not from an index."""

WRITER_APIS = ("chat", "anthropic", "google", "local")
"""What writers may speak; `local` is a file of this machine."""

WRITER_NUMBERS = {
    "input-price": 1e9,
    "output-price": 1e9,
    "window": 1e9,
    "strength": 1.0,
    "tokens-per-second": 1e6,
    "timeout": 86_400.0,
    "threads": 1024.0,
}
"""Numbers of a writer, and what each is at most."""

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_PATTERNS = {
    "debian": re.compile(r"[a-z0-9][a-z0-9+.-]+\Z"),
    "pypi": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z"),
    "build": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z"),
    "uv": re.compile(r"python\Z"),
    "npm": re.compile(r"(?:@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*\Z"),
}
_RULES = {
    "debian": "lower-case letters, digits, `+`, `-` and `.`, two characters at least",
    "pypi": "letters, digits, `-`, `_` and `.`, a letter or digit first and last",
    "build": "letters, digits, `-`, `_` and `.`, a letter or digit first",
    "uv": "no choice: it is `python`",
    "npm": "letters, digits, `-`, `_`, `.` and `~`, after a scope (`@scope/`) where it has one",
}
_PROJECT_NAME = re.compile(r"(?:@[A-Za-z0-9._~-]+/)?[A-Za-z0-9][A-Za-z0-9+._~-]*\Z")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def package_name_rule(source: str, name: str) -> str | None:
    """What names of that source are made of, when `name` is not one; None when it is."""
    return None if _PATTERNS[source].match(name) else f"a `{source}` name has {_RULES[source]}"


def project_name_rule(name: str) -> str | None:
    """What a key of `[packages]` is made of, when `name` is not one; None when it is."""
    if _PROJECT_NAME.match(name):
        return None
    return "a name has letters, digits, `+`, `-`, `_` and `.`, a letter or digit first"


def file_name_rule(name: str) -> str | None:
    """What a name that becomes a file's is made of, when `name` is not one; None when it is."""
    return (
        None
        if _FILE_NAME.match(name)
        else "a name has letters, digits, `-`, `_` and `.`, no `/` and no space"
    )


def constraint_rule(constraint: str) -> str | None:
    """What is wrong with a constraint in any source's language; None when nothing is."""
    if not constraint.strip():
        return "an empty constraint says nothing; `*` allows any version"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in constraint):
        return "a constraint is one line without control characters"
    return None


def marker_rule(marker: str) -> str | None:
    """What is wrong with an environment marker; None when nothing is."""
    from packaging.markers import InvalidMarker, Marker

    try:
        Marker(marker)
    except InvalidMarker as error:
        return str(error).splitlines()[0]
    return None


def alike(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known words that `word` may be meant for, best first: those that look like it, and those of
    the same letters (`pipy`, `pypi`), which short words are often typed as."""
    words = list(known)
    return nearest(word, words) or tuple(each for each in words if sorted(each) == sorted(word))
