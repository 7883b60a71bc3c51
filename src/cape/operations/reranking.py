"""The reranker of a knowledge base: from the lock to an opened model, and a ranking looked at again.

Joins the lock, the store and the engine. A base without one is ranked as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cape.names import Digest
from cape.operations.knowledge import LockedEmbedder, ModelUnavailable, model_parts
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.answers.retrieval import Retrieval
    from cape.engines.cross_encoder import CrossEncoder
    from cape.lock import Lock
    from cape.operations.knowledge import AskableBase, KnowledgeBase


class LockedReranker:
    """A reranker that the lock names. Its files are looked for, checked and opened when it first scores.

    Raises, when it scores, `ModelUnavailable` and what `open_cross_encoder` raises.
    """

    def __init__(self, files: LockedEmbedder) -> None:
        self._files = files
        self._opened: CrossEncoder | None = None

    @property
    def name(self) -> str:
        """See `Reranker`."""
        return self._files.name

    @property
    def digest(self) -> Digest:
        """See `Reranker`; by the lock's digests of the files."""
        from cape.engines.cross_encoder import cross_encoder_digest

        return cross_encoder_digest(*self._files.locked_digests())

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """See `Reranker`."""
        if self._opened is None:
            from cape.engines.cross_encoder import open_cross_encoder

            self._opened = open_cross_encoder(self.name, *self._files.locked_files())
        return self._opened.scores(question, texts)


def reranker_of(
    project: Project, base: KnowledgeBase, lock: Lock | None, workshop: Workshop
) -> LockedReranker | None:
    """The reranker that the lock has for a base; None where the base names none, or the lock lacks it."""
    if base.reranker is None:
        return None
    parts = model_parts(lock, base.reranker)
    if not {"file", "tokenizer"} <= parts.keys():
        return None
    return LockedReranker(LockedEmbedder(project, base.reranker, parts, workshop, fetch=False))


def looked_at_again(askable: AskableBase, retrieval: Retrieval) -> tuple[Retrieval, tuple[str, ...]]:
    """The ranking as the base's reranker has it, and a note where the base names one that cannot be used."""
    from cape.answers.reranking import reranked

    if askable.base.reranker is None:
        return retrieval, ()
    if askable.reranker is None:
        why = f"the model `{askable.base.reranker}` is not locked with a `tokenizer`: run `cape lock`"
        return retrieval, (f"not reranked: {why}",)
    try:
        return reranked(retrieval, askable.reranker), ()
    except ModelUnavailable as error:
        return retrieval, (f"not reranked: {error.fact}",)
