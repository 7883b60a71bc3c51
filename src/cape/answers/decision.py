"""Whether the best candidates answer at all: measured evidence, a logistic model, a threshold.

Owns the verdict "not found in what you may see". Everything it measures comes from the question, the
passages of the asker's own ranking and constants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from cape.answers.question import Question, Term
from cape.answers.selection import Candidate, is_unasked_field, missing_names, missing_times
from cape.answers.weights import Weighing
from cape.answers.words import best_likeness, words_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What speaks for an answer, each in [0, 1].

    `similarity` and `nearest`: cosine of the best candidate, and the highest of any in its passage;
    `passage_similarity`: of the passage; `kind` and `near` as of the candidate; `coverage`, `strict`: the
    question's words in the candidate; `new_coverage` and `new_in_passage`: those of the question's words that
    the title does not have already, in the candidate and in its passage; `passage_coverage`: all words, in
    passage and title; `missing`: how many of them are in neither, against 5; `order`: as of the candidate.
    """

    similarity: float
    nearest: float
    passage_similarity: float
    kind: float
    near: float
    coverage: float
    strict: float
    new_coverage: float
    new_in_passage: float
    passage_coverage: float
    missing: float
    order: float


EVIDENCE = tuple(field.name for field in fields(Evidence))


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether it is an answer, how sure that is (in [0, 1]), against what bar, and on what evidence.

    `reasons` are sentences for a user who asks why nothing was found.
    """

    found: bool
    confidence: float
    bar: float
    evidence: Evidence
    reasons: tuple[str, ...] = ()


def evidence_of(question: Question, best: Candidate, candidates: Sequence[Candidate]) -> Evidence:
    """The evidence for the best candidate, from it and the others of its passage."""
    chunk = best.passage.chunk
    title = {word.stem for part in chunk.title_path for word in words_of(part)}
    inside = {word.stem for word in words_of(chunk.text)}
    own = {word.stem for word in words_of(best.unit.text)}
    same = [one for one in candidates if one.passage.id == best.passage.id]
    rest = [term for term in question.terms if best_likeness(term.stem, title) < 0.6]
    everywhere = {term.stem: best_likeness(term.stem, inside | title) for term in question.terms}

    def covered(terms: Sequence[Term], stems: set[str]) -> float:
        total = sum(term.weight for term in terms)
        near = sum(term.weight * best_likeness(term.stem, stems) for term in terms)
        return near / total if total else 1.0

    return Evidence(
        similarity=best.features.similarity,
        nearest=max(one.features.similarity for one in same),
        passage_similarity=min(1.0, max(0.0, best.passage.nearness)),
        kind=best.features.kind,
        near=best.features.near,
        coverage=best.features.coverage,
        strict=best.features.strict,
        new_coverage=covered(rest, own),
        new_in_passage=covered(rest, inside),
        passage_coverage=covered(question.terms, inside | title),
        missing=min(1.0, sum(value < 0.6 for value in everywhere.values()) / 5),
        order=best.features.order,
    )


def probability(weighing: Weighing, evidence: Evidence) -> float:
    """The probability that evidence like this comes with an answer."""
    total = weighing.evidence_bias + sum(
        weight * float(getattr(evidence, name)) for name, weight in weighing.evidence.items()
    )
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


def decide(
    question: Question, best: Candidate, candidates: Sequence[Candidate], weighing: Weighing
) -> Decision:
    """Whether the best candidate is let through as an answer."""
    evidence = evidence_of(question, best, candidates)
    confidence = probability(weighing, evidence)
    reasons = tuple(_reasons(question, best, evidence))
    about_itself = is_unasked_field(question, best.unit, best.features.coverage)
    vetoed = about_itself or bool(_absent(question, best))
    return Decision(
        found=confidence >= weighing.bar and not vetoed,
        confidence=0.0 if vetoed else confidence,
        bar=weighing.bar,
        evidence=evidence,
        reasons=reasons,
    )


def _absent(question: Question, best: Candidate) -> frozenset[str]:
    """The times and names of the question that what the best candidate stands in says nothing of."""
    chunk = best.passage.chunk
    return missing_times(question, chunk, best.unit) | missing_names(question, chunk, best.unit)


def _reasons(question: Question, best: Candidate, evidence: Evidence) -> list[str]:
    chunk = best.passage.chunk
    inside = {word.stem for part in (*chunk.title_path, chunk.text) for word in words_of(part)}
    absent = [term.text for term in question.terms if best_likeness(term.stem, inside) < 0.6]
    found = []
    if told := _absent(question, best):
        found.append("the nearest passage says nothing of " + ", ".join(sorted(told)))
    if absent:
        found.append("the nearest passage lacks " + ", ".join(f"`{word}`" for word in absent[:8]))
    if is_unasked_field(question, best.unit, best.features.coverage):
        found.append("the nearest line tells of the document itself what the question does not ask for")
    if evidence.kind == 0.0:
        found.append(f"the nearest sentence has no answer of the kind asked for ({question.asked})")
    return found


def contributions(weighing: Weighing, evidence: Evidence) -> Mapping[str, float]:
    """What each piece of evidence adds to the sum, in log-odds."""
    return {name: weight * float(getattr(evidence, name)) for name, weight in weighing.evidence.items()}
