"""A claim and the evidence beside it compared by meaning: vectors of sentences, and of words where they
stand.

Owns what is embedded (few texts, each once: the units that words have found already) and the small head
over the frozen model's last states. It is handed an embedder; which model that is, and where from, is not
known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cape.answers.claims.alignment import Alignment
from cape.answers.selection import PieceEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEANING_FEATURES = ("cosine", "cosine_second", "aligned_mean", "aligned_min", "aligned_low")
UNITS = 2
"""Units beside a claim that are embedded."""

MOST_UNITS = 10
"""Units of an answer that are embedded; claims beyond are compared by words alone."""

_LONGEST = 700
"""Characters of a text that are embedded."""

_LOW = 0.6


class LocatingEmbedder(PieceEmbedder, Protocol):
    """An embedder that tells of each word piece what the model makes of it, and where it stands."""

    def piece_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each piece stands in the text; (0, 0) for a mark that is none of its characters."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What a model says of a claim: `row` are the `MEANING_FEATURES`; a row of `words` per word of the
    claim is its state, the state of the evidence's piece that is nearest to it, (dimensions,) each, and
    their cosine.
    """

    row: tuple[float, ...]
    own: NDArray[np.float32]
    nearest: NDArray[np.float32]
    cosines: NDArray[np.float32]


def meanings(alignments: Sequence[Alignment], embedder: LocatingEmbedder) -> list[Meaning | None]:
    """The meaning of each claim beside its units; None where it has none, or too many come before it."""
    wanted: dict[str, None] = {}
    chosen: list[list[str]] = []
    units: set[str] = set()
    for alignment in alignments:
        texts = [alignment.evidence.units[number].text[:_LONGEST] for number in alignment.units[:UNITS]]
        new = set(texts) - units
        if not texts or not alignment.claim.asserts or len(units) + len(new) > MOST_UNITS:
            chosen.append([])
            continue
        units |= new
        chosen.append(texts)
        wanted.update(dict.fromkeys((alignment.claim.text[:_LONGEST], *texts)))
    pieces = dict(zip(wanted, embedder.embed_pieces(list(wanted)), strict=True))
    return [
        _meaning(alignment, texts, pieces, embedder) if texts else None
        for alignment, texts in zip(alignments, chosen, strict=True)
    ]


def _meaning(
    alignment: Alignment,
    texts: Sequence[str],
    pieces: Mapping[str, NDArray[np.float32]],
    embedder: LocatingEmbedder,
) -> Meaning:
    import numpy as np

    text = alignment.claim.text[:_LONGEST]
    states = pieces[text]
    beside = np.concatenate([_within(pieces[one]) for one in texts])
    own = np.stack([_of_word(states, spans) for spans in _pieces_of(alignment, embedder.piece_spans(text))])
    cosines = _unit(own) @ _unit(beside).T
    best = cosines.argmax(axis=1)
    closeness = cosines.max(axis=1)
    means = sorted((float(_pooled(states) @ _pooled(pieces[one])) for one in texts), reverse=True)
    content = closeness[[not word.is_stop for word in alignment.words]]
    content = content if len(content) else closeness
    row = (
        means[0],
        means[1] if len(means) > 1 else 0.0,
        float(content.mean()),
        float(content.min()),
        float((content < _LOW).mean()),
    )
    return Meaning(row=row, own=own, nearest=beside[best], cosines=closeness)


def _within(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """The states without those of the marks at both ends."""
    return states[1:-1] if len(states) > 2 else states


def _pieces_of(alignment: Alignment, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each word of a claim, the numbers of its pieces; none for what is beyond the model's reach."""
    return [
        [at for at, (start, end) in enumerate(spans) if end > start and start < word.end and end > word.start]
        for word in alignment.raw
    ]


def _of_word(states: NDArray[np.float32], pieces: Sequence[int]) -> NDArray[np.float32]:
    """A word's state, the mean of its pieces'; the whole text's where it has none."""
    held = [at for at in pieces if at < len(states)]
    mean: NDArray[np.float32] = (states[held] if held else states).mean(axis=0)
    return mean


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    scaled: NDArray[np.float32] = rows / (np.linalg.norm(rows, axis=-1, keepdims=True) + 1e-9)
    return scaled


def _pooled(states: NDArray[np.float32]) -> NDArray[np.float32]:
    return _unit(states.mean(axis=0))
