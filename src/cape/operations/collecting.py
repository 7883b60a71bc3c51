"""`cape gc`: old generations of this project, then whatever no project reaches."""

from __future__ import annotations

import os
from pathlib import Path

from cape.environment.generations import directory_of, forget, forgettable
from cape.operations.project import Project, Workshop, find_project, held
from cape.store import Collected, collect


def collect_garbage(start: Path, workshop: Workshop, *, keep: int | None, dry_run: bool = False) -> Collected:
    """Collect; with `keep`, first forget all but the last generations of the project around `start`.

    Raises `StoreInUse`, and with `keep` `NoProject`.
    """
    if keep is None:
        return collect(workshop.store, dry_run=dry_run)
    directory = Path(os.path.realpath(find_project(start).directory))
    if dry_run:
        doomed = forgettable(directory, keep=max(keep, 1))
        without = [directory_of(directory, number) for number in doomed]
        return collect(workshop.store, without=without, dry_run=True)
    with held(Project(directory)):
        forget(directory, keep=max(keep, 1))
    return collect(workshop.store)
