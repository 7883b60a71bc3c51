"""Licences of locked packages, read from what each package says of itself in a made environment.

Owns where Debian, Python and npm packages state a licence and how it is read. What a policy allows is
not decided here. A package that says nothing readable has none: unknown is not free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from cape.sources.protocol import LockedPackage

_LIMIT_BYTES = 1 << 21
_LICENCE = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Z][A-Za-z0-9.+-]*[A-Za-z0-9])")


def licence_of(package: LockedPackage, environment: Path) -> str | None:
    """The licence that a package states, as an expression where it gives one; None when it gives none.

    A model's is in its row. Debian's comes from `copyright`, with every licence of the package's files.
    """
    if stated := package.attributes.get("licence"):
        return stated
    readers = {"debian": _of_debian, "pypi": _of_python, "npm": _of_npm, "uv": _of_interpreter}
    reader = readers.get(package.source)
    try:
        return reader(package, environment) if reader else None
    except (OSError, ValueError):
        return None


def _read(path: Path) -> str:
    with open(path, "rb") as stream:
        return stream.read(_LIMIT_BYTES).decode("utf-8", "replace")


def _of_debian(package: LockedPackage, environment: Path) -> str | None:
    return licence_of_copyright(_read(environment / "root/usr/share/doc" / package.name / "copyright"))


def licence_of_copyright(text: str) -> str | None:
    """The licences that a Debian `copyright` file names, joined by AND, sorted; None for free prose.

    The machine-readable form names one for each group of files; an older file is searched for the texts
    in `/usr/share/common-licenses` that it refers to.
    Source: Debian's "Machine-readable debian/copyright file", version 1.0.
    """
    if "copyright-format" in text[:2000]:
        names = {match[1].strip() for match in _LICENCE.finditer(text)}
    else:
        names = {match[1] for match in _COMMON.finditer(text)}
    parts = {re.sub(r"\s+", " ", name) for name in names if len(name) < 100}
    return " AND ".join(f"({part})" if " or " in part else part for part in sorted(parts)) or None


def _of_interpreter(package: LockedPackage, environment: Path) -> str | None:
    """CPython's own, where its text came along."""
    minor = ".".join(package.version.split(".")[:2])
    text = _read(environment / f"root/usr/local/lib/python{minor}/LICENSE.txt")
    return "Python-2.0" if "PYTHON SOFTWARE FOUNDATION LICENSE" in text else None


def _of_python(package: LockedPackage, environment: Path) -> str | None:
    folded = re.sub(r"[-_.]+", "_", package.name).lower()
    for place in environment.glob("lib/python3*/site-packages"):
        for candidate in place.glob(f"*-{package.version}.dist-info"):
            name = candidate.name.removesuffix(f"-{package.version}.dist-info")
            if re.sub(r"[-_.]+", "_", name).lower() == folded:
                with open(candidate / "METADATA", "rb") as stream:
                    return licence_of_metadata(BytesHeaderParser().parse(stream))
    return None


def licence_of_metadata(headers: Any) -> str | None:
    """A wheel's licence: its expression, else its classifiers, else the first line of its free text."""
    if expression := headers.get("License-Expression"):
        return str(expression)
    classified = [
        str(text).rpartition("::")[2].strip()
        for text in headers.get_all("Classifier", [])
        if str(text).startswith("License ::")
    ]
    if classified:
        return " AND ".join(sorted(set(classified)))
    lines = str(headers.get("License") or "").splitlines()
    return lines[0].strip()[:100] or None if lines else None


def _of_npm(package: LockedPackage, environment: Path) -> str | None:
    stated = json.loads(_read(environment / package.placement / "package.json")).get("license")
    if isinstance(stated, Mapping):
        stated = stated.get("type")
    return stated if isinstance(stated, str) and stated else None
