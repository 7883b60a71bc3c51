"""`cape gc`: old generations of this project, then whatever no project reaches."""

from __future__ import annotations

from pathlib import Path

from cape.environment.generations import forget
from cape.operations.project import NoProject, Workshop, find_project, held
from cape.store import Collected, collect


def collect_garbage(start: Path, workshop: Workshop, *, keep: int | None, dry_run: bool = False) -> Collected:
    """Collect; with `keep`, first forget all but the last generations of the project around `start`.

    A dry run forgets nothing, so it says what a collection without `keep` would remove.
    Raises `StoreInUse`, and with `keep` `NoProject`.
    """
    if keep is not None and not dry_run:
        project = find_project(start)
        with held(project):
            forget(project.directory, keep=max(keep, 1))
    elif keep is not None:
        find_project(start)
    return collect(workshop.store, dry_run=dry_run)


__all__ = ["NoProject", "collect_garbage"]
