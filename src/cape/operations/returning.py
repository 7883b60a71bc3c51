"""`cape rollback`: an earlier generation again, and what goes back with it.

Owns letting knowledge follow, and saying what could not. Packages, models, variables and scripts are the
generation's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.environment import generations
from cape.environment.generations import Generation
from cape.errors import CapeError
from cape.operations.project import Project, held, project_files

if TYPE_CHECKING:
    from cape.lock import LockedKnowledge


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """The generation that is (or would be) current, and sentences about what else went back or did not."""

    generation: Generation
    notes: tuple[str, ...] = ()


def roll_back(project: Project, to: int | None, *, argv: Sequence[str], dry_run: bool = False) -> Returned:
    """Make an earlier generation current, with its manifest, lock, and the indices that its lock names.

    Raises what `generations.rollback` raises.
    """
    if dry_run:
        return Returned(generation=generations.rollback_target(project.directory, to))
    with held(project), project_files(project.directory):
        before = generations.current_generation(project.directory)
        target = generations.rollback(project.directory, to, argv=argv)
    notes = (*_service_notes(before, target), *_changed_includes(target))
    return Returned(generation=target, notes=(*notes, *_knowledge_notes(project, target)))


def _service_notes(before: Generation | None, target: Generation) -> Iterator[str]:
    """Services whose definition, variables or programs went back: one that runs is as it was started."""
    from cape.environment.kept import kept_manifest

    if before is None or "services" not in before.manifest_text + target.manifest_text:
        return
    old, new = (kept_manifest(one.project, one.directory) for one in (before, target))
    same = before.environment == target.environment and old.vars == new.vars
    names = sorted(
        name
        for name in old.services.keys() | new.services.keys()
        if not same or old.services.get(name) != new.services.get(name)
    )
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        yield f"services that run keep what they were started with until they are restarted: {listed}"


def _changed_includes(target: Generation) -> tuple[str, ...]:
    """Included directories are other people's: they do not go back, and the next run heeds them."""
    from cape.environment.kept import live_files

    changed = []
    for file, kept in live_files(target.project, target.directory):
        try:
            same = file.read_bytes() == kept.read_bytes()
        except OSError:
            same = False
        if not same:
            changed.append(
                f"`{os.path.normpath(file)}` is not what generation {target.number} included: "
                "the next command takes it as it is"
            )
    return tuple(changed)


def _knowledge_notes(project: Project, target: Generation) -> tuple[str, ...]:
    """Let each index go back to what the generation's lock says of it."""
    rows = _knowledge_rows(target.lock_text)
    return tuple(note for row in rows if (note := _follow(project, target, row)) is not None)


def _knowledge_rows(text: str) -> list[LockedKnowledge]:
    """The rows of knowledge bases; a lock is read for them only where it has one."""
    if '\n{"row":"knowledge",' not in text:
        return []
    from cape.lock.knowledge import BadKnowledgeRow, knowledge_of

    rows = []
    for line in text.splitlines():
        if line.startswith('{"row":"knowledge",'):
            try:
                rows.append(knowledge_of(json.loads(line)))
            except (ValueError, BadKnowledgeRow):
                continue
    return rows


def _follow(project: Project, target: Generation, row: LockedKnowledge) -> str | None:
    from cape.environment.kept import kept_manifest
    from cape.operations.indexing import rollback_index
    from cape.operations.knowledge import find_base, index_directory, open_base
    from cape.operations.knowledge_lock import locked_generation

    if not index_directory(project, row.name).exists():
        return f"knowledge base `{row.name}` has no index here: `cape index {row.name}` makes it"
    try:
        base = find_base(kept_manifest(target.project, target.directory), row.name)
        with open_base(project, base) as index:
            known = index.history()
            current = index.generation.number
        fitting = [one.number for one in known if locked_generation(project, base, one) == row.index]
        if not fitting:
            return (
                f"the index of `{row.name}` has no generation that this lock names: "
                f"`cape index {row.name}` makes one of the documents as they are"
            )
        if current in fitting:
            return None
        rollback_index(project, base, max(fitting))
    except CapeError as error:
        return f"the index of `{row.name}` stays as it is: {error}"
    return f"the index of `{row.name}` is back at its generation {max(fitting)}"
