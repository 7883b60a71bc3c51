"""Checking an index: everything that can be computed again is, and compared.

Owns the checks, not what is done about their answers. Nothing is changed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cape.knowledge.index import segments as files
from cape.knowledge.index.encoding import decode_chunk
from cape.knowledge.index.errors import IndexDamaged
from cape.knowledge.index.generations import Content, index_digest
from cape.knowledge.index.reader import IndexReader
from cape.knowledge.index.segments import Segment
from cape.knowledge.index.words import build_words
from cape.knowledge.index.writer import digest_of_chunks, text_digest
from cape.knowledge.protocol import Embedder

_NEAR = 1e-4
"""How far the cosine of a text's vector, embedded again, may be from 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was checked, and what is wrong, as sentences."""

    chunks: int
    segments: int
    embedded_again: int
    problems: tuple[str, ...]


def verify(
    index: IndexReader,
    *,
    embedder: Embedder | None,
    sample: int,
    progress: Callable[[int], None] = lambda amount: None,
) -> Verified:
    """Check one generation: the database, chunks, digests, words, vectors.

    With the embedder that the index was built with, `sample` chunks are embedded again; the choice depends
    on the index's digest alone.
    """
    problems = [*index.damaged_pages(), *_contents(index, progress)]
    used = index.segments
    for segment in used:
        problems += _segment(index, segment)
    again = 0
    if embedder is not None and index.has_vectors and not problems:
        found, again = _sample(index, embedder, sample)
        problems += found
    return Verified(
        chunks=index.generation.chunks,
        segments=len(used),
        embedded_again=again,
        problems=tuple(dict.fromkeys(problems)),
    )


def _contents(index: IndexReader, progress: Callable[[int], None]) -> Iterator[str]:
    contents = index.contents()
    for content in contents.values():
        yield from _content(index, content)
        progress(1)
    generation = index.generation
    if index_digest(generation.recipe, generation.access, contents.values()) != generation.digest:
        yield f"the digest of generation {generation.number} is not that of its documents and recipe"


def _content(index: IndexReader, content: Content) -> Iterator[str]:
    digests = []
    for ordinal, (text, digest, body) in enumerate(index.rows_of(content)):
        try:
            chunk = decode_chunk(body, document=content.path, ordinal=ordinal)
        except ValueError:
            yield f"chunk {ordinal} of `{content.path}` cannot be decoded"
            continue
        if bytes.fromhex(chunk.digest.hex) != digest or text_digest(chunk.searchable) != text:
            yield f"chunk {ordinal} of `{content.path}` is not what its digest says"
        digests.append(digest)
    if digest_of_chunks(digests) != content.chunks_digest or len(digests) != content.chunks:
        yield f"the chunks of `{content.path}` are not those that were indexed"


def _segment(index: IndexReader, segment: Segment) -> Iterator[str]:
    import numpy as np

    if damage := files.damage_of(index.directory, segment):
        yield damage
        return
    try:
        words = build_words(index.texts_of(segment))
    except ValueError:
        return  # A chunk that cannot be decoded was told already.
    stored = files.map_words(index.directory, segment, index.name)
    if words.to_bytes() != stored.to_bytes():
        yield f"the words of chunks {segment.first} to {segment.last} are not those of their texts"
    if segment.vectors is None:
        return
    vectors = files.map_vectors(index.directory, segment, index.name)
    if not np.isfinite(vectors).all():
        yield f"vectors of chunks {segment.first} to {segment.last} hold no numbers"
    lengths = np.linalg.norm(vectors, axis=1)
    if not (np.isclose(lengths, 1, atol=1e-3) | (lengths == 0)).all():
        yield f"vectors of chunks {segment.first} to {segment.last} are not of length 1"


def _sample(index: IndexReader, embedder: Embedder, size: int) -> tuple[list[str], int]:
    """Embed some chunks again. A chunk without a vector is found here, too."""
    total = index.generation.chunks
    chosen = random.Random(index.generation.digest.hex).sample(range(total), min(size, total))
    try:
        chunks = index.chunks(chosen)
    except IndexDamaged as error:
        return [error.fact], 0
    again = embedder.embed([chunks[number].searchable for number in chosen])
    cosines = (again * index.vectors_of(chosen)).sum(axis=1)
    return [
        f"the vector of chunk {chunks[number].ordinal} of `{chunks[number].document}` is not its text's"
        for number, cosine in zip(chosen, cosines, strict=True)
        if abs(float(cosine) - 1) > _NEAR
    ], len(chosen)
