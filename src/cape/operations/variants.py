"""Packages with variants: locking every combination, and the one that a machine takes.

Owns which combinations are locked, the choice by this machine's accelerator or by the user's word, and what
is said of it. Conditions are `accelerators`', rows are `lock`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cape.accelerators import Accelerator, Condition
from cape.accelerators.decision import CUDA
from cape.errors import InputError, StateError
from cape.lock import ALL, Lock, explain, seed_for, wanted_requirements
from cape.lock.keeping import check_upgrade
from cape.lock.variants import (
    Choice,
    LockedVariants,
    combinations_of,
    label_for,
    manifest_of,
    wanted_variants,
)
from cape.manifest import Manifest
from cape.manifest.variants import key_of, varied_requirements
from cape.names import System
from cape.sources.protocol import LockedPackage, RegistryUnknown


class LockOne(Protocol):
    """Locks one manifest without variants: what to start from, and the names that may move.

    One that is `aside` is for other machines: no artifact is brought to be looked into.
    """

    def __call__(
        self,
        manifest: Manifest,
        start: Lock | None,
        upgrade: frozenset[str] | None,
        /,
        *,
        aside: bool = False,
    ) -> Lock: ...


class NoVariant(StateError):
    """No variant of a package is for this machine."""

    slug = "no-variant"


class DriverTooOld(StateError):
    """The driver of this machine is older than what a chosen variant is built for."""

    slug = "driver-too-old"


class GpuTooOld(StateError):
    """The GPU of this machine is older than what a chosen variant is built for."""

    slug = "gpu-too-old"


# -- locking ------------------------------------------------------------------------------------------


def lock_combinations(
    manifest: Manifest,
    previous: Lock | None,
    upgrade: frozenset[str] | None,
    *,
    lock_one: LockOne,
    indices: frozenset[str],
) -> Lock:
    """The lock of an environment: one resolution for each combination of variants that some machine takes.

    The first seeds the others, so what all may share, they share. Raises what `lock_one` raises, with the
    combination in its sentence, and `RegistryUnknown` where no variant of a package can be had.
    """
    unserved = _unserved(manifest, previous, indices)
    variants = wanted_variants(manifest, unserved)
    combinations = combinations_of(variants, manifest.systems)
    if not combinations:
        return lock_one(manifest, previous, upgrade)
    _check_served(variants, manifest)
    _check_upgrade(upgrade, manifest, previous)
    before = previous.combinations if previous else {}
    ours = _label_here(variants, manifest) or combinations[0].label
    locks: dict[str, Lock] = {}
    for combination in combinations:
        own = manifest_of(manifest, combination)
        seed = before.get(combination.label) or _unmarked(previous)
        if locks:
            seed = seed_for(next(iter(locks.values())), before.get(combination.label), inherits=True)
        try:
            aside = combination.label != ours
            found = lock_one(own, seed, _known_of(upgrade, own, seed), aside=aside)
        except InputError as error:
            error.fact = f"for `{combination.label}`: {error.fact}"
            raise
        locks[combination.label] = found
    return _whole(manifest, variants, locks, unserved)


def _label_here(variants: tuple[LockedVariants, ...], manifest: Manifest) -> str | None:
    """What this machine takes; None where the manifest is not for its system."""
    system = System.current()
    if system not in manifest.systems:
        return None
    return label_for(variants, accelerator_for(None, system), system)


def _unmarked(previous: Lock | None) -> Lock | None:
    """A lock that had no variants, or others, as a start for one that has."""
    return replace(previous, variants=(), combinations={}, environments={}) if previous else None


def _known_of(upgrade: frozenset[str] | None, manifest: Manifest, seed: Lock | None) -> frozenset[str] | None:
    """Of the names to upgrade, those that this combination has."""
    if upgrade is None or upgrade & ALL:
        return upgrade
    known = {one.name for one in manifest.requirements}
    rows = seed.packages if seed else ()
    return upgrade & (known | {name for row in rows for name in (row.name, f"{row.source}:{row.name}")})


def _check_upgrade(upgrade: frozenset[str] | None, manifest: Manifest, previous: Lock | None) -> None:
    """A name that no combination has is one too many. Raises `UnknownUpgrade`."""
    if upgrade is None or upgrade & ALL:
        return
    locks = previous.combinations.values() if previous else ()
    check_upgrade(
        upgrade,
        wanted_requirements(manifest),
        replace(previous, packages=tuple(row for one in locks for row in one.packages)) if previous else None,
    )


def _whole(
    manifest: Manifest,
    variants: tuple[LockedVariants, ...],
    locks: Mapping[str, Lock],
    unserved: frozenset[tuple[str, str]],
) -> Lock:
    plain = next(iter(locks.values()))
    notes = [note for lock in locks.values() for note in lock.notes]
    notes += [_unserved_note(name, key) for name, key in sorted(unserved)]
    return replace(
        plain,
        systems=manifest.systems,
        variants=variants,
        combinations={
            label: replace(lock, knowledge=(), documents=(), unsettled_knowledge=frozenset(), notes=())
            for label, lock in locks.items()
        },
        notes=tuple(dict.fromkeys(notes)),
    )


def _unserved(
    manifest: Manifest, previous: Lock | None, indices: frozenset[str]
) -> frozenset[tuple[str, str]]:
    """The variants whose index this machine does not know, and of which the present lock has no rows."""
    kept = {
        (one.name, choice.key)
        for one in (previous.variants if previous else ())
        for choice in one.choices
        if choice.served
    }
    return frozenset(
        place
        for one in varied_requirements(manifest)
        for variant in one.variants
        if (index := variant.requirement.options.get("index")) is not None and index not in indices
        if (place := (one.name, key_of(variant))) not in kept
    )


def _check_served(variants: Iterable[LockedVariants], manifest: Manifest) -> None:
    for one in variants:
        if not any(choice.served for choice in one.choices):
            requirement = manifest.requirement(one.name)
            names = ", ".join(f"`{choice.key.rpartition('/')[2]}`" for choice in one.choices)
            raise RegistryUnknown(
                f"no index of `{one.name}` is known on this machine: {names}",
                where=requirement.where if requirement else None,
                hint="`cape config pypi.indices NAME=URL` names one",
            )


def _unserved_note(name: str, key: str) -> str:
    when, _, index = key.rpartition("/")
    return (
        f"`{name}` for `{when}` is not locked: it is on the Python index `{index}`, which this machine does "
        f"not know; name it with `cape config pypi.indices {index}=URL`, then run `cape upgrade {name}`"
    )


# -- choosing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Which variant of a package a machine takes, None for none, and why.

    `passed_over` has those that were tried before it, each with why it is not taken.
    """

    name: str
    when: str | None
    source: str | None
    package: str | None
    reason: str
    passed_over: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """A sentence about it."""
        if self.when is None:
            return f"`{self.name}` is left out: {self.reason}"
        return f"`{self.name}` is {self.source}:{self.package}, for `{self.when}`: {self.reason}"


def accelerator_for(gpu: str | None, system: System) -> Accelerator:
    """The accelerator to choose by: the user's word, else this machine's, else none for other systems.

    Raises `BadAccelerator`.
    """
    from cape.accelerators import Machine, decide
    from cape.accelerators.conditions import KINDS
    from cape.operations.gpu import this_accelerator

    if gpu not in (None, "auto"):
        return decide(Machine(), library=False, chosen=gpu)
    if system is System.current():
        return this_accelerator()
    return Accelerator(
        kind=KINDS[system][-1], reason=f"nothing is known of the machine for `{system}`; see `--gpu`"
    )


def fitting(
    lock: Lock,
    *,
    gpu: str | None = None,
    system: System | None = None,
    accelerator: Accelerator | None = None,
) -> Lock:
    """The lock of one environment as this machine takes it; a lock without variants is that already.

    `accelerator` is the machine's, where it is known already. Nothing is downloaded for it. Raises
    `NoVariant`, `DriverTooOld`, `GpuTooOld`, `BadAccelerator`.
    """
    if not lock.variants:
        if gpu is not None:
            accelerator_for(gpu, system or System.current())
        return lock
    wanted = system or System.current()
    accelerator = accelerator or accelerator_for(gpu, wanted)
    _check_there(lock, accelerator, wanted)
    found = _chosen(lock, accelerator, wanted)
    if found is None:
        raise NoVariant(
            f"the lock has no combination of variants for `{accelerator.kind}` on `{wanted}`",
            hint="`--gpu` names another accelerator; add a variant, then run `cape lock`",
        )
    _check_fits(found, lock, accelerator, wanted)
    return replace(
        found,
        knowledge=lock.knowledge,
        documents=lock.documents,
        unsettled_knowledge=lock.unsettled_knowledge,
        includes=lock.includes,
        environments=lock.environments,
        notes=lock.notes,
    )


def decisions(lock: Lock, accelerator: Accelerator, system: System) -> tuple[Decision, ...]:
    """What a machine takes of each package with variants, by name."""
    return tuple(_decision(one, accelerator, system) for one in lock.variants)


def decisions_of(lock: Lock, gpu: str | None) -> tuple[Decision, ...]:
    """What this machine, or one with another accelerator, takes of a lock; costs nothing without variants."""
    if not lock.variants:
        return ()
    system = System.current()
    return decisions(lock, accelerator_for(gpu, system), system)


def with_package(lock: Lock, name: str) -> Lock:
    """The combination to look for a package in: this machine's, else the first that has it."""
    from cape.operations.inspecting import NotInLock, rows_of

    if not lock.variants:
        return lock
    here = _chosen(lock, accelerator_for(None, System.current()), System.current())
    for one in (*([here] if here else []), *lock.combinations.values()):
        try:
            rows_of(one, name)
        except NotInLock:
            continue
        return one
    return here or lock


def decisions_here(start: Path, accelerator: Accelerator) -> tuple[Decision, ...]:
    """What this machine takes in the project around a directory; empty without a lock."""
    from cape.lock import read_lock
    from cape.operations.project import NoProject, find_project

    try:
        lock = read_lock(find_project(start).lock_path)
    except NoProject:
        return ()
    return decisions(lock, accelerator, System.current()) if lock else ()


def _decision(variants: LockedVariants, accelerator: Accelerator, system: System) -> Decision:
    taken = variants.taken(accelerator, system)
    before = variants.choices[: variants.choices.index(taken)] if taken else variants.choices
    return Decision(
        name=variants.name,
        when=taken.when if taken else None,
        source=taken.source if taken else None,
        package=taken.package if taken else None,
        reason=_machine(accelerator) if taken else "no variant is for this machine",
        passed_over=tuple((one.when, _why_not(one, accelerator, system)) for one in before),
    )


def _machine(accelerator: Accelerator) -> str:
    version = f" {accelerator.version}" if accelerator.version else ""
    return f"{accelerator.kind}{version} ({accelerator.reason})"


def _why_not(choice: Choice, accelerator: Accelerator, system: System) -> str:
    if not choice.is_on(system):
        return f"{choice.source}:{choice.package} is not for `{system}`"
    if failing := Condition.parse(choice.when).failing(accelerator):
        return " and ".join(failing)
    index = choice.key.rpartition("/")[2]
    return f"it is not locked: the Python index `{index}` was not known where the lock was made"


def _chosen(lock: Lock, accelerator: Accelerator, system: System) -> Lock | None:
    found = lock.combinations.get(label_for(lock.variants, accelerator, system))
    return found if found is not None and system in found.systems else None


def _check_there(lock: Lock, accelerator: Accelerator, system: System) -> None:
    for one in lock.variants:
        meant = [choice for choice in one.choices if choice.is_on(system)]
        if one.optional or not meant or one.taken(accelerator, system):
            continue
        why = "; ".join(f"`{choice.when}`: {_why_not(choice, accelerator, system)}" for choice in one.choices)
        raise NoVariant(
            f"no variant of `{one.name}` is for this machine, which has {_machine(accelerator)}",
            hint=f'{why}. A variant with `when = "cpu"` is for every machine',
        )


# -- what a variant needs of the machine --------------------------------------------------------------

_OLDEST_CAPABILITY = {11: "3.5", 12: "5.0", 13: "7.5"}
"""The oldest compute capability that a CUDA's libraries run on, by its major version.

Source: the release notes of CUDA 11.0, 12.0 and 13.0, on architectures that were removed.
"""

_DRIVERS = {12: "525", 13: "580"}
"""The oldest driver of a CUDA's major version; its minor versions run on it too. Source: NVIDIA's guide to
CUDA compatibility."""

_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?\Z")
_NAMED = re.compile(r".*-cu(?:da)?(1[1-9])x?(?:-[a-z-]+)?\Z")
_TAGGED = re.compile(r"\+cu(1[1-9])(\d)(?:\W|\Z)")


def cuda_of(row: LockedPackage) -> str | None:
    """The CUDA that a locked wheel is built for, as far as its name or version tells: `12.8`, or `12`."""
    if row.source != "pypi":
        return None
    if _RUNTIME.match(row.name):
        return ".".join(row.version.split(".")[:2])
    if tagged := _TAGGED.search(row.version):
        return f"{tagged[1]}.{tagged[2]}"
    named = _NAMED.match(row.name)
    return named[1] if named else None


def _check_fits(lock: Lock, whole: Lock, accelerator: Accelerator, system: System) -> None:
    """Raise where the machine is too old for what was chosen, with what would fit."""
    fault = _fault(lock, accelerator, system)
    if fault is None:
        return
    others = [*(f"cuda{major}" for major in sorted(_OLDEST_CAPABILITY, reverse=True)), "cpu"]
    for word in others:
        other = accelerator_for(word, system)
        limited = replace(other, capability=accelerator.capability, driver=accelerator.driver)
        if _major(other.version) > _major(accelerator.version):
            continue
        found = _chosen(whole, limited, system)
        if found is _chosen(whole, accelerator_for("cpu", system), system):
            word = "cpu"
        if found is not None and _fault(found, limited, system) is None:
            made = decisions(whole, limited, system)
            taken = ", ".join(f"{one.source}:{one.package}" for one in made if one.when)
            left = ", ".join(f"`{one.name}`" for one in made)
            what = f"it takes {taken}" if taken else f"it leaves out {left}"
            fault.hint = f"{fault.hint}; `CAPE_GPU={word}` fits: {what}"
            break
    raise fault


def _fault(lock: Lock, accelerator: Accelerator, system: System) -> StateError | None:
    if accelerator.kind != CUDA:
        return None
    needs = [(cuda, row) for row in lock.packages if system in row.systems and (cuda := cuda_of(row))]
    for cuda, row in sorted(needs, key=lambda one: (-_major(one[0]), len(one[0]) < 3, one[1].name)):
        asked = next(iter(explain(lock, row.name)), (row.name,))[0]
        what = f"`{asked}` needs CUDA {cuda}" + (
            f" (`{row.name}` {row.version})" if asked != row.name else ""
        )
        if accelerator.version and _major(accelerator.version) < _major(cuda):
            has = f"the driver {accelerator.driver or 'here'} has CUDA {accelerator.version}"
            return DriverTooOld(
                f"{what}, and {accelerator.reason if accelerator.is_asked else has}",
                hint=f"a driver from {_DRIVERS.get(_major(cuda), 'its time')} on has it",
            )
        oldest = _OLDEST_CAPABILITY.get(_major(cuda))
        if accelerator.capability and oldest and _version(accelerator.capability) < _version(oldest):
            gpu = accelerator.devices[0] if accelerator.devices else "this machine's GPU"
            return GpuTooOld(
                f"{what}, which wants compute capability {oldest}, and {gpu} has {accelerator.capability}",
                hint="allow versions that are built for an older CUDA",
            )
    return None


def _major(version: str | None) -> int:
    return int(version.split(".")[0]) if version else 0


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
