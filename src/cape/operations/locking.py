"""Manifest to lock: `cape lock`, `cape lock --check`, and the lock that other operations start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cape.environment.generations import heal
from cape.errors import InputError
from cape.lock import ALL, Lock, check_freshness, compare_locks, read_lock
from cape.manifest import Manifest
from cape.names import write_atomically
from cape.operations.including import project_manifest
from cape.operations.project import Project, Workshop, project_files
from cape.sources.protocol import Source

if TYPE_CHECKING:
    from cape.lock import LockChanges
    from cape.operations.mending import Consent
    from cape.operations.missing import Addition


@dataclass(frozen=True, kw_only=True, slots=True)
class LockResult:
    """A lock that answers the manifest, what it changed, and why it was made anew (empty: it was not)."""

    manifest: Manifest
    lock: Lock
    previous: Lock | None
    changes: LockChanges
    reasons: tuple[str, ...]
    added: tuple[Addition, ...] = ()
    """The system packages that were added to the manifest because something needs them."""


def reasons_to_lock(manifest: Manifest, lock: Lock | None) -> tuple[str, ...]:
    """Why the lock does not answer the manifest, as sentences; empty when it does."""
    if lock is None:
        return ("there is no `cape.lock`",)
    reasons = check_freshness(manifest, lock)
    if lock.needs_relock:
        reasons = ("`cape.lock` holds two sides of a merge", *reasons)
    return reasons


def compute_lock(
    manifest: Manifest,
    previous: Lock | None,
    workshop: Workshop,
    *,
    upgrade: frozenset[str] | None = None,
    as_of: str | None = None,
    dry_run: bool = False,
) -> LockResult:
    """The lock for a manifest, from the sources where something changed. Writes nothing of the project.

    With `as_of` the sources that are asked answer as they would have at that instant.
    Raises what the sources raise, a conflict with its explanation, and `CannotWorkHere` for a new package
    of which nothing can work.
    """
    reasons = reasons_to_lock(manifest, previous)
    if upgrade is not None:
        asked_for = f"the state of {as_of}" if as_of else "an upgrade"
        reasons = (*reasons, f"{asked_for} was asked for")
    if previous is not None and not reasons:
        lock = previous
    else:
        from cape.configuration import named_indices
        from cape.operations.composing import lock_all

        sources = workshop.sources(manifest.debian)
        if upgrade is not None and as_of is None and manifest.debian is not None:
            _ask_anew(sources["debian"])

        def lock_one(
            one: Manifest, start: Lock | None, free: frozenset[str] | None, *, aside: bool = False
        ) -> Lock:
            return _lock_one(
                one, start, workshop, sources, upgrade=free, as_of=as_of, dry_run=dry_run, aside=aside
            )

        indices = named_indices(workshop.configuration)
        lock = lock_all(manifest, previous, upgrade, lock_one, indices=frozenset(indices))
    changes = compare_locks(previous, lock)
    return LockResult(manifest=manifest, lock=lock, previous=previous, changes=changes, reasons=reasons)


def _lock_one(
    manifest: Manifest,
    previous: Lock | None,
    workshop: Workshop,
    sources: Mapping[str, Source],
    *,
    upgrade: frozenset[str] | None,
    as_of: str | None,
    dry_run: bool,
    aside: bool,
) -> Lock:
    """The lock of one environment, with notes about what will not work of its packages.

    What is `aside` is another machine's: it is not brought here to be looked into.
    """
    from cape.lock import lock_manifest
    from cape.operations.commands import check_locked_commands, module_notes
    from cape.operations.explaining import Overhearing, explain_refusal
    from cape.operations.judging import EarlyLook
    from cape.operations.missing import check_missing

    look = EarlyLook(manifest, previous, workshop, dry_run=dry_run or aside)
    overheard = Overhearing(sources)
    try:
        lock = lock_manifest(
            manifest,
            look.watching(overheard),
            previous,
            upgrade=upgrade,
            as_of=as_of,
            progress=workshop.progress,
        )
    except InputError as error:
        raise explain_refusal(error, overheard, manifest, workshop) from error.__cause__
    judgement = look.judgement()
    judgement.check()
    check_locked_commands(manifest, lock, workshop)
    lacking = () if aside else check_missing(manifest, lock, workshop, sources, dry_run=dry_run)
    return replace(lock, notes=(*lock.notes, *module_notes(lock), *judgement.sentences(), *lacking))


def _ask_anew(debian: Source) -> None:
    """Who upgrades wants what is there now, not what was there when the index was last read."""
    from cape.sources.debian import DebianSource

    if isinstance(debian, DebianSource):
        debian.refresh()


def lock_project(
    project: Project,
    workshop: Workshop,
    *,
    as_of: str | None = None,
    dry_run: bool = False,
    consent: Consent | None = None,
) -> LockResult:
    """Bring the project's lock up to date with its manifest; with `as_of`, lock all of it anew.

    The caller holds the project. The lockfile is replaced atomically, and only if it changes. Besides what
    `compute_lock` raises: `LibraryMissing`, `InterpreterMissing`, as far as the store has the packages.
    What `consent` agrees to is added to the manifest where language packages lack it.
    """
    heal(project.directory)
    text, result = _lock_mending(project, workshop, as_of=as_of, dry_run=dry_run, consent=consent)
    if result.reasons:
        result = _with_closure_checked(result, workshop)
    if not dry_run and result.reasons:
        from cape.lock import write_lock

        with project_files(project.directory):
            if text is not None:
                write_atomically(project.manifest_path, text.encode())
            write_lock(project.lock_path, result.lock)
    return result


def _lock_mending(
    project: Project, workshop: Workshop, *, as_of: str | None, dry_run: bool, consent: Consent | None
) -> tuple[str | None, LockResult]:
    """The lock, and the manifest's text where packages were added to it, until nothing is missing."""
    from cape.operations.mending import lock_mending

    manifest = project_manifest(project, store=workshop.store)
    previous = read_lock(project.lock_path)
    upgrade = ALL if as_of else None

    def lock(text: str) -> LockResult:
        edited = manifest
        if text != manifest.text:
            edited = project_manifest(project, text=text, store=workshop.store)
        return compute_lock(edited, previous, workshop, upgrade=upgrade, as_of=as_of, dry_run=dry_run)

    text, result, added = lock_mending(manifest.text, lock, consent=consent)
    return text if added else None, replace(result, added=added)


def _with_closure_checked(result: LockResult, workshop: Workshop) -> LockResult:
    """The result with what is known of its closure. Raises `LibraryMissing`, `InterpreterMissing`."""
    from cape.operations.closing import check_lock_closure

    notes = check_lock_closure(result.lock, workshop, workshop.sources(result.manifest.debian))
    return replace(result, lock=replace(result.lock, notes=(*result.lock.notes, *notes)))


def check_lock(project: Project) -> tuple[str, ...]:
    """Why the lock does not answer the manifest; empty when it does. Reads files; of the network at most a
    git include that is locked and not in the store."""
    return reasons_to_lock(project_manifest(project), read_lock(project.lock_path))
