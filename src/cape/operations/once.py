"""Programs for one command: `cape run --with`, on top of the project's environment, or of nothing.

Owns where such environments are remembered: `once/KEY/` of the store, by what was asked and what it lies
on. Manifest, lock and generations stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.names import Digest, System
from cape.operations.living import Inside, ready_generation
from cape.operations.project import DEFAULT_SUITE, NoProject, Project, Workshop, find_project
from cape.store import Store

if TYPE_CHECKING:
    from cape.environment.generations import Generation
    from cape.lock import Lock
    from cape.manifest import Manifest, PackageArgument

ONCE = "once"
KEPT_DAYS = 30
"""How long an environment that was wanted once waits to be wanted again."""

_RECORD = "record.json"


def inside_once(
    start: Path,
    workshop: Workshop,
    packages: Sequence[PackageArgument],
    command: Sequence[str],
    *,
    argv: Sequence[str],
    pure: bool = False,
    environment: str | None = None,
) -> Inside:
    """The process that runs a command with these packages too.

    The same packages on the same environment are resolved once; that is remembered for `KEPT_DAYS` after
    the last use. Raises what locking and syncing raise.
    """
    generation = _generation(start, workshop, argv, environment)
    if generation is not None:
        from cape.operations.agreeing import require_agreement

        require_agreement(Project(generation.project))
    key = _key(generation, environment, packages)
    place = workshop.store.root / ONCE / key.hex[:32]
    workshop.store.announce()
    if not _is_there(place):
        _make(place, generation, environment, packages, workshop)
    with contextlib.suppress(OSError):
        os.utime(place / _RECORD)
    starter = 'cape_mode=$1 cape_project=$2 cape_script=$3; shift 3; . "$cape_script"; exit 70'
    project = str(generation.project if generation else place)
    words = ("/bin/sh", "-c", starter, "cape", "pure" if pure else "run", project, str(place / "run.sh"))
    return Inside(words=(*words, *command), variables=dict(os.environ))


def _generation(
    start: Path, workshop: Workshop, argv: Sequence[str], environment: str | None
) -> Generation | None:
    """The current generation of the project around `start`; None where there is no project."""
    try:
        project = find_project(start)
    except NoProject:
        if environment is not None:
            raise
        return None
    from cape.environment.generations import current_generation, is_up_to_date

    current = None if (project.state / "switching").exists() else current_generation(project.directory)
    has_it = current and (environment is None or environment in current.attached)
    if current and has_it and is_up_to_date(project.directory, current):
        return current
    return ready_generation(project, workshop, argv=argv, environment=environment)


def _key(
    generation: Generation | None, environment: str | None, packages: Sequence[PackageArgument]
) -> Digest:
    """What the environment depends on: the generation's texts, which environment of it, and what is added."""
    from cape.environment.plan import LAYOUT_VERSION

    lines = [f"layout {LAYOUT_VERSION}", f"system {System.current()}"]
    if generation is not None:
        kept = [*sorted(generation.directory.glob("*.toml")), generation.directory / "cape.lock"]
        lines += [f"project {generation.project}", f"environment {environment}"]
        lines += [f"{file.name} {Digest.of_file(file).hex}" for file in kept]
    lines += sorted(repr(argument) for argument in packages)
    return Digest.of_lines(lines)


def _is_there(place: Path) -> bool:
    try:
        record = json.loads((place / _RECORD).read_bytes())
        return os.path.exists(os.path.join(record["environment"], "environment.json"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(
    place: Path,
    generation: Generation | None,
    environment: str | None,
    packages: Sequence[PackageArgument],
    workshop: Workshop,
) -> None:
    from cape.operations.locking import compute_lock
    from cape.operations.syncing import prepare

    base, previous = _base(generation, environment)
    manifest = _with(base, packages)
    prepared = prepare(workshop, compute_lock(manifest, previous, workshop))
    path = prepared.environment.path
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        project = generation.project if generation else place
        _write(beside, place, manifest, path, project, [repr(argument) for argument in packages])
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(FileExistsError):
            os.rename(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _base(generation: Generation | None, environment: str | None) -> tuple[Manifest, Lock | None]:
    """What lies below, and its lock, of this machine's system alone."""
    from cape.environment.kept import kept_manifest
    from cape.lock import parse_lock
    from cape.manifest.model import SCHEMA, Manifest
    from cape.operations.composing import alone, lock_of

    system = System.current()
    if generation is None:
        file = Path("cape.toml")
        return Manifest(path=file, schema=SCHEMA, name="once", systems=(system,), debian=DEFAULT_SUITE), None
    manifest = kept_manifest(generation.project, generation.directory)
    lock = lock_of(parse_lock(generation.lock_text, path=generation.directory / "cape.lock"), environment)
    rows = [replace(row, systems=(system,)) for row in lock.packages if system in row.systems]
    narrowed = replace(lock, systems=(system,), packages=tuple(rows), includes=(), environments={})
    narrowed = replace(narrowed, knowledge=(), documents=(), unsettled_knowledge=frozenset())
    return replace(alone(manifest, environment), systems=(system,)), narrowed


def _with(base: Manifest, packages: Sequence[PackageArgument]) -> Manifest:
    """The manifest with these packages too; one that it has from the same source gets another constraint."""
    requirements = {one.name: one for one in base.requirements}
    for argument in packages:
        added = argument.requirement()
        present = requirements.get(added.name)
        if present is not None and present.source != added.source:
            added = replace(added, name=f"{added.source}-{added.name}")
        if present is None or present.source != added.source or added.constraint != "*":
            requirements[added.name] = added
    return replace(base, requirements=tuple(requirements.values()))


def _write(
    beside: Path, place: Path, manifest: Manifest, environment: Path, project: Path, asked: Sequence[str]
) -> None:
    """The sealed script, and the record that makes it whole."""
    from cape.environment.activation import activation_of
    from cape.environment.shells import render_run
    from cape.names import write_atomically

    (beside / ".cape" / "state").mkdir(parents=True, mode=0o700)
    activation = activation_of(manifest, environment, project)
    asked_file = beside / "asked.toml"
    asked_file.write_text("\n".join(f"# {line}" for line in asked) + "\n")
    stamp = beside / "asked.toml.stamp"
    stamp.touch()
    for file in (asked_file, stamp):
        os.utime(file, ns=(0, 0))
    stamps = [(place / asked_file.name, place / stamp.name)]
    (beside / "run.sh").write_text(render_run(activation, place, stamps))
    record = {"schema_version": 1, "environment": str(environment), "made_s": int(time.time())}
    write_atomically(beside / _RECORD, json.dumps(record).encode() + b"\n")


def remembered(store: Store, *, now_s: float | None = None) -> Iterator[tuple[Path, str, bool]]:
    """What is remembered: its place, the name of its environment, and whether its time is up."""
    now = time.time() if now_s is None else now_s
    for record in (store.root / ONCE).glob(f"*/{_RECORD}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            is_old = now - record.stat().st_mtime > KEPT_DAYS * 86400
            name = os.path.basename(json.loads(record.read_bytes())["environment"])
            yield record.parent, name, is_old


def abandoned(store: Store) -> Iterator[Path]:
    """What processes that were killed left half made, a day ago or more."""
    for place in (store.root / ONCE).glob(".new-*"):
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > 86400:
                yield place
