"""What answering from documents takes: an embedder, and the index of their vectors.

The index is cape's own: one 32-bit number for each dimension of each chunk, read from a file that is mapped.
"""

from __future__ import annotations

from cape.fitting.estimate import Part

_CHUNK_BYTES = 1370
"""What a chunk's text, words and places take in the index beside its vector, by the growth benchmark."""


def index_part(*, chunks: int, dimensions: int) -> Part:
    """The vector index of so many chunks.

    >>> index_part(chunks=1000, dimensions=384).size_bytes
    2906000
    """
    return Part(name="vector index", size_bytes=chunks * (4 * dimensions + _CHUNK_BYTES), on_gpu=False)
