"""Changing an index: contents are added bit by bit, and become a generation in one transaction.

Owns the building state. What was added is kept whatever ends the process, and no reader sees it before
`publish`; the next writer goes on from there. One writer at a time holds an index, others wait. It reads
no document and cuts none: extracted documents come in.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cape.knowledge.access import AccessPolicy
from cape.knowledge.chunking import chunk
from cape.knowledge.documents import ExtractedDocument, UnreadDocument
from cape.knowledge.index import segments as files
from cape.knowledge.index.encoding import encode_chunk
from cape.knowledge.index.errors import EmbedderChanged, guarded
from cape.knowledge.index.generations import (
    Content,
    IndexGeneration,
    contents_of,
    current_number,
    find_content,
    forget_before,
    index_digest,
    read_generation,
    set_current,
    write_generation,
)
from cape.knowledge.index.seen import FileState, Seen, read_seen
from cape.knowledge.index.segments import MOST_ROWS, Segment, read_segments
from cape.knowledge.index.tables import open_for_writing
from cape.knowledge.protocol import Embedder
from cape.knowledge.recipe import Recipe
from cape.names import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EMBED_BATCH = 16
_TEXT_DIGEST_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What `publish` did: the generation that is current now, and whether it is a new one."""

    generation: IndexGeneration
    is_new: bool
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """What a coming generation wants of a path: bytes of this digest, read by this extractor."""

    digest: Digest
    extractor: str


@contextlib.contextmanager
def held_index(directory: Path, name: str) -> Iterator[None]:
    """Keep other writers of an index waiting until the block ends, or this process does.

    Raises `IndexNotWritable`, `DiskFull`.
    """
    with guarded(directory, name):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "held", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def write_index(
    directory: Path,
    name: str,
    recipe: Recipe,
    *,
    embedder: Embedder | None = None,
    rebuild: bool = False,
) -> Iterator[IndexWriter]:
    """Hold an index and open it for a change by this recipe; it is made if it is not there.

    With `rebuild` nothing that is in it is taken over, and a damaged file is replaced.
    Raises `EmbedderChanged`, `IndexDamaged`, `IndexTooNew`, `IndexNotWritable`, `DiskFull`.
    """
    with held_index(directory, name), guarded(directory, name):
        connection = _opened(directory, name, rebuild=rebuild)
        try:
            yield IndexWriter(directory, name, connection, recipe, embedder=embedder, rebuild=rebuild)
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def go_back(directory: Path, name: str, number: int) -> tuple[IndexGeneration, Mapping[str, Content]]:
    """Make an earlier generation the current one, and give it with what it is made of: one number changes.

    Raises `UnknownIndexGeneration`, `IndexDamaged`, `IndexNotWritable`, `DiskFull`.
    """
    with (
        held_index(directory, name),
        guarded(directory, name),
        contextlib.closing(open_for_writing(directory, name)) as connection,
    ):
        generation = read_generation(connection, number, name)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        set_current(connection, number)
        connection.execute("COMMIT")
        return generation, contents_of(connection, number)


def _opened(directory: Path, name: str, *, rebuild: bool) -> sqlite3.Connection:
    from cape.knowledge.index.errors import IndexDamaged

    try:
        with guarded(directory, name):
            connection = open_for_writing(directory, name)
            if rebuild:
                _check_whole(connection)
            return connection
    except IndexDamaged:
        if not rebuild:
            raise
        for suffix in ("", "-wal", "-shm"):
            (directory / f"index.sqlite{suffix}").unlink(missing_ok=True)
        return open_for_writing(directory, name)


def _check_whole(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


class IndexWriter:
    """One change of an index, from the first document to `publish`. Comes from `write_index`."""

    def __init__(
        self,
        directory: Path,
        name: str,
        connection: sqlite3.Connection,
        recipe: Recipe,
        *,
        embedder: Embedder | None,
        rebuild: bool,
    ) -> None:
        self.directory = directory
        self.name = name
        self.recipe = recipe
        self.rebuild = rebuild
        self._connection = connection
        self._embedder = embedder
        self._readings: dict[str, bytes] = {}
        self._resolved: tuple[Mapping[str, Wanted], dict[str, Content]] | None = None
        self._epoch = self._fact("epoch", 0) + rebuild
        number = current_number(connection)
        self.current = None if number is None else read_generation(connection, number, name)
        self._contents = {} if number is None or rebuild else contents_of(connection, number)
        self._next = self._fact("next", 1)
        if not rebuild:
            self._check_embedder()

    def _fact(self, name: str, default: int) -> int:
        row = self._connection.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else default

    def _check_embedder(self) -> None:
        built, wanted = self.current.recipe.embedder if self.current else None, self.recipe.embedder
        if built is not None and wanted is not None and built != wanted:
            raise embedder_changed(self.name, built, wanted)

    # -- what is there already

    def seen(self) -> Seen:
        """The states and digests of the files that were read before."""
        return read_seen(self._connection)

    def note(self, path: str, state: FileState, digest: Digest, *, read_at_ns: int) -> None:
        """Remember the state and the digest of a file that was read; `read_at_ns` is when reading began."""
        self._begin()
        self._connection.execute(
            "INSERT OR REPLACE INTO seen (path, size, mtime, inode, at, digest) VALUES (?, ?, ?, ?, ?, ?)",
            (
                path,
                state.size_bytes,
                state.mtime_ns,
                state.inode,
                read_at_ns,
                bytes.fromhex(digest.hex),
            ),
        )

    def has(self, path: str, wanted: Wanted) -> bool:
        """Whether a document needs no reading: its bytes are chunks already, by the same extractor."""
        return self._content(path, wanted) is not None

    def refusal(self, path: str, wanted: Wanted) -> UnreadDocument | None:
        """Why these bytes could not be read the last time; None when that is not known."""
        row = self._connection.execute(
            "SELECT reason FROM unread WHERE path = ? AND digest = ? AND reading = ?",
            (path, bytes.fromhex(wanted.digest.hex), self._reading(wanted.extractor)),
        ).fetchone()
        if row is None or self.rebuild:
            return None
        return UnreadDocument(path=path, digest=wanted.digest, reason=row[0])

    def _reading(self, extractor: str) -> bytes:
        if extractor not in self._readings:
            self._readings[extractor] = bytes.fromhex(self.recipe.reading(extractor).hex)
        return self._readings[extractor]

    def _content(self, path: str, wanted: Wanted) -> Content | None:
        reading = self._reading(wanted.extractor)
        found = self._contents.get(path)
        if (
            found is not None
            and found.hex == wanted.digest.hex
            and found.reading == reading
            and found.epoch == self._epoch
        ):
            return found
        return find_content(self._connection, path, wanted.digest, reading, self._epoch)

    # -- adding

    def add(self, document: ExtractedDocument) -> int:
        """Cut a document and keep its chunks, for good; how many."""
        self._resolved = None
        chunks = chunk(document)
        self._begin()
        first = self._next
        rows = []
        for number, one in enumerate(chunks, start=first):
            rows.append(
                (number, text_digest(one.searchable), bytes.fromhex(one.digest.hex), encode_chunk(one))
            )
        self._connection.executemany(
            "INSERT INTO chunk (id, text_digest, digest, body) VALUES (?, ?, ?, ?)", rows
        )
        self._connection.execute(
            "INSERT INTO content (path, digest, reading, epoch, size, title, extractor, notes, first, "
            "chunks, chunks_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.path,
                bytes.fromhex(document.digest.hex),
                self._reading(document.extractor),
                self._epoch,
                document.size_bytes,
                document.title,
                document.extractor,
                json.dumps(document.notes),
                first,
                len(chunks),
                digest_of_chunks(row[2] for row in rows),
            ),
        )
        self._connection.execute("DELETE FROM unread WHERE path = ?", (document.path,))
        self._next = first + len(chunks)
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES ('next', ?)", (self._next,))
        self.commit()
        return len(chunks)

    def refuse(self, unread: UnreadDocument, extractor: str) -> None:
        """Remember that an extractor could not read a document."""
        self._begin()
        self._connection.execute(
            "INSERT OR REPLACE INTO unread (path, digest, reading, reason) VALUES (?, ?, ?, ?)",
            (
                unread.path,
                bytes.fromhex(unread.digest.hex) if unread.digest else None,
                self._reading(extractor),
                unread.reason,
            ),
        )
        self.commit()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Keep for good what was added until now."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    # -- embedding

    def without_embedder(self) -> None:
        """Go on without vectors: the coming generation is searched by words alone."""
        self._embedder = None
        self.recipe = replace(self.recipe, embedder=None)

    def to_embed(self, target: Mapping[str, Wanted]) -> list[tuple[bytes, str]]:
        """The texts of a coming generation that have no vector yet, each once, with their digests."""
        from cape.knowledge.index.encoding import searchable_text

        if self._embedder is None:
            return []
        self.commit()
        wanted: dict[bytes, int] = {}
        for first, last in self._without_vectors(target):
            rows = self._connection.execute(
                "SELECT text_digest, id FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id", (first, last)
            )
            for found, number in rows:
                wanted.setdefault(found, number)
        lacking = [found for found in wanted if not self._is_embedded(found)]
        texts = []
        for found in lacking:
            body = self._connection.execute(
                "SELECT body FROM chunk WHERE id = ?", (wanted[found],)
            ).fetchone()[0]
            texts.append((found, searchable_text(body)))
        return texts

    def embed(self, texts: Sequence[tuple[bytes, str]]) -> Iterator[int]:
        """Embed texts from `to_embed` by batches, each kept for good; gives the size of each batch."""
        assert self._embedder is not None
        own = bytes.fromhex(self._embedder.digest.hex)
        for at in range(0, len(texts), _EMBED_BATCH):
            batch = texts[at : at + _EMBED_BATCH]
            vectors = self._embedder.embed([text for _, text in batch])
            self._begin()
            self._connection.executemany(
                "INSERT OR REPLACE INTO fresh_vector (embedder, text_digest, vector) VALUES (?, ?, ?)",
                [
                    (own, found, vector.astype("<f4").tobytes())
                    for (found, _), vector in zip(batch, vectors, strict=True)
                ],
            )
            self.commit()
            yield len(batch)

    def _without_vectors(self, target: Mapping[str, Wanted]) -> list[tuple[int, int]]:
        """The ranges of a coming generation's chunks that no segment has vectors of this embedder for."""
        own = self._own_embedder()
        covered = [one for one in read_segments(self._connection) if one.embedder == own]
        ends = [(one.first, one.last) for one in covered]
        return [
            (content.first, content.first + content.chunks - 1)
            for content in self._target(target).values()
            if content.chunks and not any(first <= content.first <= last for first, last in ends)
        ]

    def _own_embedder(self) -> bytes | None:
        return bytes.fromhex(self._embedder.digest.hex) if self._embedder else None

    def _is_embedded(self, found: bytes) -> bool:
        own = self._own_embedder()
        fresh = "SELECT 1 FROM fresh_vector WHERE embedder = ? AND text_digest = ?"
        if self._connection.execute(fresh, (own, found)).fetchone():
            return True
        return self._embedded_row(found) is not None

    def _embedded_row(self, found: bytes) -> int | None:
        """The number of a chunk with that text in a segment with vectors of this embedder."""
        if self.rebuild:
            return None
        row = self._connection.execute(
            "SELECT c.id FROM chunk c JOIN segment s ON c.id BETWEEN s.first AND s.last "
            "WHERE c.text_digest = ? AND s.embedder = ? LIMIT 1",
            (found, self._own_embedder()),
        ).fetchone()
        return int(row[0]) if row else None

    # -- publishing

    @property
    def contents(self) -> Mapping[str, Content]:
        """What the current generation is made of, by path."""
        return self._contents

    def contents_for(self, target: Mapping[str, Wanted]) -> Mapping[str, Content]:
        """What a coming generation would be made of; all must have been added."""
        return self._target(target)

    def _target(self, target: Mapping[str, Wanted]) -> dict[str, Content]:
        if self._resolved is not None and self._resolved[0] is target:
            return self._resolved[1]
        found = {}
        for path in sorted(target):
            content = self._content(path, target[path])
            assert content is not None, f"`{path}` was not added"
            found[path] = content
        self._resolved = (target, found)
        return found

    def foreseen(self, target: Mapping[str, Wanted], policy: AccessPolicy) -> IndexGeneration:
        """What `publish` would make the current generation, but for its number."""
        contents = self._target(target)
        recipe = self._recipe_of(contents)
        return IndexGeneration(
            number=0,
            parent=None,
            recipe=recipe,
            access=policy,
            digest=index_digest(recipe, policy, contents.values()),
            documents=len(contents),
            chunks=sum(content.chunks for content in contents.values()),
            made_at_s=time.time(),
        )

    def _recipe_of(self, contents: Mapping[str, Content]) -> Recipe:
        return self.recipe.read_by(content.extractor for content in contents.values())

    def publish(self, target: Mapping[str, Wanted], policy: AccessPolicy) -> Published:
        """Make the documents with these digests, all added before, the current generation.

        Files first, then one transaction: a reader sees the old generation or the new one. If the current
        generation is just that, it stays.
        """
        self.commit()
        contents = self._target(target)
        before = self.current
        if before is not None and not self.rebuild and self._is_same(before, contents, policy):
            self._forget_paths(target)
            return Published(generation=before, is_new=False)
        self._drop_abandoned(contents)
        old = read_segments(self._connection)
        segments = self._segments(contents, old)
        # By identity: a segment made anew may be equal to an old one, and its files were then replaced.
        files.settle(self.directory, [one for one in segments if not any(one is other for other in old)])
        self._connection.execute("PRAGMA synchronous = FULL")
        self._begin()
        number = write_generation(
            self._connection,
            recipe=self._recipe_of(contents),
            policy=policy,
            contents=contents,
            made_at_s=time.time(),
        )
        self._replace_segments(segments)
        self._connection.execute("DELETE FROM fresh_vector")
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES ('epoch', ?)", (self._epoch,))
        if self.rebuild:
            forget_before(self._connection, number)
        self._forget_paths(target, within=True)
        self._connection.execute("COMMIT")
        self._tidy(segments)
        generation = read_generation(self._connection, number, self.name)
        previous = self._contents if not self.rebuild else {}
        self.current, self._contents = generation, contents
        return Published(generation=generation, is_new=True, **_changes(previous, contents))

    def _is_same(
        self, before: IndexGeneration, contents: Mapping[str, Content], policy: AccessPolicy
    ) -> bool:
        return (
            before.recipe == self._recipe_of(contents)
            and before.access.digest == policy.digest
            and [one.id for one in self._contents.values()] == [one.id for one in contents.values()]
        )

    def _drop_abandoned(self, contents: Mapping[str, Content]) -> None:
        """Forget what an earlier, unfinished change added and this one does not want."""
        kept = {content.id for content in contents.values()}
        unseen = "SELECT id, first, chunks FROM content WHERE id NOT IN (SELECT content FROM visible)"
        unused = [row for row in self._connection.execute(unseen).fetchall() if row[0] not in kept]
        self._begin()
        for number, first, chunks in unused:
            self._connection.execute("DELETE FROM chunk WHERE id >= ? AND id < ?", (first, first + chunks))
            self._connection.execute("DELETE FROM content WHERE id = ?", (number,))
        self.commit()

    def _forget_paths(self, target: Mapping[str, Wanted], *, within: bool = False) -> None:
        """Forget the states of files that are gone; first they are counted, as each document has one."""
        states = self._connection.execute("SELECT count(*) FROM seen").fetchone()[0]
        if states <= len(target):
            return
        known = {row[0] for row in self._connection.execute("SELECT path FROM seen")}
        unread = {row[0] for row in self._connection.execute("SELECT path FROM unread")}
        gone = sorted(known - target.keys() - unread)
        if gone:
            self._begin()
            self._connection.executemany("DELETE FROM seen WHERE path = ?", [(path,) for path in gone])
            if not within:
                self.commit()

    def keep_unread(self, paths: Iterable[str]) -> None:
        """Forget all documents that could not be read but these."""
        known = {row[0] for row in self._connection.execute("SELECT path FROM unread")}
        gone = sorted(known - set(paths))
        if gone:
            self._begin()
            self._connection.executemany("DELETE FROM unread WHERE path = ?", [(path,) for path in gone])

    # -- segments

    def _segments(self, contents: Mapping[str, Content], old: Sequence[Segment]) -> list[Segment]:
        """The segments of the coming generation; new files are written, nothing refers to them yet."""
        own = self._own_embedder()
        kept = [] if self.rebuild else [self._with_vectors(one, contents) for one in old]
        covered = max((one.last for one in old), default=0)
        firsts = [one.first for one in contents.values() if one.chunks and one.first > covered]
        last = max((one.first + one.chunks - 1 for one in contents.values()), default=0)
        for first in range(min(firsts), last + 1, MOST_ROWS) if firsts else ():
            end = min(first + MOST_ROWS - 1, last)
            kept.append(self._make(first, end, own))
        return self._joined(kept)

    def _with_vectors(self, segment: Segment, contents: Mapping[str, Content]) -> Segment:
        """The segment with vectors of this embedder, if a document of the coming generation is in it."""
        own = self._own_embedder()
        wanted = any(segment.first <= one.first <= segment.last for one in contents.values() if one.chunks)
        if own is None or segment.embedder == own or not wanted:
            return segment
        made = files.write_vectors(self.directory, self._vectors(segment.first, segment.last))
        return replace(segment, embedder=own, **made)

    def _make(self, first: int, last: int, embedder: bytes | None) -> Segment:
        words = files.write_words(self.directory, self._connection, first, last)
        segment = Segment(first=first, last=last, words=words)
        if embedder is None:
            return segment
        made = files.write_vectors(self.directory, self._vectors(first, last))
        return replace(segment, embedder=embedder, **made)

    def _joined(self, segments: list[Segment]) -> list[Segment]:
        count = files.to_join(segments) if segments else 1
        if count == 1:
            return segments
        head, tail = segments[:-count], segments[-count:]
        return [*head, files.join(self.directory, tail, self.name)]

    def _replace_segments(self, segments: Sequence[Segment]) -> None:
        self._connection.execute("DELETE FROM segment")
        self._connection.executemany(
            "INSERT INTO segment (first, last, words, vectors, codes, embedder, dimensions) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (one.first, one.last, one.words, one.vectors, one.codes, one.embedder, one.dimensions)
                for one in segments
            ],
        )

    def _vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """The vectors of a range, (last - first + 1, dimensions); zero where there is none."""
        import numpy as np

        vectors = np.zeros((last - first + 1, self._dimensions()), dtype=np.float32)
        rows = self._connection.execute(
            "SELECT c.id, c.text_digest, f.vector FROM chunk c LEFT JOIN fresh_vector f "
            "ON f.embedder = ? AND f.text_digest = c.text_digest WHERE c.id BETWEEN ? AND ?",
            (self._own_embedder(), first, last),
        )
        elsewhere = _Rows(self)
        for number, found, vector in rows:
            if vector is not None:
                vectors[number - first] = np.frombuffer(vector, dtype="<f4")
            elif (source := self._embedded_row(found)) is not None:
                vectors[number - first] = elsewhere.vector(source)
        return vectors

    def _dimensions(self) -> int:
        """The length of this embedder's vectors; its files are opened only if the index cannot tell."""
        own = self._own_embedder()
        assert self._embedder is not None and own is not None
        for query in (
            "SELECT dimensions FROM segment WHERE embedder = ? LIMIT 1",
            "SELECT length(vector) / 4 FROM fresh_vector WHERE embedder = ? LIMIT 1",
        ):
            if row := self._connection.execute(query, (own,)).fetchone():
                return int(row[0])
        return self._embedder.dimensions

    def _tidy(self, segments: Sequence[Segment]) -> None:
        """Give back the room of what is gone; nothing depends on it."""
        with contextlib.suppress(sqlite3.Error, OSError):
            files.sweep(self.directory, segments)
            free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            if free * 4 > pages:
                # By `executescript`, which steps to the end: each step gives back one page alone.
                self._connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")


class _Rows:
    """Vectors of chunks that are in segments, mapped when first asked for."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._segments = read_segments(writer._connection)
        self._mapped: dict[int, NDArray[np.float32]] = {}

    def vector(self, number: int) -> NDArray[np.float32]:
        segment = next(one for one in self._segments if one.first <= number <= one.last)
        if segment.first not in self._mapped:
            self._mapped[segment.first] = files.map_vectors(
                self._writer.directory, segment, self._writer.name
            )
        vector: NDArray[np.float32] = self._mapped[segment.first][number - segment.first]
        return vector


def text_digest(text: str) -> bytes:
    """The digest that a text's vector is kept by."""
    return bytes.fromhex(Digest.of(text.encode("utf-8", "surrogatepass")).hex)[:_TEXT_DIGEST_BYTES]


def digest_of_chunks(digests: Iterable[bytes]) -> bytes:
    """The digest of a document's chunks, from theirs in order."""
    return bytes.fromhex(Digest.of(b"".join(digests)).hex)


def embedder_changed(name: str, built: Digest, wanted: Digest) -> EmbedderChanged:
    """The error about an index that was built with another embedder."""
    return EmbedderChanged(
        f"the index of `{name}` was built with the embedder {built.short}, "
        f"and the project has {wanted.short}",
        hint=f"run `cape index {name} --rebuild`, or lock the former model again",
    )


def _changes(before: Mapping[str, Content], after: Mapping[str, Content]) -> dict[str, tuple[str, ...]]:
    both = before.keys() & after.keys()
    return {
        "added": tuple(sorted(after.keys() - before.keys())),
        "removed": tuple(sorted(before.keys() - after.keys())),
        "changed": tuple(sorted(path for path in both if before[path].id != after[path].id)),
    }


__all__ = [
    "IndexWriter",
    "Published",
    "Wanted",
    "digest_of_chunks",
    "embedder_changed",
    "go_back",
    "held_index",
    "text_digest",
    "write_index",
]
