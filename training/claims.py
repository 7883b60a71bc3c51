"""Train the checker of claims, and say how good it is by cross-validation over documents.

    python training/claims.py DATA [--write] [--embedder MODEL TOKENIZER] [--out FOLDS.json]

DATA is a directory with `wice_dev.jsonl`, `wice_tokens_train.jsonl`, `wice_tokens_dev.jsonl`,
`halueval_qa.jsonl`, and `../answers/clapnq_answerable.jsonl`. Needs lightgbm and scikit-learn beside cape's
`knowledge` extra. `--write` puts the weights into the package; `--out` writes which document was in which
fold, with every answer's probability from the models that did not see it. Without an embedder, what the
weights by vectors were stays.

Owns the fit and the measures; the features are the package's own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm
import numpy as np
from claim_examples import (
    Example,
    clapnq,
    declining,
    halueval,
    reanswered,
    summaries,
    wice_claims,
    wice_tokens,
    written,
)
from claim_head import Head, head_inputs, head_row
from claim_records import records
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

import cape.answers.claims as package
from cape.answers.claims.checking import ANSWER_FEATURES, Laid, answer_row, doubted, lay
from cape.answers.claims.evidence import read_evidence
from cape.answers.claims.features import CLAIM_FEATURES, WORD_FEATURES, claim_row
from cape.answers.claims.meaning import MEANING_FEATURES, Meaning, meanings
from cape.engines.minilm import open_embedder

FOLDS = 5
RECORD_ODDS = 1.6
"""What an answer about a record is doubted more, in log-odds. Writers err more often there: of answers about
records 69 in 100 have something unsupported, of others 29 (Niu et al., RAGTruth, 2024); not fitted."""
BAD_SHARE = {"written-record": 0.69, "written-qa": 0.29, "written-summary": 0.29}
"""How many answers of each kind are taken to be unsupported where the bar is set, from the same source."""
SEED = 20


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@dataclass
class Prepared:
    """An example laid out: what the package measured, and the labels of its claims and words."""

    example: Example
    laid: tuple[Laid, ...]
    is_record: bool
    fold: int
    claim_bad: list[bool] = field(default_factory=list)
    word_bad: list[list[bool]] = field(default_factory=list)
    doubts: list[list[float]] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    word_rows: list[list[float]] = field(default_factory=list)
    claim_doubts: list[float] = field(default_factory=list)
    doubt: float = 0.0
    meanings: list[Meaning | None] = field(default_factory=list)
    head: list[list[float]] = field(default_factory=list)


def examples_of(data: Path) -> list[Example]:
    chance = random.Random(SEED)
    natural = [*wice_claims(data), *wice_tokens(data, "train"), *wice_tokens(data, "dev")]
    passages = list(clapnq(data))
    sentences = [
        line
        for one in (*natural, *passages)
        for line in one.evidence[0].replace(" . ", ".\n").split("\n")
        if 8 <= len(line.split()) <= 40
    ]
    others = sorted(set(sentences))
    kept = [one for one in natural if not one.is_bad and one.source == "wice"]
    return [
        *natural,
        *passages,
        *halueval(data),
        *reanswered(passages, others, chance, 3),
        *reanswered(kept, others, chance, 2),
        *summaries(data, chance, 500),
        *records(chance, 300),
        *written(),
        *declining(passages[:60], chance),
    ]


def prepare(examples: Sequence[Example]) -> list[Prepared]:
    began = time.perf_counter()
    prepared, known = [], {}
    for example in examples:
        if example.evidence not in known:
            known[example.evidence] = read_evidence(example.evidence)
        evidence = known[example.evidence]
        fold = int(hashlib.sha256(example.group.encode("utf-8", "replace")).hexdigest(), 16) % FOLDS
        one = Prepared(
            example=example, laid=lay(example.answer, evidence), is_record=evidence.is_record, fold=fold
        )
        for laid in one.laid:
            start = laid.claim.start
            words = [
                any(a < start + word.end and b > start + word.start for a, b in example.bad)
                for word in laid.alignment.raw
            ]
            one.word_bad.append(words)
            one.claim_bad.append(any(a < laid.claim.end and b > start for a, b in example.bad))
        prepared.append(one)
    say(f"{len(prepared)} answers laid out in {time.perf_counter() - began:.0f} s")
    return prepared


# -- fitting -----------------------------------------------------------------------------------------


def boosted(
    rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, *, trees: int, leaves: int, least: int
):
    settings = {
        "objective": "binary", "learning_rate": 0.06, "num_leaves": leaves, "min_data_in_leaf": least,
        "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0, "verbose": -1,
        "seed": SEED, "deterministic": True, "force_row_wise": True, "num_threads": 1, "max_bin": 63,
    }  # fmt: skip
    return lightgbm.train(settings, lightgbm.Dataset(rows, labels, weight=weights), num_boost_round=trees)


def fit_words(prepared: Sequence[Prepared]):
    rows, labels, weights = [], [], []
    for one in prepared:
        if not one.example.spans_known:
            continue
        for laid, bad in zip(one.laid, one.word_bad, strict=True):
            if laid.claim.asserts:
                rows += laid.rows
                labels += bad
                weights += [one.example.weight * SOURCE_WEIGHT.get(one.example.source, 1.0)] * len(bad)
    return boosted(np.array(rows), np.array(labels), np.array(weights), trees=140, leaves=15, least=60)


SOURCE_WEIGHT = {"halueval": 0.7, "wice-kept": 0.7}


def fit_claims(prepared: Sequence[Prepared]):
    rows, labels, weights = [], [], []
    for one in prepared:
        short = one.example.source == "halueval" and len(one.example.answer.split()) < 5
        if short:
            continue
        for laid, row, bad in zip(one.laid, one.rows, one.claim_bad, strict=True):
            if laid.claim.asserts:
                rows.append(row)
                labels.append(bad)
                weights.append(one.example.weight * SOURCE_WEIGHT.get(one.example.source, 1.0))
    return boosted(np.array(rows), np.array(labels), np.array(weights), trees=160, leaves=10, least=40)


def with_doubts(prepared: Sequence[Prepared], words) -> None:
    for one in prepared:
        one.doubts = [list(words.predict(np.array(laid.rows))) if laid.rows else [] for laid in one.laid]
        one.rows = [
            claim_row(laid.alignment, laid.findings, doubts)
            for laid, doubts in zip(one.laid, one.doubts, strict=True)
        ]


# -- with an embedder --------------------------------------------------------------------------------

EMBEDDED = {"halueval": 600}
"""Examples of these sources that are embedded; of the others, all."""

PROJECTED, HIDDEN = 32, 24


def with_meanings(prepared: Sequence[Prepared], embedder) -> list[Prepared]:
    """The examples that are embedded, with what the model says of their claims."""
    began, left, chosen = time.perf_counter(), dict(EMBEDDED), []
    for one in prepared:
        source = one.example.source
        if left.get(source, 1) > 0:
            left[source] = left.get(source, 10**6) - 1
            chosen.append(one)
    for one in chosen:
        one.meanings = meanings([laid.alignment for laid in one.laid], embedder)
    say(f"{len(chosen)} answers embedded in {time.perf_counter() - began:.0f} s")
    return chosen


def fit_head(prepared: Sequence[Prepared]) -> dict:
    """The head's arrays: a projection by principal components, and a layer of tanh."""
    told = [
        (meaning, laid.rows, bad)
        for one in prepared
        if one.example.spans_known
        for laid, meaning, bad in zip(one.laid, one.meanings, one.word_bad, strict=True)
        if meaning is not None
    ]
    sample = np.concatenate([meaning.own for meaning, _, _ in told[:2500]])
    projection = PCA(PROJECTED, random_state=SEED).fit(sample).components_.T.astype(np.float32)
    projection /= (sample @ projection).std(axis=0).mean()
    inputs = np.concatenate([head_inputs(meaning, rows, projection) for meaning, rows, _ in told])
    labels = np.concatenate([bad for _, _, bad in told])
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
    network = MLPClassifier(
        (HIDDEN,),
        activation="tanh",
        alpha=0.02,
        max_iter=10,
        batch_size=256,
        learning_rate_init=2e-3,
        random_state=SEED,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(np.clip((inputs - mean) / scale, -6, 6), labels)
    rounded = lambda array: np.round(array.astype(float), 5).tolist()  # noqa: E731
    return {
        "projection": rounded(projection), "mean": rounded(mean), "scale": rounded(scale),
        "hidden": rounded(network.coefs_[0]), "hidden_bias": rounded(network.intercepts_[0]),
        "out": rounded(network.coefs_[1][:, 0]), "out_bias": float(network.intercepts_[1][0]),
    }  # fmt: skip


def with_head(prepared: Sequence[Prepared], fields: dict) -> None:
    head = Head(fields)
    for one in prepared:
        one.head = [
            head.probabilities(meaning, laid.rows) if meaning is not None else []
            for laid, meaning in zip(one.laid, one.meanings, strict=True)
        ]


def wider(prepared: Sequence[Prepared], *, head: bool) -> None:
    """Rows of claims with what the model says; those without keep a row of words alone."""
    for one in prepared:
        if len(one.rows[0] if one.rows else ()) == len(CLAIM_FEATURES):
            one.word_rows = one.rows
        one.rows = [
            [
                *row,
                *(meaning.row if meaning else (0.0,) * 5),
                *((head_row(doubts) if meaning else (0.0,) * 3) if head else ()),
            ]
            for row, meaning, doubts in zip(
                one.word_rows, one.meanings, one.head or [[]] * len(one.laid), strict=True
            )
        ]


def crossed_meanings(prepared: Sequence[Prepared]) -> None:
    for fold in range(FOLDS):
        fields = fit_head([one for one in prepared if one.fold != fold])
        with_head([one for one in prepared if one.fold == fold], fields)


def crossed_claims(prepared: Sequence[Prepared]) -> None:
    """Doubts of claims and answers from models that saw no answer of the document."""
    for fold in range(FOLDS):
        claims = fit_claims([one for one in prepared if one.fold != fold])
        with_claims([one for one in prepared if one.fold == fold], claims)
    for fold in range(FOLDS):
        answer = fit_answers([one for one in prepared if one.fold != fold])
        held = [one for one in prepared if one.fold == fold]
        for one, row in zip(held, answer_rows(held), strict=True):
            one.doubt = float(1 / (1 + np.exp(-(row @ np.array(answer[:-1]) + answer[-1]))))


def by_rules(prepared: Sequence[Prepared]) -> None:
    """What the rules alone say: an answer is doubted by its number of findings."""
    for one in prepared:
        found = sum(len(laid.findings) for laid in one.laid)
        one.doubt = found / (found + 1)


def with_claims(prepared: Sequence[Prepared], claims) -> None:
    for one in prepared:
        if one.rows:
            one.claim_doubts = list(claims.predict(np.array(one.rows)))


def answer_rows(prepared: Sequence[Prepared]) -> np.ndarray:
    return np.array([
        answer_row(
            [doubt for laid, doubt in zip(one.laid, one.claim_doubts, strict=True) if laid.claim.asserts],
            is_record=one.is_record,
        )
        for one in prepared
    ])  # fmt: skip


def fit_answers(prepared: Sequence[Prepared]) -> list[float]:
    rows = answer_rows(prepared)
    rows[:, ANSWER_FEATURES.index("is_record")] = (
        0.0  # how often prose about records errs is not learnt from made-up records
    )
    labels = np.array([one.example.is_bad for one in prepared])
    weights = np.array([one.example.weight for one in prepared])
    fitted = LogisticRegression(C=1.0).fit(rows, labels, sample_weight=weights)
    return [*map(float, fitted.coef_[0]), float(fitted.intercept_[0])]


def crossed(prepared: Sequence[Prepared]) -> None:
    """Every example's doubts from models that saw no answer of its document."""
    for fold in range(FOLDS):
        rest = [one for one in prepared if one.fold != fold]
        held = [one for one in prepared if one.fold == fold]
        with_doubts(held, fit_words(rest))
    crossed_claims(prepared)


# -- measures ----------------------------------------------------------------------------------------


def best_f1(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """The best F1 over bars, and its bar."""
    weights = np.ones(len(labels)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(weights[order] * labels[order])
    every = np.cumsum(weights[order])
    f1 = 2 * hits / (every + (weights * labels).sum())
    at = int(np.argmax(f1))
    return float(f1[at]), float(scores[order[at]])


def f1_at(labels: np.ndarray, scores: np.ndarray, bar: float) -> float:
    said = scores >= bar
    return float(2 * (said & labels).sum() / max(1, said.sum() + labels.sum()))


def written_f1(prepared: Sequence[Prepared]) -> tuple[float, float]:
    """The best F1 over the written answers, with as many unsupported of each kind as `BAD_SHARE`, and its bar."""
    chosen = [one for one in prepared if one.example.source in BAD_SHARE]
    labels = np.array([one.example.is_bad for one in chosen])
    weights = np.zeros(len(chosen))
    for kind, share in BAD_SHARE.items():
        mine = np.array([one.example.source == kind for one in chosen])
        weights[mine & labels] = share / (mine & labels).sum()
        weights[mine & ~labels] = (1 - share) / (mine & ~labels).sum()
    return best_f1(labels, np.array([with_record_odds(one) for one in chosen]), weights)


def with_record_odds(one: Prepared) -> float:
    """An answer's doubt as it is shipped: more where it is about a record."""
    odds = np.log(max(one.doubt, 1e-6) / max(1 - one.doubt, 1e-6)) + RECORD_ODDS * one.is_record
    return float(1 / (1 + np.exp(-odds)))


def span_f1(prepared: Sequence[Prepared], claim_bar: float, word_bar: float) -> float:
    """F1 of unsupported characters, pooled over answers."""
    hit = said = wanted = 0
    for one in prepared:
        marked: set[int] = set()
        for laid, doubts, doubt in zip(one.laid, one.doubts, one.claim_doubts, strict=True):
            if laid.claim.asserts and doubt >= claim_bar:
                for a, b in doubted(laid, doubts, word_bar):
                    marked.update(range(a, b))
        true = {at for a, b in one.example.bad for at in range(a, b)}
        hit, said, wanted = hit + len(marked & true), said + len(marked), wanted + len(true)
    return 2 * hit / max(1, said + wanted)


GROUPS = {
    "WiCE claims": ("wice",),
    "WiCE claims, flags": ("wice-tokens", "wice-kept"),
    "HaluEval QA": ("halueval",),
    "CLAP NQ, spoiled": ("clapnq", "clapnq-spoiled"),
    "summaries, spoiled": ("summary",),
    "records, spoiled": ("record",),
    "written, of records": ("written-record",),
    "written, of passages": ("written-qa",),
    "written, summaries": ("written-summary",),
}


def report(prepared: Sequence[Prepared], bar: float) -> None:
    say(f"{'set':24} rows  bad   all-bad F1  AUROC  F1 at bar  best F1")
    for name, sources in GROUPS.items():
        chosen = [one for one in prepared if one.example.source in sources]
        labels = np.array([one.example.is_bad for one in chosen])
        scores = np.array([with_record_odds(one) for one in chosen])
        share = labels.mean()
        say(
            f"{name:24} {len(chosen):5} {share:.2f}   {2 * share / (1 + share):.3f}      "
            f"{roc_auc_score(labels, scores):.3f}  {f1_at(labels, scores, bar):.3f}      "
            f"{best_f1(labels, scores)[0]:.3f}"
        )
    say(f"written answers, F1 with {BAD_SHARE}: {written_f1(prepared)[0]:.3f}")


def bars(prepared: Sequence[Prepared]) -> dict[str, float]:
    """The bars with the best F1; that of answers on those that were written for it, each kind counting the same."""
    _, answer_bar = written_f1(prepared)
    spans = [one for one in prepared if one.example.spans_known and one.example.source != "halueval"]
    grid = [(a, b) for a in (0.3, 0.4, 0.5, 0.6) for b in (0.15, 0.25, 0.35, 0.45)]
    claim_bar, word_bar = max(grid, key=lambda pair: span_f1(spans, *pair))
    tokens = [one for one in spans if one.example.source.startswith("wice")]
    say(
        f"spans: F1 {span_f1(spans, claim_bar, word_bar):.3f}, on WiCE {span_f1(tokens, claim_bar, word_bar):.3f}"
    )
    return {"answer_bar": answer_bar, "claim_bar": claim_bar, "word_bar": word_bar}


# -- writing -----------------------------------------------------------------------------------------


def columns_of(tree: dict) -> list[list[float]]:
    """A tree of lightgbm as columns."""
    feature: list[int] = []
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []
    leaves: list[float] = []

    def walk(node: dict) -> int:
        if "leaf_value" in node:
            leaves.append(round(node["leaf_value"], 6))
            return -len(leaves)
        at = len(feature)
        feature.append(node["split_feature"])
        threshold.append(float(f"{node['threshold']:.9g}"))
        left.append(0)
        right.append(0)
        left[at] = walk(node["left_child"])
        right[at] = walk(node["right_child"])
        return at

    walk(tree["tree_structure"])
    return [feature, threshold, left, right, leaves]


def forest(model, features: Sequence[str]) -> dict:
    trees = [columns_of(tree) for tree in model.dump_model()["tree_info"]]
    return {"features": list(features), "trees": trees}


def rung(prepared: Sequence[Prepared], words, claims, features: Sequence[str]) -> dict:
    """A rung's JSON; `prepared` have doubts from models that did not see them, as they will run."""
    answer = fit_answers(prepared)
    answer[ANSWER_FEATURES.index("is_record")] = RECORD_ODDS
    return {
        "word": forest(words, WORD_FEATURES),
        "claim": forest(claims, features),
        "answer": answer,
        **bars(prepared),
    }


def vector_rungs(prepared: Sequence[Prepared], words, model: Path, tokenizer: Path) -> dict:
    """Rungs (b) and (c): both reported, the first one shipped."""
    embedded = with_meanings(prepared, open_embedder("embedder", model, tokenizer))
    wider(embedded, head=False)
    crossed_claims(embedded)
    say("(b) words and sentences")
    shipped = rung(embedded, words, fit_claims(embedded), (*CLAIM_FEATURES, *MEANING_FEATURES))
    report(embedded, shipped["answer_bar"])
    crossed_meanings(embedded)
    wider(embedded, head=True)
    crossed_claims(embedded)
    say("(c) words, sentences, head")
    report(embedded, bars(embedded)["answer_bar"])
    return shipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--embedder", type=Path, nargs=2, metavar=("MODEL", "TOKENIZER"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    prepared = prepare(examples_of(arguments.data))
    by_rules(prepared)
    say("(a) rules alone: one finding")
    report(prepared, 0.5)
    crossed(prepared)
    say("(b) words, without an embedder")
    report(prepared, bars(prepared)["answer_bar"])
    if arguments.out:
        rows = [
            {"group": hashlib.sha256(one.example.group.encode("utf-8", "replace")).hexdigest()[:16], "source": one.example.source,
             "fold": one.fold, "bad": one.example.is_bad, "doubt": round(one.doubt, 4)}
            for one in prepared
        ]  # fmt: skip
        arguments.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = fit_words(prepared)
    place = Path(package.__file__).parent / "weights.json"
    written = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    written["by_words"] = rung(prepared, words, fit_claims(prepared), CLAIM_FEATURES)
    if arguments.embedder:
        written["by_vectors"] = vector_rungs(prepared, words, *arguments.embedder)
    if arguments.write:
        place.write_text(json.dumps(written, separators=(",", ":")) + "\n", encoding="utf-8")
        say(f"{place.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
