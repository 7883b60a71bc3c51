"""`cape ask --replay`: the same answer from the same base, or the names of what drifted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import INPUT, Done, Project
from tests.end_to_end.test_asking import indexed

QUESTION = "Who inspects every anchor?"


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return indexed(tmp_path_factory.mktemp("replaying"))


@pytest.fixture
def manual(settled: Project, tmp_path: Path) -> Project:
    shutil.copytree(settled.directory, tmp_path / "copy", symlinks=True)
    return Project(directory=tmp_path / "copy", environment=settled.environment)


def answered(project: Project) -> str:
    found = json.loads(project.cape("ask", QUESTION, "--json").succeeded().stdout)
    assert isinstance(found["id"], str)
    return str(found["id"])


def replayed(project: Project, id: str) -> tuple[Done, dict[str, Any]]:
    done = project.cape("ask", QUESTION, "--replay", id, "--json")
    return done, json.loads(done.stdout)["replay"]


def test_the_same_base_gives_the_same_answer(manual: Project) -> None:
    id = answered(manual)
    done, found = replayed(manual, id)
    assert (done.code, found) == (0, {"id": id, "same": True, "drifted": []})
    assert "the same answer as" in manual.cape("ask", QUESTION, "--replay", id).succeeded().stderr


def test_what_drifted_is_named_and_another_answer_fails(manual: Project) -> None:
    id = answered(manual)
    text = manual.manifest.read_text()
    manual.manifest.write_text(text.replace("answer-from = 40", "answer-from = 41"))
    assert replayed(manual, id)[1] == {"id": id, "same": True, "drifted": ["answer-from"]}
    document = manual.directory / "docs/anchor.md"
    document.write_text(document.read_text().replace("Olav Brekke", "Sigrid Aune"))
    manual.cape("index").succeeded()
    done, found = replayed(manual, id)
    assert done.code == 1 and not found["same"]
    assert found["drifted"] == ["answer-from", "index"]


def test_a_record_holds_no_text_of_question_or_answer(manual: Project) -> None:
    answered(manual)
    kept = (manual.directory / ".cape/knowledge/answers.jsonl").read_text()
    assert "anchor" not in kept and "Brekke" not in kept


def test_another_question_or_an_unknown_id_is_refused(manual: Project) -> None:
    id = answered(manual)
    other = manual.cape("ask", "What is the weight of the North buoy?", "--replay", id)
    other.failed(INPUT, "one to another question")
    manual.cape("ask", QUESTION, "--replay", "000000000000").failed(INPUT, "no recorded answer")


def drifted_in(project: Project, id: str, place: str, value: str) -> list[str]:
    """What `--replay` names when a part of cape itself is another: a stand-in for another version of it."""
    code = (
        "import sys, unittest.mock\n"
        "from dataclasses import replace\n"
        "from cape.answers.weights import BY_WORDS\n"
        "from cape.cli.main import main\n"
        "from cape.names import Digest\n"
        f"with unittest.mock.patch({place!r}, {value}):\n"
        f"    sys.exit(main(['ask', {QUESTION!r}, '--replay', {id!r}, '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.directory, env=dict(project.environment),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)["replay"]["drifted"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("cape.answers.claims.weights.shipped_digest", "lambda: Digest.of(b'other')", "checker"),
        ("cape.answers.writing._SYSTEM", "'Say what you like.'", "prompt"),
        ("cape.answers.routing.difficulty.shipped_difficulty", "lambda: (None, Digest.of(b''))", "router"),
        ("cape.answers.weights.BY_WORDS", "replace(BY_WORDS, bar=0.41)", "weights"),
    ],
)
def test_weights_prompt_checker_and_router_that_drifted_are_named(
    manual: Project, place: str, value: str, named: str
) -> None:
    assert drifted_in(manual, answered(manual), place, value) == [named]


def test_a_table_of_writers_that_drifted_is_named(manual: Project) -> None:
    text = manual.manifest.read_text().replace("answer-from = 40", 'answer-from = 40\nwriter = "big"')
    table = '\n[writers.big]\napi = "chat"\nmodel = "large-2"\nendpoint = "http://127.0.0.1:9/v1"\n'
    manual.manifest.write_text(text + table)
    id = answered(manual)
    manual.manifest.write_text(text + table.replace("large-2", "large-3") + "strength = 0.4\n")
    assert replayed(manual, id)[1]["drifted"] == ["writers"]


def test_the_lock_has_what_decides_answers_and_evaluate_says_what_is_other(manual: Project) -> None:
    lock = manual.directory / "cape.lock"
    rows = map(json.loads, lock.read_text().splitlines())
    (row,) = [one for one in rows if one.get("row") == "knowledge"]
    assert sorted(row["answers"]) == ["checker", "prompt", "router", "weights"]
    lock.write_text(lock.read_text().replace(row["answers"]["router"], "0" * 64))
    told = json.loads(manual.cape("evaluate", "--json").succeeded().stdout)
    assert any("made with other router than the lock" in note for note in told["notes"]), told["notes"]
