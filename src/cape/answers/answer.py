"""An answer as a value: its text, what it cites, its verdict, what it cost. Owns no decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cape.answers.question import Asked
from cape.knowledge.documents import Place
from cape.names import Digest

NOT_FOUND = "Not found in what you may see."


class Verdict(StrEnum):
    """Whether the asker's documents answer the question."""

    FOUND = "found"
    NOT_FOUND = "not-found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """A pointer that can be followed by hand: the document, the place in it, and what stands there, verbatim.

    `number` is that of the mark in the answer's text (`[1]`). `chunk` is the digest of its passage.
    """

    number: int
    document: str
    place: Place
    quote: str
    chunk: Digest
    title_path: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`documents/travel.docx, page 3`; `metrics.xlsx, Regions!C7`."""
        place = str(self.place)
        return f"{self.document}, {place}" if place else self.document


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsideredUnit:
    """A candidate as `--explain` shows it: where it stands, its score, and what was measured of it."""

    document: str
    place: Place
    text: str
    rank: int
    score: float
    features: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why an answer is as it is.

    `clauses` are the questions that the question was cut into. `evidence` is what the decision measured, and
    `contributions` what each piece added to it, in log-odds; both are empty when nothing was read, or when
    rows of a table answered. `reasons` are sentences on why nothing was found. `query` is the query over a
    table whose result the answer is; empty for an answer that quotes.
    """

    clauses: tuple[str, ...] = ()
    considered: tuple[ConsideredUnit, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    contributions: Mapping[str, float] = field(default_factory=dict)
    bar: float = 0.0
    reasons: tuple[str, ...] = ()
    query: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a question got.

    `text` is made of the citations' quotes, each followed by its mark; a yes/no question's begins with the
    word. When nothing was found it is one fixed sentence and there are no citations. `confidence` is in
    [0, 1]. `passages` counts those that were read. `has_vectors` tells whether vectors took part.
    """

    question: str
    asked: Asked
    verdict: Verdict
    text: str
    citations: tuple[Citation, ...]
    confidence: float
    passages: int
    has_vectors: bool
    explanation: Explanation
    notes: tuple[str, ...] = ()

    @property
    def is_found(self) -> bool:
        return self.verdict is Verdict.FOUND

    @property
    def documents(self) -> tuple[str, ...]:
        """The documents that are cited, each once, in the order of the marks."""
        return tuple(dict.fromkeys(citation.document for citation in self.citations))
