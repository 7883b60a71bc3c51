"""How well answers are extracted and refused, on reading tests; and the fit of the weights that decide.

    python benchmarks/answers.py DIR [--model FILE.onnx --tokenizer tokenizer.json] [--project DIR]
                                 [--fit] [--write]

DIR holds `*.jsonl` as `cape evaluate answers` reads them. Numbers are cross-validated: weights and bar are
fitted on nine tenths, and the tenth left out is measured with them; five times over other tenths, and the
mean is printed. `--fit` prints the weights that all rows give, as they stand in `cape/answers/weights.py`.
Without a model, words alone decide. With an indexed project, the `calibrate` half of its questions takes part
in the fit of the candidates' weights: a reading test has one passage per question, and cannot teach what a
ranking is worth. The other half is never looked at here.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cape.answers.answering import answer_question
from cape.answers.decision import EVIDENCE, evidence_of
from cape.answers.question import Question, read_question
from cape.answers.selection import (
    FEATURES,
    Candidate,
    Passage,
    Similarities,
    Vectors,
    WordsOnly,
    candidates_of,
)
from cape.answers.weights import BY_VECTORS, BY_WORDS, MISSING_KIND, Weighing
from cape.evaluation.reading import (
    Point,
    ReadingResult,
    ReadingRow,
    auroc,
    point_at,
    read_rows,
    result_of,
)

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
ONLY_VECTORS = {"similarity", "alignment", "passage", "nearest", "passage_similarity"}
FOLDS, TURNS, ALLOWED = 10, 3, 0.05
Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A row with everything that does not depend on weights."""

    row: ReadingRow
    question: Question
    passages: tuple[Passage, ...]
    candidates: tuple[Candidate, ...]
    chosen: tuple[bool, ...]


def prepare(row: ReadingRow, similarities: Similarities, weighing: Weighing) -> Prepared:
    passages = tuple(
        replace(one, nearness=max(0.0, similarities.of(row.question, [one.chunk.searchable])[0].cosine))
        for one in row.passages
    )
    question = read_question(row.question)
    candidates = candidates_of(question, passages, similarities, weighing)
    return Prepared(
        row=row,
        question=question,
        passages=passages,
        candidates=candidates,
        chosen=tuple(_is_chosen(row, one) for one in candidates),
    )


def _is_chosen(row: ReadingRow, candidate: Candidate) -> bool:
    text = " ".join(candidate.unit.text.split())
    return any(text in folded or folded in text for one in row.chosen for folded in [" ".join(one.split())])


def logistic(inputs: Matrix, wanted: Matrix, *, ridge: float) -> Matrix:
    """Weights and, last, the bias of a ridge logistic regression, by Newton's method."""
    inputs = np.c_[inputs, np.ones(len(inputs))]
    penalty = np.eye(inputs.shape[1]) * ridge
    penalty[-1, -1] = 1e-6
    weights = np.zeros(inputs.shape[1])
    for _ in range(30):
        given = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (given - wanted) + penalty @ weights
        curvature = (inputs * (given * (1 - given))[:, None]).T @ inputs + penalty
        weights -= np.linalg.solve(curvature, slope)
    return weights


def signed(names: Sequence[str], inputs: Matrix, wanted: Matrix, *, ridge: float) -> dict[str, float]:
    """Weights by name, the bias as `bias`; what would count against its own meaning is left out.

    All speak for an answer but `missing`: a sign turned round by correlation would not carry over to other
    documents.
    """
    kept = list(range(len(names)))
    while True:
        weights = logistic(inputs[:, kept], wanted, ridge=ridge)
        signs = [-1.0 if names[index] == "missing" else 1.0 for index in kept]
        wrong = [index for index, sign, one in zip(kept, signs, weights, strict=False) if sign * one < 0]
        if not wrong:
            found = {names[index]: float(one) for index, one in zip(kept, weights, strict=False)}
            return {**found, "bias": float(weights[-1])}
        worst = min(zip(kept, signs, weights, strict=False), key=lambda each: each[1] * each[2])[0]
        kept.remove(worst)


def fit(rows: Sequence[Prepared], start: Weighing, *, vectors: bool) -> Weighing:
    """The weights that these rows give; the bar keeps `ALLOWED` of their unanswerable out, by inner folds."""
    candidate = _fit_candidates([row for row in rows if row.row.is_answerable], start, vectors=vectors)
    names = [name for name in EVIDENCE if vectors or name not in ONLY_VECTORS]
    evidence = np.array([_evidence(row, candidate, names) for row in rows])
    wanted = np.array([float(row.row.is_answerable) for row in rows])
    weights = signed(names, evidence, wanted, ridge=RIDGE)
    held_out = _inner(names, evidence, wanted)
    refused = np.sort(held_out[wanted == 0.0])[::-1]
    bar = float(refused[int(ALLOWED * len(refused))]) + 1e-3
    return replace(
        candidate,
        evidence={name: round(one, 2) for name, one in weights.items() if name != "bias"},
        evidence_bias=round(weights["bias"], 2),
        bar=round(bar, 3),
    )


RIDGE = 0.3


def _inner(names: Sequence[str], evidence: Matrix, wanted: Matrix) -> Matrix:
    """Each row's probability by weights that were fitted without it."""
    given = np.zeros(len(wanted))
    for turn in range(3):
        folds = np.random.RandomState(100 + turn).permutation(len(wanted)) % FOLDS
        for fold in range(FOLDS):
            kept = folds != fold
            fitted = signed(names, evidence[kept], wanted[kept], ridge=RIDGE)
            weights = np.array([fitted.get(name, 0.0) for name in names])
            sums = evidence[~kept] @ weights + fitted["bias"]
            given[~kept] += 1 / (1 + np.exp(-sums)) / 3
    return given


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One question's candidates: their features, which are right, and how much the question counts."""

    inputs: Matrix
    chosen: NDArray[np.bool_]
    penalty: Matrix
    counts: float


def _fit_candidates(rows: Sequence[Prepared], start: Weighing, *, vectors: bool) -> Weighing:
    """Weights under which a right candidate comes first, scaled to log-odds of being quoted."""
    names = [name for name in FEATURES if name in start.candidate and (vectors or name not in ONLY_VECTORS)]
    choices = [_choice(row.question, row.candidates, row.chosen, names, 1.0) for row in rows]
    weights = listwise([*choices, *(_choice(*one, names, PROJECT_COUNTS) for one in PROJECT[vectors])])
    sums = np.concatenate([one.inputs @ weights - one.penalty for one in choices])
    wanted = np.concatenate([one.chosen for one in choices]).astype(float)
    scale, bias = logistic(sums[:, None], wanted, ridge=1e-3)
    found = {name: round(float(scale * one), 2) for name, one in zip(names, weights, strict=True)}
    return replace(start, candidate=found, candidate_bias=round(float(bias), 2))


PROJECT_COUNTS = 3.0
"""What a question of a project counts, against one of a reading test: there are fewer of them."""

PROJECT: dict[bool, list[tuple[Question, tuple[Candidate, ...], tuple[bool, ...]]]] = {True: [], False: []}
"""Questions of a project with their candidates, by vectors or by words."""


def _choice(
    question: Question,
    candidates: Sequence[Candidate],
    chosen: Sequence[bool],
    names: Sequence[str],
    counts: float,
) -> Choice:
    lost = MISSING_KIND.get(question.asked, 0.0)
    return Choice(
        inputs=np.array([[getattr(one.features, name) for name in names] for one in candidates]),
        chosen=np.array(chosen, dtype=np.bool_),
        penalty=np.array([lost if one.features.kind == 0.0 else 0.0 for one in candidates]),
        counts=counts,
    )


def listwise(choices: Sequence[Choice], *, ridge: float = 0.003, steps: int = 1200) -> Matrix:
    """Weights, none below 0, that make the right candidates of each question likely; by Adam.

    All questions are worked on at once: shorter lists are filled up with candidates that cannot be chosen.
    """
    choices = [one for one in choices if one.chosen.any()]
    longest, width = max(len(one.chosen) for one in choices), choices[0].inputs.shape[1]
    inputs = np.zeros((len(choices), longest, width))
    lost = np.full((len(choices), longest), 1e9)
    chosen = np.zeros((len(choices), longest))
    for at, one in enumerate(choices):
        inputs[at, : len(one.chosen)], lost[at, : len(one.chosen)] = one.inputs, one.penalty
        chosen[at, : len(one.chosen)] = one.chosen
    counts = np.array([one.counts for one in choices])
    counts = counts[:, None] / counts.sum()
    weights = np.zeros(width)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, steps + 1):
        sums = inputs @ weights - lost
        given = np.exp(sums - sums.max(axis=1, keepdims=True))
        given /= given.sum(axis=1, keepdims=True)
        right = given * chosen
        off = counts * (given - right / np.maximum(right.sum(axis=1, keepdims=True), 1e-12))
        slope = ridge * weights + np.einsum("qc,qcf->f", off, inputs)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        moved = 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        weights = np.maximum(weights - moved, 0.0)
    return weights


def learn_project(directory: Path, *, vectors: bool) -> None:
    """Take the `calibrate` half of a project's questions, with their candidates, into the fit."""
    from cape.answers.answering import clauses_of
    from cape.answers.retrieval import retrieve
    from cape.evaluation.questions import folded, read_questions
    from cape.operations.asking import PASSAGES, open_named, similarities_by
    from cape.operations.project import Workshop, find_project

    project = find_project(directory)
    with open_named(project, None, Workshop.open()) as askable:
        embedder = askable.embedder if vectors else None
        weighing = BY_VECTORS if vectors else BY_WORDS
        for one in read_questions(project.directory / (askable.base.questions or "")):
            if one.half != "calibrate" or one.wants_refusal or one.kind == "cells":
                continue
            groups = askable.index.policy.groups_of_user(one.asked_as)
            ranking = retrieve(askable.index, embedder, one.question, groups, PASSAGES).chunks
            passages = [
                Passage(id=each.id, chunk=each.chunk, nearness=each.vectors.score if each.vectors else 0.0)
                for each in ranking
            ]
            for clause in clauses_of(one.question):
                question = read_question(clause)
                candidates = candidates_of(question, passages, similarities_by(embedder), weighing)
                chosen = tuple(
                    each.passage.chunk.document in one.sources
                    and any(folded(part) in folded(each.unit.text) for part in one.answer)
                    for each in candidates
                )
                PROJECT[vectors].append((question, candidates, chosen))


def _evidence(row: Prepared, weighing: Weighing, names: Sequence[str]) -> list[float]:
    candidates = rescored(row, weighing)
    found = evidence_of(row.question, candidates[0], candidates)
    return [float(getattr(found, name)) for name in names]


def rescored(row: Prepared, weighing: Weighing) -> list[Candidate]:
    from cape.answers.selection import weighed

    scored = [replace(one, score=weighed(row.question, one.features, weighing)) for one in row.candidates]
    return sorted(scored, key=lambda one: (-one.score, one.rank, one.unit.ordinal))


def results(rows: Sequence[Prepared], similarities: Similarities, weighing: Weighing) -> list[ReadingResult]:
    """What the rows get when everything is let through; `found` says what the bar would let through."""
    return [
        replace(found, found=found.confidence >= weighing.bar)
        for row in rows
        for found in [
            result_of(
                row.row,
                answer_question(
                    row.row.question, row.passages, similarities, weighing=replace(weighing, bar=0.0)
                ),
            )
        ]
    ]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Means over held-out tenths; `points` by the share of the unanswerable that training let through."""

    f1: float
    recall: float
    baseline_f1: float
    right: float
    auroc: float
    at_bar: Point
    within: dict[float, float]


def cross_validated(
    rows: Sequence[Prepared], similarities: Similarities, start: Weighing, *, vectors: bool
) -> Measured:
    turns = []
    for turn in range(TURNS):
        folds = np.random.RandomState(turn).permutation(len(rows)) % FOLDS
        found: list[ReadingResult] = []
        for fold in range(FOLDS):
            kept = [row for row, number in zip(rows, folds, strict=True) if number != fold]
            left = [row for row, number in zip(rows, folds, strict=True) if number == fold]
            found += results(left, similarities, fit(kept, start, vectors=vectors))
        turns.append(_measured(found))
    return Measured(
        f1=statistics.mean(one.f1 for one in turns),
        recall=statistics.mean(one.recall for one in turns),
        baseline_f1=turns[0].baseline_f1,
        right=statistics.mean(one.right for one in turns),
        auroc=statistics.mean(one.auroc for one in turns),
        at_bar=Point(
            bar=statistics.mean(one.at_bar.bar for one in turns),
            right=statistics.mean(one.at_bar.right for one in turns),
            wrong=statistics.mean(one.at_bar.wrong for one in turns),
            answered_without=statistics.mean(one.at_bar.answered_without for one in turns),
        ),
        within={share: statistics.mean(one.within[share] for one in turns) for share in turns[0].within},
    )


def _measured(found: Sequence[ReadingResult]) -> Measured:
    having = [one for one in found if one.is_answerable]
    decided = [replace(one, confidence=float(one.found)) for one in found]
    return Measured(
        f1=statistics.mean(one.f1 for one in having),
        recall=statistics.mean(one.recall for one in having),
        baseline_f1=statistics.mean(one.baseline_f1 for one in having),
        right=statistics.mean(one.right for one in having),
        auroc=auroc(found),
        at_bar=point_at(decided, 0.5),
        within={share: _right_within(found, share) for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)},
    )


def _right_within(found: Sequence[ReadingResult], share: float) -> float:
    """Most answered right by any bar that answers at most this share of the unanswerable."""
    bars = {one.confidence for one in found}
    points = [point_at(found, bar) for bar in bars]
    return max((one.right for one in points if one.answered_without <= share), default=0.0)


def told(measured: Measured, *, vectors: bool) -> list[str]:
    how = "vectors and words" if vectors else "words alone"
    point = measured.at_bar
    rows = [
        ("token F1 (best-BM25-sentence baseline)", f"{measured.f1:.3f} ({measured.baseline_f1:.3f})"),
        ("token recall", f"{measured.recall:.3f}"),
        ("right if all were let through", f"{measured.right:.1%}"),
        ("AUROC of the confidence", f"{measured.auroc:.3f}"),
        (
            "at the fitted bar: unanswerable answered; answerable right, wrong",
            f"{point.answered_without:.1%}; {point.right:.1%}, {point.wrong:.1%}",
        ),
        *(
            (f"answerable right where {share:.0%} of the unanswerable are answered", f"{right:.1%}")
            for share, right in measured.within.items()
        ),
    ]
    return [f"| {what} | {how} | {number} |" for what, number in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    tests = read_rows(arguments.directory)
    lines = ["| what | by | measured |", "|---|---|---|"]
    for vectors in (True, False) if arguments.model else (False,):
        similarities: Similarities = WordsOnly()
        if vectors:
            from cape.engines.minilm import open_embedder

            similarities = Vectors(open_embedder("embedder", arguments.model, arguments.tokenizer))
        start = BY_VECTORS if vectors else BY_WORDS
        if arguments.project:
            learn_project(arguments.project, vectors=vectors)
        rows = [prepare(row, similarities, start) for row in tests]
        if arguments.fit:
            print(fit(rows, start, vectors=vectors), flush=True)
        lines += told(cross_validated(rows, similarities, start, vectors=vectors), vectors=vectors)
    print("\n".join(lines))
    if arguments.write:
        write(lines)
    return 0


def write(lines: Sequence[str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = "\n".join(lines)
    page = re.sub(
        r"(<!-- answers -->\n).*?(\n<!-- end answers -->)",
        lambda match: match.group(1) + table + match.group(2),
        page,
        flags=re.DOTALL,
    )
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
