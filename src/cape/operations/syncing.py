"""Lock to environment: `cape sync`, and the second half of every edit.

`prepare` makes the environment and touches nothing of the project; `publish` writes manifest and lock and
switches the project to a new generation. A failure in between leaves the project as it was.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.environment.generations import current_generation, heal, new_generation
from cape.environment.objects import make_objects, plan_keys
from cape.environment.plan import EnvironmentPlan, plan_environment
from cape.environment.realisation import RealisedEnvironment, read_environment, realise
from cape.environment.relocation import TreeFacts
from cape.errors import IntegrityError, StateError
from cape.lock import ALL, Lock, read_lock, render_lock
from cape.manifest import Manifest, environment_of
from cape.names import Digest, System
from cape.operations.building import with_scripts_run
from cape.operations.composing import chosen_lock, lock_of
from cape.operations.fetching import Coming, Fetched, missing
from cape.operations.including import project_manifest
from cape.operations.large_models import warn_of_large_models
from cape.operations.locking import LockResult, compute_lock, reasons_to_lock
from cape.operations.project import Project, Workshop, project_files
from cape.operations.python_building import with_built, with_local_projects, without_built
from cape.operations.remembering import changes_since
from cape.operations.requiring import own_files, own_notes
from cape.operations.returning import service_notes
from cape.operations.variants import fitting
from cape.sources.protocol import LockedPackage, Source
from cape.store import Store, StoreObject

if TYPE_CHECKING:
    from cape.operations.judging import Unpacked


class LockOutOfDate(StateError):
    """The lock does not answer the manifest, and may not be made anew."""

    slug = "lock-out-of-date"


class SystemNotLocked(StateError):
    """The lock has no rows for this machine's system."""

    slug = "system-not-locked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An environment that answers a lock, made but not yet the project's."""

    locked: LockResult
    environment: RealisedEnvironment
    fetched: Fetched
    objects_made: int
    notes: tuple[str, ...]
    attached: Mapping[str, RealisedEnvironment] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """The environment of a system, made in the store beside the project."""

    system: System
    environment: RealisedEnvironment
    fetched: Fetched
    objects_made: int
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncResult:
    """What a sync did; for a dry run, what it would do (then `generation` and `content` are None)."""

    locked: LockResult
    identity: Digest
    packages: int
    content: Digest | None = None
    generation: int | None = None
    unchanged: bool = False
    files: int = 0
    objects_made: int = 0
    fetched: Fetched = field(default_factory=Fetched)
    to_download: int = 0
    to_download_bytes: int = 0
    rows: tuple[LockedPackage, ...] = ()
    """Of a dry run, the packages of the environment."""
    notes: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """The digests of a project: of its lock's text, and its environment's two (None: not made)."""

    lock: Digest
    identity: Digest
    content: Digest | None


def plan_for(lock: Lock, system: System, directory: Path | None = None) -> EnvironmentPlan:
    """The environment that a lock comes to on a system; `directory` is that of the project.

    Raises `SystemNotLocked`, `UnreadableCertificate`.
    """
    if system not in lock.systems:
        covered = ", ".join(f"`{one}`" for one in lock.systems)
        raise SystemNotLocked(
            f"the lock has no rows for `{system}` (it covers {covered})",
            hint=f'add `"{system}"` to `systems` in `cape.toml`, then run `cape lock`',
        )
    from cape.configuration import Configuration
    from cape.environment.finishing.certificates import read_certificates

    places = [Path(place).expanduser() for place in Configuration.read().many("certificates")]
    plan = plan_environment(lock, system, certificates=read_certificates(places))
    return with_local_projects(plan, lock, directory)


def current_digests(lock: Lock, store: Store, directory: Path | None = None) -> Digests:
    """The digests of a lock, and of its environment on this machine."""
    plan = plan_for(fitting(lock), System.current(), directory)
    environment = read_environment(store.environment_path(plan.identity))
    return Digests(
        lock=Digest.of(render_lock(lock).encode()),
        identity=plan.identity,
        content=environment.content if environment else None,
    )


def environments_in_use(project: Project, manifest: Manifest, *more: str | None) -> tuple[str, ...]:
    """The other environments that a new generation is to have: those of the current one, and `more`."""
    current = current_generation(project.directory)
    names = {*(current.attached if current else ()), *more} & manifest.environments.keys()
    return tuple(sorted(names))


def prepare(
    workshop: Workshop,
    locked: LockResult,
    *,
    only_from: Path | None = None,
    environments: Sequence[str] = (),
) -> Prepared:
    """Make the environment of a lock for this machine: fetch, unpack and relocate, check, link.

    `environments` are other environments of the lock to make too; one that is not for this machine's system
    is left out, with a note.
    Raises what fetching, unpacking and the store raise, `SystemNotLocked`, `LibraryMissing`.
    """
    from cape.operations.commands import with_places

    lock = with_places(fitting(locked.lock), locked.manifest)
    directory = locked.manifest.path.parent
    warn_of_large_models(lock, workshop.store.artifacts.has)
    made = _make(plan_for(lock, System.current(), directory), lock, workshop, only_from=only_from)
    attached: dict[str, Elsewhere] = {}
    notes = [*made.notes]
    for name in environments:
        try:
            attached[name] = make_environment(
                locked.lock, name, workshop, only_from=only_from, directory=directory
            )
            notes += attached[name].notes
        except SystemNotLocked as error:
            notes.append(error.fact)
    fetched = [made.fetched, *(one.fetched for one in attached.values())]
    return Prepared(
        locked=locked,
        environment=made.environment,
        fetched=Fetched(
            found=sum(one.found for one in fetched),
            downloaded=sum(one.downloaded for one in fetched),
            downloaded_bytes=sum(one.downloaded_bytes for one in fetched),
        ),
        objects_made=made.objects_made + sum(one.objects_made for one in attached.values()),
        notes=tuple(notes),
        attached={name: one.environment for name, one in attached.items()},
    )


def make_environment(
    lock: Lock,
    name: str,
    workshop: Workshop,
    *,
    only_from: Path | None = None,
    directory: Path | None = None,
) -> Elsewhere:
    """One of the other environments of a lock, in the store. Raises what `prepare` raises."""
    one = lock_of(lock, name)
    if System.current() not in one.systems:
        raise SystemNotLocked(
            f"environment `{name}` is not for `{System.current()}`",
            hint=f"see `systems` in `[environments.{name}]`",
        )
    one = fitting(one)
    return _make(plan_for(one, System.current(), directory), one, workshop, only_from=only_from)


def sync_elsewhere(
    project: Project,
    workshop: Workshop,
    *,
    system: System,
    only_from: Path | None = None,
    environment: str | None = None,
    gpu: str | None = None,
) -> Elsewhere:
    """Make the environment of a system of the lock in the store; nothing of the project changes.

    With `gpu` its variants are those for another machine (`cuda12`, `cpu`).

    For another kind of machine, what programs of the tree would have made is left out, with notes: no
    program of it is run. No generation reaches such an environment, so `cape gc` removes it.
    Raises `LockOutOfDate`, `SystemNotLocked`, and what `prepare` raises.
    """
    lock = fitting(chosen_lock(_fresh_lock(project), environment), gpu=gpu, system=system)
    return _make(_plan_elsewhere(lock, system), lock, workshop, only_from=only_from)


def foresee_elsewhere(
    project: Project,
    workshop: Workshop,
    *,
    system: System,
    environment: str | None = None,
    gpu: str | None = None,
) -> SyncResult:
    """What `sync_elsewhere` would do. Raises `LockOutOfDate`, `SystemNotLocked`."""
    lock = _fresh_lock(project)
    locked = compute_lock(project_manifest(project), lock, workshop)
    one = fitting(chosen_lock(lock, environment), gpu=gpu, system=system)
    return _foresee(locked, workshop, _plan_elsewhere(one, system))


def _fresh_lock(project: Project) -> Lock:
    lock = read_lock(project.lock_path)
    _require_fresh(project_manifest(project), lock, project)
    assert lock is not None
    return lock


def _plan_elsewhere(lock: Lock, system: System) -> EnvironmentPlan:
    """The plan; of another kind of machine, under an identity of its own.

    A machine of that kind that shares the store must not take the unfinished environment for its own.
    """
    plan = plan_for(lock, system)
    if system is System.current():
        return plan
    return replace(plan, identity=Digest.of_lines(["no program was run", plan.identity.hex]))


def _make(plan: EnvironmentPlan, lock: Lock, workshop: Workshop, *, only_from: Path | None) -> Elsewhere:
    workshop.store.announce()  # A collection waits from here on: what is found or fetched has no root yet.
    found = read_environment(workshop.store.environment_path(plan.identity))
    if found is not None:
        return Elsewhere(system=plan.system, environment=found, fetched=Fetched(), objects_made=0, notes=())
    from cape.operations.built_needs import check_built
    from cape.operations.commands import check_made_commands
    from cape.operations.judging import judge_objects

    sources = workshop.sources(lock.suite)
    whole, plan = plan, without_built(plan)
    lacking = _without_objects(plan, workshop.store)
    coming = Coming(lacking, workshop, sources, snapshots=lock.snapshots, only_from=only_from)

    def unpack(package: LockedPackage, artifact: Path, into: Path) -> None:
        with _naming(package):
            sources[package.source].unpack(package, artifact, into)

    arriving = coming if coming.expected else None
    objects = make_objects(
        plan, unpack=unpack, store=workshop.store, progress=workshop.progress, arriving=arriving
    )

    def realise_plainly(one: EnvironmentPlan, made: Sequence[StoreObject]) -> RealisedEnvironment:
        return _realise(one, made, workshop.store, lambda _: ())[0]

    objects = with_scripts_run(plan, objects, workshop, sources, realise_plainly)
    made = with_built(whole, plan, objects, lock, workshop, sources, realise_plainly, only_from=only_from)
    plan, objects = made.plan, made.objects
    check_built(plan, objects, lock, workshop, sources)
    unpacked = _unpacked(plan, objects, workshop)
    judgement = judge_objects(lock, plan.system, unpacked)
    judgement.check()
    check_made_commands(plan, objects, lock)
    libraries = _check_libraries(plan, objects, sources)
    notes = (*libraries, *judgement.sentences(), *_limits(plan, unpacked))
    workshop.progress.start("linking", 0)
    try:
        environment, unfinished = _realise(
            plan, objects, workshop.store, lambda root: _check_scripts(plan, unpacked, sources, root)
        )
    finally:
        workshop.progress.finish()
    return Elsewhere(
        system=plan.system,
        environment=environment,
        fetched=coming.fetched,
        objects_made=len(lacking) + made.built,
        notes=(*notes, *unfinished),
    )


@contextlib.contextmanager
def _naming(package: LockedPackage) -> Iterator[None]:
    """Let an error about an artifact's inside say which package it is: its file is named by a digest."""
    try:
        yield
    except IntegrityError as error:
        error.fact = f"`{package.name}` {package.version}: {error.fact}"
        error.hint = error.hint or "its registry publishes it so: leave the package out, and report it there"
        raise


def _without_objects(plan: EnvironmentPlan, store: Store) -> list[LockedPackage]:
    keys = plan_keys(plan, store)
    return [
        package for package, key in zip(plan.packages, keys, strict=True) if store.objects.get(key) is None
    ]


def _realise(
    plan: EnvironmentPlan,
    objects: Sequence[StoreObject],
    store: Store,
    check: Callable[[Path], Sequence[str]],
) -> tuple[RealisedEnvironment, tuple[str, ...]]:
    """The environment, and sentences: about generated files that could not be made, and what `check` says
    of the finished root."""
    from cape.environment.finishing import finish, read_control
    from cape.environment.relocation.redirect import redirect_library

    order = [name for source, name in plan.roots if source == "debian"]

    final = store.environment_path(plan.identity) / "root"
    notes: list[str] = []

    def finish_root(root: Path) -> None:
        control = read_control(root)
        certificates = plan.certificates
        notes.extend(
            finish(root, control, order=order, system=plan.system, final=final, certificates=certificates)
        )
        notes.extend(check(root))

    redirect = redirect_library(plan.system) if plan.libc else None
    return realise(plan, objects, store, finish=finish_root, redirect=redirect), tuple(notes)


def _unpacked(plan: EnvironmentPlan, objects: Sequence[StoreObject], workshop: Workshop) -> Unpacked:
    from cape.operations.judging import Unpacked

    by_artifact = {package.artifact.digest: one for package, one in zip(plan.packages, objects, strict=True)}
    return Unpacked(workshop, plan.system, by_artifact)


def _check_libraries(
    plan: EnvironmentPlan, objects: Sequence[StoreObject], sources: Mapping[str, Source]
) -> tuple[str, ...]:
    """Every library that a program needs is there; sentences about add-ons that lack one."""
    from cape.operations.closing import check_libraries, owners_of

    facts = [
        (package.name, TreeFacts.from_json(one.facts))
        for package, one in zip(plan.packages, objects, strict=True)
    ]
    return check_libraries(facts, plan, owners_of(sources, plan))


def _check_scripts(
    plan: EnvironmentPlan, unpacked: Unpacked, sources: Mapping[str, Source], root: Path
) -> tuple[str, ...]:
    """Every program on PATH that is a script has its interpreter in the finished root."""
    from cape.operations.closing import check_scripts, exposed, owners_of

    def has(path: str) -> bool:
        return os.path.lexists(root / path)

    shown = unpacked.looked(exposed(plan))
    scripts = {name: contents.scripts for name, contents in shown.items()}
    return check_scripts(plan, scripts, shown.__getitem__, has, owners_of(sources, plan))


def _limits(plan: EnvironmentPlan, unpacked: Unpacked) -> Iterator[str]:
    """What will not work of packages that are built with those that the manifest names."""
    from cape.analysis.limits import limits
    from cape.operations.closing import exposed

    roots = {name for source, name in plan.roots if source == "debian"}
    for name, contents in unpacked.looked(exposed(plan)).items():
        if name not in roots:
            yield from limits(name, contents)


def publish(project: Project, prepared: Prepared, *, argv: Sequence[str]) -> SyncResult:
    """Make a prepared environment the project's: manifest, lock, generation, in this order.

    A kill in between leaves files that the next command reads as "lock, then sync". Nothing is written
    when all is as it was.
    """
    locked = prepared.locked
    current = current_generation(project.directory)
    with project_files(project.directory):
        generation = new_generation(
            project.directory,
            prepared.environment,
            lock_text=render_lock(locked.lock),
            manifest_text=locked.manifest.text,
            argv=argv,
            included=locked.manifest.included,
            attached=prepared.attached,
            changes=changes_since(current, locked.manifest, locked.lock),
            own=own_files(locked.manifest),
        )
    return SyncResult(
        locked=locked,
        identity=prepared.environment.identity,
        content=prepared.environment.content,
        packages=prepared.environment.packages,
        generation=int(generation.number),
        unchanged=current is not None and current.number == generation.number,
        files=prepared.environment.files,
        objects_made=prepared.objects_made,
        fetched=prepared.fetched,
        notes=tuple(
            dict.fromkeys(
                (
                    *locked.lock.notes,
                    *prepared.notes,
                    *own_notes(locked.manifest),
                    *service_notes(project),
                )
            )
        ),
    )


def sync_project(
    project: Project,
    workshop: Workshop,
    *,
    argv: Sequence[str],
    must_be_locked: bool = False,
    only_from: Path | None = None,
    as_of: str | None = None,
    dry_run: bool = False,
    environment: str | None = None,
) -> SyncResult:
    """Bring the project's environment up to date with its manifest and lock. The caller holds the project.

    With `must_be_locked` or `only_from` a lock that is out of date is an error, `LockOutOfDate`. With
    `as_of` everything is locked anew, as the registries were at that instant. With `environment` that one is
    made beside the default one; those that the current generation has are made anew. Raises
    `UnknownEnvironment`.
    """
    heal(project.directory)
    manifest = project_manifest(project, store=workshop.store)
    environment_of(manifest, environment)
    previous = read_lock(project.lock_path)
    if must_be_locked or only_from is not None:
        _require_fresh(manifest, previous, project)
    upgrade = ALL if as_of else None
    locked = compute_lock(manifest, previous, workshop, upgrade=upgrade, as_of=as_of, dry_run=dry_run)
    if dry_run:
        one = fitting(lock_of(locked.lock, environment))
        return _foresee(locked, workshop, plan_for(one, System.current(), project.directory))
    names = environments_in_use(project, locked.manifest, environment)
    prepared = prepare(workshop, locked, only_from=only_from, environments=names)
    return publish(project, prepared, argv=argv)


def _require_fresh(manifest: Manifest, lock: Lock | None, project: Project) -> None:
    reasons = reasons_to_lock(manifest, lock)
    if reasons:
        raise LockOutOfDate(
            f"the lock does not answer the manifest: {'; '.join(reasons)}",
            where=str(project.lock_path),
            hint="run `cape lock`",
        )


def _foresee(locked: LockResult, workshop: Workshop, plan: EnvironmentPlan) -> SyncResult:
    lacking = missing(_without_objects(without_built(plan), workshop.store), workshop)
    return SyncResult(
        locked=locked,
        identity=plan.identity,
        packages=len(plan.packages),
        rows=plan.packages,
        to_download=len(lacking),
        to_download_bytes=sum(package.artifact.size_bytes for package in lacking),
        dry_run=True,
    )
