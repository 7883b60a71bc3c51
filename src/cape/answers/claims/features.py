"""What is measured of words, claims and answers, as rows of numbers in a fixed order.

Owns the order and the meaning of features; the trained weights hold to these names. How long evidence and
answer are is none of them: it tells which test set a row is of, and nothing on another one. Adding one
means training anew. No weight is here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from cape.answers.claims.alignment import AlignedWord, Alignment
from cape.answers.claims.claim import Finding, Rule
from cape.answers.claims.evidence import negated
from cape.answers.claims.rules import is_name
from cape.answers.claims.spellings import FRAMING
from cape.answers.words import is_number

WORD_FEATURES = (
    "anywhere", "near", "in_pair", "in_triple", "next_pair", "weight", "is_stop", "is_number", "is_name",
    "is_framing", "found_number", "near_number", "finding", "contradicted", "before_anywhere",
    "after_anywhere",
    "before_near", "after_near", "novel_around", "claim_share", "best_share", "company", "relative_place",
    "is_record", "capital_first",
)  # fmt: skip
CLAIM_FEATURES = (
    "words", "content", "anywhere", "anywhere_min", "near", "best_share", "second_share", "pairs", "triples",
    "novel_content", "novel_weight", "heaviest_novel", "numbers", "numbers_missing", "numbers_far",
    "minor_missing", "dates_missing", "names", "names_missing", "names_far", "company_numbers",
    "company_names",
    "negation_differs", "denies", "findings", "contradictions", "record_contradictions",
    "record_unknown",
    "unit_differs", "hedges", "praises", "longest_novel", "longest_copied", "is_record", "word_max",
    "word_second", "word_mean", "word_sum",
)  # fmt: skip
_HEDGES = frozenset(
    [
        "may",
        "might",
        "could",
        "perhaps",
        "probably",
        "possibly",
        "likely",
        "suggest",
        "suggests",
        "suggesting",
        "appears",
        "appear",
        "seems",
        "seem",
        "potentially",
        "presumably",
        "indicating",
        "indicates",
        "implying",
        "implies",
        "highlighting",
        "reflecting",
        "showcasing",
        "emphasizing",
        "raising",
        "demonstrating",
        "ensuring",
    ]
)
_PRAISES = frozenset(
    [
        "great",
        "perfect",
        "popular",
        "excellent",
        "ideal",
        "wonderful",
        "delightful",
        "welcoming",
        "charming",
        "cozy",
        "friendly",
        "delicious",
        "amazing",
        "fantastic",
        "unique",
        "diverse",
        "wide",
        "variety",
        "must-visit",
        "highly",
        "recommended",
        "impressive",
        "vibrant",
        "renowned",
        "favorite",
        "memorable",
        "inviting",
        "pleasant",
        "enjoyable",
        "convenient",
        "comfortable",
        "casual",
        "relaxed",
        "upscale",
        "trendy",
        "exceptional",
        "outstanding",
        "notable",
        "significant",
        "important",
    ]
)


def word_rows(alignment: Alignment, findings: Sequence[Finding]) -> list[list[float]]:
    """A row of `WORD_FEATURES` per word of the claim, in order."""
    words = alignment.words
    total = sum(word.weight for word in words) or 1.0
    share = sum(word.weight * word.anywhere for word in words) / total
    best = alignment.shares[0] if alignment.shares else 0.0
    record = float(alignment.evidence.is_record)
    rows = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else None
        after = words[at + 1] if at + 1 < len(words) else None
        touching = [one for one in findings if one.start < word.word.end and one.end > word.word.start]
        local = [one for one in touching if one.end - one.start < len(alignment.claim.text)]
        around = [one for one in words[max(0, at - 3) : at + 4] if not one.is_stop]
        numbers = [
            one for one in alignment.quantities if one.start < word.word.end and one.end > word.word.start
        ]
        rows.append([
            word.anywhere,
            word.near,
            float(word.in_pair),
            float(word.in_triple),
            float(after is not None and after.in_pair),
            word.weight,
            float(word.is_stop),
            float(is_number(word.word.text) or bool(numbers)),
            float(is_name(word.word, at)),
            float(word.word.stem in FRAMING),
            float(all(alignment.key_found(one) for one in numbers)) if numbers else -1.0,
            float(all(alignment.key_near(one) for one in numbers)) if numbers else -1.0,
            float(len(local)),
            float(any(one.contradicts for one in touching)),
            before.anywhere if before else 1.0,
            after.anywhere if after else 1.0,
            before.near if before else 1.0,
            after.near if after else 1.0,
            sum(one.anywhere < 0.5 for one in around) / max(1, len(around)),
            share,
            best,
            _company(alignment, word),
            at / max(1, len(words) - 1),
            record,
            float(at == 0),
        ])  # fmt: skip
    return rows


def _company(alignment: Alignment, word: AlignedWord) -> float:
    """How much of the claim stands beside the word in the evidence; 0 where it is not there, 1 for a stop
    word.
    """
    if word.is_stop:
        return 1.0
    return alignment.company(alignment.evidence.holders.get(word.word.stem, ())[:50])


def claim_row(
    alignment: Alignment,
    findings: Sequence[Finding],
    doubts: Sequence[float],
) -> list[float]:
    """The `CLAIM_FEATURES` of a claim; `doubts` are the probabilities that its words are not supported."""
    measured = {
        **_of_words(alignment),
        **_of_quantities(alignment),
        **_of_names(alignment),
        **_of_findings(alignment, findings),
        "is_record": float(alignment.evidence.is_record),
        **_of_doubts(doubts),
    }
    return [measured[name] for name in CLAIM_FEATURES]


def _of_words(alignment: Alignment) -> Mapping[str, float]:
    words = alignment.words
    content = [word for word in words if not word.is_stop and word.word.stem not in FRAMING]
    weights = [word.weight for word in content]
    total = sum(weights) or 1.0
    novel = [word for word in content if word.anywhere < 0.5]
    folded = [word.word.text.casefold() for word in words]
    return {
        "words": math.log1p(len(words)),
        "content": math.log1p(len(content)),
        "anywhere": sum(word.weight * word.anywhere for word in content) / total if content else 1.0,
        "anywhere_min": min((word.anywhere for word in content), default=1.0),
        "near": sum(word.weight * word.near for word in content) / total if content else 1.0,
        "best_share": alignment.shares[0] if alignment.shares else 0.0,
        "second_share": alignment.shares[1] if len(alignment.shares) > 1 else 0.0,
        "pairs": sum(word.in_pair for word in words) / max(1, len(words) - 1),
        "triples": sum(word.in_triple for word in words) / max(1, len(words) - 2),
        "novel_content": float(len(novel)),
        "novel_weight": sum(word.weight for word in novel),
        "heaviest_novel": max((word.weight for word in novel), default=0.0),
        "hedges": float(sum(word in _HEDGES for word in folded)),
        "praises": float(sum(word in _PRAISES for word in folded)),
        "longest_novel": float(_longest(word.anywhere < 0.5 for word in words if not word.is_stop)),
        "longest_copied": math.log1p(_longest(word.in_pair for word in words)),
    }


def _longest(flags: Iterator[bool] | Sequence[bool]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _of_quantities(alignment: Alignment) -> Mapping[str, float]:
    missing = [one for one in alignment.quantities if not alignment.key_found(one)]
    held = [one for one in alignment.quantities if alignment.key_found(one)]
    companies = [
        alignment.company([at for key in one.keys for at in alignment.evidence.key_holders.get(key, ())][:50])
        for one in held
    ]
    return {
        "numbers": float(len(alignment.quantities)),
        "numbers_missing": float(sum(not one.minor for one in missing)),
        "numbers_far": float(sum(not alignment.key_near(one) for one in held)),
        "minor_missing": float(sum(one.minor for one in missing)),
        "dates_missing": float(sum(one.dated for one in missing)),
        "company_numbers": min(companies, default=1.0),
    }


def _of_names(alignment: Alignment) -> Mapping[str, float]:
    names = [word for at, word in enumerate(alignment.words) if is_name(word.word, at)]
    companies = [
        alignment.company(alignment.evidence.holders.get(word.word.stem, ())[:50])
        for word in names
        if word.anywhere >= 1.0
    ]
    return {
        "names": float(len(names)),
        "names_missing": float(sum(word.anywhere < 0.6 for word in names)),
        "names_far": float(sum(word.anywhere >= 0.6 and word.near < 0.6 for word in names)),
        "company_names": min(companies, default=1.0),
    }


def _of_findings(alignment: Alignment, findings: Sequence[Finding]) -> Mapping[str, float]:
    unit = alignment.evidence.units[alignment.units[0]] if alignment.units else None
    denies = negated(alignment.claim.text)
    record = [one for one in findings if one.rule is Rule.RECORD]
    return {
        "negation_differs": float(unit is not None and unit.negated != denies),
        "denies": float(denies),
        "findings": float(len(findings)),
        "contradictions": float(sum(one.contradicts for one in findings)),
        "record_contradictions": float(sum(one.contradicts for one in record)),
        "record_unknown": float(sum(not one.contradicts for one in record)),
        "unit_differs": float(any(one.rule is Rule.UNIT for one in findings)),
    }


def _of_doubts(doubts: Sequence[float]) -> Mapping[str, float]:
    ordered = sorted(doubts, reverse=True)
    return {
        "word_max": ordered[0] if ordered else 0.0,
        "word_second": ordered[1] if len(ordered) > 1 else 0.0,
        "word_mean": sum(ordered) / max(1, len(ordered)),
        "word_sum": math.log1p(sum(ordered)),
    }
