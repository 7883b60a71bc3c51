"""`cape install`, `uninstall`, `upgrade`, `outdated`, `list`, `show`, `search`, `why`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.consent import consent_of
from cape.cli.living import chosen_project, environment_name, is_global
from cape.cli.output import clock, count, say, show_json, size, table
from cape.errors import UsageError
from cape.operations.project import Project, Workshop, find_project, held

if TYPE_CHECKING:
    from cape.lock import Lock
    from cape.manifest import Included
    from cape.operations.editing import EditResult
    from cape.operations.inspecting import Asking, Listed, Outdated, OwnedFile
    from cape.sources.protocol import Candidate, LockedPackage


def install(arguments: argparse.Namespace) -> int:
    """`cape install PACKAGE...`, `cape install --adopt`."""
    from cape.manifest import parse_package_argument
    from cape.operations import editing
    from cape.operations.overlay import adopt

    if not arguments.packages and not arguments.adopt:
        raise UsageError(
            "`cape install` needs packages, or `--adopt`", hint="`cape install ripgrep pypi:pandas`"
        )
    packages = [parse_package_argument(word) for word in arguments.packages]
    name = environment_name(arguments)
    edit = partial(
        adopt if arguments.adopt else editing.install,
        packages=packages,
        as_of=_as_of(arguments),
        environment=name,
        consent=consent_of(fix=arguments.fix),
    )
    return _edit(arguments, edit, may_begin=True)


def uninstall(arguments: argparse.Namespace) -> int:
    """`cape uninstall PACKAGE...`."""
    from cape.operations import editing

    edit = partial(editing.uninstall, names=arguments.packages, environment=environment_name(arguments))
    return _edit(arguments, edit)


def upgrade(arguments: argparse.Namespace) -> int:
    """`cape upgrade [PACKAGE...]`."""
    from cape.operations import editing

    consent = consent_of(fix=arguments.fix)
    edit = partial(editing.upgrade, names=arguments.packages, as_of=_as_of(arguments), consent=consent)
    return _edit(arguments, edit)


def _as_of(arguments: argparse.Namespace) -> str | None:
    from cape.cli.dates import instant_of

    return instant_of(arguments.as_of)


def _edit(arguments: argparse.Namespace, edit: Callable[..., EditResult], *, may_begin: bool = False) -> int:
    """Make one edit while the project is held, and show it."""
    from cape.cli.progress import progress

    workshop = Workshop.open(progress(quiet=arguments.quiet))
    with _edited_project(arguments, may_begin=may_begin) as project, held(project):
        result = edit(project, workshop, argv=sys.argv[1:], dry_run=arguments.dry_run)
    _show_edit(result, arguments)
    if is_global(arguments) and not arguments.json:
        _show_path_advice(quiet=arguments.quiet)
    return 0


def _edited_project(arguments: argparse.Namespace, *, may_begin: bool) -> AbstractContextManager[Project]:
    """The project to change: with `--global` the user's own, which `cape install` makes."""
    from cape.operations.personal import personal_project_or_new

    if is_global(arguments) and may_begin and not arguments.dry_run:
        return personal_project_or_new()
    return nullcontext(chosen_project(arguments))


def _show_path_advice(*, quiet: bool) -> None:
    from cape.operations.personal import is_on_path, programs_directory

    if not is_on_path():
        line = f'export PATH="{programs_directory()}:$PATH"'
        say(f"its programs are in a directory that PATH has not got: `{line}`", quiet=quiet)


def _show_edit(result: EditResult, arguments: argparse.Namespace) -> int:
    from cape.cli.locking import lock_fields, show_added, show_lock, show_sync, sync_fields

    if arguments.json:
        fields = sync_fields(result.synced) if result.synced else lock_fields(result.locked)
        show_json({**fields, "dry_run": result.synced is None})
    elif result.synced is None:
        show_lock(result.locked, quiet=arguments.quiet, seconds=clock(), dry_run=True)
    else:
        show_added(result.locked, quiet=arguments.quiet)
        show_sync(result.synced, quiet=arguments.quiet, seconds=clock())
    return 0


def _open_lock(arguments: argparse.Namespace | None = None) -> Lock:
    from cape.operations.inspecting import locked

    return locked(chosen_project(arguments) if arguments else find_project(Path.cwd()))


def list_packages(arguments: argparse.Namespace) -> int:
    """`cape list`: what the manifest names; with `--all`, the closure."""
    from cape.names import System
    from cape.operations.composing import chosen_lock
    from cape.operations.inspecting import list_locked
    from cape.operations.variants import decisions_of, fitting

    if arguments.includes:
        return _list_includes(arguments)
    whole = chosen_lock(_open_lock(arguments), environment_name(arguments))
    lock = fitting(whole, gpu=arguments.gpu)
    taken = decisions_of(whole, arguments.gpu)
    listed = list_locked(lock, system=System.current(), everything=arguments.all)
    if arguments.json:
        from cape.cli.gpu import decision_fields
        from cape.operations.syncing import current_digests

        digests = current_digests(lock, Workshop.open().store, chosen_project(arguments).directory)
        show_json(
            {
                "lock": str(digests.lock),
                "identity": str(digests.identity),
                "content": str(digests.content) if digests.content else None,
                "packages": [
                    {**_package_fields(row.package), "requested_as": row.requested_as} for row in listed
                ],
                "variants": [decision_fields(one) for one in taken],
            }
        )
        return 0
    if listed:
        print(table([_listed_columns(row) for row in listed], right=(3,)))
    for one in taken:
        say(f"note: {one.text}", quiet=arguments.quiet)
    others = len(list_locked(lock, system=System.current(), everything=True)) - len(listed)
    if others:
        say(f"and {count(others, 'package')} that these need (`cape list --all`)", quiet=arguments.quiet)
    return 0


def _list_includes(arguments: argparse.Namespace) -> int:
    """`cape list --includes`: where each comes from, and what gave way."""
    from cape.operations.including import project_manifest

    manifest = project_manifest(chosen_project(arguments), environment=environment_name(arguments))
    if arguments.json:
        show_json(
            {
                "includes": [_include_fields(one) for one in manifest.included],
                "overridden": list(manifest.overridden),
            }
        )
        return 0
    rows = [
        (
            one.name,
            f"{one.url} {one.path}" if one.is_git else one.path,
            one.ref or "",
            (one.commit or "")[:12],
        )
        for one in manifest.included
    ]
    print(table(rows) if rows else "this manifest includes no other")
    for sentence in manifest.overridden:
        say(f"note: {sentence}", quiet=arguments.quiet)
    return 0


def _include_fields(one: Included) -> dict[str, str | None]:
    return {
        "name": one.name,
        "git": one.url,
        "ref": one.ref,
        "commit": one.commit if one.is_git else None,
        "path": one.path,
        "directory": str(one.directory),
        "digest": str(one.digest),
    }


def _listed_columns(row: Listed) -> tuple[str, str, str, str]:
    package = row.package
    return (
        row.requested_as or package.name,
        package.version,
        package.source,
        size(package.artifact.size_bytes),
    )


def _package_fields(package: LockedPackage) -> dict[str, object]:
    return {
        "source": package.source,
        "name": package.name,
        "version": package.version,
        "systems": [str(system) for system in package.systems],
        "digest": str(package.artifact.digest),
        "size_bytes": package.artifact.size_bytes,
        "location": f"{package.artifact.registry}:{package.artifact.location}",
        "dependencies": list(package.dependencies),
        "placement": package.placement or None,
        "attributes": dict(package.attributes),
    }


def show(arguments: argparse.Namespace) -> int:
    """`cape show PACKAGE`: its locked rows, else what the sources have."""
    from cape.operations.inspecting import NotInLock, describe, limits_of, rows_of
    from cape.operations.project import NoProject, NotLocked

    suite = None
    try:
        lock = _open_lock()
        suite = lock.suite
        rows = rows_of(lock, arguments.package)
    except (NoProject, NotLocked, NotInLock):
        return _show_candidates(describe(Workshop.open(), arguments.package, suite=suite), arguments)
    workshop = Workshop.open()
    if arguments.json:
        fields = [
            {**_package_fields(package), "limits": list(limits_of(workshop, package))} for package in rows
        ]
        show_json({"locked": fields, "available": []})
        return 0
    for package in rows:
        print(f"{package.name} {package.version} ({package.source}, {', '.join(package.systems)})")
        print(f"  {package.artifact.digest}  {size(package.artifact.size_bytes)}")
        print(f"  {package.artifact.registry}: {package.artifact.location}")
        if package.dependencies:
            print(f"  needs {', '.join(package.dependencies)}")
        for sentence in limits_of(workshop, package):
            print(f"  note: {sentence}")
    return 0


def _show_candidates(candidates: tuple[Candidate, ...], arguments: argparse.Namespace) -> int:
    if arguments.json:
        show_json({"locked": [], "available": [_candidate_fields(one) for one in candidates]})
        return 0
    for one in candidates:
        print(f"{one.source}:{one.name} {one.version}")
        if one.summary:
            print(f"  {one.summary}")
    return 0


def _candidate_fields(candidate: Candidate) -> dict[str, object]:
    return {
        "source": candidate.source,
        "name": candidate.name,
        "version": candidate.version,
        "summary": candidate.summary,
    }


def search(arguments: argparse.Namespace) -> int:
    """`cape search TEXT`; exit code 1 when nothing is found."""
    from cape.errors import CapeError, UsageError
    from cape.manifest import read_manifest
    from cape.operations.inspecting import search as search_sources

    if not arguments.limit.isdigit() or not int(arguments.limit):
        raise UsageError(f"`--limit` wants a number, not `{arguments.limit}`")
    try:
        suite = read_manifest(find_project(Path.cwd()).manifest_path).debian
    except CapeError:
        suite = None
    found = search_sources(Workshop.open(), arguments.text, suite=suite, limit=int(arguments.limit))
    if arguments.json:
        show_json(
            {
                "packages": [_candidate_fields(one) for one in found.candidates],
                "failures": list(found.failures),
            }
        )
    elif found.candidates:
        width = 100
        rows = [(f"{one.source}:{one.name}", one.version, one.summary[:width]) for one in found.candidates]
        print(table(rows))
    else:
        say(f"nothing is called `{arguments.text}`, or like it", quiet=arguments.quiet)
    for failure in found.failures:
        say(f"note: {failure}", quiet=arguments.quiet)
    return 0 if found.candidates else 1


def why(arguments: argparse.Namespace) -> int:
    """`cape why PACKAGE|FILE|LIBRARY|VARIABLE`."""
    from cape.cli.variables import is_meant, why_variable
    from cape.operations.composing import chosen_lock
    from cape.operations.inspecting import NotInLock, asking, environment_with, files_of, locked
    from cape.operations.inspecting import why as chains_to
    from cape.operations.variants import decisions_of, with_package

    project = find_project(Path.cwd())
    if is_meant(project, arguments):
        return why_variable(project, arguments)
    whole = locked(project)
    name = environment_name(arguments) or environment_with(whole, arguments.package)
    lock = chosen_lock(whole, name)
    taken = decisions_of(lock, None)
    lock = with_package(lock, arguments.package)
    files: tuple[OwnedFile, ...] = ()
    try:
        chains = chains_to(lock, arguments.package)
    except NotInLock:
        files = files_of(project, Workshop.open().store, arguments.package)
        if not files:
            raise
        owners = sorted({f"{file.source}:{file.package}" for file in files})
        chains = tuple(chain for owner in owners for chain in chains_to(lock, owner))
    if arguments.json:
        asked = [asdict(one) for one in asking(project, lock, chains, environment=name)]
        show_json(
            {
                "chains": [list(chain) for chain in chains],
                "asked_by": asked,
                "files": [asdict(file) for file in files],
                "environment": name,
            }
        )
        return 0
    for file in files:
        print(f"{file.path.removeprefix('root')} is of {file.source}:{file.package} {file.version}")
    if name is not None:
        print(f"in environment {name}:")
    for chain, one in zip(chains, asking(project, lock, chains, environment=name), strict=True):
        print(" -> ".join(chain) + _asked(one, project))
    for decision in taken:
        if decision.name in {chain[0] for chain in chains}:
            say(f"note: {decision.text}", quiet=arguments.quiet)
            for when, reason in decision.passed_over:
                say(f"  not `{when}`: {reason}", quiet=arguments.quiet)
    return 0


def _asked(one: Asking, project: Project) -> str:
    """What is told behind a chain of who asks for it."""
    if one.where:
        place = one.where.removeprefix(f"{project.directory}/")
        return f"   ({place}: {one.line})" if one.line else f"   ({place})"
    return f"   (for what comes from {' and '.join(one.implied_by)})" if one.implied_by else ""


def _outdated_row(row: Outdated, project: Project) -> tuple[str, ...]:
    """A row of the table; the line that holds a package back is shown from the project's directory."""
    place = (row.where or "").removeprefix(f"{project.directory}/")
    return (row.name, row.source, row.locked, row.allowed, row.newest, place)


def outdated(arguments: argparse.Namespace) -> int:
    """`cape outdated`: a table of what could be newer; exit code 0 either way."""
    from cape.cli.progress import progress
    from cape.operations.inspecting import outdated as outdated_packages

    project = find_project(Path.cwd())
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    rows = outdated_packages(
        project, workshop, telling=lambda note: say(f"note: {note}", quiet=arguments.quiet)
    )
    if arguments.json:
        show_json({"packages": [asdict(row) for row in rows]})
        return 0
    if not rows:
        say("all that the manifest names is as new as its sources have it", quiet=arguments.quiet)
        return 0
    heads = ("package", "source", "locked", "allowed", "newest", "held by")
    print(table([heads, *(_outdated_row(row, project) for row in rows)]))
    if any(row.allowed != row.locked for row in rows):
        say("`cape upgrade` locks what is allowed", quiet=arguments.quiet)
    return 0
