"""`cape run -r PLACE`, `cape activate -r PLACE`: inside an environment of a place, without a project.

Owns where such environments are kept, `borrowed/KEY/` of the store: a project like any other, whose files are
always those of the place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cape.operations.project import Project, Workshop
from cape.operations.sharing import known_place, open_ledger, pull
from cape.sharing import PlaceUnreachable
from cape.sharing.ledger import Consent, nobody

BORROWED = "borrowed"


def borrowed_project(
    text: str, workshop: Workshop, *, argv: Sequence[str], consent: Consent = nobody
) -> tuple[Project, tuple[str, ...]]:
    """The project that stands for a place on this machine, brought up to date; and sentences about it.

    A place that cannot be reached leaves what was there last. Raises what `pull` raises.
    """
    shown = open_ledger(text, workshop).place.shown
    directory = workshop.store.root / BORROWED / hashlib.sha256(shown.encode()).hexdigest()[:24]
    directory.mkdir(parents=True, exist_ok=True)
    project = Project(directory)
    known = known_place(project)
    try:
        if known is None or _has_newer(text, known.number, workshop, consent):
            pull(project, workshop, text, argv=argv, force=True, consent=consent)
    except PlaceUnreachable as error:
        if known is None:
            raise
        return project, (f"{error.fact}; this is generation {known.number}, which was there last",)
    return project, ()


def _has_newer(text: str, number: int, workshop: Workshop, consent: Consent) -> bool:
    newest = open_ledger(text, workshop, consent=consent).head()
    return newest is None or newest.record.number != number
