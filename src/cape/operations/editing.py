"""`cape install`, `uninstall`, `upgrade`: an edit of the manifest, its lock, and its environment, as one.

Whatever fails, manifest, lock and generations are as they were: both files are written only after the
new environment is made, and the switch to it comes last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cape.environment.generations import heal
from cape.errors import InputError
from cape.lock import ALL, read_lock
from cape.manifest import (
    Manifest,
    PackageArgument,
    UnknownRequirement,
    add_requirements,
    environment_of,
    parse_manifest,
    remove_requirements,
)
from cape.operations.including import project_manifest
from cape.operations.locking import LockResult, compute_lock
from cape.operations.mending import Consent, lock_mending
from cape.operations.project import Project, Workshop
from cape.operations.syncing import SyncResult, environments_in_use, prepare, publish


class ComesFromInclude(InputError):
    """A package to remove that an included manifest brings."""

    slug = "comes-from-include"


@dataclass(frozen=True, kw_only=True, slots=True)
class EditResult:
    """An edit: the lock that answers it, and the generation it made (None for a dry run)."""

    locked: LockResult
    synced: SyncResult | None
    text: str


def install(
    project: Project,
    workshop: Workshop,
    packages: Sequence[PackageArgument],
    *,
    argv: Sequence[str],
    as_of: str | None = None,
    dry_run: bool = False,
    consent: Consent | None = None,
    environment: str | None = None,
) -> EditResult:
    """Add packages to the manifest (or change their constraint), lock, and make a generation.

    With `environment`, to the tables of that environment. Raises `UnknownEnvironment`.
    """
    heal(project.directory)
    manifest = project_manifest(project, store=workshop.store)
    environment_of(manifest, environment)
    text = add_requirements(manifest.text, packages, environment=environment)
    mending = Mending(consent=consent, command="cape install --fix")
    return _apply(project, workshop, manifest, text, argv=argv, as_of=as_of, dry_run=dry_run, mending=mending)


def uninstall(
    project: Project,
    workshop: Workshop,
    names: Sequence[str],
    *,
    argv: Sequence[str],
    dry_run: bool = False,
    environment: str | None = None,
) -> EditResult:
    """Remove packages from the manifest: all of them, or none.

    Raises `UnknownRequirement`, `ComesFromInclude`, `UnknownEnvironment`.
    """
    heal(project.directory)
    manifest = project_manifest(project, store=workshop.store)
    one = environment_of(manifest, environment)
    keys = [_key_of(one, name) for name in names]
    own = parse_manifest(manifest.text, path=project.manifest_path)
    _check_own(own.environments[environment].manifest if environment else own, one, keys)
    text = remove_requirements(manifest.text, keys, environment=environment)
    return _apply(project, workshop, manifest, text, argv=argv, dry_run=dry_run)


def upgrade(
    project: Project,
    workshop: Workshop,
    names: Sequence[str],
    *,
    argv: Sequence[str],
    as_of: str | None = None,
    dry_run: bool = False,
    consent: Consent | None = None,
) -> EditResult:
    """Let the named packages move within their constraints; all, when none is named."""
    heal(project.directory)
    asked = frozenset(names) if names else ALL
    manifest = project_manifest(project, store=workshop.store, upgrade=asked)
    free = frozenset(_free_name(manifest, name) for name in names) if names else ALL
    mending = Mending(consent=consent, command="cape upgrade --fix")
    return _apply(
        project,
        workshop,
        manifest,
        manifest.text,
        argv=argv,
        as_of=as_of,
        dry_run=dry_run,
        free=free,
        mending=mending,
    )


def _free_name(manifest: Manifest, name: str) -> str:
    """What may move: an include, or a package of one of the environments."""
    if any(included.name == name for included in manifest.included):
        return name
    for other in manifest.environments:
        with contextlib.suppress(UnknownRequirement):
            return _key_of(environment_of(manifest, other), name)
    return _key_of(manifest, name)


def _check_own(own: Manifest, whole: Manifest, keys: Sequence[str]) -> None:
    """What is to be removed stands in the manifest itself. Raises `ComesFromInclude`."""
    for key in keys:
        requirement = whole.requirement(key)
        if requirement is None or own.requirement(key) is not None:
            continue
        section = "models" if requirement.source == "model" else "packages"
        place = requirement.where or ""
        include = next(
            (one for one in reversed(whole.included) if place.startswith(f"{one.directory}/cape.toml:")), None
        )
        if include is None and "pyproject.toml:" in place:
            raise UnknownRequirement(
                f"`{key}` is asked for by `pyproject.toml`, not by `cape.toml`",
                where=place,
                hint="take the line out there",
            )
        if include is None:
            raise UnknownRequirement(
                f"`{key}` is not in this environment's own tables",
                where=place,
                hint=f'leave it out with `remove = ["{section}.{key}"]` there, or uninstall it without `-e`',
            )
        raise ComesFromInclude(
            f"`{key}` comes from the include `{include.name}`, not from this manifest",
            where=place,
            hint=f'leave it out with `remove = ["{section}.{key}"]` in `[include]`',
        )


def _key_of(manifest: Manifest, name: str) -> str:
    """The manifest's key for `NAME` or `SOURCE:NAME`."""
    from cape.names import nearest

    source, _, bare = name.rpartition(":")
    for requirement in manifest.requirements:
        names = (requirement.name, requirement.package)
        if bare in names and (not source or source == requirement.source):
            return requirement.name
    close = nearest(bare, [requirement.name for requirement in manifest.requirements])
    raise UnknownRequirement(
        f"the manifest has no package `{name}`",
        where=str(manifest.path),
        hint="did you mean " + ", ".join(f"`{one}`" for one in close) + "?"
        if close
        else "`cape list` shows what it asks for",
    )


def _as_placed(edited: Manifest, manifest: Manifest) -> Manifest:
    """The edited manifest with the places of the file as it is: none for what the file does not hold."""
    places = {requirement.name: requirement.where for requirement in manifest.requirements}
    return replace(
        edited,
        requirements=tuple(replace(one, where=places.get(one.name)) for one in edited.requirements),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Mending:
    """What becomes of what language packages lack: who is asked, and what command a hint names."""

    consent: Consent | None = None
    command: str | None = None


def _apply(
    project: Project,
    workshop: Workshop,
    manifest: Manifest,
    text: str,
    *,
    argv: Sequence[str],
    as_of: str | None = None,
    dry_run: bool,
    free: frozenset[str] | None = None,
    mending: Mending = Mending(),
) -> EditResult:
    """The caller holds the project and has finished a switch that was cut off."""
    previous = read_lock(project.lock_path)

    def lock(text: str) -> LockResult:
        edited = manifest
        if text != manifest.text:
            edited = _as_placed(project_manifest(project, text=text, store=workshop.store), manifest)
        return compute_lock(edited, previous, workshop, upgrade=free, as_of=as_of, dry_run=dry_run)

    text, locked, added = lock_mending(text, lock, consent=mending.consent, command=mending.command)
    locked = replace(locked, added=added)
    if dry_run:
        return EditResult(locked=locked, synced=None, text=text)
    prepared = prepare(workshop, locked, environments=environments_in_use(project, locked.manifest))
    synced = publish(project, prepared, argv=argv)
    return EditResult(locked=locked, synced=synced, text=text)
