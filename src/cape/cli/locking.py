"""`cape lock`, `sync`, `vendor`: arguments to operations, results to text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.consent import consent_of
from cape.cli.dates import instant_of, refuse_together
from cape.cli.living import environment_name
from cape.cli.output import clock, count, duration, say, show_json, size
from cape.cli.progress import progress
from cape.names import System
from cape.operations.locking import LockResult, check_lock, lock_project
from cape.operations.project import Project, Workshop, find_project, held

if TYPE_CHECKING:
    from cape.operations.syncing import Elsewhere, SyncResult


def lock(arguments: argparse.Namespace) -> int:
    """`cape lock`; with `--check`, exit code 1 when the lock is out of date."""
    project = find_project(Path.cwd())
    as_of = instant_of(arguments.as_of)
    if arguments.check:
        refuse_together(as_of, "--check")
        return _check(check_lock(project), as_json=arguments.json, quiet=arguments.quiet)
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    with held(project):
        result = lock_project(
            project,
            workshop,
            as_of=as_of,
            dry_run=arguments.dry_run,
            consent=consent_of(fix=arguments.fix),
        )
    if arguments.json:
        show_json(lock_fields(result) | {"dry_run": arguments.dry_run})
    else:
        show_lock(result, quiet=arguments.quiet, seconds=clock(), dry_run=arguments.dry_run)
    return 0


def _check(reasons: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
    if as_json:
        show_json({"fresh": not reasons, "reasons": list(reasons)})
    elif reasons:
        print(
            "`cape.lock` is out of date:", *(f"  {reason}" for reason in reasons), sep="\n", file=sys.stderr
        )
        say("hint: run `cape lock`", quiet=quiet)
    else:
        say("`cape.lock` answers `cape.toml`", quiet=quiet)
    return 1 if reasons else 0


def lock_fields(result: LockResult) -> dict[str, object]:
    """The JSON of a lock that was made."""
    return {
        "packages": len(result.lock.packages),
        "systems": [str(system) for system in result.lock.systems],
        "changes": list(result.changes.lines()),
        "changed": result.changes.fields(),
        "reasons": list(result.reasons),
        "notes": list(result.lock.notes),
        "added": [
            {
                "package": one.package,
                "needed_by": one.needed_by,
                "library": one.library,
                "is_linked": one.is_linked,
            }
            for one in result.added
        ],
    }


def show_changes(result: LockResult, *, quiet: bool) -> None:
    """Every change of a lock, a line each; of a first lock, those that the manifest names."""
    from cape.operations.inspecting import list_locked

    changes = result.changes.all
    if result.previous is None:
        rows = [row.package for row in list_locked(result.lock, system=None, everything=False)]
        named = {(package.source, package.name) for package in rows}
        changes = tuple(change for change in changes if (change.source, change.name) in named)
    for change in changes:
        print(change.line())
    if others := len(result.changes) - len(changes):
        say(f"... and {count(others, 'package')} that these need", quiet=quiet)


def show_added(result: LockResult, *, quiet: bool, dry_run: bool = False) -> None:
    """What was added to the manifest since something needs it, a sentence each."""
    verb = "would add" if dry_run else "added"
    for one in result.added:
        say(f"{verb} `{one.package}` to the manifest: {one.needed_by} needs {one.library}", quiet=quiet)


def show_lock(result: LockResult, *, quiet: bool, seconds: float, dry_run: bool = False) -> None:
    """The changes of a lock, and a sentence."""
    show_changes(result, quiet=quiet)
    show_added(result, quiet=quiet, dry_run=dry_run)
    artifacts = {package.artifact for package in result.lock.packages}
    amount = size(sum(artifact.size_bytes for artifact in artifacts))
    packages = f"{count(len(result.lock.packages), 'package')} ({amount})"
    systems = count(len(result.lock.systems), "system")
    if not result.reasons:
        say(f"`cape.lock` answers `cape.toml`: {packages} for {systems}", quiet=quiet)
    else:
        verb = "would lock" if dry_run else "locked"
        changed = "" if result.previous is None else f" ({len(result.changes)} changed)"
        say(f"{verb} {packages} for {systems}{changed} in {duration(seconds)}", quiet=quiet)
    for note in (*result.lock.notes, *_large_models(result)):
        say(f"note: {note}", quiet=quiet)


def _large_models(result: LockResult) -> tuple[str, ...]:
    """Models that this machine's memory does not hold, before they are downloaded."""
    if not any(package.source == "model" for package in result.lock.packages):
        return ()
    from cape.operations.large_models import large_models
    from cape.operations.memory import free_memory

    return large_models(result.lock, System.current(), memory_bytes=free_memory())


def sync(arguments: argparse.Namespace) -> int:
    """`cape sync`."""
    from cape.operations.syncing import sync_project

    project = find_project(Path.cwd())
    as_of = instant_of(arguments.as_of)
    for flag in ("--locked", "--from"):
        if vars(arguments)[flag.lstrip("-")]:
            refuse_together(as_of, flag)
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    only_from = Path(vars(arguments)["from"]).absolute() if vars(arguments)["from"] else None
    if arguments.system or arguments.gpu:
        refuse_together(as_of, "--system" if arguments.system else "--gpu")
        return _sync_elsewhere(arguments, project, workshop, only_from)
    with held(project):
        result = sync_project(
            project,
            workshop,
            argv=sys.argv[1:],
            must_be_locked=arguments.locked,
            only_from=only_from,
            as_of=as_of,
            dry_run=arguments.dry_run,
            environment=environment_name(arguments),
        )
    _show_synced(result, arguments)
    return 0


def _show_synced(result: SyncResult, arguments: argparse.Namespace) -> None:
    if arguments.json:
        show_json(sync_fields(result))
    else:
        show_sync(result, quiet=arguments.quiet, seconds=clock())


def _sync_elsewhere(
    arguments: argparse.Namespace, project: Project, workshop: Workshop, only_from: Path | None
) -> int:
    """`cape sync --system`: the environment of another system, beside the project."""
    from cape.operations.syncing import foresee_elsewhere, sync_elsewhere

    system = System.parse(arguments.system) if arguments.system else System.current()
    name, gpu = environment_name(arguments), arguments.gpu
    if arguments.dry_run:
        foreseen = foresee_elsewhere(project, workshop, system=system, environment=name, gpu=gpu)
        if not arguments.json:
            for row in foreseen.rows:
                print(f"{row.source}:{row.name} {row.version}")
        _show_synced(foreseen, arguments)
        return 0
    made = sync_elsewhere(project, workshop, system=system, only_from=only_from, environment=name, gpu=gpu)
    if arguments.json:
        show_json(_elsewhere_fields(made))
    else:
        _show_elsewhere(made, quiet=arguments.quiet)
    return 0


def _elsewhere_fields(made: Elsewhere) -> dict[str, object]:
    return {
        "system": str(made.system),
        "path": str(made.environment.path),
        "identity": str(made.environment.identity),
        "content": str(made.environment.content),
        "packages": made.environment.packages,
        "files": made.environment.files,
        "objects_made": made.objects_made,
        "downloaded": made.fetched.downloaded,
        "downloaded_bytes": made.fetched.downloaded_bytes,
        "notes": list(made.notes),
    }


def _show_elsewhere(made: Elsewhere, *, quiet: bool) -> None:
    """The path of an environment beside the project, and what is told of it."""
    print(made.environment.path)
    for note in made.notes:
        say(f"note: {note}", quiet=quiet)
    packages = count(made.environment.packages, "package")
    say(f"{packages} for {made.system}; this project stays as it is; {duration(clock())}", quiet=quiet)


def sync_fields(result: SyncResult) -> dict[str, object]:
    """The JSON of a sync."""
    return {
        "dry_run": result.dry_run,
        "changes": list(result.locked.changes.lines()),
        "changed": result.locked.changes.fields(),
        "generation": result.generation,
        "identity": str(result.identity),
        "content": str(result.content) if result.content else None,
        "packages": result.packages,
        "files": result.files,
        "objects_made": result.objects_made,
        "downloaded": result.fetched.downloaded,
        "downloaded_bytes": result.fetched.downloaded_bytes,
        "to_download": result.to_download,
        "to_download_bytes": result.to_download_bytes,
        "rows": [
            {
                "source": row.source,
                "name": row.name,
                "version": row.version,
                "size_bytes": row.artifact.size_bytes,
            }
            for row in result.rows
        ],
        "notes": list(result.notes),
    }


def show_sync(result: SyncResult, *, quiet: bool, seconds: float) -> None:
    """What a sync did, in a sentence or two."""
    show_changes(result.locked, quiet=quiet)
    for note in result.notes:
        say(f"note: {note}", quiet=quiet)
    packages = count(result.packages, "package")
    if result.dry_run:
        bytes_ = size(result.to_download_bytes)
        artifacts = count(result.to_download, "artifact")
        say(f"would make an environment of {packages}; {artifacts} to download ({bytes_})", quiet=quiet)
        return
    parts = [f"{packages}, {count(result.files, 'file')}"]
    if result.fetched.downloaded:
        parts.append(f"{size(result.fetched.downloaded_bytes)} downloaded")
    if result.objects_made:
        parts.append(f"{count(result.objects_made, 'object')} made")
    if result.unchanged:
        say(f"generation {result.generation} is current: {'; '.join(parts)}", quiet=quiet)
    else:
        what = f"generation {result.generation} is now current: {'; '.join(parts)}"
        say(f"{what}; {duration(seconds)}", quiet=quiet)


def vendor(arguments: argparse.Namespace) -> int:
    """`cape vendor DIR`."""
    from cape.operations.inspecting import locked
    from cape.operations.vendoring import vendor as write_artifacts

    project = find_project(Path.cwd())
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    vendored = write_artifacts(locked(project), Path(arguments.destination), workshop)
    if arguments.json:
        show_json(
            {
                "destination": str(vendored.destination),
                "artifacts": vendored.artifacts,
                "size_bytes": vendored.size_bytes,
                "written": vendored.written,
            }
        )
    else:
        amount = f"{count(vendored.artifacts, 'artifact')}, {size(vendored.size_bytes)}"
        say(f"`{vendored.destination}` holds {amount} ({vendored.written} new)", quiet=arguments.quiet)
    return 0
