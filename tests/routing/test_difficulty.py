"""The router's estimate: its fit, its file, and what the evaluation leaves out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cape.answers.routing.difficulty import PENALTY, difficulty_of, fit_difficulty, shipped_difficulty
from cape.answers.routing.features import FEATURES, question_row
from cape.evaluation.routing import BadRoutingTest, RoutingRow, read_routing, routed
from cape.operations.routing import TooFewSubjects, evaluate_routing

EASY, HARD = "What is a {}?", "If {0} ships of {0} tons sail, and {0} sink, how many tons are not lost?"


def table(directory: Path, subjects: int = 3, questions: int = 60) -> Path:
    """Made-up subjects in which the weak writer errs on questions with figures."""
    chance = random.Random(5)
    for subject in range(subjects):
        rows = []
        for number in range(questions):
            hard = number % 3 == 0
            prompt = (HARD if hard else EASY).format(chance.randint(2, 99))
            rows.append({"subject": f"s{subject}", "prompt": prompt, "weak": not hard, "strong": True})
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"s{subject}.jsonl").write_text(text, encoding="utf-8")
    return directory


def row(weak: bool | None, strong: bool | None) -> RoutingRow:
    return RoutingRow(subject="s", prompt="p", weak=weak, strong=strong, id="1")


def test_the_fit_solves_ridge_regression() -> None:
    """Compared with the gradient of the penalised loss, which is zero at its solution."""
    chance = np.random.default_rng(3)
    rows = chance.normal(size=(80, len(FEATURES)))
    weak = chance.random(80) < 0.6
    strong = chance.random(80) < 0.8
    fit = fit_difficulty(rows.tolist(), weak.tolist(), strong.tolist())
    scaled = np.clip((rows - fit.means) / fit.deviations, -4, 4)
    wanted = (1.0 - weak) + 0.5 * (strong.astype(float) - weak)
    left = scaled @ np.array(fit.weights) + fit.bias - wanted
    assert np.allclose(scaled.T @ left + PENALTY * np.array(fit.weights), 0.0, atol=1e-6)
    assert left.sum() == pytest.approx(0.0, abs=1e-6)


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    rows = [question_row(f"How many are {number} and {number * 3}?") for number in range(40)]
    weak = [number % 2 == 0 for number in range(40)]
    one = fit_difficulty(rows, weak, [True] * 40)
    other = fit_difficulty(rows[::-1], weak[::-1], [True] * 40)
    assert np.allclose(one.weights, other.weights)


def test_an_estimate_comes_back_from_its_json() -> None:
    fit, digest = shipped_difficulty()
    assert difficulty_of(json.loads(json.dumps(fit.fields()))) == fit
    assert len(digest.hex) == 64


@pytest.mark.parametrize("change", [{"features": ["a"]}, {"weights": [1.0]}, {"bias": None}])
def test_an_estimate_of_other_features_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        difficulty_of(shipped_difficulty()[0].fields() | change)


def test_the_shipped_router_finds_a_calculation_harder_than_a_definition() -> None:
    router, _ = shipped_difficulty()
    assert router.of(HARD.format(20)) > router.of("What is a bay?\nA. water\nB. wood\nC. song\nD. bread")


def test_gap_recovered_is_worked_by_hand() -> None:
    """Two of four gain. Best first the shares are 0, .5, 1, 1, 1, mean .7; worst first 0, 0, 0, .5, 1."""
    rows = [row(False, True), row(False, True), row(True, True), row(False, False)]
    best, worst = routed(rows, [4, 3, 2, 1]), routed(rows, [1, 2, 3, 4])
    assert best is not None and worst is not None
    assert best.apgr == pytest.approx(0.7)
    assert worst.apgr == pytest.approx(0.3)
    assert (best.half, best.most) == (0.25, 0.5)


def test_without_a_gap_there_is_no_score() -> None:
    assert routed([row(True, True), row(True, False)], [1, 2]) is None
    assert routed([row(None, None)], [1]) is None


def test_a_subject_is_ordered_by_a_fit_to_the_others(tmp_path: Path) -> None:
    report = evaluate_routing(table(tmp_path), shipped=False)
    assert report.router == "leave-one-subject-out"
    assert report.score is not None and report.score.apgr > 0.8
    rows = list(report.rows)
    rest = [at for at, one in enumerate(rows) if one.subject != "s0"]
    alone = fit_difficulty(
        [question_row(rows[at].prompt) for at in rest],
        [bool(rows[at].weak) for at in rest],
        [bool(rows[at].strong) for at in rest],
    )
    assert report.difficulties[0] == pytest.approx(alone.of(rows[0].prompt))


def test_one_subject_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(TooFewSubjects, match="two with known outcomes"):
        evaluate_routing(table(tmp_path, subjects=1), shipped=False)


def test_without_outcomes_the_shipped_router_orders(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "What is a bay?"}\n', encoding="utf-8")
    report = evaluate_routing(tmp_path, shipped=False)
    assert report.router.startswith("shipped sha256:")
    assert report.score is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("[]", "no `prompt`"),
        ('{"prompt": 1}', "no `prompt`"),
        ('{"prompt": "a", "weak": 1}', "`weak` is neither"),
        ("", "no row"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(BadRoutingTest, match=says):
        read_routing(tmp_path)


def test_the_command_writes_a_line_for_each_question(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table(tmp_path / "tables", questions=9)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "cape",
            "evaluate",
            "routing",
            "tables",
            "--predictions",
            "out.jsonl",
            "--json",
        ],
        cwd=tmp_path,
        env=os.environ | {"CAPE_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [list(one) for one in rows] == [["id", "subject", "difficulty"]] * 27
    assert json.loads(ran.stdout)["score"]["rows"] == 27
