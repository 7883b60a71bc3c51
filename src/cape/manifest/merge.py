"""What several manifests come to: the rules by which a higher layer goes over a lower one.

Owns merging, removal, `$INCLUDE_DIR`, and what can only be wrong of the whole. Layers come in from
`include`, checked each by itself; no file is read here.

Per key, the higher layer's counts: packages, models, variables, services, knowledge bases. Hook and
profile texts are put one after another, the lowest first. Systems are those that all layers list; suites
must be equal; exposed programs are added up. The result has the name and the text of the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from cape.manifest.errors import (
    BadManifestValue,
    IncludesDisagree,
    UnknownEnvironment,
    VariableCycle,
)
from cape.manifest.include import PLAIN_DIRECTORY, Layer, Opener, layers_of
from cape.manifest.model import DEFAULT_ENVIRONMENT, Expose, Hook, Included, Manifest, Part
from cape.manifest.naming import alike
from cape.names import Age, System
from cape.sources.protocol import Requirement

_INCLUDE_DIR = re.compile(r"\$(?:\{INCLUDE_DIR\}|INCLUDE_DIR(?![A-Za-z0-9_]))")
_PER_KEY = ("vars", "secrets", "services", "knowledge", "writers", "budget", "promote")


def compose(root: Manifest, opener: Opener) -> Manifest:
    """The manifest with all that it includes. Raises what `layers_of` raises, and `ManifestError`s."""
    if not root.include.get("environments") and not root.include.get("remove"):
        if "INCLUDE_DIR" not in root.text:
            return root
        parts = {
            name: replace(one, manifest=_placed(one.manifest, None))
            for name, one in root.environments.items()
        }
        return replace(_placed(root, None), environments=MappingProxyType(parts))
    layers, opened = layers_of(root, opener)
    merging = _Merging()
    for layer in layers:
        owner = layer.included.place if layer.included else ""
        merging.remove(
            layer.manifest.include.get("remove", ()),  # type: ignore[arg-type]
            layer.below,
            layer.manifest,
        )
        merging.add(_placed(layer.manifest, layer.included), owner)
    whole = merging.manifest(root)
    return replace(
        whole,
        systems=_systems(root, layers),
        debian=_suite(layers),
        minimum_age=_minimum_age(layers),
        allow_licences=_allow_licences(layers),
        gpu=next((one.manifest.gpu for one in reversed(layers) if one.manifest.gpu is not None), None),
        environments=MappingProxyType(_parts(layers)),
        included=opened,
    )


def environment_of(manifest: Manifest, name: str | None) -> Manifest:
    """The manifest of one environment of a composed manifest; None, or `default`: the manifest itself.

    Raises `UnknownEnvironment`, `IncludesDisagree` for an environment without systems.
    """
    if name is None or name == DEFAULT_ENVIRONMENT:
        return manifest
    if name not in manifest.environments:
        known = [DEFAULT_ENVIRONMENT, *manifest.environments]
        close = alike(name, known)
        listed = ", ".join(f"`{one}`" for one in known)
        raise UnknownEnvironment(
            f"the manifest has no environment `{name}`",
            where=str(manifest.path),
            hint=f"did you mean `{close[0]}`?" if close else f"it has {listed}",
        )
    merging = _Merging()
    chain = _chain(manifest, name, ())
    if manifest.environments[name].inherit is not False:
        merging.add(manifest, "")
    systems = manifest.systems
    for part in chain:
        merging.remove(part.remove, None, part.manifest)
        merging.add(part.manifest, "")
        systems = tuple(one for one in systems if not part.manifest.systems or one in part.manifest.systems)
    if not systems:
        listed = ", ".join(f"`{one}`" for one in manifest.systems)
        raise IncludesDisagree(
            f"environment `{name}` has no system in common with the manifest, which lists {listed}",
            where=str(manifest.path),
            hint="its `systems` narrow those of `[environment]`",
        )
    bare = replace(manifest, overridden=(), environment=name, name=f"{manifest.name}-{name}")
    return replace(merging.manifest(bare), systems=systems)


def _chain(manifest: Manifest, name: str, trail: tuple[str, ...]) -> list[Part]:
    """The parts that an environment is built from, its own last."""
    if name in trail:
        shown = " -> ".join(f"`{one}`" for one in (*trail[trail.index(name) :], name))
        raise BadManifestValue(
            f"environments build on each other in a ring: {shown}",
            where=str(manifest.path),
            hint="break it at one of them",
        )
    part = manifest.environments[name]
    chain: list[Part] = []
    for other in part.based_on:
        chain += [one for one in _chain(manifest, other, (*trail, name)) if one not in chain]
    return [*chain, part]


# -- one by one ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value, whose layer it is, and where it stands."""

    value: Any
    owner: str
    where: str


@dataclass(slots=True)
class _Merging:
    """Layers put over each other."""

    entries: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    texts: dict[tuple[str, str], list[_Entry]] = field(default_factory=dict)
    expose: Expose = field(default_factory=Expose)
    notes: list[str] = field(default_factory=list)

    def add(self, manifest: Manifest, owner: str) -> None:
        for requirement in manifest.requirements:
            section = "models" if requirement.source == "model" else "packages"
            self._check_single(section, requirement)
            self._put(section, requirement.name, requirement, owner, manifest)
        for section in _PER_KEY:
            for name, value in getattr(manifest, section).items():
                self._put(section, name, value, owner, manifest)
        for section, name, text in _texts_of(manifest):
            where = manifest.origins.get(f"{section}.{name}", str(manifest.path))
            self.texts.setdefault((section, name), []).append(_Entry(text, owner, where))
        self.expose = _over(self.expose, manifest.expose)

    def _put(self, section: str, name: str, value: Any, owner: str, manifest: Manifest) -> None:
        key = (section, name)
        where = manifest.origins.get(f"{section}.{name}", str(manifest.path))
        present = self.entries.get(key)
        if present is not None and not _same(present.value, value):
            self.notes.append(f"`{section}.{name}` of {present.where} gives way to that of {where}")
        self.entries[key] = _Entry(value, owner, where)

    def _check_single(self, section: str, requirement: Requirement) -> None:
        other = "packages" if section == "models" else "models"
        present = self.entries.get((other, requirement.name))
        if present is not None:
            raise BadManifestValue(
                f"`{requirement.name}` is in `[{section}]` here and in `[{other}]` at {present.where}",
                where=requirement.where,
                hint="give one of them another name, or remove the other with `include.remove`",
            )

    def remove(self, names: Iterable[str], below: frozenset[str] | None, manifest: Manifest) -> None:
        """Take away what lower layers brought; with `below`, only what these brought."""
        for name in names:
            section, _, key = name.partition(".")
            where = manifest.origins.get(f"include.remove.{name}", str(manifest.path))
            found = self._take_entry((section, key), below) + self._take_texts((section, key), below)
            if not found:
                self._nothing(name, below, where)
            self.notes += [f"`{name}` of {place} is removed by {where}" for place in found]

    def _take_entry(self, key: tuple[str, str], below: frozenset[str] | None) -> list[str]:
        entry = self.entries.get(key)
        if entry is None or (below is not None and entry.owner not in below):
            return []
        del self.entries[key]
        return [entry.where]

    def _take_texts(self, key: tuple[str, str], below: frozenset[str] | None) -> list[str]:
        present = self.texts.get(key, [])
        doomed = [entry for entry in present if below is None or entry.owner in below]
        if doomed:
            self.texts[key] = [entry for entry in present if entry not in doomed]
        return [entry.where for entry in doomed]

    def _nothing(self, name: str, below: frozenset[str] | None, where: str) -> None:
        known = [f"{section}.{key}" for section, key in (*self.entries, *self.texts)]
        close = alike(name, known)
        whose = "what lies below" if below is None else "what is included"
        raise BadManifestValue(
            f"`{name}` is to be removed, and {whose} has no such thing",
            where=where,
            hint=f"did you mean `{close[0]}`?" if close else "take it out of `remove`",
        )

    def manifest(self, root: Manifest) -> Manifest:
        """What all layers come to, with the name, place and text of `root`."""
        tables: dict[str, dict[str, Any]] = {section: {} for section in ("packages", "models", *_PER_KEY)}
        for (section, name), entry in self.entries.items():
            tables[section][name] = entry.value
        origins = {f"{section}.{name}": entry.where for (section, name), entry in self.entries.items()}
        for (section, name), found in self.texts.items():
            origins[f"{section}.{name}"] = "\n".join(entry.where for entry in found)
        _check_names(tables, origins)
        return replace(
            root,
            requirements=(*tables["packages"].values(), *tables["models"].values()),
            vars=MappingProxyType(_ordered(tables["vars"], origins)),
            secrets=MappingProxyType(tables["secrets"]),
            services=MappingProxyType(tables["services"]),
            knowledge=MappingProxyType(tables["knowledge"]),
            writers=MappingProxyType(tables["writers"]),
            budget=MappingProxyType(tables["budget"]),
            promote=MappingProxyType(tables["promote"]),
            hook=Hook(**{name: self._text("hook", name.replace("_", "-")) for name in _HOOKS}),
            profile=MappingProxyType(
                {
                    name: text
                    for section, name in self.texts
                    if section == "profile" and (text := self._text(section, name)) is not None
                }
            ),
            expose=self.expose,
            overridden=tuple(self.notes),
            origins=MappingProxyType({**root.origins, **origins}),
        )

    def _text(self, section: str, name: str) -> str | None:
        """The texts of all layers, each in lines of its own."""
        found = [entry.value for entry in self.texts.get((section, name), ())]
        return (
            "\n".join(text.rstrip("\n") for text in found[:-1]) + ("\n" if found[1:] else "") + found[-1]
            if found
            else None
        )


_HOOKS = tuple(one.name for one in fields(Hook))


def _texts_of(manifest: Manifest) -> Iterable[tuple[str, str, str]]:
    for name in _HOOKS:
        if (text := getattr(manifest.hook, name)) is not None:
            yield "hook", name.replace("_", "-"), text
    for name, text in manifest.profile.items():
        yield "profile", name, text


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Requirement) and isinstance(other, Requirement):
        return replace(one, where=None) == replace(other, where=None)
    return bool(one == other)


def _over(lower: Expose, higher: Expose) -> Expose:
    add = [name for name in lower.add if name not in higher.hide]
    hide = [name for name in lower.hide if name not in higher.add]
    return Expose(
        add=tuple(dict.fromkeys((*add, *higher.add))), hide=tuple(dict.fromkeys((*hide, *higher.hide)))
    )


def _ordered(variables: Mapping[str, str], origins: Mapping[str, str]) -> dict[str, str]:
    from cape.manifest.variables import Ring, in_order

    try:
        return in_order(variables)
    except Ring as ring:
        members = ring.members
        shown = " -> ".join(f"`{name}`" for name in (*members, members[0]))
        raise VariableCycle(
            f"variables refer to each other in a ring: {shown}",
            where=", ".join(origins[f"vars.{name}"] for name in members),
            hint="break it at one of them",
        ) from None


def _check_names(tables: Mapping[str, Mapping[str, Any]], origins: Mapping[str, str]) -> None:
    """What a service depends on and a knowledge base's embedder are there."""
    wishes = [
        (f"services.{name}", "service", other, "services")
        for name, service in tables["services"].items()
        for other in service.get("depends-on", ())
    ]
    wishes += [
        (f"knowledge.{name}", "knowledge base", base["embedder"], "models")
        for name, base in tables["knowledge"].items()
        if "embedder" in base
    ]
    for key, kind, other, section in wishes:
        if other not in tables[section]:
            close = alike(other, tables[section])
            name = key.partition(".")[2]
            raise BadManifestValue(
                f"{kind} `{name}` needs `{other}`, which is not in `[{section}]`, here or included",
                where=origins[key],
                hint=f"did you mean `{close[0]}`?" if close else f"name a table of `[{section}]`",
            )


# -- all at once --------------------------------------------------------------------------------------


def _systems(root: Manifest, layers: Sequence[Layer]) -> tuple[System, ...]:
    common = root.systems
    for layer in layers:
        left = tuple(system for system in common if system in layer.manifest.systems)
        if not left:
            theirs = ", ".join(f"`{system}`" for system in layer.manifest.systems)
            ours = ", ".join(f"`{system}`" for system in common)
            raise IncludesDisagree(
                f"no system is common to all: {_called(layer)} lists {theirs}, the others {ours}",
                where=layer.manifest.origins.get("environment.systems", str(layer.manifest.path)),
                hint="add a system to `systems` of one of them",
            )
        common = left
    return common


def _minimum_age(layers: Sequence[Layer]) -> Age | None:
    """The highest manifest that has a minimum age decides, as for other keys."""
    return next(
        (one.manifest.minimum_age for one in reversed(layers) if one.manifest.minimum_age is not None), None
    )


def _allow_licences(layers: Sequence[Layer]) -> tuple[str, ...] | None:
    """The licences of the highest layer that lists any."""
    listed = (one.manifest.allow_licences for one in reversed(layers))
    return next((one for one in listed if one is not None), None)


def _suite(layers: Sequence[Layer]) -> str | None:
    named = [layer for layer in layers if layer.manifest.debian is not None]
    if not named:
        return None
    for layer in named:
        one, other = named[-1].manifest, layer.manifest
        if one.debian != other.debian:
            raise IncludesDisagree(
                f"{_called(layer)} wants the suite `{other.debian}`, and {_called(named[-1])} `{one.debian}`",
                where=other.origins.get("environment.debian", str(other.path)),
                hint="all manifests of a composition name the same suite, or none",
            )
    return named[-1].manifest.debian


def _called(layer: Layer) -> str:
    return f"include `{layer.included.name}`" if layer.included else f"`{layer.manifest.path.name}`"


def _parts(layers: Sequence[Layer]) -> dict[str, Part]:
    """Each environment's part, of all layers that have it."""
    parts: dict[str, Part] = {}
    for layer in layers:
        for name, found in layer.manifest.environments.items():
            part = replace(found, manifest=_placed(found.manifest, layer.included))
            parts[name] = _part_over(parts[name], part) if name in parts else part
    return parts


def _part_over(lower: Part, higher: Part) -> Part:
    merging = _Merging()
    merging.add(lower.manifest, "")
    merging.add(higher.manifest, "")
    return Part(
        manifest=replace(
            merging.manifest(higher.manifest), systems=higher.manifest.systems or lower.manifest.systems
        ),
        inherit=lower.inherit if higher.inherit is None else higher.inherit,
        based_on=tuple(dict.fromkeys((*lower.based_on, *higher.based_on))),
        remove=tuple(dict.fromkeys((*lower.remove, *higher.remove))),
    )


# -- $INCLUDE_DIR -------------------------------------------------------------------------------------


def _placed(manifest: Manifest, included: Included | None) -> Manifest:
    """The manifest with `$INCLUDE_DIR` told. Patterns of documents stay: they are the project's."""
    directory = included.expression if included else "$CAPE_PROJECT"

    def told(value: Any) -> Any:
        if isinstance(value, str) and _INCLUDE_DIR.search(value):
            _check_plain(directory, manifest)
            return _INCLUDE_DIR.sub(lambda _: directory, value)
        if isinstance(value, Mapping):
            return MappingProxyType({key: told(item) for key, item in value.items()})
        return tuple(told(item) for item in value) if isinstance(value, tuple) else value

    return replace(
        manifest,
        vars=told(manifest.vars),
        secrets=told(manifest.secrets),
        services=told(manifest.services),
        profile=told(manifest.profile),
        hook=Hook(**{name: told(getattr(manifest.hook, name)) for name in _HOOKS}),
    )


def _check_plain(directory: str, manifest: Manifest) -> None:
    rest = directory.removeprefix("$CAPE_PROJECT")
    if rest and not PLAIN_DIRECTORY.match(rest):
        raise BadManifestValue(
            "`$INCLUDE_DIR` is used, and the directory's name has characters that shell text cannot hold",
            where=str(manifest.path),
            hint="rename the directory",
        )
