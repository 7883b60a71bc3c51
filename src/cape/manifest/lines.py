"""Where the lines of a manifest's shell texts stand.

Owns the way from a line of a composed hook to a file and a line of it. It runs and judges nothing.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from cape.manifest.model import Manifest
from cape.manifest.places import find_places

_PLACE = re.compile(r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+)\Z")


def text_lines(manifest: Manifest, key: str, text: str) -> tuple[str, ...]:
    """`FILE:LINE` for each line of the text that the manifest has under `key` (`hook.on-activate`).

    A file below the manifest's directory is told from there. Where a part of the text cannot be traced, its
    lines have the place of the key.
    """
    found: list[str] = []
    for where in manifest.origins.get(key, "").split("\n"):
        found += _lines(manifest, where)
    wanted = text.rstrip("\n").count("\n") + 1
    fallback = found[-1] if found else shown(manifest, str(manifest.path))
    return tuple((found + [fallback] * wanted)[:wanted])


def shown(manifest: Manifest, where: str) -> str:
    """A place as people see it from the manifest's directory."""
    return where.removeprefix(f"{manifest.path.parent}/")


def without_column(where: str) -> str:
    """`FILE:LINE` of a place."""
    match = _PLACE.match(where)
    return f"{match['file']}:{match['line']}" if match else where


def _lines(manifest: Manifest, where: str) -> list[str]:
    match = _PLACE.match(where)
    if match is None:
        return [shown(manifest, where)] if where else []
    file, line = match["file"], int(match["line"])
    text = _text_of(manifest, file)
    found = _literal(text, line, int(match["column"])) if text is not None else None
    if found is None:
        return [shown(manifest, f"{file}:{line}")]
    first, literal = found
    count = tomllib.loads(f"x = {literal}")["x"].rstrip("\n").count("\n") + 1
    is_long = literal[:3] in ('"""', "'''")
    if not is_long:
        return [shown(manifest, f"{file}:{first}")] * count
    first += literal[3:5].startswith(("\n", "\r\n"))
    return [shown(manifest, f"{file}:{first + at}") for at in range(count)]


def _text_of(manifest: Manifest, file: str) -> str | None:
    if file == str(manifest.path):
        return manifest.text
    for one in manifest.included:
        if Path(file) == one.directory / "cape.toml":
            return one.text
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _literal(text: str, line: int, column: int) -> tuple[int, str] | None:
    """The line on which the value of the key at that place starts, and the value as it is written."""
    places = find_places(text)
    for path, offset in places.keys.items():
        if places.line_and_column(offset) == (line, column) and path in places.values:
            start = places.values[path]
            end = next((one.end for one in places.statements if one.value == start), None)
            if end is not None and text[start : start + 1] in ('"', "'"):
                return places.line_and_column(start)[0], text[start:end]
    return None
