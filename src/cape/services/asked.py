"""Services that a command asked for, beside those of the manifest: kept until they are taken down.

Owns `asked.json` in the directory of an environment's services: tables as a manifest would have them, by
name. What is in them is the asker's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cape.names import write_atomically

FILE = "asked.json"


def asked_tables(home: Path) -> dict[str, dict[str, Any]]:
    """The tables that are kept, by name; none where they cannot be read. What is no table is left out."""
    try:
        found = json.loads((home / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {name: table for name, table in rows if isinstance(table, dict) and "command" in table}


def keep_table(home: Path, name: str, table: Mapping[str, Any]) -> None:
    """Keep one more, or another of the same name. Raises `OSError`."""
    _write(home, {**asked_tables(home), name: dict(table)})


def forget_tables(home: Path, names: Iterable[str]) -> None:
    """Keep these no longer; nothing where they are not kept. Raises `OSError`."""
    kept = asked_tables(home)
    left = {name: table for name, table in kept.items() if name not in set(names)}
    if left != kept:
        _write(home, left)


def _write(home: Path, tables: Mapping[str, Any]) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(home / FILE, json.dumps(tables, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)
