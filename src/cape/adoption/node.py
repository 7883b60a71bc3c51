"""npm's `package.json`."""

from __future__ import annotations

import json
import re
from typing import Any

from cape.adoption.model import Reading, Wish

_TABLES = ("dependencies", "devDependencies", "optionalDependencies")
_ELSEWHERE = re.compile(r"(?:[a-z+]+:|[\w.-]+/[\w.-]+(?:#|$)|\.{0,2}/)")


def read_package(name: str, text: str, reading: Reading) -> None:
    """Its dependencies of every kind, and the node that `engines` wants. Scripts stay npm's."""
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno}: {error.msg})") from None
    if not isinstance(table, dict):
        raise ValueError("its root is no object")
    engines = table.get("engines")
    wanted = engines.get("node") if isinstance(engines, dict) else None
    node = wanted if isinstance(wanted, str) else "*"
    reading.wishes.append(Wish(source="npm", package="node", constraint=node, where=name))
    for key in _TABLES:
        for package, constraint in _items(table.get(key)):
            _add(package, constraint, f"{name} {key}", reading)
    for key in ("workspaces", "overrides", "resolutions"):
        if table.get(key):
            reading.leave(name, key, "it is npm's own business and not there yet")


def _items(table: Any) -> list[tuple[str, str]]:
    if not isinstance(table, dict):
        return []
    return [(str(package), str(constraint)) for package, constraint in table.items()]


def _add(package: str, constraint: str, where: str, reading: Reading) -> None:
    if _ELSEWHERE.match(constraint):
        reading.leave(where, f"{package} {constraint}", "it is not of a registry")
    else:
        reading.wishes.append(
            Wish(source="npm", package=package, constraint=constraint.strip() or "*", where=where)
        )
