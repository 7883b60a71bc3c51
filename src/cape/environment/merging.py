"""Many objects' listings, merged into one: which object each path of an environment comes from.

Owns what happens where two packages offer the same path. Pure: values in, values out, no disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cape.environment.finishing.diversions import Diversion
from cape.environment.plan import EnvironmentPlan
from cape.errors import InputError
from cape.sources.protocol import LockedPackage
from cape.store import Entry

PROGRAMS = "bin"
"""Directory of the programs on PATH."""

OTHER_PROGRAMS = "libexec"
"""Directory of language packages' programs that are not on PATH; as deep as `bin`, so links hold."""


PROJECT_TREE = "lib/project/"
"""Where packages of the project's own `package.json` stand."""


class FileConflict(InputError):
    """Two packages of one environment hold different files of the same name."""

    slug = "file-conflict"


class Placed(NamedTuple):
    """One path of the environment: the entry, the package's index, and the path in its object."""

    entry: Entry
    owner: int
    source: str


@dataclass(slots=True)
class Merged:
    """The environment's paths. `shadowed` are paths of packages that an earlier one won."""

    placed: dict[str, Placed] = field(default_factory=dict)
    shadowed: list[tuple[str, str]] = field(default_factory=list)


# Where a difference does not matter to any program, the earlier package wins: documentation of system
# packages, and what wheels strew into the top of `site-packages` by mistake (uv and pip overwrite it).
_HARMLESS = re.compile(
    r"root/usr/share/(?:doc|doc-base|lintian|bug|info|man|locale)/"
    r"|lib/python[\d.]+/site-packages/(?:tests?|docs?|examples?|benchmarks?|scripts?|tools?)(?:/|\Z)"
    r"|lib/python[\d.]+/site-packages/(?:LICEN[CS]E|README|CHANGE|COPYING|NOTICE)[^/]*\Z"
)


def merge(
    plan: EnvironmentPlan, listings: Sequence[Sequence[Entry]], diversions: Iterable[Diversion] = ()
) -> Merged:
    """Merge the listings of a plan's objects, in its order.

    Equal files are fine, directories merge. Where a package diverts a name and has a file of its own
    there, other packages' file goes to the diversion's target. Of different files at one path the one
    wins whose package replaces the other (Debian's `Replaces`), or the earlier one where it does no harm.
    Raises `FileConflict`.
    """
    merged = Merged()
    exposed = {index for index, package in enumerate(plan.packages) if _is_root(plan, package)}
    diverted = _effective(plan, listings, diversions)
    for owner, listing in enumerate(listings):
        _merge_one(merged, plan, owner, listing, exposes=owner in exposed, diverted=diverted)
    return merged


def _effective(
    plan: EnvironmentPlan, listings: Sequence[Sequence[Entry]], diversions: Iterable[Diversion]
) -> Mapping[str, tuple[int, str]]:
    """The target of each diverted path, and the index of the package whose file stays there.

    Scripts are read without their conditions, so a diversion by a package that has no such file is
    passed over: it would only take the file away.
    """
    index = {package.name: at for at, package in enumerate(plan.packages) if package.source == "debian"}
    found: dict[str, tuple[int, str]] = {}
    for one in diversions:
        at, path = index.get(one.package), f"root/{one.path}"
        if at is not None and any(entry.path == path and entry.kind != "d" for entry in listings[at]):
            found.setdefault(path, (at, f"root/{one.target}"))
    return found


def _is_root(plan: EnvironmentPlan, package: LockedPackage) -> bool:
    return (package.source, package.name) in plan.roots


def _merge_one(
    merged: Merged,
    plan: EnvironmentPlan,
    owner: int,
    listing: Sequence[Entry],
    *,
    exposes: bool,
    diverted: Mapping[str, tuple[int, str]],
) -> None:
    placed = merged.placed
    for entry in listing:
        path = entry.path
        if path.startswith("bin/") or path == PROGRAMS:
            path = _program_path(plan, path, plan.packages[owner], exposes=exposes)
        elif path in diverted and diverted[path][0] != owner:
            path = diverted[path][1]
        before = placed.get(path)
        if before is None:
            placed[path] = Placed(entry, owner, entry.path)
        elif before.entry.kind == "d" and entry.kind == "d":
            continue
        elif before.entry.identity != entry.identity:
            _settle(merged, plan, path, before, Placed(entry, owner, entry.path))


def _program_path(plan: EnvironmentPlan, path: str, package: LockedPackage, *, exposes: bool) -> str:
    """Where an entry of an object's `bin` goes: on PATH, or beside it."""
    name = path.partition("/")[2].partition("/")[0]
    is_anothers = (package.source, package.name) not in plan.deciding.get(
        name, {(package.source, package.name)}
    )
    on_path = (exposes or name in plan.expose) and name not in plan.hide and not is_anothers
    return path if on_path else OTHER_PROGRAMS + path[len(PROGRAMS) :]


def _settle(merged: Merged, plan: EnvironmentPlan, path: str, before: Placed, after: Placed) -> None:
    first, second = plan.packages[before.owner], plan.packages[after.owner]
    if _replaces(second, first):
        winner, loser = after, first
    elif _gives_way(second, first, path):
        winner, loser = before, second
    elif _gives_way(first, second, path):
        winner, loser = after, first
    elif _replaces(first, second) or _HARMLESS.match(path) or path.startswith(OTHER_PROGRAMS):
        winner, loser = before, second
    else:
        raise FileConflict(
            f"`{first.name}` {first.version} and `{second.name}` {second.version} hold different files "
            f"of the same name, `{path}`",
            where=f"{first.source}:{first.name}, {second.source}:{second.name}",
            hint=f"remove one of them from the manifest; `cape why {second.name}` says who needs it",
        )
    merged.placed[path] = winner
    merged.shadowed.append((loser.name, path))


def _gives_way(package: LockedPackage, other: LockedPackage, path: str) -> bool:
    """Whether a package's program gives way to another's: that of the project's own tree does to all others,
    and inside that tree, as with npm, one of the two is there."""
    if package.source != "npm" or not package.placement.startswith(PROJECT_TREE):
        return False
    return path.startswith(f"{PROGRAMS}/") or (path.startswith(PROJECT_TREE) and "/.bin/" in path)


def _replaces(package: LockedPackage, other: LockedPackage) -> bool:
    names = re.split(r"[,\s]+", package.attributes.get("replaces", ""))
    return package.source == other.source and other.name in names


def check_parents(merged: Merged, packages: Sequence[LockedPackage]) -> None:
    """Raise `FileConflict` where one package has a file or link at another's directory."""
    placed: Mapping[str, Placed] = merged.placed
    doomed: list[str] = []
    seen: dict[str, bool] = {"": True}
    for path, (entry, owner, _) in placed.items():
        parent = path.rpartition("/")[0]
        if parent not in seen:
            above = placed.get(parent)
            seen[parent] = above is None or above.entry.kind == "d"
        if not seen[parent]:
            if not _HARMLESS.match(path):
                raise FileConflict(
                    f"`{packages[placed[parent].owner].name}` has a file where `{packages[owner].name}` "
                    f"has a directory, `{parent}`",
                    hint="remove one of them from the manifest",
                )
            doomed.append(path)
            if entry.kind == "d":
                seen[path] = False
    for path in doomed:
        merged.shadowed.append((packages[placed[path].owner].name, path))
        del merged.placed[path]
