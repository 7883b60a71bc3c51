"""What knowledge asks of an embedder, and what an index answers. Nothing concrete belongs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cape.knowledge.documents import Chunk
from cape.names import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Texts to vectors, the same ones for the same text, alone or in any batch."""

    @property
    def name(self) -> str:
        """The model's name in the manifest."""
        ...

    @property
    def digest(self) -> Digest:
        """Over the bytes of the model and of its tokenizer, and the settings that shape a vector."""
        ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors, (len(texts), dimensions) float32, rows L2-normalised; an empty text has one too."""
        ...


EVERYONE = "everyone"
"""The group that every asker is in, named or not."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search found: its id in this index, and its score; higher is better."""

    chunk: int
    score: float


class ChunkIndex(Protocol):
    """One generation of an index, for reading.

    `groups` are the asker's; what none of them may see does not exist: it is filtered before scoring, and
    no statistic that shapes a score counts it. Rankings are best first, ties by chunk id, which follows the
    order of (document, ordinal).
    """

    def count(self, groups: frozenset[str]) -> int:
        """How many chunks the asker may see."""
        ...

    def search_words(self, text: str, groups: frozenset[str], k: int) -> Sequence[Hit]:
        """The chunks that share words with `text`, by BM25; only those with a score above 0."""
        ...

    def search_vector(self, vector: NDArray[np.float32], groups: frozenset[str], k: int) -> Sequence[Hit]:
        """The chunks nearest to a vector, (dimensions,) L2-normalised, by cosine; empty without vectors."""
        ...

    def chunks(self, ids: Sequence[int]) -> Mapping[int, Chunk]:
        """The chunks with these ids; an id that is not in this generation is left out."""
        ...

    def chunks_of(self, document: str, groups: frozenset[str]) -> Sequence[int]:
        """The ids of a document's chunks in reading order; empty when the asker may not see it."""
        ...
