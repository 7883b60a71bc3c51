"""Packages with variants in a lock: which choices there are, and what each of them comes to.

Owns the rows of choices, and the combinations of choices that some machine makes: each has a manifest of
plain requirements and, in a lock, rows of its own. It knows machines as `accelerators` does, and asks
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from cape.accelerators import Accelerator, Condition
from cape.accelerators.conditions import distinguishable
from cape.manifest.model import Manifest, Variant, Varied
from cape.manifest.variants import key_of, varied_requirements
from cape.names import System
from cape.sources.protocol import Requirement

NOTHING = "-"
"""The choice of a machine for which no variant is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One variant as a lock has it. `served` is false where no registry at hand had it: it has no rows."""

    key: str
    when: str
    source: str
    package: str
    constraint: str = "*"
    systems: tuple[System, ...] = ()
    served: bool = True

    def is_for(self, accelerator: Accelerator, system: System) -> bool:
        """Whether a machine may take it."""
        return self.has_rows_on(system) and Condition.parse(self.when).holds(accelerator)

    def has_rows_on(self, system: System) -> bool:
        """Whether there may be rows of it on a system."""
        return self.served and self.is_on(system)

    def is_on(self, system: System) -> bool:
        """Whether it is meant for a system; Debian has packages for Linux alone."""
        return (system in self.systems or not self.systems) and (system.is_linux or self.source != "debian")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedVariants:
    """The choices of one package, in the order in which they are tried."""

    name: str
    choices: tuple[Choice, ...]
    optional: bool = False

    def taken(self, accelerator: Accelerator, system: System) -> Choice | None:
        """The first variant that is for a machine."""
        return next((one for one in self.choices if one.is_for(accelerator, system)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Combination:
    """What some machines choose: the key of each package's variant, and the systems of such machines."""

    keys: Mapping[str, str]
    systems: tuple[System, ...] = field(default=())

    @property
    def label(self) -> str:
        return label_of(self.keys)


def label_of(keys: Mapping[str, str]) -> str:
    """How the rows of a combination name it: `jax:cpu/pypi torch:cpu/debian`."""
    return " ".join(f"{name}:{keys[name]}" for name in sorted(keys))


def label_for(variants: Iterable[LockedVariants], accelerator: Accelerator, system: System) -> str:
    """The combination that a machine takes; one that no machine of the lock takes is not in the lock."""
    return label_of(_keys(variants, accelerator, system))


def _keys(variants: Iterable[LockedVariants], accelerator: Accelerator, system: System) -> dict[str, str]:
    taken = {one.name: one.taken(accelerator, system) for one in variants}
    return {name: choice.key if choice else NOTHING for name, choice in taken.items()}


def combinations_of(variants: Sequence[LockedVariants], systems: Iterable[System]) -> tuple[Combination, ...]:
    """The combinations that machines of these systems make, each once, the plainest machine's first."""
    if not variants:
        return ()
    conditions = [Condition.parse(choice.when) for one in variants for choice in one.choices]
    found: dict[str, tuple[dict[str, str], list[System]]] = {}
    for system in sorted(systems, key=lambda one: (not one.is_linux, one)):
        for accelerator in distinguishable(conditions, system):
            keys = _keys(variants, accelerator, system)
            on = found.setdefault(label_of(keys), (keys, []))[1]
            if system not in on:
                on.append(system)
    return tuple(
        Combination(keys=MappingProxyType(keys), systems=tuple(sorted(on))) for keys, on in found.values()
    )


# -- of a manifest ------------------------------------------------------------------------------------


def wanted_variants(manifest: Manifest, unserved: frozenset[tuple[str, str]]) -> tuple[LockedVariants, ...]:
    """The choices that a manifest has; `unserved` are those that no registry at hand has, by name and key."""
    return tuple(_locked(one, unserved) for one in varied_requirements(manifest))


def _locked(requirement: Varied, unserved: frozenset[tuple[str, str]]) -> LockedVariants:
    return LockedVariants(
        name=requirement.name,
        optional=requirement.optional,
        choices=tuple(
            Choice(
                key=key_of(one),
                when=one.when,
                source=one.requirement.source,
                package=one.requirement.package,
                constraint=one.requirement.constraint,
                systems=tuple(sorted(one.requirement.systems)),
                served=(requirement.name, key_of(one)) not in unserved,
            )
            for one in requirement.variants
        ),
    )


def unserved_of(variants: Iterable[LockedVariants]) -> frozenset[tuple[str, str]]:
    """The variants that a lock has no rows of, by name and key."""
    choices = [(one.name, choice) for one in variants for choice in one.choices]
    return frozenset((name, choice.key) for name, choice in choices if not choice.served)


def manifest_of(manifest: Manifest, combination: Combination) -> Manifest:
    """The manifest of one combination: plain requirements, for the systems of its machines."""
    known = {one.name: one for one in varied_requirements(manifest)}
    requirements: list[Requirement] = []
    provided: dict[str, str] = {}
    for requirement in manifest.requirements:
        if requirement.name not in known:
            requirements.append(requirement)
            continue
        variant = _variant(known[requirement.name], combination.keys[requirement.name])
        if variant is not None:
            requirements.append(replace(variant.requirement, where=requirement.where))
            provided |= _provided(known[requirement.name], variant)
    return replace(
        manifest,
        requirements=tuple(requirements),
        systems=tuple(one for one in manifest.systems if one in combination.systems),
        gpu=None,
        provided=MappingProxyType(provided),
    )


def _variant(requirement: Varied, key: str) -> Variant | None:
    return next((one for one in requirement.variants if key_of(one) == key), None)


def _provided(requirement: Varied, taken: Variant) -> dict[str, str]:
    """What the Debian package that was taken stands for: the Python packages of the other variants."""
    if taken.requirement.source != "debian":
        return {}
    others = {one.requirement.package for one in requirement.variants if one.requirement.source == "pypi"}
    return dict.fromkeys(sorted(others), taken.requirement.package)
