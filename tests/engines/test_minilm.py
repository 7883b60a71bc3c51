"""MiniLM's adapter, with a real graph and a real tokenizer that are small enough to be made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cape.engines.contract import EmbedderContract
from cape.engines.errors import DamagedModel, MissingModelFile, UnfitModel
from cape.engines.minilm import CHARACTERS, TOKENS, MiniLM, embedder_digest, open_embedder
from cape.knowledge.protocol import Embedder
from cape.names import Digest
from tests.engines import tiny


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tiny.write(tmp_path)


@pytest.fixture
def embedder(files: tuple[Path, Path]) -> Embedder:
    return open_embedder("tiny", *files)


class TestMiniLM(EmbedderContract):
    pass


def test_a_vector_is_the_normalised_mean_of_the_words_outputs(embedder: Embedder) -> None:
    """Against the same arithmetic on the graph's own table."""
    ids = [tiny.vocabulary()[word] for word in ("ferry", "island", "revenue")]
    mean = tiny.table()[ids].astype(np.float64).mean(axis=0)
    expected = mean / np.linalg.norm(mean)
    assert np.allclose(embedder.embed(["Ferry island REVENUE"])[0], expected, atol=1e-6)


def test_pieces_stand_where_they_say(embedder: Embedder) -> None:
    assert isinstance(embedder, MiniLM)
    text = "\n  Ferry  island, REVENUE \udc80"
    spans = embedder.piece_spans(text)
    (rows,) = embedder.embed_pieces([text])
    assert len(spans) == len(rows)
    assert [text[start:end] for start, end in spans][:4] == ["Ferry", "island", ",", "REVENUE"]


def test_only_the_first_tokens_of_a_text_count(embedder: Embedder) -> None:
    start = "ferry " * TOKENS
    long, cut = embedder.embed([start + "revenue " * 500, start])
    assert long.tobytes() == cut.tobytes()


def test_characters_beyond_the_limit_do_not_count(embedder: Embedder) -> None:
    unspaced = "x" * CHARACTERS
    assert np.array_equal(*embedder.embed([unspaced + " ferry" * 100_000, unspaced]))


def test_embedder_gives_the_same_bits_with_any_number_of_threads(files: tuple[Path, Path]) -> None:
    texts = [f"{first} {second}" for first in tiny.vocabulary() for second in ("ferry", "leave word")]
    one, three = (open_embedder("tiny", *files, threads=threads).embed(texts) for threads in (1, 3))
    assert one.tobytes() == three.tobytes()


def test_digest_is_of_both_files_bytes_wherever_they_lie(files: tuple[Path, Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copies = [elsewhere / f"copy-{file.name}" for file in files]
    for file, copy in zip(files, copies, strict=True):
        copy.write_bytes(file.read_bytes())
    before = open_embedder("tiny", *files).digest
    assert open_embedder("other", *copies).digest == before
    assert embedder_digest(*map(Digest.of_file, files)) == before
    copies[1].write_bytes(copies[1].read_bytes() + b"\n")
    assert open_embedder("tiny", *copies).digest != before


def test_a_file_that_is_not_there_is_named_with_the_command_that_brings_it(files: tuple[Path, Path]) -> None:
    files[1].unlink()
    with pytest.raises(MissingModelFile, match=r"lacks its file `tokenizer\.json`") as caught:
        open_embedder("tiny", *files)
    assert caught.value.hint == "run `cape sync`"


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"<html>not found</html>"])
@pytest.mark.parametrize("part", [0, 1])
def test_a_damaged_file_is_an_error_of_ours(files: tuple[Path, Path], part: int, damage: bytes) -> None:
    files[part].write_bytes(damage)
    with pytest.raises(DamagedModel, match="cannot read"):
        open_embedder("tiny", *files)


def test_a_model_that_is_cut_short_is_damaged(files: tuple[Path, Path]) -> None:
    files[0].write_bytes(files[0].read_bytes()[:-40])
    with pytest.raises(DamagedModel):
        open_embedder("tiny", *files)


def test_a_model_that_reads_something_else_is_unfit(files: tuple[Path, Path]) -> None:
    files[0].write_bytes(tiny.graph(tiny.table(), given="pixels"))
    with pytest.raises(UnfitModel, match="reads `pixels`"):
        open_embedder("tiny", *files)


def test_words_that_the_graph_does_not_know_are_an_error_of_ours(files: tuple[Path, Path]) -> None:
    files[0].write_bytes(tiny.graph(tiny.table()[:3]))
    with pytest.raises(DamagedModel, match="onnxruntime"):
        open_embedder("tiny", *files).embed(["revenue"])
