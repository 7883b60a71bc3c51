"""Recipes: what the manifest says of each build, as values, and the order in which they are built."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cape.building.errors import BuildCycle, UnknownBuild
from cape.names import Digest, nearest

BUILD_VERSION = 2
"""Part of every key: a change of the sandbox, or of how results are packed, counts up."""


class Clock(StrEnum):
    """What a build sees when it asks for the time: the machine's clock, or one that stands."""

    REAL = "real"
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One build. `inputs` are patterns of files of the project, empty for all that git tracks; `outputs`
    patterns below `$out`, empty for everything; `runtime` Debian packages that the result needs. With
    `clock_stands` it is always the time of the last commit."""

    name: str
    command: str
    version: str = "0"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    clock_stands: bool = False

    def key(
        self, *, inputs: Digest, environment: Digest, beneath: Sequence[Digest], sandboxed: bool
    ) -> Digest:
        """What a result depends on: with an equal key it need not be built again."""
        words = asdict(self)
        return Digest.of_lines(
            [
                f"build {BUILD_VERSION}",
                json.dumps(words, sort_keys=True),
                inputs.hex,
                environment.hex,
                *(digest.hex for digest in beneath),
                f"sandboxed {sandboxed}",
            ]
        )


def recipes_of(builds: Mapping[str, Any]) -> dict[str, Recipe]:
    """The recipes of a manifest's `[build]`."""
    return {
        name: Recipe(
            name=name,
            command=fields["command"],
            version=str(fields.get("version", "0")),
            inputs=tuple(fields.get("inputs", ())),
            outputs=tuple(fields.get("outputs", ())),
            runtime=tuple(fields.get("runtime", ())),
            depends=tuple(fields.get("depends", ())),
            clock_stands=fields.get("clock", Clock.REAL) == Clock.FIXED,
        )
        for name, fields in builds.items()
    }


def in_order(recipes: Mapping[str, Recipe], names: Sequence[str]) -> list[Recipe]:
    """The named builds and what they depend on, each after its own. Raises `UnknownBuild`, `BuildCycle`."""
    done: dict[str, Recipe] = {}
    for name in names:
        _visit(name, recipes, done, ())
    return list(done.values())


def _visit(name: str, recipes: Mapping[str, Recipe], done: dict[str, Recipe], trail: tuple[str, ...]) -> None:
    if name in trail:
        ring = " -> ".join((*trail[trail.index(name) :], name))
        raise BuildCycle(f"builds depend on each other in a ring: {ring}", hint="take one `depends` away")
    if name in done:
        return
    if name not in recipes:
        close = nearest(name, recipes)
        hint = f"did you mean `{close[0]}`?" if close else "`[build.NAME]` in `cape.toml` makes one"
        of = f" (wanted by `{trail[-1]}`)" if trail else ""
        raise UnknownBuild(f"the manifest has no build `{name}`{of}", hint=hint)
    for other in recipes[name].depends:
        _visit(other, recipes, done, (*trail, name))
    done[name] = recipes[name]
