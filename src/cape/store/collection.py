"""Garbage collection: what no generation of any known project reaches goes.

Owns the walk from roots to artifacts. It reads the generations' records and the environments' records,
and nothing else of a project.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from cape.names import Digest
from cape.store.files import remove_tree, tree_size
from cape.store.leases import holder_name, is_alive
from cape.store.projects import KnownProject
from cape.store.store import Store

ABSENT_DAYS = 30
"""How long a project that is not there keeps its environments."""

PARTIAL_DAYS = 7
"""How long an unfinished download waits to be resumed."""

INDEX_DAYS = 90
"""How long what a source keeps of its registries waits to be used again: another mirror may be set now."""

DATED, CONTENTS = "dated", "contents"
"""Directories of a source's indices: of old states of its registries, and, named by an artifact's digest,
of what was learnt of it. Either can be had again."""

_DAY_S = 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What a collection removes (or, in a dry run, would): numbers, and bytes on disk."""

    environments: tuple[str, ...] = ()
    objects: tuple[Digest, ...] = ()
    artifacts: tuple[Digest, ...] = ()
    forgotten_projects: tuple[Path, ...] = ()
    freed_bytes: int = 0


def collect(
    store: Store,
    *,
    roots: Iterable[str] = (),
    without: Collection[Path] = (),
    dry_run: bool = False,
    now_s: float | None = None,
) -> Collected:
    """Remove every environment, object and artifact that no known project reaches, and stale indices.

    `roots` are names in `environments/` to keep besides, `without` directories of generations that do not
    count. A project is reached through its generations'
    records; one that is not there keeps what it reached when last seen, for `ABSENT_DAYS`.
    Raises `StoreInUse`.
    """
    now = time.time() if now_s is None else now_s
    with store.alone():
        kept, forgotten = _roots(store, set(roots), now, without)
        environments = [name for name in _names(store.environments) if name not in kept]
        live_objects = _reached_objects(store, kept)
        objects = [key for key in store.objects.all() if key not in live_objects]
        live_artifacts = _reached_artifacts(store, live_objects)
        artifacts = [digest for digest in store.artifacts.all() if digest not in live_artifacts]
        indices = _stale_indices(store, live_artifacts, now)
        freed = _size(store, environments, objects, artifacts) + sum(map(_index_size, indices))
        if not dry_run:
            _remove(store, environments, objects, artifacts, now)
            for index in indices:
                _remove_index(index)
            for project in forgotten:
                store.projects.forget(project)
    return Collected(
        environments=tuple(environments),
        objects=tuple(objects),
        artifacts=tuple(artifacts),
        forgotten_projects=tuple(forgotten),
        freed_bytes=freed,
    )


def _roots(
    store: Store, kept: set[str], now: float, without: Collection[Path]
) -> tuple[set[str], list[Path]]:
    forgotten: list[Path] = []
    for project in store.projects.all():
        if project.directory.is_dir():
            reached = generations_reach(project.directory, without=without)
            kept |= reached
            if not reached:
                forgotten.append(project.directory)
        elif _is_remembered(project, now):
            kept |= set(project.environments)
        else:
            forgotten.append(project.directory)
    return kept, forgotten


def _is_remembered(project: KnownProject, now: float) -> bool:
    return now - project.seen_s < ABSENT_DAYS * _DAY_S


def generations_reach(project: Path, *, without: Collection[Path] = ()) -> set[str]:
    """The names in `environments/` that the generations of a project reach, but for those of `without`."""
    reached: set[str] = set()
    generations = project / ".cape" / "generations"
    records = [(one, one.parent) for one in generations.glob("*/generation.json")]
    records += [(one, one.parents[2]) for one in generations.glob("*/environments/*/attached.json")]
    for record, generation in records:
        if generation in without:
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            reached.add(os.path.basename(json.loads(record.read_bytes())["environment"]))
    return reached


def _names(directory: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    return []


def _reached_objects(store: Store, environments: set[str]) -> set[Digest]:
    reached: set[Digest] = set()
    for name in environments:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((store.environments / name / "environment.json").read_bytes())
            reached |= {Digest(key) for key in record["objects"]}
    return reached


def _reached_artifacts(store: Store, objects: set[Digest]) -> set[Digest]:
    reached: set[Digest] = set()
    for key in objects:
        with contextlib.suppress(Exception):
            made = store.objects.get(key)
            if made is not None and "artifact" in made.facts:
                reached.add(Digest(made.facts["artifact"]))
    return reached


def _stale_indices(store: Store, artifacts: Collection[Digest], now: float) -> list[Path]:
    """What sources keep and nobody will ask for: old states, what is known of artifacts that go."""
    live = {digest.hex for digest in artifacts}
    stale: list[Path] = []
    for source in _children(store.root / "indices"):
        for entry in _children(source):
            if entry.name == DATED:
                stale += _children(entry)
            elif entry.name == CONTENTS:
                stale += [kept for kept in _children(entry) if kept.name not in live]
            elif entry.is_dir() and now - _newest(entry) > INDEX_DAYS * _DAY_S:
                stale.append(entry)
    return stale


def _children(directory: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(directory.iterdir())
    return []


def _newest(directory: Path) -> float:
    """When something below a directory was written last."""
    times = [directory.lstat().st_mtime]
    for below, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                times.append(os.lstat(os.path.join(below, name)).st_mtime)
    return max(times)


def _index_size(path: Path) -> int:
    return tree_size(path) if path.is_dir() else path.lstat().st_blocks * 512


def _remove_index(path: Path) -> None:
    """Remove what a source keeps: a directory is renamed first, so that no reader sees half of it."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = path.with_name(f".{path.name}.{holder_name()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, doomed)
        remove_tree(doomed)


def _size(store: Store, environments: list[str], objects: list[Digest], artifacts: list[Digest]) -> int:
    """Bytes that go: an environment's files are its objects', so only what it has alone would count."""
    total = sum(_own_size(store.environments / name) for name in environments)
    for key in objects:
        with contextlib.suppress(OSError):
            total += tree_size(store.objects.root / key.hex)
    for digest in artifacts:
        with contextlib.suppress(OSError):
            total += store.artifacts.path(digest).stat().st_blocks * 512
    return total


def _own_size(directory: Path) -> int:
    """Bytes of files below a directory that no other name has."""
    total = 0
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            total += _own_size(Path(entry.path))
        else:
            status = entry.stat(follow_symlinks=False)
            total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total


def _remove(
    store: Store, environments: list[str], objects: list[Digest], artifacts: list[Digest], now: float
) -> None:
    for name in environments:
        discard_environment(store, name)
    for key in objects:
        store.objects.discard(key)
    for digest in artifacts:
        store.artifacts.path(digest).unlink(missing_ok=True)
    store.objects.sweep()
    sweep_environments(store)
    partial = store.artifacts.root / "partial"
    if partial.is_dir():
        for file in partial.iterdir():
            with contextlib.suppress(OSError):
                if now - file.stat().st_mtime > PARTIAL_DAYS * _DAY_S:
                    file.unlink()


def discard_environment(store: Store, name: str) -> None:
    """Remove an environment: renamed first, so that no reader sees half of it."""
    doomed = store.environments / f".{name}.{holder_name()}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(store.environments / name, doomed)
    remove_tree(doomed)


def sweep_environments(store: Store) -> None:
    """Remove what dead processes left half made."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(store.environments):
            if name.startswith(".") and not is_alive(name.rpartition(".")[2]):
                remove_tree(store.environments / name)
