"""Objects: artifacts unpacked and made relocatable, sealed, and never changed again.

Owns how an object comes to be (built beside, sealed, synced, renamed), how it is read, and how it is
checked. What a builder does, and what a key is made of, must never be known here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cape.names import Digest, sync_directory
from cape.store.errors import ObjectDamaged, StoreRecordUnreadable, disk_errors
from cape.store.files import remove_tree, sync_file_system
from cape.store.leases import Lease, holder_name, is_alive
from cape.store.listing import (
    ContentHasher,
    Entry,
    content_digest,
    list_tree,
    parse_listing,
    render_listing,
    seal_tree,
)

Build = Callable[[Path], Mapping[str, Any]]
"""Writes an object's tree into the directory given, and gives its facts: a JSON object."""

_TREE, _LISTING, _RECORD = "tree", "listing", "object.json"
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreObject:
    """A sealed object. `facts` are what its builder said; `content` is equal in every store."""

    key: Digest
    path: Path
    facts: Mapping[str, Any] = field(repr=False)
    content: Digest
    files: int
    size_bytes: int

    @property
    def tree(self) -> Path:
        """The directory that holds its files."""
        return self.path / _TREE

    def listing(self) -> list[Entry]:
        """Every entry of the tree, sorted by path. Raises `ObjectDamaged`."""
        try:
            return parse_listing((self.path / _LISTING).read_bytes())
        except (OSError, ValueError) as error:
            raise ObjectDamaged(
                "the listing of an object is damaged",
                where=str(self.path),
                hint="remove this directory, then `cape sync` makes it anew",
            ) from error

    def problems(self) -> list[str]:
        """What in the tree is not as it was sealed, as sentences; every file is hashed again."""
        hasher = ContentHasher(self.path.parent.parent)
        sealed = {entry.path: entry for entry in self.listing()}
        if content_digest(sealed[path] for path in sorted(sealed)) != self.content:
            return ["its listing is not the sealed one"]
        if not self.tree.is_dir():
            return ["its tree is missing"]
        present = {entry.path: entry for entry in list_tree(self.tree, hasher)}
        problems = [f"`{path}` is missing" for path in sorted(sealed.keys() - present.keys())]
        problems += [f"`{path}` was added" for path in sorted(present.keys() - sealed.keys())]
        problems += [
            f"`{path}` was changed"
            for path in sorted(sealed.keys() & present.keys())
            if sealed[path] != present[path]
        ]
        return problems

    def verify(self) -> None:
        """Hash every file again. Raises `ObjectDamaged` that names the first that is wrong."""
        problems = self.problems()
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise ObjectDamaged(
                f"an object was changed after it was sealed: {problems[0]}{more}",
                where=str(self.path),
                hint="remove this directory, then `cape sync` makes it anew",
            )


@dataclass(kw_only=True, slots=True)
class _Pending:
    key: Digest
    lease: Lease
    directory: Path


class Objects:
    """The objects of a store: `objects/KEY/` with `tree/`, `listing` and `object.json`."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.root = store / "objects"
        self._leases = store / "leases"

    def get(self, key: Digest) -> StoreObject | None:
        """The object of that key; None when there is none. Raises `StoreRecordUnreadable`."""
        path = self.root / key.hex
        try:
            record = json.loads((path / _RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StoreRecordUnreadable(
                "the record of an object cannot be read", where=str(path), hint="remove this directory"
            ) from error
        return StoreObject(
            key=key,
            path=path,
            facts=record["facts"],
            content=Digest(record["content"]),
            files=record["files"],
            size_bytes=record["size_bytes"],
        )

    def obtain(self, key: Digest, build: Build) -> StoreObject:
        """The object of that key; built if there is none.

        Of several processes that want one key, one builds and the others wait for it. What `build`
        raises passes through, and leaves nothing. When this returns, the object outlasts a power failure.
        Raises `DiskFull`, `StoreNotWritable`.
        """
        with Batch(self) as batch:
            batch.prepare(key, build)
        made = self.get(key)
        if made is None:
            raise ObjectDamaged("an object vanished while it was made", where=str(self.root / key.hex))
        return made

    def all(self) -> Iterator[Digest]:
        """The keys of all objects, sorted."""
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.root)):
                with contextlib.suppress(ValueError):
                    yield Digest(name)

    def __iter__(self) -> Iterator[StoreObject]:
        """All objects, by key. Raises `StoreRecordUnreadable` at one whose record is damaged."""
        for key in self.all():
            if found := self.get(key):
                yield found

    def discard(self, key: Digest) -> None:
        """Remove an object. First it is renamed, so that no reader sees half of it."""
        path = self.root / key.hex
        doomed = self.root / f".{key.hex}.{holder_name()}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, doomed)
            remove_tree(doomed)

    def sweep(self) -> int:
        """Remove what dead processes left half made; how many directories that were."""
        swept = 0
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.root):
                if name.startswith(".") and not is_alive(name.rpartition(".")[2]):
                    remove_tree(self.root / name)
                    swept += 1
        return swept

    def lease(self, key: Digest) -> Lease:
        """The lease for making the object of that key."""
        self._leases.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(parents=True, exist_ok=True)
        return Lease(self._leases / f"object-{key.hex}")

    def sweep_of(self, key: Digest) -> None:
        """Remove half-made directories of one key. The caller holds its lease."""
        for stale in self.root.glob(f".{key.hex}.*"):
            if not is_alive(stale.name.rpartition(".")[2]) or stale.name.endswith(holder_name()):
                remove_tree(stale)


class Batch:
    """Objects made one after another and made lasting together: one sync for many renames.

    Leases are held from `prepare` to the commit. A batch never waits for a lease while it holds others:
    it commits first, so two batches cannot wait for each other.
    """

    def __init__(self, objects: Objects, *, most_bytes: int = 256 << 20, most: int = 64) -> None:
        self._objects = objects
        self._most_bytes = most_bytes
        self._most = most
        self._pending: list[_Pending] = []
        self._bytes = 0

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def prepare(self, key: Digest, build: Build, *, wait: bool = True) -> bool:
        """Make the object of `key`, to be committed later; False: another process is making it.

        With `wait` it is never False: then the other's object is awaited, or made here if it failed.
        """
        objects = self._objects
        with disk_errors(objects.root):
            if any(pending.key == key for pending in self._pending) or objects.get(key):
                return True
            lease = objects.lease(key)
            if not lease.take(wait=False):
                if not wait:
                    return False
                self.commit()
                lease.take()
            try:
                self._make(key, lease, build)
            except BaseException:
                lease.release()
                raise
        if self._bytes > self._most_bytes or len(self._pending) >= self._most:
            self.commit()
        return True

    def _make(self, key: Digest, lease: Lease, build: Build) -> None:
        objects = self._objects
        if objects.get(key):
            lease.release()
            return
        objects.sweep_of(key)
        directory = objects.root / f".{key.hex}.{holder_name()}"
        try:
            directory.mkdir()
            self._bytes += _build(directory, objects.store, build)
        except BaseException:
            remove_tree(directory)
            raise
        self._pending.append(_Pending(key=key, lease=lease, directory=directory))

    def commit(self) -> None:
        """Sync what was made, rename it to its final names, and give the leases back."""
        if not self._pending:
            return
        objects = self._objects
        try:
            with disk_errors(objects.root):
                sync_file_system(objects.root)
                for pending in self._pending:
                    _rename(pending.directory, objects.root / pending.key.hex)
                sync_directory(objects.root)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what was not committed, and give the leases back."""
        pending, self._pending, self._bytes = self._pending, [], 0
        for one in pending:
            with contextlib.suppress(OSError):
                remove_tree(one.directory)
            one.lease.release()


def _build(directory: Path, store: Path, build: Build) -> int:
    tree = directory / _TREE
    tree.mkdir()
    facts = dict(build(tree))
    entries = seal_tree(tree, ContentHasher(store))
    size_bytes = sum(entry.size_bytes for entry in entries)
    record = {
        "schema_version": _SCHEMA,
        "content": content_digest(entries).hex,
        "files": sum(1 for entry in entries if entry.kind != "d"),
        "size_bytes": size_bytes,
        "facts": facts,
    }
    (directory / _LISTING).write_bytes(render_listing(entries))
    (directory / _RECORD).write_text(json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n")
    for name in (_LISTING, _RECORD):
        (directory / name).chmod(0o444)
    return size_bytes


def _rename(directory: Path, final: Path) -> None:
    try:
        os.rename(directory, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Only where the file system has no locks: another process made the same object meanwhile.
