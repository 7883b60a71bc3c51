"""Templates: lines of a manifest for services that many projects have.

Owns the files beside this one, each a piece of a manifest: its first comment says what it is. Nothing else is
here; `operations` puts a piece into a manifest.
"""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).parent


def template_names() -> tuple[str, ...]:
    """The templates that there are, sorted."""
    return tuple(sorted(file.stem for file in DIRECTORY.glob("*.toml")))


def template_text(name: str) -> str:
    """The piece of a manifest of that name."""
    return (DIRECTORY / f"{name}.toml").read_text(encoding="utf-8")


def summary_of(text: str) -> str:
    """What a template is, in a sentence without its full stop."""
    return text.split("\n", 1)[0].removeprefix("# ").removesuffix(".")
