"""Another look at the best passages of a ranking: a model that reads question and passage together.

Owns how many are looked at, and what becomes of the ranking. The model is handed in behind `Reranker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from cape.answers.retrieval import Retrieval
from cape.names import Digest

LOOKED_AT = 20
"""Passages that are looked at again; those behind them stay where they are."""


class Reranker(Protocol):
    """A model that says how well texts answer a question. Equal input gives equal scores."""

    @property
    def name(self) -> str:
        """The model's name in the manifest."""
        ...

    @property
    def digest(self) -> Digest:
        """Over the bytes of the model and of its tokenizer, and the settings that shape a score."""
        ...

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """A number for each text, in their order; more is better."""
        ...


def reranked(retrieval: Retrieval, reranker: Reranker) -> Retrieval:
    """The same passages, the first `LOOKED_AT` of them in the reranker's order; ties stay as they were.

    A passage's `score` stays the first ranking's. Documents are ordered by their best passage.
    """
    first, others = retrieval.chunks[:LOOKED_AT], retrieval.chunks[LOOKED_AT:]
    scores = reranker.scores(retrieval.searched, [one.chunk.searchable for one in first])
    order = sorted(range(len(first)), key=lambda at: -scores[at])
    chunks = (*(first[at] for at in order), *others)
    places: dict[str, int] = {}
    for at, one in enumerate(chunks):
        places.setdefault(one.chunk.document, at)
    documents = sorted(retrieval.documents, key=lambda one: places.get(one.path, len(chunks)))
    return replace(retrieval, chunks=chunks, documents=tuple(documents))
