"""Tests of claims: answers with their evidence, with or without the verdict that people gave.

Owns the shape of such a file, of the predictions, and the scores. What checks comes in as values. A row:
`{"id", "answer", "evidence": [text]}`, and where it is known `"verdict"` and `"unsupported": [[start, end]]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.answers.claims.claim import AnswerCheck, Verdict
from cape.errors import InputError
from cape.names import nearest

HINT = (
    'a row is {"id", "answer", "evidence": [text]}, and where they are known "verdict" (`supported`, '
    '`unsupported`, `contradicted`) and "unsupported": [[start, end]]'
)
_FIELDS = frozenset(("id", "answer", "evidence", "verdict", "unsupported"))


class BadClaimsTest(InputError):
    """A row of a test of claims is not one."""

    slug = "bad-claims-test"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimsRow:
    """An answer with its evidence. `verdict` and `unsupported` are None where nobody gave them."""

    id: str | int
    answer: str
    evidence: tuple[str, ...]
    verdict: Verdict | None = None
    unsupported: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimsScore:
    """How well verdicts and ranges agree with people's; "positive" is an answer that is not supported.

    `f1_of_all` is what calling every answer unsupported gives. `auroc` is of the score, None where all
    answers are of one kind; `span_f1` counts characters over all answers, None where no ranges are given.
    """

    rows: int
    positive: int
    precision: float
    recall: float
    f1: float
    f1_of_all: float
    auroc: float | None
    span_f1: float | None


def read_claims(path: Path) -> list[ClaimsRow]:
    """The rows of a file. Raises `BadClaimsTest`, with the line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadClaimsTest("the file cannot be read as text", where=str(path)) from error
    rows = [_row(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise BadClaimsTest("the file has no rows", where=str(path), hint=HINT)
    return rows


def _row(line: str, where: str) -> ClaimsRow:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadClaimsTest("the line is no JSON", where=where, hint=HINT) from error
    if not isinstance(fields, dict):
        raise BadClaimsTest("the row is no object", where=where, hint=HINT)
    _check_fields(fields, where)
    return ClaimsRow(
        id=_id(fields, where),
        answer=_text(fields, "answer", where),
        evidence=_texts(fields, where),
        verdict=_verdict(fields, where),
        unsupported=_ranges(fields, where),
    )


def _check_fields(fields: Mapping[str, Any], where: str) -> None:
    """Fields of other programs pass (`question`, `model`); one that looks like a misspelt one of ours does
    not.
    """
    for field in sorted(fields.keys() - _FIELDS):
        close = nearest(field, sorted(_FIELDS - fields.keys()))
        if close:
            hint = f"did you mean `{close[0]}`?"
            raise BadClaimsTest(f"the row has an unknown field `{field}`", where=where, hint=hint)


def _id(fields: Mapping[str, Any], where: str) -> str | int:
    found = fields.get("id")
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        raise BadClaimsTest("`id` is neither a text nor a number", where=where, hint=HINT)
    return found


def _text(fields: Mapping[str, Any], key: str, where: str) -> str:
    found = fields.get(key)
    if not isinstance(found, str):
        raise BadClaimsTest(f"`{key}` is not a text", where=where, hint=HINT)
    return found


def _texts(fields: Mapping[str, Any], where: str) -> tuple[str, ...]:
    found = fields.get("evidence")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadClaimsTest("`evidence` is not a list of texts", where=where, hint=HINT)
    return tuple(found)


def _verdict(fields: Mapping[str, Any], where: str) -> Verdict | None:
    found = fields.get("verdict")
    if found is None:
        return None
    if found not in {one.value for one in Verdict}:
        known = ", ".join(f"`{one}`" for one in Verdict)
        raise BadClaimsTest(f"`verdict` is `{found}`", where=where, hint=f"one of {known}")
    return Verdict(found)


def _ranges(fields: Mapping[str, Any], where: str) -> tuple[tuple[int, int], ...] | None:
    found = fields.get("unsupported")
    if found is None:
        return None
    length = len(fields["answer"])
    if not isinstance(found, list) or not all(_is_range(one, length) for one in found):
        raise BadClaimsTest("`unsupported` is not a list of ranges of the answer", where=where, hint=HINT)
    return tuple((start, end) for start, end in found)


def _is_range(value: object, length: int) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(type(one) is int for one in value):
        return False
    start, end = value
    return bool(0 <= start <= end <= length)


def prediction(row: ClaimsRow, check: AnswerCheck) -> dict[str, object]:
    """The line that is written for an answer: `{"id", "verdict", "score", "unsupported"}`."""
    return {
        "id": row.id,
        "verdict": check.verdict.value,
        "score": round(check.score, 6),
        "unsupported": [list(span) for span in check.unsupported] if check.verdict != "supported" else [],
    }


def scored(rows: Sequence[ClaimsRow], checks: Sequence[AnswerCheck]) -> ClaimsScore | None:
    """The scores over the rows that have a verdict; None without any."""
    pairs = [(row, check) for row, check in zip(rows, checks, strict=True) if row.verdict is not None]
    if not pairs:
        return None
    wanted = [row.verdict is not Verdict.SUPPORTED for row, _ in pairs]
    said = [check.verdict is not Verdict.SUPPORTED for _, check in pairs]
    hits = sum(one and other for one, other in zip(wanted, said, strict=True))
    return ClaimsScore(
        rows=len(pairs),
        positive=sum(wanted),
        precision=hits / max(1, sum(said)),
        recall=hits / max(1, sum(wanted)),
        f1=2 * hits / max(1, sum(said) + sum(wanted)),
        f1_of_all=2 * sum(wanted) / (sum(wanted) + len(wanted)),
        auroc=area(wanted, [1.0 - check.score for _, check in pairs]),
        span_f1=_span_f1(pairs),
    )


def area(wanted: Sequence[bool], scores: Sequence[float]) -> float | None:
    """How often a wanted item scores above another, ties counting half; None where there is only one kind.

    >>> area([True, False, False], [0.9, 0.9, 0.1])
    0.75
    """
    positive = sum(wanted)
    if not positive or positive == len(wanted):
        return None
    order = sorted(range(len(scores)), key=lambda at: scores[at])
    ranks, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and scores[order[end]] == scores[order[at]]:
            end += 1
        ranks += (at + 1 + end) / 2 * sum(wanted[one] for one in order[at:end])
        at = end
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(wanted) - positive))


def _span_f1(pairs: Sequence[tuple[ClaimsRow, AnswerCheck]]) -> float | None:
    hit = total = 0
    known = False
    for row, check in pairs:
        if row.unsupported is None:
            continue
        known = True
        doubted = check.verdict is not Verdict.SUPPORTED
        said = {at for start, end in check.unsupported for at in range(start, end)} if doubted else set()
        true = {at for start, end in row.unsupported for at in range(start, end)}
        hit, total = hit + len(said & true), total + len(said) + len(true)
    return (2 * hit / total if total else 1.0) if known else None
