"""`cape gc`: old generations of this project, then whatever no project reaches.

Owns which generations may go, what running processes and remembered one-off environments keep, and
checkouts of git includes. What of the store is reached is `store`'s to know.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cape.environment.generations import (
    attached_to,
    current_number,
    directory_of,
    forget,
    generation,
    numbers,
    sweep,
)
from cape.errors import CapeError
from cape.operations.once import abandoned, remembered
from cape.operations.project import Project, Workshop, held
from cape.operations.repositories import CHECKOUTS
from cape.store import Collected, Store, collect
from cape.store.files import remove_tree, tree_size

CHECKOUT_DAYS = 30
"""How long the checkout of a git include that no generation keeps waits to be locked again."""

_DAY_S = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """What was removed, or would be: of the store, and generations of the project, with bytes in all."""

    collected: Collected
    generations: tuple[int, ...] = ()
    checkouts: tuple[str, ...] = ()
    freed_bytes: int = 0

    @property
    def is_empty(self) -> bool:
        found = self.collected
        gone = (found.environments, found.objects, found.artifacts, self.generations, self.checkouts)
        return not any(gone)


def collect_garbage(
    workshop: Workshop,
    *,
    project: Project | None = None,
    keep: int | None = None,
    older_than_s: float | None = None,
    dry_run: bool = False,
) -> Cleared:
    """Collect; with a project, first forget generations of it.

    Those go that are both beyond the last `keep` and older than `older_than_s`, where these are given;
    never the current one, and never one that a running process uses. Raises `StoreInUse`.
    """
    store = workshop.store
    used = environments_in_use(store)
    doomed: tuple[int, ...] = ()
    if not dry_run:
        for known in store.projects.all():
            sweep(known.directory)
    if project is not None and (keep is not None or older_than_s is not None):
        directory = Path(os.path.realpath(project.directory))
        with contextlib.nullcontext() if dry_run else held(Project(directory)):
            held_back = in_use_here(directory)
            doomed = forgettable(directory, used, keep=keep, older_than_s=older_than_s, in_use_here=held_back)
            if not dry_run:
                forget(directory, doomed)
        without = [directory_of(directory, number) for number in doomed]
    else:
        without = []
    old = [place for place, _, is_old in remembered(store) if is_old]
    lately = {name for _, name, is_old in remembered(store) if not is_old}
    collected = collect(store, roots=used | lately, without=without, dry_run=dry_run)
    checkouts = list(_unreached_checkouts(store, without))
    freed = collected.freed_bytes + sum(map(tree_size, checkouts))
    if not dry_run:
        for place in (*old, *abandoned(store)):
            shutil.rmtree(place, ignore_errors=True)
        for checkout in checkouts:
            remove_tree(checkout)
    return Cleared(
        collected=collected,
        generations=doomed,
        checkouts=tuple(checkout.name for checkout in checkouts),
        freed_bytes=freed,
    )


def forgettable(
    directory: Path,
    used: Collection[str],
    *,
    keep: int | None,
    older_than_s: float | None,
    in_use_here: InUseHere | None = None,
    now_s: float | None = None,
) -> tuple[int, ...]:
    """The generations of a project that may go, ascending. `used` are names of environments in use."""
    here = in_use_here or InUseHere()
    now = time.time() if now_s is None else now_s
    present = current_number(directory)
    older = numbers(directory)[: -max(keep, 1)] if keep is not None else numbers(directory)
    return tuple(
        number
        for number in older
        if number != present
        and not here.uses(number, names := _names_of(directory, number))
        and not names & set(used)
        and (older_than_s is None or now - _made_s(directory, number) > older_than_s)
    )


def _names_of(directory: Path, number: int) -> set[str]:
    """The names in `environments/` that a generation reaches."""
    place = directory_of(directory, number)
    names = {path.name for path in attached_to(place).values()}
    with contextlib.suppress(CapeError):
        names.add(generation(directory, number).environment.name)
    return names


def _made_s(directory: Path, number: int) -> float:
    """When a generation was made; one whose record is damaged is as old as its directory."""
    try:
        return generation(directory, number).created_s
    except CapeError:
        return directory_of(directory, number).stat().st_mtime


@dataclass(frozen=True, kw_only=True, slots=True)
class InUseHere:
    """What of a project is in use as its own notes say, where the table of processes may not.

    `generations` are those that running services were started from, `beginnings` what the names of the
    environments begin with that shells are inside (one that was entered in place shows it nowhere else).
    With `unknown` somebody is inside something that the note does not name: then all of it may be.
    """

    generations: frozenset[int] = frozenset()
    beginnings: tuple[str, ...] = ()
    unknown: bool = False

    def uses(self, number: int, names: Collection[str]) -> bool:
        """Whether a generation, which reaches environments of these names, must stay."""
        if self.unknown or number in self.generations:
            return True
        return any(name.startswith(self.beginnings) for name in names) if self.beginnings else False


def in_use_here(directory: Path) -> InUseHere:
    """What living services and shells of a project use."""
    from cape.environment.attachments import alive
    from cape.operations.services import generations_in_use

    inside = alive(directory)
    return InUseHere(
        generations=generations_in_use(directory) if (directory / ".cape/services").is_dir() else frozenset(),
        beginnings=tuple({one.environment for one in inside if one.environment is not None}),
        unknown=any(one.environment is None for one in inside),
    )


def environments_in_use(store: Store) -> set[str]:
    """The names of environments that processes of this machine run in or from, as far as one may look."""
    prefix = f"{store.environments}{os.sep}"
    found: set[str] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            for path in _places_of(Path(entry.path)):
                if path.startswith(prefix):
                    found.add(path.removeprefix(prefix).partition(os.sep)[0])
    return found


def _places_of(process: Path) -> Iterator[str]:
    """The paths that tell where a process lives: its program, its directory, and `$CAPE_ENV`."""
    with contextlib.suppress(OSError):
        yield os.readlink(process / "exe")
    with contextlib.suppress(OSError):
        yield os.readlink(process / "cwd")
    with contextlib.suppress(OSError):
        for variable in (process / "environ").read_bytes().split(b"\0"):
            if variable.startswith(b"CAPE_ENV="):
                yield os.fsdecode(variable.removeprefix(b"CAPE_ENV="))


def _unreached_checkouts(store: Store, without: Collection[Path]) -> Iterator[Path]:
    """Checkouts that no generation of a known project keeps, and that were not locked lately."""
    reached = {
        commit
        for project in store.projects.all()
        for kept in (project.directory / ".cape" / "generations").glob("*/includes.json")
        if kept.parent not in without
        for commit in _commits_of(kept)
    }
    with contextlib.suppress(FileNotFoundError):
        for checkout in sorted((store.root / CHECKOUTS).iterdir()):
            is_old = time.time() - checkout.stat().st_mtime > CHECKOUT_DAYS * _DAY_S
            if is_old and checkout.name not in reached and not checkout.name.startswith("."):
                yield checkout


def _commits_of(kept: Path) -> set[str]:
    from cape.environment.kept import checkouts_of

    try:
        return checkouts_of(kept.parent)
    except (OSError, ValueError, KeyError, TypeError, json.JSONDecodeError):
        return set()
