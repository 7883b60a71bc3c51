"""Packages with variants: their tables to values, and what a machine without any of them gets.

Owns the rules of `variants` and `when`, and the variants that `[options] gpu = "auto"` stands for. Which of
them a machine gets is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from cape.accelerators.conditions import BadCondition, Condition
from cape.manifest.errors import BadManifestValue
from cape.manifest.model import Manifest, Variant, Varied
from cape.sources.protocol import Requirement

if TYPE_CHECKING:
    from cape.manifest.keys import KeyPath
    from cape.manifest.parse import _Reading

_CONSTRAINT = re.compile(r"\s*(?:[<>=!~^*]|\d)")
"""How a constraint begins; of a variant, `debian = "python3-torch"` names the package instead."""

Placed = tuple["KeyPath", dict[str, Any]]
"""Where a table stands, and the table."""


def key_of(variant: Variant) -> str:
    """What tells a variant from the others of its package: `cuda>=12/pypi`, `cpu/pytorch-cpu`."""
    requirement = variant.requirement
    return f"{variant.when}/{requirement.options.get('index', requirement.source)}"


def read_varied(reading: _Reading, name: str, table: dict[str, Any]) -> Requirement | None:
    """The package that a table with `variants`, or with `when`, says; faults are told to the reading."""
    path: KeyPath = ("packages", name)
    if "variants" not in table:
        return _whole(reading, name, [(path, table)], path, optional=True)
    for key in [key for key in table if key != "variants"]:
        place = reading.places.of_key((*path, key))
        reading.complain(
            BadManifestValue,
            f"`{key}` stands beside `variants`",
            place,
            "write it into each variant that it is for",
        )
    if not table["variants"]:
        reading.bad_value(f"`{name}` has no variant", (*path, "variants"), "list one table at least")
    tables: list[Placed] = [((*path, "variants", index), one) for index, one in enumerate(table["variants"])]
    return _whole(reading, name, tables, path, optional=False)


def _whole(
    reading: _Reading,
    name: str,
    tables: list[Placed],
    path: KeyPath,
    *,
    optional: bool,
) -> Varied | None:
    variants = [_variant(reading, name, table, at) for at, table in tables]
    known = [(at, one) for (at, _), one in zip(tables, variants, strict=True) if one is not None]
    seen: set[str] = set()
    for at, variant in known:
        if key_of(variant) in seen:
            reading.bad_name(
                f"`{variant.when}` stands twice: this variant is never taken",
                at,
                "remove it, or change `when`",
            )
        seen.add(key_of(variant))
    if not known or len(known) < len(tables):
        return None
    where = reading.where(reading.places.of_key(path))
    return varied([one for _, one in known], where=where, optional=optional)


def _variant(reading: _Reading, name: str, table: dict[str, Any], path: KeyPath) -> Variant | None:
    if "variants" in table:
        reading.bad_name("a variant has no variants", (*path, "variants"), "list them in one row")
        return None
    when = _when(reading, name, table, path)
    plain = {key: value for key, value in table.items() if key != "when"}
    named = plain.get("debian", "")
    if named and not _CONSTRAINT.match(named) and "name" not in plain and path[-2:-1] == ("variants",):
        plain |= {"debian": "*", "name": named}
    requirement = reading.package(name, plain, path)
    return Variant(when=when, requirement=requirement) if requirement and when else None


def _when(reading: _Reading, name: str, table: dict[str, Any], path: KeyPath) -> str | None:
    if "when" not in table:
        reading.bad_value(
            f"a variant of `{name}` does not say when it is taken",
            path,
            'for example `when = "cuda>=12"`; `when = "cpu"` holds on every machine',
        )
        return None
    try:
        return Condition.parse(table["when"]).text
    except BadCondition as error:
        reading.bad_value(error.fact, (*path, "when"), error.hint)
        return None


def varied(variants: list[Variant], *, where: str | None, optional: bool = False) -> Varied:
    """The package that has these variants."""
    last = variants[-1].requirement
    own = {each.name: getattr(last, each.name) for each in fields(Requirement)}
    return Varied(**{**own, "where": where}, variants=tuple(variants), optional=optional)


def varied_requirements(manifest: Manifest) -> Iterator[Varied]:
    """The packages of a manifest that have variants: those written so, and with `gpu = "auto"` those that
    cape knows. Ordered by name."""
    from cape.manifest.usual_variants import usual_variants

    for requirement in sorted(manifest.requirements, key=lambda one: one.name):
        if isinstance(requirement, Varied):
            yield requirement
        elif manifest.gpu == "auto" and (usual := usual_variants(requirement)):
            yield varied([replace(one) for one in usual], where=requirement.where)
