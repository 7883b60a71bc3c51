"""`cape index` and its verbs: `status`, `diff`, `rollback`, `verify`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import clock, count, duration, paint, say, show_json, size, table
from cape.errors import UsageError
from cape.names import nearest
from cape.operations.project import Project, Workshop, find_project

if TYPE_CHECKING:
    from cape.knowledge.documents import UnreadDocument
    from cape.knowledge.index.generations import IndexGeneration
    from cape.lock import Lock
    from cape.operations.indexing import IndexResult, IndexStatus
    from cape.operations.knowledge import KnowledgeBase

_VERBS = ("status", "diff", "rollback", "verify")
_LISTED = 10
"""Documents of a kind that are named, before the rest is counted."""


class BadGenerationNumber(UsageError):
    """A generation is named by something that is no number."""

    slug = "bad-generation-number"


def _opened(arguments: argparse.Namespace) -> tuple[Project, Lock | None, Workshop]:
    from cape.cli.progress import progress
    from cape.lock import read_lock

    project = find_project(Path.cwd())
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    return project, read_lock(project.lock_path), workshop


def _chosen(project: Project, name: str | None) -> list[KnowledgeBase]:
    """The base of that name, or all of the manifest's."""
    from cape.operations.including import project_manifest
    from cape.operations.knowledge import UnknownKnowledge, bases_of, find_base

    manifest = project_manifest(project)
    if name is None and len(bases_of(manifest)) > 1:
        return list(bases_of(manifest).values())
    try:
        return [find_base(manifest, name)]
    except UnknownKnowledge as error:
        if name is not None and (verb := nearest(name, _VERBS, limit=1)):
            error.hint = f"did you mean `cape index {verb[0]}`?"
        raise


def _one(project: Project, name: str | None) -> KnowledgeBase:
    from cape.operations.including import project_manifest
    from cape.operations.knowledge import find_base

    return find_base(project_manifest(project), name)


def index(arguments: argparse.Namespace) -> int:
    """`cape index [NAME]`."""
    from cape.operations.indexing import foresee_index, index_base

    project, lock, workshop = _opened(arguments)
    results = []
    for base in _chosen(project, arguments.name):
        if arguments.dry_run:
            result = foresee_index(project, workshop, base, lock, full=arguments.full)
        else:
            result = index_base(
                project,
                workshop,
                base,
                lock,
                rebuild=arguments.rebuild,
                locked=arguments.locked,
                full=arguments.full,
            )
        results.append(result)
        if not arguments.json:
            _show_result(result, quiet=arguments.quiet)
    if arguments.json:
        show_json({"bases": [_result_fields(result) for result in results]})
    return int(arguments.locked and any(result.unread for result in results))


def _show_result(result: IndexResult, *, quiet: bool) -> None:
    name = result.base.name
    _show_changes(result.added, result.changed, result.removed)
    _show_unread(result.unread)
    for note in result.notes:
        say(f"{paint('note', '36', sys.stderr)}: {note}", quiet=quiet)
    say(_sentence(name, result), quiet=quiet)


def _sentence(name: str, result: IndexResult) -> str:
    generation = result.generation
    if result.dry_run:
        changes = len(result.added) + len(result.changed) + len(result.removed)
        said = f"{count(changes, 'change')} of its documents" if changes else "its documents are as they were"
        return f"would index `{name}`: {said}" if result.is_new else f"the index of `{name}` is up to date"
    assert generation is not None
    has = f"{count(generation.documents, 'document')}, {count(generation.chunks, 'chunk')}"
    by = "words and vectors" if result.has_vectors else "words alone"
    if not result.is_new:
        return f"the index of `{name}` is up to date: generation {generation.number}, {has}"
    work = f"read {result.read}" + (f", embedded {result.embedded}" if result.has_vectors else "")
    return f"indexed `{name}`: generation {generation.number}, {has}, by {by} ({work}) in {duration(clock())}"


def _show_changes(added: Sequence[str], changed: Sequence[str], removed: Sequence[str]) -> None:
    for mark, paths in (("+", added), ("~", changed), ("-", removed)):
        for path in paths[:_LISTED]:
            print(f"{mark} {path}")
        if len(paths) > _LISTED:
            print(f"{mark} and {len(paths) - _LISTED} more")


def _show_unread(unread: Iterable[UnreadDocument]) -> None:
    for one in unread:
        print(f"{paint('warning', '33', sys.stderr)}: `{one.path}` {one.reason}", file=sys.stderr)


def status(arguments: argparse.Namespace) -> int:
    """`cape index status [NAME]`: exit code 1 where indexing again would change something."""
    from cape.operations.indexing import index_status

    project, lock, workshop = _opened(arguments)
    found = [
        index_status(project, workshop, base, lock, full=arguments.full)
        for base in _chosen(project, arguments.name)
    ]
    if arguments.json:
        show_json({"bases": [_status_fields(one) for one in found]})
    else:
        for one in found:
            _show_status(one, quiet=arguments.quiet)
    return int(not all(one.is_fresh for one in found))


def _show_status(status: IndexStatus, *, quiet: bool) -> None:
    generation = status.generation
    if generation is None:
        print(f"{status.base.name}: not indexed, {count(len(status.added), 'document')}")
        say(f"`cape index {status.base.name}` makes the index", quiet=quiet)
        return
    by = "words and vectors" if generation.recipe.embedder else "words alone"
    print(
        f"{status.base.name}: generation {generation.number}, {count(generation.documents, 'document')}, "
        f"{count(generation.chunks, 'chunk')}, by {by}, {size(status.size_bytes)}, {generation.digest.short}"
    )
    _show_changes(status.added, status.changed, status.removed)
    for sentence in _drift_sentences(status):
        print(sentence)
    _show_unread(status.unread)
    for note in status.notes:
        say(f"{paint('note', '36', sys.stderr)}: {note}", quiet=quiet)
    print(_history_table(status.history, generation.number))
    if not status.is_fresh:
        say(f"`cape index {status.base.name}` brings it up to date", quiet=quiet)


def _drift_sentences(status: IndexStatus) -> list[str]:
    sentences = []
    if status.recipe:
        sentences.append(f"made by another recipe: {', '.join(status.recipe)}")
    if status.access_changed:
        sentences.append("the access policy changed since; it holds already")
    if status.drift is None:
        sentences.append("the lock has no rows for it")
    elif status.drift:
        sentences.append(f"the lock differs: {', '.join(status.drift)}")
    return sentences


def _history_table(history: Sequence[IndexGeneration], current: int) -> str:
    rows = [
        (
            "*" if one.number == current else " ",
            str(one.number),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.made_at_s)),
            count(one.documents, "document"),
            count(one.chunks, "chunk"),
            one.digest.short,
        )
        for one in history[:_LISTED]
    ]
    return table(rows, right=(1, 3, 4))


def diff(arguments: argparse.Namespace) -> int:
    """`cape index diff [NAME] [FROM] [TO]`."""
    from cape.operations.indexing import index_difference

    project, _, _ = _opened(arguments)
    name, numbers = _name_and_numbers(arguments)
    base = _one(project, name)
    before, after = [*numbers, None, None][:2]
    found = index_difference(project, base, before=before, after=after)
    if arguments.json:
        show_json(
            {
                "name": base.name,
                "from": found.before.number,
                "to": found.after.number,
                "added": list(found.added),
                "changed": list(found.changed),
                "removed": list(found.removed),
                "chunks_added": found.chunks_added,
                "chunks_removed": found.chunks_removed,
            }
        )
        return 0
    for mark, paths in (("+", found.added), ("~", found.changed), ("-", found.removed)):
        for path in paths:
            print(f"{mark} {path}")
    say(
        f"generation {found.before.number} to {found.after.number}: "
        f"{count(found.chunks_added, 'chunk')} came, {found.chunks_removed} went",
        quiet=arguments.quiet,
    )
    return 0


def _name_and_numbers(arguments: argparse.Namespace) -> tuple[str | None, list[int]]:
    """The base and generations of words such as `handbook 3 5`, `3`, or none."""
    words = list(arguments.words)
    name = words.pop(0) if words and not words[0].isdigit() else None
    for word in words:
        if not word.isdigit():
            raise BadGenerationNumber(f"`{word}` is no number of a generation")
    return name, [int(word) for word in words[:2]]


def rollback(arguments: argparse.Namespace) -> int:
    """`cape index rollback [NAME] [TO]`."""
    from cape.operations.indexing import rollback_index, rollback_target

    project, _, _ = _opened(arguments)
    name, numbers = _name_and_numbers(arguments)
    base = _one(project, name)
    to = numbers[0] if numbers else None
    if arguments.dry_run:
        generation = rollback_target(project, base, to)
    else:
        generation = rollback_index(project, base, to)
    if arguments.json:
        show_json({"name": base.name, **_generation_fields(generation), "dry_run": arguments.dry_run})
    else:
        verb = "would become" if arguments.dry_run else "is"
        say(
            f"generation {generation.number} of the index of `{base.name}` {verb} current: "
            f"{count(generation.documents, 'document')}, {count(generation.chunks, 'chunk')}",
            quiet=arguments.quiet,
        )
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """`cape index verify [NAME]`: exit code 3 where something is not what it should be."""
    from cape.knowledge.index.errors import rebuilding
    from cape.operations.indexing import verify_index

    project, lock, workshop = _opened(arguments)
    found = [verify_index(project, workshop, base, lock) for base in _chosen(project, arguments.name)]
    if arguments.json:
        show_json(
            {
                "bases": [
                    {
                        "name": one.base.name,
                        **_generation_fields(one.generation),
                        "embedded_again": one.embedded_again,
                        "problems": list(one.problems),
                    }
                    for one in found
                ]
            }
        )
        return 3 * any(one.problems for one in found)
    for one in found:
        for problem in one.problems:
            print(f"{one.base.name}: {problem}")
        if one.problems:
            say(f"{paint('hint', '1;36', sys.stderr)}: {rebuilding(one.base.name)}")
            continue
        again = f", {count(one.embedded_again, 'chunk')} embedded again" if one.embedded_again else ""
        say(
            f"the index of `{one.base.name}` is what it says: {count(one.chunks, 'chunk')} in "
            f"{count(one.segments, 'segment')}{again}",
            quiet=arguments.quiet,
        )
    return 3 * any(one.problems for one in found)


# -- JSON ---------------------------------------------------------------------------------------------


def _generation_fields(generation: IndexGeneration) -> dict[str, object]:
    return {
        "generation": generation.number,
        "documents": generation.documents,
        "chunks": generation.chunks,
        "digest": str(generation.digest),
        "access": str(generation.access.digest),
        "recipe": dict(generation.recipe.parts),
    }


def _unread_fields(unread: Iterable[UnreadDocument]) -> list[dict[str, object]]:
    return [{"path": one.path, "reason": one.reason} for one in unread]


def _result_fields(result: IndexResult) -> dict[str, object]:
    return {
        "name": result.base.name,
        **(_generation_fields(result.generation) if result.generation else {"generation": None}),
        "is_new": result.is_new,
        "added": list(result.added),
        "changed": list(result.changed),
        "removed": list(result.removed),
        "unread": _unread_fields(result.unread),
        "read": result.read,
        "embedded": result.embedded,
        "has_vectors": result.has_vectors,
        "lock_changed": result.lock_changed,
        "notes": list(result.notes),
        "dry_run": result.dry_run,
    }


def _status_fields(status: IndexStatus) -> dict[str, object]:
    return {
        "name": status.base.name,
        **(_generation_fields(status.generation) if status.generation else {"generation": None}),
        "is_fresh": status.is_fresh,
        "added": list(status.added),
        "changed": list(status.changed),
        "removed": list(status.removed),
        "recipe_drift": list(status.recipe),
        "access_changed": status.access_changed,
        "lock_drift": None if status.drift is None else list(status.drift),
        "unread": _unread_fields(status.unread),
        "notes": list(status.notes),
        "size_bytes": status.size_bytes,
        "history": [
            {**_generation_fields(one), "parent": one.parent, "made_at_s": one.made_at_s}
            for one in status.history
        ],
    }
