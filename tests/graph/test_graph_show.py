"""`cape graph show` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cape.cli.main import main

MANIFEST = """schema = 1
[environment]
name = "graph"
systems = ["x86_64-linux"]
[knowledge.notes]
sources = ["notes/*"]
access = "access.toml"
"""
ACCESS = """default = "everyone"
[users]
astrid = ["hr"]
[[rules]]
documents = ["notes/pay.md"]
groups = ["hr"]
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    (tmp_path / "cape.toml").write_text(MANIFEST)
    (tmp_path / "access.toml").write_text(ACCESS)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "office.md").write_text(
        "# Sites\n\nThe yard in Porto is led by Duarte <Salvaterro>.\n"
    )
    (tmp_path / "notes" / "pay.md").write_text("# Pay\n\nThe yard in Porto pays Ilvi Kettunmaa well.\n")
    assert main(["index", "--quiet"]) == 0
    return tmp_path


def test_neighbours_are_told_with_where_they_stand(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "show", "porto"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Porto (name): 1 passage of 1 document")
    assert "Porto -- is led by -> Duarte  [notes/office.md, line 3]" in told
    assert "Ilvi" not in told


def test_json_has_all_fields_and_more_for_who_may_see_more(
    notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "show", "notes", "Porto", "--as", "astrid", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {
        "schema_version", "base", "asked_as", "name", "kind", "passages", "documents", "neighbours", "more",
        "way",
    }  # fmt: skip
    assert "Ilvi Kettunmaa" in [one["name"] for one in told["neighbours"]]
    said = told["neighbours"][0]["said"][0]
    assert set(said) == {"source", "target", "says", "document", "where", "place", "quote"}


def test_a_name_that_nobody_mentions_is_an_error_that_names_no_hidden_one(
    notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "show", "Ilvi Kettunma"]) == 1
    told = capsys.readouterr().err
    assert "nothing that you may see mentions `Ilvi Kettunma`" in told
    assert "Kettunmaa" not in told
    assert main(["graph", "show", "Portoo"]) == 1
    assert "did you mean `Porto`?" in capsys.readouterr().err


def test_the_picture_is_svg_with_escaped_names(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "show", "Porto", "--picture", "porto.svg"]) == 0
    root = ElementTree.fromstring((notes / "porto.svg").read_text())
    assert root.tag.endswith("svg")
    assert "Porto" in "".join(root.itertext())
    assert main(["graph", "show", "Porto", "--picture", "nowhere/porto.svg"]) == 1
    assert "picture-not-written" not in capsys.readouterr().out


def test_three_words_are_refused(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "show", "a", "b", "c"]) == 2
    assert "wants a knowledge base and an entity" in capsys.readouterr().err
