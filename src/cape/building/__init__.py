"""Building a project's own packages: the recipe, what goes in, the sandbox, and what comes out.

Owns the run of one build and the form of its result, an archive that is equal wherever it is made. Which
environment it runs in, and where results are kept, is an operation's.
"""

from __future__ import annotations

from cape.building.errors import BuildFailed, NothingBuilt, NotTracked, OutputEscapes, SandboxMissing
from cape.building.inputs import Input, digest_of, tracked_inputs
from cape.building.recipe import Recipe, in_order, recipes_of
from cape.building.sandbox import Sandbox

__all__ = [
    "BuildFailed",
    "Input",
    "NotTracked",
    "NothingBuilt",
    "OutputEscapes",
    "Recipe",
    "Sandbox",
    "SandboxMissing",
    "digest_of",
    "in_order",
    "recipes_of",
    "tracked_inputs",
]
