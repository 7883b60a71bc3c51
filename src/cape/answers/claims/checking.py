"""From an answer and its evidence to a verdict.

Owns the order of the steps: cut, align, apply the rules, measure, weigh words, then claims, then the
answer. The same steps feed training, so that what is trained is what runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cape.answers.claims.alignment import Alignment
from cape.answers.claims.claim import AnswerCheck, Claim, ClaimCheck, Finding, Rule, Verdict
from cape.answers.claims.evidence import Evidence, read_evidence
from cape.answers.claims.features import claim_row, word_rows
from cape.answers.claims.meaning import LocatingEmbedder, Meaning, meanings
from cape.answers.claims.rules import findings_of
from cape.answers.claims.splitting import claims_of
from cape.answers.claims.trees import sigmoid
from cape.answers.claims.weights import Rung, Weights, shipped_weights

ANSWER_FEATURES = ("strongest", "any", "mean", "is_record")
LONGEST_ANSWER = 40_000
"""Characters of an answer that are checked."""
CONTRADICTED, UNKNOWN = 0.9, 0.7
"""How much a claim is doubted at least that a record speaks against, or that tells what a record does not
know."""

_BRIDGE = 2
"""Words without doubt that a doubted range may run over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """A claim laid beside the evidence, with what the rules found and a row of features per word."""

    alignment: Alignment
    findings: tuple[Finding, ...]
    rows: list[list[float]]

    @property
    def claim(self) -> Claim:
        return self.alignment.claim


def lay(answer: str, evidence: Evidence) -> tuple[Laid, ...]:
    """Every claim of an answer beside the evidence, without a weight."""
    claims = claims_of(answer[:LONGEST_ANSWER])
    laid = []
    for claim in claims:
        alignment = Alignment(claim, evidence)
        findings = findings_of(alignment) if claim.asserts else ()
        laid.append(Laid(alignment=alignment, findings=findings, rows=word_rows(alignment, findings)))
    return tuple(laid)


def answer_row(doubts: Sequence[float], *, is_record: bool) -> list[float]:
    """The `ANSWER_FEATURES` of the doubts of an answer's claims, each in [0, 1]."""
    held = [min(max(doubt, 1e-4), 1 - 1e-4) for doubt in doubts] or [1e-4]
    none = math.fsum(math.log1p(-doubt) for doubt in held)
    anything = min(max(-math.expm1(none), 1e-4), 1 - 1e-4)
    strongest = max(held)
    return [
        math.log(strongest / (1 - strongest)),
        math.log(anything / (1 - anything)),
        sum(held) / len(held),
        float(is_record),
    ]


class Checker:
    """Checks answers by trained weights, with or without an embedder; opened once, used for many answers."""

    def __init__(self, *, weights: Weights | None = None, embedder: LocatingEmbedder | None = None) -> None:
        """Raises `DamagedWeights`."""
        self._weights = weights or shipped_weights()
        self._embedder = embedder if self._weights.by_vectors is not None else None
        self._rung = self._weights.by_words
        if self._embedder is not None and self._weights.by_vectors is not None:
            self._rung = self._weights.by_vectors

    @property
    def name(self) -> str:
        """The rungs that take part, and the digest of their weights."""
        return f"{'words' if self._embedder is None else 'words and vectors'} {self._weights.digest}"

    def check(self, answer: str, evidence: Sequence[str]) -> AnswerCheck:
        """Check every claim of an answer against the evidence; an answer that claims nothing is supported.

        What is beyond `LONGEST_ANSWER` characters is not checked, so such an answer is never called
        supported.
        """
        read = read_evidence(evidence)
        laid = lay(answer, read)
        found = self._meanings(laid)
        checks = [self._check(one, meaning) for one, meaning in zip(laid, found, strict=True)]
        rung = self._rung
        row = answer_row([one.doubt for one in checks if one.claim.asserts], is_record=read.is_record)
        doubt = sigmoid(sum(weight * value for weight, value in zip(rung.answer, (*row, 1.0), strict=True)))
        if len(answer) > LONGEST_ANSWER:
            doubt = max(doubt, rung.answer_bar)
        verdict = _verdict(doubt, rung, checks)
        if verdict is not Verdict.SUPPORTED:
            _mark_one(checks)
        return AnswerCheck(verdict=verdict, score=1.0 - doubt, claims=tuple(checks), checker=self.name)

    def _meanings(self, laid: Sequence[Laid]) -> list[Meaning | None]:
        if self._embedder is None:
            return [None] * len(laid)
        return meanings([one.alignment for one in laid], self._embedder)

    def _check(self, laid: Laid, meaning: Meaning | None) -> ClaimCheck:
        if not laid.claim.asserts:
            return _made(laid, doubt=0.0, verdict=Verdict.SUPPORTED, unsupported=())
        rung = self._rung if meaning is not None else self._weights.by_words
        doubts = [rung.word.probability(row) for row in laid.rows]
        row = claim_row(laid.alignment, laid.findings, doubts)
        if meaning is not None:
            row = [*row, *meaning.row]
        doubt = max(rung.claim.probability(row), _least(laid.findings))
        doubts = _raised(laid, doubts)
        if doubt < rung.claim_bar:
            return _made(laid, doubt=doubt, verdict=Verdict.SUPPORTED, unsupported=())
        contradicted = any(one.contradicts for one in laid.findings)
        verdict = Verdict.CONTRADICTED if contradicted else Verdict.UNSUPPORTED
        ranges = doubted(laid, doubts, rung.word_bar)
        return _made(laid, doubt=doubt, verdict=verdict, unsupported=ranges)


def check_answer(
    answer: str, evidence: Sequence[str], *, embedder: LocatingEmbedder | None = None
) -> AnswerCheck:
    """Check one answer; see `Checker`. Raises `DamagedWeights`."""
    return Checker(embedder=embedder).check(answer, evidence)


def _least(findings: Sequence[Finding]) -> float:
    """What records alone make of a claim: their rules are exact, and weights have seen few of them."""
    said = [CONTRADICTED if one.contradicts else UNKNOWN for one in findings if one.rule is Rule.RECORD]
    return max(said, default=0.0)


def _raised(laid: Laid, doubts: Sequence[float]) -> list[float]:
    """The doubts of a claim's words, full where a record speaks against them."""
    ranges = [(one.start, one.end) for one in laid.findings if one.rule is Rule.RECORD]
    return [
        1.0 if any(start < word.end and end > word.start for start, end in ranges) else doubt
        for word, doubt in zip(laid.alignment.raw, doubts, strict=True)
    ]


def _mark_one(checks: list[ClaimCheck]) -> None:
    """Mark the most doubted claim of an answer that is doubted as a whole, if none is by itself."""
    asserting = [at for at, one in enumerate(checks) if one.claim.asserts]
    if not asserting or any(one.unsupported for one in checks):
        return
    at = max(asserting, key=lambda number: checks[number].doubt)
    span = (checks[at].claim.start, checks[at].claim.end)
    checks[at] = replace(checks[at], verdict=Verdict.UNSUPPORTED, unsupported=(span,))


def _verdict(doubt: float, rung: Rung, checks: Sequence[ClaimCheck]) -> Verdict:
    if doubt < rung.answer_bar:
        return Verdict.SUPPORTED
    contradicted = any(check.verdict is Verdict.CONTRADICTED for check in checks)
    return Verdict.CONTRADICTED if contradicted else Verdict.UNSUPPORTED


def _made(
    laid: Laid, *, doubt: float, verdict: Verdict, unsupported: tuple[tuple[int, int], ...]
) -> ClaimCheck:
    units = laid.alignment.evidence.units
    return ClaimCheck(
        claim=laid.claim,
        verdict=verdict,
        doubt=doubt,
        findings=laid.findings,
        unsupported=unsupported,
        evidence=tuple(units[number].text for number in laid.alignment.units),
    )


def doubted(laid: Laid, doubts: Sequence[float], bar: float) -> tuple[tuple[int, int], ...]:
    """The ranges of the answer whose words are doubted; the whole claim where no word is by itself."""
    claim = laid.claim
    words = laid.alignment.raw
    runs: list[list[int]] = []
    for at, doubt in enumerate(doubts):
        if doubt < bar:
            continue
        if runs and at - runs[-1][1] <= _BRIDGE:
            runs[-1][1] = at
        else:
            runs.append([at, at])
    if not runs:
        return ((claim.start, claim.end),)
    return tuple((claim.start + words[first].start, claim.start + words[last].end) for first, last in runs)
