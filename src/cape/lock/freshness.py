"""Whether a lock answers a manifest.

Owns the comparison of requirement rows, systems, suite and exposed programs. No source is asked: whether
registries have something newer is no question of freshness.
"""

from __future__ import annotations

from collections.abc import Iterator

from cape.lock.licences import forbidden
from cape.lock.model import Lock, LockedInclude
from cape.lock.variants import (
    LockedVariants,
    combinations_of,
    manifest_of,
    unserved_of,
    wanted_variants,
)
from cape.lock.wanted import wanted_requirements
from cape.manifest.model import Expose, Included, Manifest
from cape.names import Digest, System
from cape.sources.protocol import CONTENT_OPTION, PROJECT_OPTION, Requirement


def check_freshness(manifest: Manifest, lock: Lock) -> tuple[str, ...]:
    """What differs between manifest and lock, as sentences in order of name; empty when nothing does.

    Where a requirement stands in the manifest plays no part. A lock that `needs_relock` is not judged
    by this.
    """
    return (
        *_differences(manifest, lock),
        *_include_differences(manifest, lock),
        *_environment_differences(manifest, lock),
    )


def _include_differences(manifest: Manifest, lock: Lock) -> Iterator[str]:
    """What differs between the manifests that are included and those that were."""
    wanted = {include.name: include for include in manifest.included}
    locked = {include.name: include for include in lock.includes}
    for name in sorted(wanted.keys() | locked.keys()):
        if name not in locked:
            yield f"include `{name}` is in the manifest and not locked"
        elif name not in wanted:
            yield f"include `{name}` is locked and no longer in the manifest"
        elif locked_include(wanted[name]) != locked[name]:
            yield f"include `{name}` is not what was locked"


def locked_include(included: Included) -> LockedInclude:
    """The row of an included manifest."""
    return LockedInclude(
        name=included.name,
        digest=included.digest,
        commit=included.commit if included.is_git else None,
        wanted=wanted_digest(included) if included.is_git else None,
    )


def wanted_digest(included: Included) -> Digest:
    """What a manifest asks of git: address, reference and path."""
    return Digest.of_lines([str(included.url), included.ref or "", included.path])


def _environment_differences(manifest: Manifest, lock: Lock) -> Iterator[str]:
    from cape.manifest.merge import environment_of

    for name in sorted(manifest.environments.keys() | lock.environments.keys()):
        if name not in lock.environments:
            yield f"environment `{name}` is in the manifest and not locked"
        elif name not in manifest.environments:
            yield f"environment `{name}` is locked and no longer in the manifest"
        else:
            for difference in _differences(environment_of(manifest, name), lock.environments[name]):
                yield f"environment `{name}`: {difference}"


def _differences(manifest: Manifest, lock: Lock) -> Iterator[str]:
    unserved = unserved_of(lock.variants)
    variants = wanted_variants(manifest, unserved)
    if not variants and not lock.variants:
        yield from _plain_differences(manifest, lock)
        return
    told = dict.fromkeys(_variant_differences(variants, lock.variants))
    for combination in combinations_of(variants, manifest.systems):
        one = lock.combinations.get(combination.label)
        if one is not None:
            found = _plain_differences(manifest_of(manifest, combination), one)
            told |= dict.fromkeys(found)
        elif not told:
            told[f"`{combination.label}` is not locked"] = None
    yield from told


def _variant_differences(
    wanted: tuple[LockedVariants, ...], locked: tuple[LockedVariants, ...]
) -> Iterator[str]:
    ours, theirs = ({one.name: one for one in variants} for variants in (wanted, locked))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield f"the variants of `{name}` are not those that were locked"


def _plain_differences(manifest: Manifest, lock: Lock) -> Iterator[str]:
    wanted = {requirement.name: requirement for requirement in wanted_requirements(manifest)}
    locked = {requirement.name: requirement for requirement in lock.requirements}
    for name in sorted(wanted.keys() | locked.keys()):
        if name not in locked:
            yield f"`{name}` is in the manifest and not locked"
        elif name not in wanted:
            yield f"`{name}` is locked and no longer in the manifest"
        elif not same_requirement(wanted[name], locked[name]):
            yield _difference(wanted[name], locked[name])
    if set(manifest.systems) != set(lock.systems):
        yield f"the manifest lists {_names(manifest.systems)}, and locked are {_names(lock.systems)}"
    if manifest.debian != lock.suite:
        yield f"the manifest's suite is {_suite(manifest.debian)}, and the lock's is {_suite(lock.suite)}"
    if not same_expose(manifest.expose, lock.expose):
        yield "the programs that `environment.expose` adds or hides differ"
    for name, licence in forbidden(manifest, lock.packages):
        yield f"`{name}` has the licence `{licence}`, which `options.allow-licences` does not list"


def same_requirement(one: Requirement, other: Requirement) -> bool:
    """Whether two requirements ask for the same, wherever they stand."""
    return (
        one.source == other.source
        and one.name == other.name
        and one.package == other.package
        and one.constraint == other.constraint
        and set(one.systems) == set(other.systems)
        and dict(one.options) == dict(other.options)
    )


def same_expose(one: Expose, other: Expose) -> bool:
    """Whether two lists of exposed programs mean the same, in whatever order."""
    return set(one.add) == set(other.add) and set(one.hide) == set(other.hide)


def _difference(wanted: Requirement, locked: Requirement) -> str:
    name = wanted.name
    if (wanted.source, wanted.package) != (locked.source, locked.package):
        return (
            f"`{name}` is `{wanted.source}:{wanted.package}` in the manifest, "
            f"and was locked as `{locked.source}:{locked.package}`"
        )
    if wanted.constraint != locked.constraint:
        return f"`{name}` is `{wanted.constraint}` in the manifest, and was locked as `{locked.constraint}`"
    if wanted.options.get(CONTENT_OPTION) != locked.options.get(CONTENT_OPTION):
        return f"`{wanted.options.get(PROJECT_OPTION, name)}` asks for something else than was locked"
    if set(wanted.systems) != set(locked.systems):
        return f"`{name}` is wanted on other systems than it was locked for"
    return f"`{name}` has other options than it was locked with"


def _names(systems: tuple[System, ...]) -> str:
    return ", ".join(f"`{system}`" for system in sorted(systems)) or "no systems"


def _suite(suite: str | None) -> str:
    return f"`{suite}`" if suite else "none"
