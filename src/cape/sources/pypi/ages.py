"""Which releases of Python packages are old enough.

Owns the instants that a context's minimum age comes to for uv, and that versions which are locked already
stay. uv alone chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cape.sources.protocol import Requirement, ResolveContext
from cape.sources.pypi.tool import Target
from cape.sources.pypi.wheels import PylockPackage


def aged(
    target: Target, requirements: Sequence[Requirement], context: ResolveContext, free: Sequence[str]
) -> Target:
    """The target with the instants before which releases must have come.

    Packages in `free`, by normalised name, are those whose locked versions may stay: only `as_of` holds for
    them.
    """
    from packaging.utils import canonicalize_name

    if context.minimum_age is None and not any(context.age_of(one) for one in requirements):
        return target
    own: dict[str, str | None] = {
        canonicalize_name(one.package): context.latest(one)
        for one in requirements
        if context.latest(one) != context.latest()
    }
    own.update(dict.fromkeys(free, context.as_of))
    return replace(target, as_of=context.latest(), own=tuple(sorted(own.items())))


def compiled_with_age(
    compile_for: Callable[[Target], list[PylockPackage]],
    target: Target,
    requirements: Sequence[Requirement],
    context: ResolveContext,
    kept: Mapping[str, Sequence[str]],
) -> tuple[list[PylockPackage], Target]:
    """What uv chooses, and the target that it was asked for.

    Kept versions may be younger than the minimum age. A package that uv would move away from its kept
    version is asked for again as any other: what is new must be old enough.
    """
    free = sorted(kept)
    while True:
        asked = aged(target, requirements, context, free)
        found = compile_for(asked)
        moved = {
            package.name
            for package in found
            if package.name in free and package.version not in kept[package.name]
        }
        if asked is target or not moved:
            return found, asked
        free = [name for name in free if name not in moved]
