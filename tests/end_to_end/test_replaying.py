"""`cape ask --replay`: the same answer from the same base, or the names of what drifted."""

from __future__ import annotations

import json
import shutil
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
