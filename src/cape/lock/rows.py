"""One row of the lockfile: a JSON object on one line, to and from a value.

Owns the keys of every kind of row, their order and their checks. What rows mean together is `text`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cape.lock.model import IMPLICIT_OPTION, LockedInclude
from cape.lock.variants import Choice, LockedVariants
from cape.manifest.model import DEFAULT_ENVIRONMENT, Expose
from cape.names import Digest, System
from cape.sources.protocol import Artifact, LockedPackage, Requirement, Snapshot

Row = dict[str, Any]

_SYSTEMS = {str(system): system for system in System}
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class BadRow(Exception):
    """A row that is not one; the text says why, in a few words after the place."""


# -- to text ------------------------------------------------------------------------------------------


def package_line(package: LockedPackage, *, with_systems: bool = True) -> str:
    """A locked package's row. Raises `BadRow` for a location that may not be in a lock."""
    artifact = package.artifact
    _check_location(artifact.location)
    row: Row = {"row": "package", "source": package.source, "name": package.name, "version": package.version}
    if package.placement:
        row["placement"] = package.placement
    if with_systems:
        row["systems"] = sorted(package.systems)
    row |= {
        "registry": artifact.registry,
        "location": artifact.location,
        "sha256": artifact.digest.hex,
        "size": artifact.size_bytes,
    }
    if package.dependencies:
        row["dependencies"] = list(package.dependencies)
    if package.attributes:
        row["attributes"] = dict(sorted(package.attributes.items()))
    return _encode(row)


def requirement_line(requirement: Requirement, roots: Iterable[str] | None) -> str:
    """A requirement's row; with None for its roots, only what the manifest says."""
    options = dict(sorted(requirement.options.items()))
    implicit = options.pop(IMPLICIT_OPTION, None)
    row: Row = {"row": "requirement", "name": requirement.name, "source": requirement.source}
    row |= {"package": requirement.package, "constraint": requirement.constraint}
    if requirement.systems:
        row["systems"] = sorted(requirement.systems)
    if options:
        row["options"] = options
    if implicit is not None:
        row["implicit"] = implicit
    if roots is not None:
        row["roots"] = sorted(roots)
    return _encode(row)


def snapshot_line(snapshot: Snapshot) -> str:
    """The row of a registry's state."""
    return _encode(
        {
            "row": "snapshot",
            "source": snapshot.source,
            "registry": snapshot.registry,
            "name": snapshot.name,
            "date": snapshot.date,
            "sha256": snapshot.digest.hex,
        }
    )


def environment_line(systems: Iterable[System], suite: str | None) -> str:
    """The row of what holds for all others."""
    return _encode({"row": "environment", "systems": sorted(systems), "debian": suite})


def expose_line(expose: Expose) -> str:
    """The row of changes to which programs are on PATH."""
    return _encode({"row": "expose", "add": sorted(set(expose.add)), "hide": sorted(set(expose.hide))})


def include_line(include: LockedInclude) -> str:
    """The row of an included manifest."""
    row: Row = {"row": "include", "name": include.name, "sha256": include.digest.hex}
    if include.commit is not None and include.wanted is not None:
        row |= {"commit": include.commit, "wanted": include.wanted.hex}
    return _encode(row)


def variants_line(variants: LockedVariants) -> str:
    """The row of a package's choices, in the order in which they are tried."""
    row: Row = {"row": "variants", "name": variants.name}
    if variants.optional:
        row["optional"] = True
    row["choices"] = [_choice_row(choice) for choice in variants.choices]
    return _encode(row)


def _choice_row(choice: Choice) -> Row:
    row: Row = {"when": choice.when, "source": choice.source, "package": choice.package}
    row |= {"constraint": choice.constraint, "key": choice.key}
    if choice.systems:
        row["systems"] = sorted(choice.systems)
    if not choice.served:
        row["served"] = False
    return row


def with_environments(line: str, names: Iterable[str]) -> str:
    """A row that says which environments it holds for; rows of the default one alone do not say it."""
    listed = sorted(names)
    if listed == [DEFAULT_ENVIRONMENT]:
        return line
    row = json.loads(line)
    return _encode({"row": row.pop("row"), "environments": listed, **row})


def with_combinations(line: str, labels: Iterable[str]) -> str:
    """A row that says which combinations of variants it holds for; rows of all of them do not say it."""
    row = json.loads(line)
    return _encode({"row": row.pop("row"), "variants": sorted(labels), **row})


def combinations_of(row: Row) -> tuple[str, ...] | None:
    """Which combinations of variants a row holds for, None: all; that is taken out of it. Raises `BadRow`."""
    if "variants" not in row:
        return None
    labels = _texts(row, "variants")
    del row["variants"]
    if not labels or len(set(labels)) != len(labels):
        raise BadRow("`variants` is no list of combinations")
    return labels


def environments_of(row: Row) -> tuple[str, ...]:
    """Which environments a row holds for; that is taken out of it. Raises `BadRow`."""
    if "environments" not in row:
        return (DEFAULT_ENVIRONMENT,)
    names = _texts(row, "environments")
    del row["environments"]
    if not names or len(set(names)) != len(names):
        raise BadRow("`environments` is no list of names")
    return names


def resolution_line(source: str, requirements: Iterable[Requirement]) -> str:
    """The row that ties a source's rows to the set of requirements that they answer.

    Two branches that each change this set both change this row; so after a merge it no longer fits the
    requirement rows, and the source is asked again.
    """
    lines = sorted(requirement_line(requirement, None) for requirement in requirements)
    return _encode({"row": "resolution", "source": source, "requirements": Digest.of_lines(lines).hex})


# -- from text ----------------------------------------------------------------------------------------


def package_of(row: Row) -> LockedPackage:
    """The locked package of a row. Raises `BadRow`."""
    _check_keys(row, _PACKAGE_KEYS, _PACKAGE_OPTIONAL)
    _check_location(row["location"])
    placement = row.get("placement", "")
    if placement:
        _check_inside(placement, "placement")
    size = row["size"]
    if type(size) is not int or size < 0:
        raise BadRow(f"`size` is {size!r}, and must be a number of bytes")
    return LockedPackage(
        source=row["source"],
        name=row["name"],
        version=row["version"],
        systems=_systems(row["systems"]),
        artifact=Artifact(
            digest=_digest(row["sha256"]), size_bytes=size, registry=row["registry"], location=row["location"]
        ),
        dependencies=_texts(row, "dependencies"),
        placement=placement,
        attributes=_text_map(row, "attributes"),
    )


def requirement_of(row: Row) -> tuple[Requirement, tuple[str, ...]]:
    """The requirement of a row, and the names of the packages that answer it. Raises `BadRow`."""
    _check_keys(row, _REQUIREMENT_KEYS, _REQUIREMENT_OPTIONAL)
    options = dict(_text_map(row, "options"))
    if "implicit" in row:
        options[IMPLICIT_OPTION] = row["implicit"]
    requirement = Requirement(
        source=row["source"],
        name=row["name"],
        package=row["package"],
        constraint=row["constraint"],
        systems=_systems(row.get("systems", [])),
        options=options,
    )
    return requirement, _texts(row, "roots")


def snapshot_of(row: Row) -> Snapshot:
    """The registry's state of a row. Raises `BadRow`."""
    _check_keys(row, _SNAPSHOT_KEYS, frozenset())
    return Snapshot(
        source=row["source"],
        registry=row["registry"],
        name=row["name"],
        date=row["date"],
        digest=_digest(row["sha256"]),
    )


def environment_of(row: Row) -> tuple[tuple[System, ...], str | None]:
    """Systems and suite of a row. Raises `BadRow`."""
    _check_keys(row, frozenset({"row", "systems", "debian"}), frozenset())
    suite = row["debian"]
    if suite is not None and not isinstance(suite, str):
        raise BadRow("`debian` is no suite's name")
    return _systems(row["systems"]), suite


def expose_of(row: Row) -> Expose:
    """Changes to PATH of a row. Raises `BadRow`."""
    _check_keys(row, frozenset({"row", "add", "hide"}), frozenset())
    return Expose(add=_texts(row, "add"), hide=_texts(row, "hide"))


def include_of(row: Row) -> LockedInclude:
    """The included manifest of a row. Raises `BadRow`."""
    _check_keys(row, frozenset({"row", "name", "sha256"}), frozenset({"commit", "wanted"}))
    if ("commit" in row) != ("wanted" in row):
        raise BadRow("`commit` and `wanted` stand together")
    if "commit" in row and not _COMMIT.match(row["commit"]):
        raise BadRow("`commit` is no commit of git")
    return LockedInclude(
        name=row["name"],
        digest=_digest(row["sha256"]),
        commit=row.get("commit"),
        wanted=_digest(row["wanted"]) if "wanted" in row else None,
    )


def variants_of(row: Row) -> LockedVariants:
    """The choices of a row. Raises `BadRow`."""
    _check_keys(row, frozenset({"row", "name", "choices"}), frozenset({"optional"}))
    choices = row["choices"]
    if type(choices) is not list or not choices or not all(type(one) is dict for one in choices):
        raise BadRow("`choices` is no list of tables")
    if row.get("optional", True) is not True:
        raise BadRow("`optional` is said only where it is true")
    return LockedVariants(
        name=row["name"],
        choices=tuple(_choice_of(one) for one in choices),
        optional="optional" in row,
    )


def _choice_of(row: Row) -> Choice:
    from cape.accelerators import BadCondition, Condition

    _check_keys(
        row, frozenset({"when", "source", "package", "constraint", "key"}), frozenset({"systems", "served"})
    )
    if row.get("served", False) is not False:
        raise BadRow("`served` is said only where it is false")
    try:
        Condition.parse(row["when"])
    except BadCondition as error:
        raise BadRow(error.fact) from None
    return Choice(
        key=row["key"],
        when=row["when"],
        source=row["source"],
        package=row["package"],
        constraint=row["constraint"],
        systems=_systems(row.get("systems", [])),
        served="served" not in row,
    )


def resolution_of(row: Row) -> str:
    """The source of a resolution's row. Raises `BadRow`."""
    _check_keys(row, frozenset({"row", "source", "requirements"}), frozenset())
    return str(row["source"])


# -- checks -------------------------------------------------------------------------------------------

_PACKAGE_KEYS = frozenset(
    {"row", "source", "name", "version", "systems", "registry", "location", "sha256", "size"}
)
_PACKAGE_OPTIONAL = frozenset({"placement", "dependencies", "attributes"})
_REQUIREMENT_KEYS = frozenset({"row", "name", "source", "package", "constraint", "roots"})
_REQUIREMENT_OPTIONAL = frozenset({"systems", "options", "implicit"})
_SNAPSHOT_KEYS = frozenset({"row", "source", "registry", "name", "date", "sha256"})
_NOT_TEXT = frozenset(
    {
        *("systems", "size", "dependencies", "attributes", "options", "roots", "add", "hide", "debian"),
        *("choices", "optional", "served"),
    }
)


def _check_keys(row: Row, needed: frozenset[str], optional: frozenset[str]) -> None:
    keys = row.keys()
    if missing := needed - keys:
        raise BadRow("the row has no " + ", ".join(f"`{key}`" for key in sorted(missing)))
    if unknown := keys - needed - optional:
        raise BadRow("the row has an unknown key " + ", ".join(f"`{key}`" for key in sorted(unknown)))
    for key in keys - _NOT_TEXT:
        if type(row[key]) is not str:
            raise BadRow(f"`{key}` is no text")


def _check_location(location: str) -> None:
    if "://" in location:
        raise BadRow(f"`location` names a host: `{location.split('://')[0]}://...`")
    _check_inside(location, "location")


def _check_inside(path: str, key: str) -> None:
    if not path or path[0] == "/" or (".." in path and ".." in path.split("/")) or "\0" in path:
        raise BadRow(f"`{key}` is no relative path: `{path}`")


def _digest(text: str) -> Digest:
    if not _HEX64.match(text):
        raise BadRow("`sha256` is not 64 hexadecimal digits")
    return Digest(text)


def _systems(names: Any) -> tuple[System, ...]:
    if type(names) is not list:
        raise BadRow("`systems` is no list")
    try:
        return tuple([_SYSTEMS[name] for name in names])
    except (KeyError, TypeError):
        raise BadRow(f"`systems` has a system that cape does not know: {names}") from None


def _texts(row: Row, key: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if type(value) is not list or not all(type(item) is str for item in value):
        raise BadRow(f"`{key}` is no list of texts")
    return tuple(value)


def _text_map(row: Row, key: str) -> Mapping[str, str]:
    value = row.get(key, {})
    if type(value) is not dict or not all(type(item) is str for item in value.values()):
        raise BadRow(f"`{key}` is no table of texts")
    return value


READERS: Mapping[str, Callable[[Row], Any]] = {
    "environment": environment_of,
    "expose": expose_of,
    "include": include_of,
    "package": package_of,
    "requirement": requirement_of,
    "resolution": resolution_of,
    "snapshot": snapshot_of,
    "variants": variants_of,
}
"""How each kind of row is read."""
