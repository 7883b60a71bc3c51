"""The values of checking: a claim, what a rule found in it, and the check of a claim and of a whole "
"answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the evidence says to a claim or an answer: yes, nothing, or the opposite."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    CONTRADICTED = "contradicted"


class Rule(StrEnum):
    """The rules, by what they look at."""

    NUMBER = "number"
    UNIT = "unit"
    DATE = "date"
    NAME = "name"
    NEGATION = "negation"
    RECORD = "record"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A sentence or list item of an answer: `answer[start:end]`.

    `asserts` is False for what says nothing about the matter: a question, an announcement of a list, a remark
    that the evidence does not tell.
    """

    text: str
    start: int
    end: int
    ordinal: int
    asserts: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a rule found: the characters of the claim's text that the evidence lacks or speaks against."""

    rule: Rule
    start: int
    end: int
    contradicts: bool
    detail: str


def record_finding(place: tuple[int, int], detail: str, *, contradicts: bool) -> Finding:
    """What a record says otherwise, or does not know, at `place` of the claim's text."""
    return Finding(rule=Rule.RECORD, start=place[0], end=place[1], contradicts=contradicts, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimCheck:
    """A claim with the probability in [0, 1] that the evidence lacks something that it says.

    `unsupported` are the ranges of the answer's characters that are doubted; `evidence` are the texts of the
    evidence that the claim was laid beside, best first.
    """

    claim: Claim
    verdict: Verdict
    doubt: float
    findings: tuple[Finding, ...]
    unsupported: tuple[tuple[int, int], ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerCheck:
    """An answer's verdict; `score` is the probability in [0, 1] that everything in it is supported.

    `checker` names the rungs that took part and the digest of their weights.
    """

    verdict: Verdict
    score: float
    claims: tuple[ClaimCheck, ...]
    checker: str

    @property
    def unsupported(self) -> tuple[tuple[int, int], ...]:
        """The doubted ranges of the answer's characters, in order, none touching another."""
        return tuple(span for check in self.claims for span in check.unsupported)
