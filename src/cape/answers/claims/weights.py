"""The trained weights of the checker: data files beside this module, read once, with their digest.

Owns their names, their form and the bars. `training/claims.py` writes them; no number is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from cape.answers.claims.features import CLAIM_FEATURES, WORD_FEATURES
from cape.answers.claims.trees import Forest, forest_of
from cape.errors import IntegrityError
from cape.names import Digest


class DamagedWeights(IntegrityError):
    """The weights that come with cape are not what was trained."""

    slug = "damaged-weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A step of the ladder: the forests of words and claims, how claims make an answer's verdict, and the
    bars.

    `answer` weighs the features of `ANSWER_FEATURES`, the last weight is the bias. A claim is doubted from
    `claim_bar`, a word in it from `word_bar`, an answer from `answer_bar`.
    """

    word: Forest
    claim: Forest
    answer: tuple[float, ...]
    word_bar: float
    claim_bar: float
    answer_bar: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """All that was trained. `by_vectors` needs an embedder, `by_words` none."""

    by_words: Rung
    by_vectors: Rung | None
    digest: Digest


def rung_of(fields: Mapping[str, Any]) -> Rung:
    """A rung out of its JSON."""
    return Rung(
        word=forest_of(fields["word"]),
        claim=forest_of(fields["claim"]),
        answer=tuple(map(float, fields["answer"])),
        word_bar=float(fields["word_bar"]),
        claim_bar=float(fields["claim_bar"]),
        answer_bar=float(fields["answer_bar"]),
    )


def shipped_digest() -> Digest:
    """The digest of the weights that come with cape, which are not read for it. Raises `DamagedWeights`."""
    place = files("cape.answers.claims") / "weights.json"
    try:
        return Digest.of(place.read_bytes())
    except OSError as error:
        raise DamagedWeights(
            "the weights of the checker cannot be read", where=str(place), hint="install cape again"
        ) from error


@lru_cache(maxsize=1)
def shipped_weights() -> Weights:
    """The weights that come with cape. Raises `DamagedWeights`."""
    place = files("cape.answers.claims") / "weights.json"
    try:
        return read_weights(place.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedWeights(
            "the weights of the checker cannot be read", where=str(place), hint="install cape again"
        ) from error


def read_weights(text: bytes) -> Weights:
    """Weights out of their file's bytes. Raises `ValueError`, `KeyError` or `TypeError` where they are
    none.
    """
    fields = json.loads(text)
    words = rung_of(fields["by_words"])
    vectors = fields.get("by_vectors")
    if words.word.features != WORD_FEATURES or words.claim.features != CLAIM_FEATURES:
        raise ValueError("the weights are of other features")
    return Weights(
        by_words=words,
        by_vectors=rung_of(vectors) if vectors else None,
        digest=Digest.of(text),
    )
