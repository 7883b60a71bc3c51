"""The locks of a manifest's environments, and what of a lock belongs to which of them.

Owns locking each environment beside the default one, seeded so that they share versions, and choosing an
environment's lock. How one is locked is `locking`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from cape.errors import CapeError
from cape.lock import ALL, Lock, UnknownUpgrade, locked_include, seed_for
from cape.manifest import Manifest, UnknownEnvironment, environment_of
from cape.manifest.model import DEFAULT_ENVIRONMENT
from cape.names import nearest
from cape.operations.variants import LockOne, lock_combinations


def lock_all(
    manifest: Manifest,
    previous: Lock | None,
    upgrade: frozenset[str] | None,
    lock_one: LockOne,
    *,
    indices: frozenset[str] = frozenset(),
) -> Lock:
    """The lock of a composed manifest: the default environment's, with the others' and the includes.

    Each is locked for all its combinations of variants;
    `indices` are the named Python indices of this machine.
    Names to upgrade that are includes' are done with; another one is passed to the environments that know
    it. Raises `UnknownUpgrade` for one that none does, and what `lock_one` raises.
    """
    free = upgrade
    if upgrade is not None and not upgrade & ALL:
        free = frozenset(upgrade - {one.name for one in manifest.included})
    own, others = _shared_out(free, manifest, previous)
    lock_environment = partial(lock_combinations, lock_one=lock_one, indices=indices)
    default = lock_environment(manifest, previous, own)
    locks = {
        name: _lock_environment(name, manifest, default, previous, others.get(name), lock_environment)
        for name in manifest.environments
    }
    notes = [note for lock in locks.values() for note in lock.notes]
    return replace(
        default,
        includes=tuple(locked_include(included) for included in manifest.included),
        environments=locks,
        notes=tuple(dict.fromkeys((*default.notes, *manifest.overridden, *notes))),
    )


def alone(manifest: Manifest, name: str | None) -> Manifest:
    """The manifest of one environment, as if there were no others and nothing were included."""
    return replace(environment_of(manifest, name), environments=MappingProxyType({}), included=())


def lock_of(lock: Lock, name: str | None) -> Lock:
    """The lock of one environment; None, or `default`: the lock itself. It must have the environment."""
    return lock if name in (None, DEFAULT_ENVIRONMENT) else lock.environments[str(name)]


def chosen_lock(lock: Lock, name: str | None) -> Lock:
    """The lock of an environment that a user names. Raises `UnknownEnvironment`."""
    if name is not None and name not in lock.environments and name != DEFAULT_ENVIRONMENT:
        known = [DEFAULT_ENVIRONMENT, *lock.environments]
        close = nearest(name, known)
        listed = ", ".join(f"`{one}`" for one in known)
        raise UnknownEnvironment(
            f"the lock has no environment `{name}`",
            hint=f"did you mean `{close[0]}`?" if close else f"it has {listed}",
        )
    return lock_of(lock, name)


def _lock_environment(
    name: str,
    manifest: Manifest,
    default: Lock,
    previous: Lock | None,
    upgrade: frozenset[str] | None,
    lock_one: Callable[[Manifest, Lock | None, frozenset[str] | None], Lock],
) -> Lock:
    before = previous.environments.get(name) if previous else None
    inherits = manifest.environments[name].inherit is not False
    anew = upgrade is not None and bool(upgrade & ALL)
    seed = seed_for(default, None if anew else before, inherits=inherits)
    try:
        found = lock_one(alone(manifest, name), seed, None if anew else upgrade)
    except CapeError as error:
        error.fact = f"environment `{name}`: {error.fact}"
        raise
    return replace(found, knowledge=(), documents=(), unsettled_knowledge=frozenset())


def _shared_out(
    upgrade: frozenset[str] | None, manifest: Manifest, previous: Lock | None
) -> tuple[frozenset[str] | None, Mapping[str, frozenset[str]]]:
    """The names to upgrade in the default environment, and in each other."""
    names = manifest.environments
    if upgrade is None or upgrade & ALL or not names:
        return upgrade, dict.fromkeys(names, upgrade) if upgrade else {}
    own = upgrade & _known(alone(manifest, None), previous)
    others = {
        name: upgrade & _known(alone(manifest, name), previous.environments.get(name) if previous else None)
        for name in names
    }
    unknown = upgrade - own - frozenset().union(*others.values())
    if unknown:
        raise UnknownUpgrade(
            f"nothing of the name `{min(unknown)}` is asked for or locked",
            hint="`cape list --all` shows what is locked",
        )
    return own, others


def _known(manifest: Manifest, lock: Lock | None) -> frozenset[str]:
    asked = {requirement.name for requirement in manifest.requirements}
    rows = lock.packages if lock else ()
    return frozenset(asked | {name for row in rows for name in (row.name, f"{row.source}:{row.name}")})
