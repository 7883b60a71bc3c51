"""The manifest as a value.

Owns `Manifest` and the small values inside it. Nothing here reads text: whoever holds a `Manifest`
holds one that was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cape.names import System
from cape.sources.protocol import Requirement

SCHEMA = 1
"""The schema of manifests that this version reads and writes."""

DEFAULT_SOURCE = "debian"
"""The source of a package that names none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expose:
    """Programs to put on PATH beside those of the packages asked for, and programs to keep off it."""

    add: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """Shell text that runs once per start of the environment; None where there is none."""

    on_activate: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a user asks for.

    `requirements` are `[packages]`, then `[models]` (their source is `model`), in the manifest's order.
    `vars` is ordered so that a variable stands after those of `[vars]` that it refers to, and otherwise
    as in the text. `profile` maps `common` or a shell's name to shell text. `services`, `knowledge` and
    `include` are checked, frozen copies of their tables: mappings and tuples. `debian` is the suite,
    None where the manifest names none.
    """

    path: Path
    schema: int
    name: str
    systems: tuple[System, ...]
    debian: str | None
    requirements: tuple[Requirement, ...] = ()
    vars: Mapping[str, str] = field(default_factory=dict)
    hook: Hook = Hook()
    profile: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, object] = field(default_factory=dict)
    knowledge: Mapping[str, object] = field(default_factory=dict)
    include: Mapping[str, object] = field(default_factory=dict)
    expose: Expose = Expose()
    text: str = field(default="", repr=False)

    def requirement(self, name: str) -> Requirement | None:
        """The requirement of that name, or None."""
        return next((found for found in self.requirements if found.name == name), None)
