"""`cape evaluate claims`: rows in, predictions and scores out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cape.evaluation.claims import BadClaimsTest, area, read_claims
from tests.engines import tiny

ROWS = [
    {
        "id": "a",
        "answer": "The bridge is 420 metres long.",
        "evidence": ["The bridge is 420 metres long."],
        "verdict": "supported",
        "unsupported": [],
    },
    {
        "id": 2,
        "answer": "The bridge is 900 metres long.",
        "evidence": ["The bridge is 420 metres long."],
        "verdict": "contradicted",
        "unsupported": [[14, 17]],
    },
    {"id": "c\u2028d", "answer": "Unable to answer.", "evidence": []},
]


def written(directory: Path, *rows: object) -> Path:
    file = directory / "test.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def cape(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CAPE_STORE": str(directory / "store"), "HOME": str(directory)}
    return subprocess.run(
        [sys.executable, "-m", "cape", "evaluate", *words],
        cwd=directory, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_predictions_have_a_row_for_each_answer_in_order(tmp_path: Path) -> None:
    ran = cape(tmp_path, "claims", str(written(tmp_path, *ROWS)), "--predictions", "out.jsonl", "--json")
    assert ran.returncode == 0, ran.stderr
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert [row["id"] for row in rows] == ["a", 2, "c\u2028d"]
    assert [row["verdict"] for row in rows] == ["supported", "contradicted", "supported"]
    assert all(list(row) == ["id", "verdict", "score", "unsupported"] for row in rows)
    assert rows[1]["unsupported"] == [[14, 17]]
    fields = json.loads(ran.stdout)
    assert next(iter(fields)) == "schema_version"
    assert fields["score"]["rows"] == 2
    assert fields["score"]["f1"] == 1.0
    assert fields["predictions"] == rows


def test_scores_are_shown_beside_that_of_calling_all_unsupported(tmp_path: Path) -> None:
    ran = cape(tmp_path, "claims", str(written(tmp_path, *ROWS)))
    assert "F1 of calling all unsupported  0.667" in ran.stdout


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": 1, "answer": 2, "evidence": []}, "`answer` is not a text"),
        ({"id": 1, "answer": "a", "evidence": "b"}, "`evidence` is not a list of texts"),
        ({"id": 1, "answer": "a", "evidence": [1]}, "`evidence` is not a list of texts"),
        ({"answer": "a", "evidence": []}, "`id` is neither"),
        ({"id": True, "answer": "a", "evidence": []}, "`id` is neither"),
        ({"id": 1, "answer": "a", "evidence": [], "verdict": "yes"}, "`verdict` is `yes`"),
        ({"id": 1, "answer": "a", "evidence": [], "unsupported": [[0, 9]]}, "`unsupported` is not"),
        ({"id": 1, "answer": "a", "evidence": [], "verdit": "supported"}, "unknown field `verdit`"),
        ([], "is no object"),
    ],
)
def test_a_wrong_field_is_told_with_its_line(row: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadClaimsTest, match=says) as caught:
        read_claims(written(tmp_path, ROWS[0], row))
    assert str(caught.value.where).endswith(":2")


def test_an_embedder_of_two_files_takes_part(tmp_path: Path) -> None:
    model, tokenizer = tiny.write(tmp_path)
    test = str(written(tmp_path, *ROWS))
    ran = cape(tmp_path, "claims", test, "--model", str(model), "--tokenizer", str(tokenizer), "--json")
    assert ran.returncode == 0, ran.stderr
    fields = json.loads(ran.stdout)
    assert fields["checker"].startswith("words and vectors sha256:")
    assert fields["why_no_embedder"] is None
    assert cape(tmp_path, "claims", test, "--words-only", "--model", str(model)).returncode == 2


def test_fields_of_other_programs_pass(tmp_path: Path) -> None:
    (row,) = read_claims(written(tmp_path, ROWS[0] | {"question": "How long?", "model": "m"}))
    assert row.id == "a"


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    ran = cape(tmp_path, "claims", "nothing.jsonl")
    assert ran.returncode == 1
    assert "nothing.jsonl" in ran.stderr
    with pytest.raises(BadClaimsTest, match="no rows"):
        read_claims(written(tmp_path))


def test_area_agrees_with_counting_pairs() -> None:
    wanted = [True, False, True, False, False]
    scores = [0.9, 0.9, 0.2, 0.1, 0.4]
    pairs = [(a > b) + 0.5 * (a == b) for a, x in zip(scores, wanted, strict=True) if x
             for b, y in zip(scores, wanted, strict=True) if not y]  # fmt: skip
    assert area(wanted, scores) == pytest.approx(sum(pairs) / len(pairs))
    assert area([True], [0.5]) is None
