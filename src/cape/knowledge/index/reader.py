"""Reading an index: one generation, asked on behalf of somebody.

Owns what `ChunkIndex` promises. A chunk's id here is its position in the order of (document, ordinal) of
this generation, so equal indices give equal ids, however they came to be. Who sees a document is decided
by the policy that is given when the index is opened, or by the one of the generation.
"""

from __future__ import annotations

import contextlib
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.knowledge.access import AccessPolicy
from cape.knowledge.documents import Chunk, UnreadDocument
from cape.knowledge.index import segments as files
from cape.knowledge.index.encoding import decode_chunk
from cape.knowledge.index.errors import NotIndexed, damaged, guarded
from cape.knowledge.index.generations import (
    Content,
    IndexGeneration,
    all_generations,
    contents_of,
    current_number,
    ranges_of,
    read_generation,
)
from cape.knowledge.index.seen import Seen, read_seen
from cape.knowledge.index.segments import Segment, read_segments
from cape.knowledge.index.tables import FILE, open_for_reading
from cape.knowledge.protocol import Hit
from cape.names import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_ATTEMPTS = 3


def open_index(
    directory: Path, name: str, *, generation: int | None = None, policy: AccessPolicy | None = None
) -> IndexReader:
    """One generation of an index, the current one if none is named; close it in the end.

    `policy` says who sees what; None: the policy that the generation was made with.
    Raises `NotIndexed`, `UnknownIndexGeneration`, `IndexDamaged`, `IndexTooNew`.
    """
    with guarded(directory, name):
        connection = open_for_reading(directory, name)
        try:
            return _opened(directory, name, connection, generation, policy)
        except BaseException:
            connection.close()
            raise


def _opened(
    directory: Path,
    name: str,
    connection: sqlite3.Connection,
    number: int | None,
    policy: AccessPolicy | None,
) -> IndexReader:
    """Read what a generation is, in one transaction; again, if a writer swept its files meanwhile."""
    for attempt in range(_ATTEMPTS):
        connection.execute("BEGIN")
        try:
            wanted = number if number is not None else current_number(connection)
            if wanted is None:
                raise NotIndexed(
                    f"the knowledge base `{name}` has no index yet",
                    where=str(directory),
                    hint=f"run `cape index {name}`",
                )
            generation = read_generation(connection, wanted, name)
            ranges = ranges_of(connection, wanted)
            segments = read_segments(connection)
        finally:
            connection.execute("COMMIT")
        try:
            return IndexReader(directory, name, connection, generation, ranges, segments, policy)
        except FileNotFoundError as error:
            if attempt == _ATTEMPTS - 1:
                raise damaged(Path(error.filename), name, "a file of it is not there") from error
    raise AssertionError("unreachable")


class IndexReader:
    """One generation of an index, for reading. Comes from `open_index`; see `ChunkIndex`."""

    def __init__(
        self,
        directory: Path,
        name: str,
        connection: sqlite3.Connection,
        generation: IndexGeneration,
        ranges: Sequence[tuple[str, int, int]],
        segments: Sequence[Segment],
        policy: AccessPolicy | None,
    ) -> None:
        import numpy as np

        self.directory = directory
        self.name = name
        self.generation = generation
        self.policy = policy if policy is not None else generation.access
        self._connection = connection
        self._paths = [path for path, _, _ in ranges]
        self._firsts = np.array([first for _, first, _ in ranges], dtype=np.int64)
        sizes = np.array([count for _, _, count in ranges], dtype=np.int64)
        self._starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        self._numbers = _numbers(self._firsts, sizes, self._starts)
        self._place(segments)
        self._masks: dict[frozenset[str], list[NDArray[np.bool_]]] = {}
        self._counts: dict[frozenset[str], int] = {}

    def _place(self, segments: Sequence[Segment]) -> None:
        """Find out which row of which segment each chunk is."""
        import numpy as np

        highest = max([one.last for one in segments], default=0)
        highest = max(highest, int(self._numbers.max()) if len(self._numbers) else 0)
        ids = np.full(highest + 1, -1, dtype=np.int64)
        ids[self._numbers] = np.arange(len(self._numbers))
        placed = [(one, ids[one.first : one.last + 1]) for one in segments]
        used = [(one, of) for one, of in placed if (of >= 0).any()]
        self._segments = [one for one, _ in used]
        self._ids = [of for _, of in used]
        self._map()
        if sum(int((of >= 0).sum()) for of in self._ids) != len(self._numbers):
            raise damaged(self.directory / FILE, self.name, "chunks are in no segment")

    def _map(self) -> None:
        """Map all files now: a writer may take their names away at any time, not what is mapped.

        `_embedded` are the numbers of the segments with vectors of the generation's embedder.
        """
        embedder = self.generation.recipe.embedder
        own = bytes.fromhex(embedder.hex) if embedder else None
        directory, name = self.directory, self.name
        self._words = [files.map_words(directory, one, name) for one in self._segments]
        self._embedded = [
            at for at, one in enumerate(self._segments) if own is not None and one.embedder == own
        ]
        embedded = [self._segments[at] for at in self._embedded]
        self._vectors = [files.map_vectors(directory, one, name) for one in embedded]
        self._codes = [files.map_codes(directory, one, name) for one in embedded]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> IndexReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- who sees what

    @cached_property
    def _groups(self) -> list[frozenset[str]]:
        """The groups that see each document."""
        return self.policy.groups_of_documents(self._paths)

    @cached_property
    def _of_document(self) -> NDArray[np.int64]:
        """For each chunk the number of its document."""
        import numpy as np

        return np.repeat(np.arange(len(self._paths)), np.diff(self._starts))

    def _allowed(self, groups: frozenset[str]) -> list[NDArray[np.bool_]]:
        """For each segment which rows the asker may see."""
        import numpy as np

        if groups not in self._masks:
            documents = np.array([not seen.isdisjoint(groups) for seen in self._groups], dtype=bool)
            chunks = documents[self._of_document] if len(documents) else np.zeros(0, dtype=bool)
            self._counts[groups] = int(chunks.sum())
            # A row that is no chunk of this generation has the id -1, which is the last entry here.
            chunks = np.append(chunks, False)
            self._masks[groups] = [chunks[ids] for ids in self._ids]
        return self._masks[groups]

    def may_see(self, document: str, groups: frozenset[str]) -> bool:
        """Whether a document is in this generation and one of the groups sees it."""
        at = self._document(document)
        return at is not None and not self._groups[at].isdisjoint(groups)

    def _document(self, path: str) -> int | None:
        at = bisect_left(self._paths, path)
        return at if at < len(self._paths) and self._paths[at] == path else None

    # -- searching

    def count(self, groups: frozenset[str]) -> int:
        """See `ChunkIndex`."""
        self._allowed(groups)
        return self._counts[groups]

    def search_words(self, text: str, groups: frozenset[str], k: int) -> Sequence[Hit]:
        """See `ChunkIndex`."""
        from cape.knowledge.index.words import search_words

        return search_words(self._words, self._allowed(groups), text, k, ids=self._ids)

    def search_vector(self, vector: NDArray[np.float32], groups: frozenset[str], k: int) -> Sequence[Hit]:
        """See `ChunkIndex`."""
        from cape.knowledge.index.vectors import SCAN_ALL_BELOW, search_vectors

        embedded = self._embedded
        masks = self._allowed(groups)
        allowed = [masks[at] for at in embedded]
        ids = [self._ids[at] for at in embedded]
        codes = self._codes if self.count(groups) > SCAN_ALL_BELOW else None
        return search_vectors(self._vectors, allowed, vector, k, ids=ids, codes=codes)

    @property
    def has_vectors(self) -> bool:
        """Whether each chunk has a vector of the embedder that this generation was made with.

        A generation of long ago has none any more, once its chunks were embedded by another model.
        """
        has_embedder = self.generation.recipe.embedder is not None
        return has_embedder and len(self._embedded) == len(self._segments)

    def vectors_of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The vectors of chunks, (len(ids), dimensions), zero for a chunk without one."""
        import numpy as np

        dimensions = self._vectors[0].shape[1] if self._vectors else 0
        found = np.zeros((len(ids), dimensions), dtype=np.float32)
        for vectors, at in zip(self._vectors, self._embedded, strict=True):
            segment = self._segments[at]
            for place, chunk in enumerate(ids):
                number = int(self._numbers[chunk])
                if segment.first <= number <= segment.last:
                    found[place] = vectors[number - segment.first]
        return found

    # -- chunks

    def chunks(self, ids: Sequence[int]) -> Mapping[int, Chunk]:
        """See `ChunkIndex`. Raises `IndexDamaged`."""
        with self._reading():
            found = {chunk: self._chunk(chunk) for chunk in ids if 0 <= chunk < len(self._numbers)}
        return {number: chunk for number, chunk in found.items() if chunk is not None}

    def _chunk(self, chunk: int) -> Chunk | None:
        number = int(self._numbers[chunk])
        row = self._connection.execute("SELECT body FROM chunk WHERE id = ?", (number,)).fetchone()
        if row is None:
            return None
        document = bisect_right(self._starts, chunk) - 1
        path = self._paths[document]
        try:
            return decode_chunk(row[0], document=path, ordinal=chunk - int(self._starts[document]))
        except ValueError as error:
            raise damaged(self.directory / FILE, self.name, f"a chunk of `{path}`: {error}") from error

    def chunks_of(self, document: str, groups: frozenset[str]) -> Sequence[int]:
        """See `ChunkIndex`."""
        at = self._document(document)
        if at is None or not self.may_see(document, groups):
            return ()
        return range(int(self._starts[at]), int(self._starts[at + 1]))

    def contents(self) -> Mapping[str, Content]:
        """What this generation is made of, by path, in order."""
        with self._reading():
            return contents_of(self._connection, self.generation.number)

    def contents_at(self, generation: int) -> Mapping[str, Content]:
        """What another generation is made of. Raises `UnknownIndexGeneration`."""
        with self._reading():
            read_generation(self._connection, generation, self.name)
            return contents_of(self._connection, generation)

    def seen(self) -> Seen:
        """The states and digests of the files that were read."""
        with self._reading():
            return read_seen(self._connection)

    def documents(self, groups: frozenset[str]) -> Sequence[str]:
        """The paths of the documents that the asker may see, in order."""
        seen = zip(self._paths, self._groups, strict=True)
        return [path for path, sees in seen if not sees.isdisjoint(groups)]

    # -- the graph's tables

    def select(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of the database as they are: of all generations, and of what the asker may not see."""
        with self._reading():
            return self._connection.execute(query, values).fetchall()

    def visible_ids(self, numbers: Sequence[int], groups: frozenset[str]) -> dict[int, int]:
        """The ids of chunks by their numbers in the database, of those that the asker may see."""
        import numpy as np

        wanted = np.unique(np.asarray(numbers, dtype=np.int64))
        order = np.argsort(self._numbers, kind="stable")
        found = np.searchsorted(self._numbers, wanted, sorter=order)
        seen = [not sees.isdisjoint(groups) for sees in self._groups]
        ids = {}
        for number, at in zip(wanted.tolist(), found.tolist(), strict=True):
            if at < len(order) and int(self._numbers[order[at]]) == number:
                chunk = int(order[at])
                if seen[int(self._of_document[chunk])]:
                    ids[number] = chunk
        return ids

    def numbers_of(self, ids: Sequence[int]) -> list[int]:
        """The numbers of chunks in the database."""
        return [int(self._numbers[one]) for one in ids]

    # -- about the index

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments that this generation's chunks are in."""
        return tuple(self._segments)

    def rows_of(self, content: Content) -> list[tuple[bytes, bytes, bytes]]:
        """The digest of the text, the digest and the body of each chunk of a document, as they are kept."""
        with self._reading():
            return self._connection.execute(
                "SELECT text_digest, digest, body FROM chunk WHERE id >= ? AND id < ? ORDER BY id",
                (content.first, content.first + content.chunks),
            ).fetchall()

    def texts_of(self, segment: Segment) -> list[str]:
        """The searchable texts of a segment's rows. Raises `ValueError` for a chunk that is damaged."""
        with self._reading():
            return list(files.texts_of(self._connection, segment.first, segment.last))

    def damaged_pages(self) -> list[str]:
        """What SQLite finds wrong with the file, as sentences; empty when it is whole."""
        with self._reading():
            found = self._connection.execute("PRAGMA quick_check(3)").fetchall()
        return [f"the database is damaged: {row[0]}" for row in found if row[0] != "ok"]

    def history(self) -> Sequence[IndexGeneration]:
        """Every generation, newest first."""
        with self._reading():
            return all_generations(self._connection)

    def unread(self) -> Sequence[UnreadDocument]:
        """The documents that could not be read the last time, in order of path."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT path, digest, reason FROM unread ORDER BY path"
            ).fetchall()
        return [
            UnreadDocument(path=path, digest=Digest(digest.hex()) if digest else None, reason=reason)
            for path, digest, reason in rows
        ]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with guarded(self.directory, self.name):
            try:
                yield
            except FileNotFoundError as error:
                raise damaged(Path(str(error.filename)), self.name, "a file of it is not there") from error


def _numbers(
    firsts: NDArray[np.int64], sizes: NDArray[np.int64], starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The database's number of each chunk, in order of (document, ordinal)."""
    import numpy as np

    return np.repeat(firsts - starts[:-1], sizes) + np.arange(int(starts[-1]))
