"""`cape fit NAME` of a locked model, whether its file is in the store or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cape.cli.main import main
from cape.lock import Lock, render_lock
from cape.names import Digest, System
from cape.sources.protocol import Artifact, LockedPackage
from tests.fitting.models import decoder_gguf

DATA = decoder_gguf(words=40_000)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose lock has a model at a path, which is not in the store."""
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    place = tmp_path / "project"
    place.mkdir()
    (place / "cape.toml").write_text('schema = 1\n[models]\nwriter = { path = "writer.gguf" }\n')
    (place / "writer.gguf").write_bytes(DATA)
    digest = Digest.of(DATA)
    row = LockedPackage(
        source="model",
        name="writer.gguf",
        version=digest.short,
        systems=(System.current(),),
        artifact=Artifact(digest=digest, size_bytes=len(DATA), registry="path", location="writer.gguf"),
        placement="writer",
        attributes={
            "file": "writer.gguf",
            "file-digest": str(digest),
            "file-size": str(len(DATA)),
            "path": "writer.gguf",
        },
    )
    (place / "cape.lock").write_text(render_lock(Lock(systems=(System.current(),), packages=(row,))))
    monkeypatch.chdir(place)
    return place


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_locked_model_is_read_from_where_it_would_come(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "writer", "--json"]) == 0
    found = told(capsys)
    assert (found["is_here"], found["model"], found["run_time"]) == (False, "writer", "llama.cpp")
    assert found["largest_context"] == 2048


def test_a_locked_model_that_memory_does_not_hold_is_said_not_to_fit(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "writer", "--memory", "48MiB"]) == 1
    said = capsys.readouterr().out
    assert "does not fit" in said and "this would fit: weights as Q3_K_M" in said


def test_a_locked_model_of_the_store_is_read_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = Digest.of(DATA)
    kept = project.parent / "store/artifacts" / digest.hex[:2] / digest.hex
    kept.parent.mkdir(parents=True)
    (project / "writer.gguf").rename(kept)
    assert main(["fit", "writer", "--json"]) == 0
    assert told(capsys)["is_here"] is True


def test_a_name_that_the_lock_has_not_is_no_model(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "reader"]) == 1
    assert "there is no model `reader`" in capsys.readouterr().err
