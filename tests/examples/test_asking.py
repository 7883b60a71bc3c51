"""The example asked from end to end, by words alone: neither a model nor a registry is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cape.cli.main import main
from cape.knowledge.access import sees
from tests.examples.reading import HANDBOOK, fold
from tests.examples.test_handbook import HIDDEN, policy, questions

pytest.importorskip("openpyxl", reason="spreadsheets are read by it")
pytest.importorskip("pypdfium2", reason="PDFs are read by it")

MANIFEST = """\
schema = 1

[environment]
name = "handbook"
systems = ["x86_64-linux"]
debian = "trixie"

[knowledge.handbook]
sources = ["documents/**"]
access = "access.toml"
questions = "questions.toml"
"""
EVERYONE = frozenset({"everyone"})

Cape = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its own documents, not indexed yet."""
    return copied(tmp_path_factory.mktemp("with") / "handbook")


@pytest.fixture(scope="module")
def open_handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the documents that not everyone sees."""
    project = copied(tmp_path_factory.mktemp("without") / "handbook")
    for file in (project / "documents").rglob("*"):
        path = str(file.relative_to(project))
        if file.is_file() and not sees(EVERYONE, policy().groups_of_document(path)):
            file.unlink()
    return project


def copied(project: Path) -> Path:
    shutil.copytree(HANDBOOK / "documents", project / "documents")
    for name in ("access.toml", "questions.toml"):
        shutil.copy(HANDBOOK / name, project)
    (project / "cape.toml").write_text(MANIFEST, encoding="utf-8")
    return project


@pytest.fixture
def cape(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cape:
    """Runs a command in a project, with `--json`; its index is made before the first question."""
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))

    def run(project: Path, *words: str) -> dict[str, Any]:
        monkeypatch.chdir(project)
        if words[0] != "index" and not (project / ".cape").exists():
            assert main(["index"]) == 0
        capsys.readouterr()
        assert main([*words, "--json"]) == 0
        fields: dict[str, Any] = json.loads(capsys.readouterr().out)
        return fields

    return run


def asked_as(question: dict[str, Any]) -> list[str]:
    return ["--as", question["as"]] if "as" in question else []


def test_every_document_is_read(cape: Cape, handbook: Path) -> None:
    (base,) = cape(handbook, "index", "--full")["bases"]
    assert base["unread"] == []
    assert base["documents"] == len([path for path in (handbook / "documents").rglob("*") if path.is_file()])


def test_metrics_of_a_quarter_are_answered_from_cells(cape: Cape, handbook: Path) -> None:
    answer = cape(handbook, "ask", "What were the Q1 2023 metrics for the Nordics?")
    assert all(number in answer["text"] for number in ("412", "70", "925"))
    assert {citation["document"] for citation in answer["citations"]} == {"documents/metrics/regions.xlsx"}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_answer_is_not_told(cape: Cape, handbook: Path, name: str) -> None:
    (question,) = (one for one in questions() if one["id"] == name)
    source, said = HIDDEN[name]
    answer = cape(handbook, "ask", question["question"], *asked_as(question), "--explain")
    assert fold(said) not in fold(answer["text"])
    assert source not in json.dumps(answer)


@pytest.mark.parametrize(
    "name", ["takeover-hidden", "seller-discount", "instrument-port", "team-dinner", "nordics-q1-2023"]
)
def test_hidden_documents_change_no_byte_of_an_answer(
    cape: Cape, handbook: Path, open_handbook: Path, name: str
) -> None:
    (question,) = (one for one in questions() if one["id"] == name)
    answers = [
        cape(project, "ask", question["question"], "--explain") for project in (handbook, open_handbook)
    ]
    for answer in answers:
        answer.pop("ms")
        answer.pop("id")
    assert json.dumps(answers[0]) == json.dumps(answers[1])
