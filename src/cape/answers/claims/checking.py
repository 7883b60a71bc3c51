"""From an answer and its evidence to a verdict.

Owns the order of the steps: cut, align, apply the rules, measure, weigh words, then claims, then the
answer. The same steps feed training, so that what is trained is what runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cape.answers.claims.alignment import Alignment
from cape.answers.claims.claim import AnswerCheck, Claim, ClaimCheck, Finding, Verdict
from cape.answers.claims.evidence import Evidence, read_evidence
from cape.answers.claims.features import AnswerShape, claim_row, word_rows
from cape.answers.claims.rules import findings_of
from cape.answers.claims.splitting import claims_of
from cape.answers.claims.trees import sigmoid
from cape.answers.claims.weights import Rung, Weights, shipped_weights

ANSWER_FEATURES = ("strongest", "any", "mean", "is_record")
LONGEST_ANSWER = 40_000
"""Characters of an answer that are checked."""
_BRIDGE = 2
"""Words without doubt that a doubted range may run over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """A claim laid beside the evidence, with what the rules found and a row of features per word."""

    alignment: Alignment
    findings: tuple[Finding, ...]
    rows: list[list[float]]
    shape: AnswerShape

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
        shape = AnswerShape(claims=len(claims), place=claim.ordinal / max(1, len(claims) - 1))
        laid.append(
            Laid(alignment=alignment, findings=findings, rows=word_rows(alignment, findings), shape=shape)
        )
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


def check_answer(answer: str, evidence: Sequence[str], *, weights: Weights | None = None) -> AnswerCheck:
    """Check every claim of an answer against the evidence. Pure but for reading the weights once.

    An answer that claims nothing is supported. Raises `DamagedWeights`.
    """
    weights = weights or shipped_weights()
    rung = weights.by_words
    read = read_evidence(evidence)
    checks = tuple(_check(laid, rung) for laid in lay(answer, read))
    doubts = [check.doubt for check in checks if check.claim.asserts]
    row = answer_row(doubts, is_record=read.is_record)
    doubt = sigmoid(sum(weight * value for weight, value in zip(rung.answer, (*row, 1.0), strict=True)))
    return AnswerCheck(
        verdict=_verdict(doubt, rung, checks),
        score=1.0 - doubt,
        claims=checks,
        checker=f"words {weights.digest}",
    )


def _verdict(doubt: float, rung: Rung, checks: Sequence[ClaimCheck]) -> Verdict:
    if doubt < rung.answer_bar:
        return Verdict.SUPPORTED
    contradicted = any(check.verdict is Verdict.CONTRADICTED for check in checks)
    return Verdict.CONTRADICTED if contradicted else Verdict.UNSUPPORTED


def _check(laid: Laid, rung: Rung) -> ClaimCheck:
    claim = laid.claim
    if not claim.asserts:
        return _made(laid, doubt=0.0, verdict=Verdict.SUPPORTED, unsupported=())
    doubts = [rung.word.probability(row) for row in laid.rows]
    doubt = rung.claim.probability(claim_row(laid.alignment, laid.findings, laid.shape, doubts))
    if doubt < rung.claim_bar:
        return _made(laid, doubt=doubt, verdict=Verdict.SUPPORTED, unsupported=())
    verdict = Verdict.CONTRADICTED if any(one.contradicts for one in laid.findings) else Verdict.UNSUPPORTED
    return _made(laid, doubt=doubt, verdict=verdict, unsupported=doubted(laid, doubts, rung.word_bar))


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
