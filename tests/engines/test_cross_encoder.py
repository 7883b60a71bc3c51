"""The reranker's engine, on a real graph that is made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.engines.cross_encoder import CrossEncoder, cross_encoder_digest, open_cross_encoder
from cape.engines.errors import DamagedModel, MissingModelFile, UnfitModel
from cape.names import Digest
from tests.engines import tiny, tiny_pairs

WORTH = {"anchor": 2.0, "inspected": 1.0, "rope": -1.0}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tiny_pairs.write(tmp_path, WORTH)


@pytest.fixture
def reranker(files: tuple[Path, Path]) -> CrossEncoder:
    return open_cross_encoder("cross", *files)


def test_a_text_has_the_score_that_the_graph_gives_the_pair(reranker: CrossEncoder) -> None:
    texts = ["The anchor is inspected.", "A rope.", "", "anchor " * 3]
    assert reranker.scores("Who?", texts) == [3.0, -1.0, 0.0, 6.0]
    assert reranker.scores("Which anchor?", texts) == [5.0, 1.0, 2.0, 8.0]
    assert reranker.scores("Who?", []) == []


def test_a_long_text_is_cut_and_odd_ones_are_read(reranker: CrossEncoder) -> None:
    (long,) = reranker.scores("Who?", ["anchor " * 100_000])
    assert 0 < long <= 2 * 512
    assert reranker.scores("\udc80", ["\udc80 anchor \U0001f6a2"]) == [2.0]


def test_files_that_are_missing_damaged_or_no_reranker_are_told(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    model, words = files
    with pytest.raises(MissingModelFile, match="lacks its file"):
        open_cross_encoder("cross", tmp_path / "none.onnx", words)
    (tmp_path / "other").mkdir()
    embedder, _ = tiny.write(tmp_path / "other")
    with pytest.raises(UnfitModel, match="no reranker"):
        open_cross_encoder("cross", embedder, words).scores("Who?", ["anchor rope"])
    model.write_bytes(b"no graph")
    with pytest.raises(DamagedModel):
        open_cross_encoder("cross", model, words)


def test_the_digest_depends_on_both_files() -> None:
    one, other = Digest.of(b"1"), Digest.of(b"2")
    assert len({cross_encoder_digest(a, b) for a in (one, other) for b in (one, other)}) == 4
