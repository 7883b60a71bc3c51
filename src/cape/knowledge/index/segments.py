"""The derived files of an index: words and vectors of a range of chunks, each file named by its digest.

Owns writing these files so that they are whole or absent, mapping them into memory, and which of them are
joined. They hold nothing that the database could not give again. A file is never changed.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from cape.errors import CapeError
from cape.knowledge.index.encoding import searchable_text
from cape.knowledge.index.errors import damaged
from cape.names import Digest, sync_directory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cape.knowledge.index.words import WordSegment

DIRECTORY = "segments"
MOST_ROWS = 100_000
"""Chunks of a segment, at most."""

_JOIN_FACTOR = 3
"""A segment is joined with newer ones once they have together a third of its rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The files of the chunks from `first` to `last`; a number that no chunk has is an empty row.

    `words`, `vectors` and `codes` are digests in hexadecimal; the latter two None without an embedder.
    """

    first: int
    last: int
    words: str
    vectors: str | None = None
    codes: str | None = None
    embedder: bytes | None = None
    dimensions: int | None = None

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        names = (("words", self.words), ("vectors", self.vectors), ("codes", self.codes))
        return tuple(f"{digest}.{kind}" for kind, digest in names if digest)


def read_segments(connection: sqlite3.Connection) -> list[Segment]:
    """The segments in order."""
    rows = connection.execute(
        "SELECT first, last, words, vectors, codes, embedder, dimensions FROM segment ORDER BY first"
    )
    names = ("first", "last", "words", "vectors", "codes", "embedder", "dimensions")
    return [Segment(**dict(zip(names, row, strict=True))) for row in rows]


# -- reading ------------------------------------------------------------------------------------------


def map_words(directory: Path, segment: Segment, name: str) -> WordSegment:
    """A segment's words, mapped into memory. Raises `IndexDamaged`, `FileNotFoundError`."""
    from cape.knowledge.index.words import WordSegment

    file = directory / DIRECTORY / f"{segment.words}.words"
    try:
        words = WordSegment.from_bytes(_mapped(file))
    except CapeError as error:
        raise damaged(file, name, error.fact) from error
    if len(words) != len(segment):
        raise damaged(file, name, f"the file has {len(words)} rows instead of {len(segment)}")
    return words


def map_vectors(directory: Path, segment: Segment, name: str) -> NDArray[np.float32]:
    """A segment's vectors, (len(segment), dimensions) float32. Raises `IndexDamaged`, `FileNotFoundError`."""
    import numpy as np

    data = _mapped_whole(
        directory, f"{segment.vectors}.vectors", len(segment) * _dimensions(segment) * 4, name
    )
    return np.frombuffer(data, dtype="<f4").reshape(len(segment), _dimensions(segment))


def map_codes(directory: Path, segment: Segment, name: str) -> NDArray[np.uint64]:
    """A segment's binary codes. Raises `IndexDamaged`, `FileNotFoundError`."""
    import numpy as np

    width = -(-_dimensions(segment) // 64)
    data = _mapped_whole(directory, f"{segment.codes}.codes", len(segment) * width * 8, name)
    return np.frombuffer(data, dtype="<u8").reshape(len(segment), width)


def _dimensions(segment: Segment) -> int:
    return segment.dimensions or 0


def _mapped_whole(directory: Path, file_name: str, size_bytes: int, name: str) -> memoryview:
    file = directory / DIRECTORY / file_name
    data = _mapped(file)
    if len(data) != size_bytes:
        raise damaged(file, name, f"the file has {len(data)} bytes instead of {size_bytes}")
    return data


def _mapped(file: Path) -> memoryview:
    with open(file, "rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def damage_of(directory: Path, segment: Segment) -> str | None:
    """What is wrong with the bytes of a segment's files, as a sentence; None when nothing is."""
    for name in segment.files:
        try:
            found = Digest.of_file(directory / DIRECTORY / name).hex
        except OSError as error:
            return f"`{name}` cannot be read: {error.strerror}"
        if found != name.partition(".")[0]:
            return f"the bytes of `{name}` are not what its name says"
    return None


# -- writing ------------------------------------------------------------------------------------------


def write_words(directory: Path, connection: sqlite3.Connection, first: int, last: int) -> str:
    """Write the words of a range of chunks, and give their digest; see `settle`."""
    from cape.knowledge.index.words import build_words

    return _write(directory, [build_words(texts_of(connection, first, last)).to_bytes()], "words")


class VectorFiles(TypedDict):
    """The fields of a segment that say where its vectors are."""

    vectors: str
    codes: str
    dimensions: int


def write_vectors(directory: Path, vectors: NDArray[np.float32]) -> VectorFiles:
    """Write vectors and their codes; see `settle`."""
    from cape.knowledge.index.vectors import binary_codes

    return {
        "vectors": _write(directory, [_bytes(vectors.astype("<f4", copy=False))], "vectors"),
        "codes": _write(directory, [_bytes(binary_codes(vectors).astype("<u8", copy=False))], "codes"),
        "dimensions": int(vectors.shape[1]),
    }


def _bytes(array: NDArray[np.float32] | NDArray[np.uint64]) -> memoryview:
    """An array's bytes, not copied."""
    import numpy as np

    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def join(directory: Path, segments: Sequence[Segment], name: str) -> Segment:
    """One segment of the rows of neighbouring ones, its files written; see `settle`."""
    import numpy as np

    first, last = segments[0].first, segments[-1].last
    starts = [one.first - first for one in segments]
    words = join_words([map_words(directory, one, name) for one in segments], starts, last - first + 1)
    joined = Segment(first=first, last=last, words=_write(directory, [words.to_bytes()], "words"))
    if segments[0].vectors is None:
        return joined
    vectors = np.zeros((len(joined), segments[0].dimensions or 0), dtype=np.float32)
    for start, one in zip(starts, segments, strict=True):
        vectors[start : start + len(one)] = map_vectors(directory, one, name)
    return replace(joined, embedder=segments[0].embedder, **write_vectors(directory, vectors))


def join_words(segments: Sequence[WordSegment], starts: Sequence[int], rows: int) -> WordSegment:
    """The segment of `rows` rows in which each of `segments` begins at its start; as from the texts."""
    import numpy as np

    from cape.knowledge.index.words import WordSegment

    own = [[one.term(number) for number in range(len(one.term_ends))] for one in segments]
    terms = sorted(set().union(*own))
    numbers = {term: number for number, term in enumerate(terms)}
    lengths = np.zeros(rows, dtype=np.uint32)
    keys, counts = [], []
    for one, its_terms, start in zip(segments, own, starts, strict=True):
        lengths[start : start + len(one)] = one.lengths
        sizes = np.diff(np.concatenate([np.zeros(1, np.int64), one.posting_ends.astype(np.int64)]))
        renumbered = np.array([numbers[term] for term in its_terms], dtype=np.int64)
        keys.append(np.repeat(renumbered, sizes) * max(1, rows) + one.rows + start)
        counts.append(one.counts)
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    of_term, row = np.divmod(key[order], max(1, rows))
    return WordSegment(
        terms=b"".join(terms),
        term_ends=np.cumsum([len(term) for term in terms], dtype=np.uint32),
        posting_ends=np.cumsum(np.bincount(of_term, minlength=len(terms)), dtype=np.uint64),
        rows=row.astype(np.int32),
        counts=np.concatenate(counts)[order].astype(np.uint16),
        lengths=lengths,
    )


def texts_of(connection: sqlite3.Connection, first: int, last: int) -> Iterable[str]:
    """The searchable text of each number in the range; empty where no chunk has it."""
    expected = first
    rows = connection.execute(
        "SELECT id, body FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id", (first, last)
    )
    for number, body in rows:
        yield from ("" for _ in range(expected, number))
        yield searchable_text(body)
        expected = number + 1
    yield from ("" for _ in range(expected, last + 1))


def _write(directory: Path, pieces: Iterable[bytes | memoryview], kind: str) -> str:
    """Put bytes into the file that is named by their digest, and give the digest."""
    home = directory / DIRECTORY
    home.mkdir(mode=0o700, exist_ok=True)
    temporary = home / f".new.{os.getpid()}.{kind}"
    total = hashlib.sha256()
    try:
        with open(temporary, "wb") as stream:
            for piece in pieces:
                total.update(piece)
                stream.write(piece)
        os.replace(temporary, home / f"{total.hexdigest()}.{kind}")
    finally:
        temporary.unlink(missing_ok=True)
    return total.hexdigest()


def settle(directory: Path, made: Iterable[Segment]) -> None:
    """Make the files of segments that were just made last through a power failure.

    To be called before anything refers to them. What was joined and is gone again costs no sync so.
    """
    new = sorted({name for segment in made for name in segment.files})
    for name in new:
        descriptor = os.open(directory / DIRECTORY / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if new:
        sync_directory(directory / DIRECTORY)


def to_join(segments: Sequence[Segment]) -> int:
    """How many of the last segments become one, so that their number grows with the logarithm of the rows.

    Only neighbours with the same embedder are joined, and none beyond `MOST_ROWS`. 1: nothing is joined.
    """
    joined, rows = 1, len(segments[-1])
    while joined < len(segments):
        before, after = segments[-joined - 1], segments[-joined]
        span = segments[-1].last - before.first + 1
        same = before.embedder == after.embedder and (before.vectors is None) == (after.vectors is None)
        if not same or span > MOST_ROWS or len(before) > _JOIN_FACTOR * rows:
            break
        rows = span
        joined += 1
    return joined


def sweep(directory: Path, segments: Sequence[Segment]) -> None:
    """Remove the files that no segment has any more; who has them mapped keeps what he sees."""
    home = directory / DIRECTORY
    kept = {name for segment in segments for name in segment.files}
    if home.is_dir():
        for file in home.iterdir():
            if file.name not in kept:
                file.unlink(missing_ok=True)
