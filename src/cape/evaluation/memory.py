"""An index in memory, of a test collection: what `ChunkIndex` promises, without a file.

Owns nothing but arrays and chunks; it searches by the same functions as an index on disk. Everybody sees
everything in it. Embedding is done by whoever makes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cape.knowledge.documents import Chunk
from cape.knowledge.index.vectors import search_vectors
from cape.knowledge.index.words import build_words, search_words
from cape.knowledge.protocol import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MemoryIndex:
    """Chunks, in the order of their ids from 0, with `vectors` (n, dimensions) where there are any."""

    def __init__(self, chunks: Sequence[Chunk], vectors: NDArray[np.float32] | None = None) -> None:
        import numpy as np

        self._chunks, self._vectors = tuple(chunks), vectors
        self._words = build_words(chunk.searchable for chunk in self._chunks)
        self._mask = np.ones(len(self._chunks), dtype=np.bool_)
        self._of_document: dict[str, list[int]] = {}
        for number, chunk in enumerate(self._chunks):
            self._of_document.setdefault(chunk.document, []).append(number)

    def count(self, groups: frozenset[str]) -> int:
        return len(self._chunks)

    def search_words(self, text: str, groups: frozenset[str], k: int) -> Sequence[Hit]:
        return search_words([self._words], [self._mask], text, k)

    def search_vector(self, vector: NDArray[np.float32], groups: frozenset[str], k: int) -> Sequence[Hit]:
        if self._vectors is None:
            return ()
        return search_vectors([self._vectors], [self._mask], vector, k)

    def chunks(self, ids: Sequence[int]) -> Mapping[int, Chunk]:
        return {one: self._chunks[one] for one in ids if 0 <= one < len(self._chunks)}

    def chunks_of(self, document: str, groups: frozenset[str]) -> Sequence[int]:
        return self._of_document.get(document, ())
