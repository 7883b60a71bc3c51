"""Starters: what `cape init --template` puts into a first manifest.

Owns the files beside this one, each the tables of a manifest below `[environment]`; its first comment says
what it is. Nothing here reads a project.
"""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).parent


def starter_names() -> tuple[str, ...]:
    """The starters that there are, sorted."""
    return tuple(sorted(file.stem for file in DIRECTORY.glob("*.toml")))


def starter_text(name: str) -> str:
    """The tables of that name."""
    return (DIRECTORY / f"{name}.toml").read_text(encoding="utf-8")
