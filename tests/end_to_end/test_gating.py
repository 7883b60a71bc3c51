"""`cape evaluate` as a gate, on a base that is indexed by words alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, Project
from tests.end_to_end.test_asking import indexed, write


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = indexed(tmp_path_factory.mktemp("gating"))
    project.cape("evaluate", "--write", "base.jsonl").succeeded()
    return project


@pytest.fixture
def manual(settled: Project, tmp_path: Path) -> Project:
    shutil.copytree(settled.directory, tmp_path / "copy", symlinks=True)
    return Project(directory=tmp_path / "copy", environment=settled.environment)


def test_equal_input_gives_an_equal_file_that_holds_no_text_of_an_answer(manual: Project) -> None:
    done = manual.cape("evaluate", "--compare", "base.jsonl", "--write", "again.jsonl").succeeded()
    assert "nothing fell" in done.stderr
    before, again = (manual.directory / name for name in ("base.jsonl", "again.jsonl"))
    assert before.read_bytes() == again.read_bytes()
    assert "Brekke" not in again.read_text()


def test_a_rule_that_is_gone_is_caught_as_a_leak(manual: Project) -> None:
    access = manual.directory / "access.toml"
    access.write_text(access.read_text().partition("[[rules]]")[0])
    manual.cape("index").succeeded()
    done = manual.cape("evaluate", "--compare", "base.jsonl", "--page", "page.html")
    assert done.code == 1, done
    assert "`sealed` fell: `pay`" in done.stderr
    assert "access" in done.stderr.partition("made with other")[2]
    assert "Fell: sealed" in (manual.directory / "page.html").read_text()


def test_a_rule_that_is_written_again_holds_before_the_next_index(manual: Project) -> None:
    access = manual.directory / "access.toml"
    text = access.read_text()
    access.write_text(text.partition("[[rules]]")[0])
    manual.cape("index").succeeded()
    access.write_text(text)
    found = json.loads(manual.cape("evaluate", "--json").stdout)
    assert found["metrics"]["sealed"] == 1


def test_a_test_set_that_is_not_the_locks_is_told(manual: Project) -> None:
    assert '"questions":"' in manual.lock.read_text()
    questions = manual.directory / "questions.toml"
    questions.write_text(questions.read_text().replace("the North buoy", "the North buoy, please"))
    done = manual.cape("evaluate", "--compare", "base.jsonl").succeeded()
    assert "not the one of the lock" in done.stderr
    assert "new: 1 question" in done.stderr
    manual.cape("index").succeeded()
    assert "not the one" not in manual.cape("evaluate").succeeded().stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--compare", "none.jsonl"), "cannot be read"),
        (("--compare", "cape.toml"), "cape.toml:1"),
        (("nowhere",), "no knowledge base `nowhere`"),
    ],
)
def test_what_cannot_be_compared_is_said(manual: Project, words: tuple[str, ...], said: str) -> None:
    manual.cape("evaluate", *words).failed(INPUT, said)


def test_a_test_set_with_a_wrong_field_is_refused_by_name(manual: Project) -> None:
    write(manual, {"questions.toml": '[[questions]]\nid = "x"\nanswers = ["y"]\n'})
    manual.cape("evaluate").failed(INPUT, "question `x` has an unknown field `answers`")


def test_proposals_are_of_what_the_asker_may_see(manual: Project) -> None:
    everyone = manual.cape("evaluate", "generate").succeeded().stdout
    assert 'question = "What is the colour of North' in everyone
    assert "52,000" not in everyone
    (manual.directory / "questions.toml").write_text(everyone)
    manual.cape("evaluate", "--json").succeeded()
