"""`cape ci`: what a job of continuous integration runs first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import say, show_json
from cape.cli.sharing import ask
from cape.operations.project import Workshop, find_project, held

if TYPE_CHECKING:
    from cape.operations.drift import Drift


def ci(arguments: argparse.Namespace) -> int:
    """`cape ci`; exit code 1 on drift."""
    from cape.operations.drift import find_drift

    project = find_project(Path.cwd())
    workshop = Workshop.open()
    if not arguments.check:
        from cape.operations.syncing import sync_project

        with held(project):
            sync_project(project, workshop, argv=sys.argv[1:], must_be_locked=True)
    drift = find_drift(project, workshop, place=arguments.place, against=arguments.instances, consent=ask)
    if arguments.json:
        show_json(_fields(drift))
    else:
        _tell(drift, quiet=arguments.quiet)
    return 0 if drift.is_none else 1


def _tell(drift: Drift, *, quiet: bool) -> None:
    for problem in drift.problems:
        print(f"here: {problem}")
    for one in drift.compared:
        if one.is_same:
            say(f"{one.name}: generation {one.generation}, the same lock", quiet=quiet)
            continue
        print(f"{one.name}: generation {one.generation}, which differs; from there to here:")
        for line in one.lines:
            print(f"  {line}")
    if drift.is_none:
        say(f"no drift: the lock is {drift.lock}", quiet=quiet)


def _fields(drift: Drift) -> dict[str, object]:
    return {
        "drifted": not drift.is_none,
        "lock": str(drift.lock) if drift.lock else None,
        "problems": list(drift.problems),
        "instances": [
            {
                "name": one.name,
                "generation": one.generation,
                "lock": str(one.lock),
                "same": one.is_same,
                "changes": list(one.lines),
            }
            for one in drift.compared
        ],
    }
