"""What a knowledge base's answers were worth on its test set, written down, and compared with another time.

Owns the metrics of one question, the file that an evaluation is kept in (equal bytes for equal documents,
lock and questions: no time is in it), and the test of whether a metric fell: a paired bootstrap over the
questions that both have. Nothing here asks anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cape.answers.answer import Answer
from cape.errors import InputError
from cape.evaluation.questions import Outcome, TestQuestion, folded, judge
from cape.knowledge.access import AccessPolicy, sees
from cape.names import Digest

METRICS: Mapping[str, str] = {
    "sources": "share of the needed documents that the index has",
    "retrieval": "share of the needed documents among the first ten passages",
    "rank": "one over the rank of the first needed document",
    "facts": "every text that the answer must have stands in it",
    "citation": "the needed documents are cited, at the place that the test names",
    "support": "share of the citations whose words stand where they point",
    "abstention": "spoke where there is an answer, kept silent where there is none",
    "sealed": "nothing was shown that the asker may not see",
    "right": "all of it together",
}
"""Every metric of a question, in [0, 1], more is better; and what it says."""

HARD = frozenset({"sources", "sealed"})
"""Metrics that may not fall at all: a document that is lost, and a leak, need no statistics."""

_FORM = 1
_RESAMPLES = 10_000
_SEED = 20_260_101
_ROUNDED = 6
REGRESSION = 0.05
"""A metric fell when at most this share of the resamples says that it did not."""


class BadEvaluation(InputError):
    """A file that should hold an evaluation does not."""

    slug = "bad-evaluation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one question was shown: documents of the passages in order, and which citations are verbatim.

    `forbidden` counts passages and citations of documents that the asker may not see, by the access policy as
    it is written now. `lost` are needed documents that the index has not. `tokens` went to a model that
    writes.
    """

    documents: tuple[str, ...]
    lost: frozenset[str]
    verbatim: tuple[bool, ...]
    forbidden: int
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One question's metrics; one that does not apply is absent. `answer` is the digest of its text."""

    id: str
    kind: str
    question: str
    answer: str
    outcome: str
    values: Mapping[str, float]
    tokens: int

    @property
    def fields(self) -> dict[str, object]:
        return {
            "id": self.id,
            "kind": self.kind,
            "question": self.question,
            "answer": self.answer,
            "outcome": self.outcome,
            "tokens": self.tokens,
            **self.values,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """All questions of a base; `parts` tell what the answers were made with, by name: `index`, `access`."""

    base: str
    parts: Mapping[str, str]
    rows: tuple[Measured, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Who may see what, as `AccessPolicy.to_json` says it."""

    def mean(self, metric: str) -> float | None:
        """The mean of a metric over the questions that have it; None where none has."""
        values = [row.values[metric] for row in self.rows if metric in row.values]
        return sum(values) / len(values) if values else None

    @property
    def text(self) -> str:
        """The file's text: a line about the whole, then a line for each question, in the test set's order."""
        parts = dict(sorted(self.parts.items()))
        head = {"evaluation": _FORM, "base": self.base, "parts": parts, "policy": self.policy}
        lines: list[Mapping[str, object]] = [head, *(row.fields for row in self.rows)]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def measure(question: TestQuestion, answer: Answer, seen: Seen) -> Measured:
    """What an answer is worth. Pure."""
    judgement = judge(question, answer)
    values: dict[str, float] = {}
    if question.sources and not question.wants_refusal:
        values["sources"] = 1 - len(seen.lost.intersection(question.sources)) / len(set(question.sources))
        values |= _retrieved(question.sources, seen.documents)
    if not question.wants_refusal:
        text = folded(answer.text)
        said = answer.is_found and all(folded(part) in text for part in question.answer)
        values["facts"] = float(said)
        if question.sources:
            pointed = answer.is_found and judgement.outcome not in (Outcome.WRONG_SOURCE, Outcome.WRONG_PLACE)
            values["citation"] = float(pointed and set(question.sources) <= set(answer.documents))
    if seen.verbatim:
        values["support"] = sum(seen.verbatim) / len(seen.verbatim)
    values["abstention"] = float(answer.is_found != question.wants_refusal)
    told = question.kind == "hidden" and answer.is_found
    values["sealed"] = float(not seen.forbidden and not told)
    values["right"] = float(judgement.is_right)
    return Measured(
        id=question.id,
        kind=question.kind,
        question=Digest.of(question.question.encode()).short,
        answer=Digest.of(answer.text.encode()).short,
        outcome=judgement.outcome.value,
        values={name: round(values[name], _ROUNDED) for name in METRICS if name in values},
        tokens=seen.tokens,
    )


def _retrieved(sources: Sequence[str], documents: Sequence[str]) -> dict[str, float]:
    wanted = set(sources)
    ranks = [rank for rank, one in enumerate(documents, start=1) if one in wanted]
    found = len(wanted.intersection(documents[:10])) / len(wanted)
    return {"retrieval": found, "rank": 1 / ranks[0] if ranks else 0.0}


def read_evaluation(text: str, *, where: str) -> Evaluation:
    """An evaluation from its file's text. Raises `BadEvaluation`, with the line."""
    rows: list[Any] = []
    for number, line in enumerate(text.rstrip("\n").split("\n") if text else (), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise BadEvaluation(f"the line is no JSON: {error.msg}", where=f"{where}:{number}") from None
    head = rows[0] if rows else None
    if not isinstance(head, dict) or head.get("evaluation") != _FORM:
        raise BadEvaluation(
            "the file is no evaluation of this version of cape",
            where=where,
            hint="`cape evaluate --write FILE` makes one",
        )
    try:
        return Evaluation(
            base=head["base"],
            parts=head["parts"],
            policy=head["policy"],
            rows=tuple(_measured(row) for row in rows[1:]),
        )
    except (KeyError, TypeError) as error:
        raise BadEvaluation(f"a row lacks `{error}`", where=where) from None


def _measured(row: Mapping[str, Any]) -> Measured:
    return Measured(
        id=row["id"],
        kind=row["kind"],
        question=row["question"],
        answer=row["answer"],
        outcome=row["outcome"],
        tokens=row["tokens"],
        values={name: float(row[name]) for name in METRICS if name in row},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How a metric moved over the questions that both have it.

    `low` and `high` bound the mean difference in 95 of 100 resamples; `doubt` is the share of the resamples
    in which it did not fall. `fallen` are the ids of the questions that lost most, at most eight.
    """

    metric: str
    questions: int
    before: float
    now: float
    low: float
    high: float
    doubt: float
    fallen: tuple[str, ...]

    @property
    def difference(self) -> float:
        return self.now - self.before

    @property
    def is_regression(self) -> bool:
        """Whether it fell, beyond what the choice of questions explains; a hard metric, whether at all."""
        if self.metric in HARD:
            return self.difference < 0
        return self.difference < 0 and self.doubt <= REGRESSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Widened:
    """Documents that somebody may see now, and might not before. `user` is None for everyone."""

    user: str | None
    documents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two evaluations side by side: what moved, which parts differ, which questions only one has.

    `widened` is empty unless the access policy lets somebody see more than before.
    """

    changes: tuple[Change, ...]
    parts: tuple[str, ...]
    only_before: tuple[str, ...]
    only_now: tuple[str, ...]
    widened: tuple[Widened, ...] = ()

    @property
    def is_worse(self) -> bool:
        """Whether a metric fell, or somebody may see more."""
        return bool(self.regressions or self.widened)

    @property
    def regressions(self) -> tuple[Change, ...]:
        return tuple(one for one in self.changes if one.is_regression)


def compare(before: Evaluation, now: Evaluation, documents: Sequence[str] = ()) -> Comparison:
    """Compare by the questions that both asked in the same words. Equal input gives equal output.

    `documents` are those of the index: who may see which of them is compared too, for the users that both
    policies have and for everyone.
    """
    old = {(row.id, row.question): row for row in before.rows}
    pairs = [(old[key], row) for row in now.rows if (key := (row.id, row.question)) in old]
    shared = {row.id for _, row in pairs}
    changes = (_change(metric, pairs) for metric in METRICS)
    names = sorted(before.parts.keys() | now.parts.keys())
    return Comparison(
        changes=tuple(one for one in changes if one is not None),
        parts=tuple(name for name in names if before.parts.get(name) != now.parts.get(name)),
        only_before=_ids(before.rows, shared),
        only_now=_ids(now.rows, shared),
        widened=tuple(_widened(before.policy, now.policy, documents)),
    )


def _widened(
    before: Mapping[str, Any], now: Mapping[str, Any], documents: Sequence[str]
) -> Iterator[Widened]:
    if not before or not now or before == now:
        return
    old, new = AccessPolicy.from_json(before), AccessPolicy.from_json(now)
    for user in (None, *sorted(old.users.keys() & new.users.keys())):
        had, has = old.groups_of_user(user), new.groups_of_user(user)
        found = [
            path
            for path in sorted(documents)
            if sees(has, new.groups_of_document(path)) and not sees(had, old.groups_of_document(path))
        ]
        if found:
            yield Widened(user=user, documents=tuple(found))


def _ids(rows: Iterable[Measured], shared: set[str]) -> tuple[str, ...]:
    return tuple(row.id for row in rows if row.id not in shared)


def _change(metric: str, pairs: Sequence[tuple[Measured, Measured]]) -> Change | None:
    both = [
        (old.values[metric], new.values[metric], new.id)
        for old, new in pairs
        if metric in old.values and metric in new.values
    ]
    if not both:
        return None
    differences = [now - before for before, now, _ in both]
    low, high, doubt = _resampled(differences)
    lost = sorted((now - before, name) for before, now, name in both if now < before)
    return Change(
        metric=metric,
        questions=len(both),
        before=sum(before for before, _, _ in both) / len(both),
        now=sum(now for _, now, _ in both) / len(both),
        low=low,
        high=high,
        doubt=doubt,
        fallen=tuple(name for _, name in lost[:8]),
    )


def _resampled(differences: Sequence[float]) -> tuple[float, float, float]:
    """Bounds of the mean in 95 of 100 resamples, and the share of resamples whose mean is not below 0.

    Source: the paired bootstrap test, Efron and Tibshirani 1993, chapter 16.
    """
    if not any(differences):
        return 0.0, 0.0, 1.0
    import numpy as np

    values = np.asarray(differences)
    drawn = np.random.default_rng(_SEED).integers(0, len(values), (_RESAMPLES, len(values)))
    means = values[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high), float((means >= 0).mean())
