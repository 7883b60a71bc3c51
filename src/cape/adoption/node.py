"""npm's `package.json`."""

from __future__ import annotations

import json

from cape.adoption.model import Reading, Wish

_TABLES = ("dependencies", "devDependencies", "optionalDependencies")


def read_package(name: str, text: str, reading: Reading) -> None:
    """The node that `engines` wants, and the file itself: the manifest follows its dependencies.

    Scripts stay npm's.
    """
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
    if any(isinstance(table.get(key), dict) and table[key] for key in _TABLES) or table.get("workspaces"):
        reading.followed["npm"] = name
    if table.get("resolutions"):
        reading.leave(name, "resolutions", "they are yarn's; npm's own word is `overrides`")
