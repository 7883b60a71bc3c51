"""`cape rollback`: an earlier generation again, and what goes back with it.

Owns letting knowledge and running services follow, and saying what could not. Packages, models, variables
and scripts are the generation's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.environment import generations
from cape.environment.generations import Generation
from cape.errors import CapeError
from cape.operations.project import Project, held, project_files

if TYPE_CHECKING:
    from cape.lock import LockedKnowledge
    from cape.operations.services import Followed, Heard


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """The generation that is (or would be) current, and what else went back, or could not.

    `notes` are sentences; `services` is None where running services were to be left alone.
    """

    generation: Generation
    notes: tuple[str, ...] = ()
    services: Followed | None = None


def roll_back(
    project: Project,
    to: int | None,
    *,
    argv: Sequence[str],
    dry_run: bool = False,
    services: bool = True,
    heard: Heard | None = None,
) -> Returned:
    """Make an earlier generation current, with its manifest, lock, and the indices that its lock names.

    Then running services that this changes are restarted (`heard` is told), unless `services` is false.
    Raises what `generations.rollback` raises.
    """
    if dry_run:
        return Returned(generation=generations.rollback_target(project.directory, to))
    with held(project), project_files(project.directory):
        generations.current_generation(project.directory)  # What a newer cape made is not left by this one.
        target = generations.rollback(project.directory, to, argv=argv)
    notes = (*_changed_includes(target), *_knowledge_notes(project, target))
    if not services:
        return Returned(generation=target, notes=(*notes, *service_notes(project)))
    return Returned(generation=target, notes=notes, services=_follow_services(project, heard))


def _follow_services(project: Project, heard: Heard | None) -> Followed | None:
    if not (project.state / "services").is_dir():
        return None
    from cape.operations.services import follow_generation

    return follow_generation(project, heard=heard)


def service_notes(project: Project) -> tuple[str, ...]:
    """A sentence about running services that are not what the current generation says; none without any."""
    if not (project.state / "services").is_dir():
        return ()
    from cape.operations.services import left_behind

    names = left_behind(project)
    listed = ", ".join(f"`{name}`" for name in names)
    them = "it" if len(names) == 1 else "them"
    return (
        (f"running as before this change: {listed}; `cape services restart` moves {them}",) if names else ()
    )


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
