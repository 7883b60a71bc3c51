"""`cape ci`: whether this machine has what the lock says, and what the instances of a place have.

Compares digests that are equal on every machine (of the lock, of the environment's identity), so that
development, continuous integration and production can be told apart without looking into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.environment.generations import current_generation
from cape.lock import Lock, compare_locks, parse_lock, read_lock, render_lock
from cape.names import Digest
from cape.operations.including import project_manifest
from cape.operations.instances import UnknownInstance, instances_of
from cape.operations.locking import reasons_to_lock
from cape.operations.project import LOCKFILE, Project, Workshop
from cape.operations.sharing import known_place, open_ledger
from cape.sharing.ledger import Consent, nobody


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One side beside this project's lock: its generation at the place, its lock's digest, the difference."""

    name: str
    generation: int
    lock: Digest
    lines: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        return not self.lines


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """What `cape ci` found. `problems` are sentences about this machine; none, and all equal: no drift."""

    lock: Digest | None
    problems: tuple[str, ...]
    compared: tuple[Compared, ...]

    @property
    def is_none(self) -> bool:
        return not self.problems and all(one.is_same for one in self.compared)


def find_drift(
    project: Project,
    workshop: Workshop,
    *,
    place: str | None = None,
    against: Sequence[str] = (),
    consent: Consent = nobody,
) -> Drift:
    """Compare the project with its lock, and its lock with those of instances.

    Without a place, and without one that the project knows, instances are left out; `against` names those
    to compare with, otherwise all. Raises `UnknownInstance`, and what places raise.
    """
    lock = read_lock(project.lock_path)
    problems = list(reasons_to_lock(project_manifest(project), lock))
    if lock is not None and not problems:
        problems += _environment_problems(project)
    compared = _compared(lock, project, workshop, place, against, consent) if lock is not None else ()
    digest = Digest.of(project.lock_path.read_bytes()) if lock is not None else None
    return Drift(lock=digest, problems=tuple(problems), compared=compared)


def _environment_problems(project: Project) -> list[str]:
    current = current_generation(project.directory)
    if current is None:
        return ["no environment was made: `cape sync --locked`"]
    if current.lock_text.encode() != project.lock_path.read_bytes():
        return [f"generation {current.number} is of another lock: `cape sync --locked`"]
    if not (current.environment / "environment.json").is_file():
        return ["the environment is not in the store: `cape sync --locked`"]
    return []


def _compared(
    lock: Lock,
    project: Project,
    workshop: Workshop,
    place: str | None,
    against: Sequence[str],
    consent: Consent,
) -> tuple[Compared, ...]:
    known = known_place(project)
    where = place or (known.place if known else None)
    if where is None:
        if against:
            raise UnknownInstance("this project knows no place, so no instances", hint="`--place PLACE`")
        return ()
    found = {one.name: one for one in instances_of(where, workshop, consent=consent)}
    if unknown := sorted(set(against) - found.keys()):
        names = ", ".join(f"`{name}`" for name in found)
        raise UnknownInstance(
            f"the place has no instance `{unknown[0]}`", hint=f"it has {names or 'none yet'}"
        )
    ledger = open_ledger(where, workshop, consent=consent)
    compared = []
    for name in against or sorted(found):
        digest = ledger.entry(found[name].step.generation).record.files[LOCKFILE]
        theirs = parse_lock(ledger.blob(digest, what=f"`{LOCKFILE}`").decode(), path=Path(LOCKFILE))
        lines = compare_locks(theirs, lock).lines()
        if not lines and render_lock(theirs) != render_lock(lock):
            lines = ("requirements differ, packages do not",)
        compared.append(Compared(name=name, generation=found[name].step.generation, lock=digest, lines=lines))
    return tuple(compared)
