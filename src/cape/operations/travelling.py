"""What travels with a project beside its files: indices of knowledge bases, and packages that it built.

Owns the archive of an index (a snapshot of its database and the files of its words and vectors, in a tar
that is equal for equal bytes), and that one which arrives is believed only if it is what the lock says.
Documents stay where they are; their texts are in the index.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from cape.errors import CapeError, InputError, IntegrityError, StateError
from cape.knowledge.index.segments import DIRECTORY
from cape.knowledge.index.tables import FILE
from cape.lock import Lock, LockedKnowledge, all_packages
from cape.manifest import Manifest
from cape.names import Digest
from cape.operations.knowledge import KnowledgeBase, bases_of, index_directory, open_base
from cape.operations.knowledge_lock import locked_generation
from cape.operations.project import Project, Workshop
from cape.sources.builds import Built, read_record, write_record

BUILD_SOURCE = "build"
_TIME_S = 315532800
_WORKING = ".travelling-"
_SEGMENT_NAME_LETTERS = frozenset("0123456789abcdef.words.vectors.codes")


class CannotTravel(InputError):
    """Something that a project needs cannot be pushed: it is elsewhere, or private."""

    slug = "cannot-travel"


class KnowledgeNotReady(StateError):
    """An index is to be pushed, and it is not there or not what the lock says."""

    slug = "knowledge-not-ready"


class KnowledgeDamaged(IntegrityError):
    """An index that came from a place is not what the lock says."""

    slug = "pulled-knowledge-damaged"


@contextlib.contextmanager
def working_place(project: Project, *, sweep: bool = True) -> Iterator[Path]:
    """A directory of the project's that is gone after the block. The caller holds the project.

    With `sweep`, those that a killed command left go first.
    """
    project.state.mkdir(mode=0o700, exist_ok=True)
    for left in project.state.glob(f"{_WORKING}*") if sweep else ():
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_WORKING, dir=project.state) as place:
        yield Path(place)


def built_packages(lock: Lock, workshop: Workshop) -> dict[Digest, int]:
    """Digests and sizes of what was built of a lock: no registry has it, so it travels always.

    Raises `CannotTravel` for what the store lacks.
    """
    rows = [row for row in all_packages(lock) if row.source == BUILD_SOURCE]
    for row in rows:
        if not workshop.store.artifacts.has(row.artifact.digest):
            raise CannotTravel(
                f"the result of the build `{row.name}` is not on this machine",
                hint=f"`cape build {row.name}` makes it, then `cape lock`",
            )
    return {row.artifact.digest: row.artifact.size_bytes for row in rows}


def keep_built(project: Project, manifest: Manifest, lock: Lock) -> None:
    """Record what came built, so that the project can be locked again without building it."""
    own = set(manifest.build)
    for row in all_packages(lock):
        if row.source != BUILD_SOURCE or row.name not in own:
            continue
        for system in row.systems:
            if system in read_record(project.directory, row.name):
                continue
            built = Built(
                name=row.name,
                version=row.version,
                system=system,
                key=row.artifact.digest,
                digest=row.artifact.digest,
                size_bytes=row.artifact.size_bytes,
                files=0,
                sandboxed=False,
            )
            write_record(project.directory, built)


def beside_knowledge(manifest: Manifest) -> list[str]:
    """Files of a project that asking needs: who may see what, and test sets."""
    bases = bases_of(manifest).values()
    return [file for one in bases for file in (one.access, one.questions) if file]


@contextlib.contextmanager
def packed_indices(project: Project, manifest: Manifest, lock: Lock) -> Iterator[Mapping[str, Path]]:
    """An archive of the index of each knowledge base, by name; they are gone after the block.

    Raises `CannotTravel` for a private base, `KnowledgeNotReady`, and what opening an index raises.
    """
    bases = bases_of(manifest)
    if not bases:
        raise CannotTravel("the manifest names no knowledge base", where=str(manifest.path))
    with working_place(project) as place:
        packed = {}
        for name, base in bases.items():
            _check_ready(project, base, lock)
            packed[name] = place / name
            _pack(index_directory(project, name), name, packed[name])
        yield packed


def _row(lock: Lock, name: str) -> LockedKnowledge | None:
    return next((one for one in lock.knowledge if one.name == name), None)


def _check_ready(project: Project, base: KnowledgeBase, lock: Lock) -> None:
    if base.private:
        raise CannotTravel(
            f"the knowledge base `{base.name}` is private: not even its digests leave this machine",
            hint="push without `--with-knowledge`; others index their own documents",
        )
    row = _row(lock, base.name)
    with open_base(project, base) as index:
        if row is None or locked_generation(project, base, index.generation) != row.index:
            raise KnowledgeNotReady(
                f"the index of `{base.name}` is not what the lock says", hint=f"`cape index {base.name}`"
            )


def _pack(directory: Path, name: str, target: Path) -> None:
    from cape.knowledge.index.writer import held_index

    snapshot = target.with_name(f".{name}.sqlite")
    with held_index(directory, name), tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as stream:
        with contextlib.closing(sqlite3.connect(directory / FILE)) as connection:
            connection.execute("VACUUM INTO ?", (str(snapshot),))
        _add(stream, snapshot, FILE)
        for file in sorted((directory / DIRECTORY).glob("*.*")):
            if not file.name.startswith("."):
                _add(stream, file, f"{DIRECTORY}/{file.name}")
    snapshot.unlink()


def _add(stream: tarfile.TarFile, file: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = file.stat().st_size, _TIME_S, 0o600
    with open(file, "rb") as content:
        stream.addfile(member, content)


def is_there(project: Project, base: KnowledgeBase, lock: Lock) -> bool:
    """Whether the project has the index that the lock names already, and it can be opened."""
    row = _row(lock, base.name)
    with contextlib.suppress(CapeError), open_base(project, base) as index:
        return row is not None and locked_generation(project, base, index.generation) == row.index
    return False


def take_index(project: Project, base: KnowledgeBase, lock: Lock, archive: Path) -> None:
    """Make an archive the index of a base, if it is what the lock says: every digest is computed again.

    Readers see the old index or the new one. Raises `KnowledgeDamaged`.
    """
    with working_place(project, sweep=False) as directory:
        _unpack(archive, directory, base.name)
        _check(project, base, lock, directory)
        _replace(directory, index_directory(project, base.name), base.name)


def _unpack(archive: Path, into: Path, name: str) -> None:
    (into / DIRECTORY).mkdir()
    try:
        with tarfile.open(archive, "r:") as stream:
            for member in stream:
                parent, _, file = member.name.rpartition("/")
                fits = (parent == DIRECTORY and set(file) <= _SEGMENT_NAME_LETTERS) or member.name == FILE
                content = stream.extractfile(member) if fits and member.isfile() else None
                if content is None:
                    raise tarfile.ReadError(f"`{member.name}` does not belong into it")
                with open(into / member.name, "wb") as target:
                    shutil.copyfileobj(content, target, 1 << 20)
                    target.flush()
                    os.fsync(target.fileno())
    except (tarfile.TarError, OSError) as error:
        raise _damaged(name, str(error)) from error


def _check(project: Project, base: KnowledgeBase, lock: Lock, directory: Path) -> None:
    from cape.knowledge.index.reader import open_index
    from cape.knowledge.index.verification import verify

    row = _row(lock, base.name)
    try:
        with open_index(directory, base.name) as index:
            if row is None or locked_generation(project, base, index.generation) != row.index:
                raise _damaged(base.name, "its digest is another than the lock's")
            problems = verify(index, embedder=None, sample=0).problems
    except (sqlite3.Error, ValueError) as error:
        raise _damaged(base.name, str(error)) from error
    except CapeError as error:
        raise error if isinstance(error, KnowledgeDamaged) else _damaged(base.name, error.fact) from error
    if problems:
        raise _damaged(base.name, problems[0])


def _damaged(name: str, why: str) -> KnowledgeDamaged:
    return KnowledgeDamaged(
        f"the index of `{name}` that came from the place is not what the lock says: {why}",
        hint="believe nothing of this place until its owner explains it; `cape index` makes one of documents",
    )


def _replace(new: Path, directory: Path, name: str) -> None:
    """First files that nothing refers to yet, then the database, in one transaction."""
    from cape.knowledge.index.writer import held_index

    with held_index(directory, name):
        (directory / DIRECTORY).mkdir(mode=0o700, exist_ok=True)
        for file in (new / DIRECTORY).iterdir():
            os.replace(file, directory / DIRECTORY / file.name)
        with (
            contextlib.closing(sqlite3.connect(new / FILE)) as source,
            contextlib.closing(sqlite3.connect(directory / FILE)) as target,
        ):
            source.backup(target)
