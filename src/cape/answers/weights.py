"""The numbers by which candidates are weighed and answers are let through, with where they come from.

Owns constants only. `benchmarks/answers.py --fit` fits them again and prints this module's tables; what each
feature means stands at its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cape.answers.question import Asked


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighing:
    """How candidates are weighed and answers let through.

    `candidate` weighs `Features`, `evidence` weighs `Evidence`; both sums with their bias are log-odds, the
    first of being quoted by an annotator, the second of being an answer. `bar` is the probability from which
    an answer is let through.
    """

    candidate: Mapping[str, float]
    candidate_bias: float
    evidence: Mapping[str, float]
    evidence_bias: float
    bar: float


BY_VECTORS = Weighing(
    candidate={
        "coverage": 0.47,
        "context": 0.31,
        "similarity": 1.45,
        "alignment": 1.25,
        "kind": 0.18,
        "near": 0.07,
        "first": 0.21,
        "leading": 0.16,
        "passage": 1.35,
        "length": 0.93,
    },
    candidate_bias=-3.47,
    evidence={
        "similarity": 2.27,
        "nearest": 1.82,
        "passage_similarity": 5.36,
        "kind": 0.68,
        "coverage": 1.12,
        "new_in_passage": 2.05,
        "missing": -0.4,
    },
    evidence_bias=-6.94,
    bar=0.742,
)
BY_WORDS = Weighing(
    candidate={
        "coverage": 2.18,
        "context": 0.91,
        "order": 0.12,
        "kind": 0.28,
        "near": 0.39,
        "first": 0.42,
        "leading": 0.78,
        "length": 0.78,
    },
    candidate_bias=-2.66,
    evidence={
        "kind": 0.73,
        "coverage": 1.3,
        "strict": 0.81,
        "new_in_passage": 1.44,
        "passage_coverage": 0.72,
        "missing": -1.18,
    },
    evidence_bias=-1.87,
    bar=0.859,
)
MISSING_KIND: Mapping[Asked, float] = {
    Asked.DATE: 0.25,
    Asked.DURATION: 0.3,
    Asked.AMOUNT: 0.3,
    Asked.PERSON: 0.1,
}
"""What a candidate loses that does not mention what is asked for: a number is plain to
see, a place is not."""


MISSING_TIME = 3.0
"""What a candidate loses, in log-odds, whose passage lacks a year or quarter that the question names."""

MISSING_NAME = 1.0
"""The same for a name or a model's number."""

FIELD = 2.0
"""What a line about the document itself loses, `Owner: ...`, that the question does not ask for."""

SCRAP = 1.0
"""What a sentence of less than four words loses, in log-odds."""

BESIDE: Mapping[Asked, tuple[float, int]] = {
    Asked.DATE: (0.8, 2),
    Asked.DURATION: (0.85, 2),
    Asked.AMOUNT: (0.85, 2),
    Asked.PERSON: (0.8, 2),
    Asked.PLACE: (0.8, 2),
    Asked.YES_NO: (0.85, 2),
    Asked.LIST: (0.7, 4),
    Asked.HOW_TO: (0.7, 4),
    Asked.REASON: (0.7, 3),
    Asked.DEFINITION: (0.7, 3),
    Asked.OTHER: (0.7, 3),
}
"""How near to the best, in likelihood, a sentence beside it must be to be quoted too, and how many
at most."""

ELSEWHERE = (0.8, 2)
"""The same for sentences of other passages: how near to the best, and how many at most."""

READ_PASSAGES = 20
"""Passages of a ranking that are read for an answer."""

TABLE_BAR = 0.7
"""Share of the question's words that a row, its columns and its headings must have."""

EXACT_TABLE_BAR = 0.45
"""The same where the question names the columns too."""

CONSIDERED = 10
"""Candidates that an explanation shows."""
