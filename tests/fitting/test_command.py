"""`cape fit`, the command itself, over a real file."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cape.cli.main import main
from tests.fitting.models import config, decoder_gguf, safetensors_of


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "small.gguf"
    file.write_bytes(decoder_gguf())
    return file


def test_fit_tells_parts_as_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(model), "--context", "512", "--memory", "1GiB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    parts = {one["name"]: one["size_bytes"] for one in told["estimate"]["parts"]}
    assert parts["cache"] == 512 * 2 * (64 + 64) * 2
    assert (told["fits"], told["memory_bytes"], told["largest_context"]) == (True, 1 << 30, 2048)


def test_fit_says_what_would_fit_where_the_context_does_not(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(model), "--context", "1000000", "--memory", "64MiB"]) == 1
    said = capsys.readouterr().out
    assert "1 x 1000000 tokens" in said and "does not fit" in said
    assert "the largest context that fits: 2048 tokens" in said
    assert "this would fit: `--context 2048`" in said


@pytest.mark.parametrize(
    "words",
    [
        ("--memory", "much"),
        ("--context", "0"),
        ("--batch", "0"),
        ("--kv-dtype", "q9"),
        ("--dtype", "q99"),
        ("--train", "hard"),
        ("--gpu", "big"),
    ],
)
def test_fit_refuses_words_that_are_no_sizes(
    model: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(model), *words]) == 1
    assert "error: " in capsys.readouterr().err


def test_fit_refuses_a_file_that_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    assert main(["fit", str(tmp_path / "notes.txt")]) == 1
    assert "this is no GGUF" in capsys.readouterr().err


def test_a_file_that_ends_early_is_no_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    assert main(["fit", str(model)]) == 1
    assert "cut off" in capsys.readouterr().err


def test_an_unknown_architecture_has_its_weights_and_the_rest_is_said_to_be_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.gguf").write_bytes(decoder_gguf("mamba2"))
    assert main(["fit", str(tmp_path / "odd.gguf"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["estimate"]["parts"]] == ["weights"]
    assert told["estimate"]["unknown"] == ["cache and compute of architecture `mamba2`"]
    assert told["largest_context"] is None


def test_a_picture_has_all_parts_and_is_well_formed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(model), "--picture", str(tmp_path / "fit.svg")]) == 0
    drawn = ElementTree.parse(tmp_path / "fit.svg").getroot()
    said = " ".join(drawn.itertext())
    assert all(f"{name}: " in said for name in ("weights", "cache", "compute", "run time", "head-room"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A directory as transformers saves a model: 1,000,000 weights, in two files."""
    place = tmp_path / "saved"
    place.mkdir()
    (place / "config.json").write_bytes(config())
    for number in (1, 2):
        (place / f"model-0000{number}-of-00002.safetensors").write_bytes(safetensors_of(500_000))
    return place


def parts_of(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    told = json.loads(capsys.readouterr().out)
    return {one["name"]: one["size_bytes"] for one in told["estimate"]["parts"]}


def test_full_training_keeps_gradients_and_two_moments_of_every_weight(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(saved), "--train", "full", "--json"]) == 0
    found = parts_of(capsys)
    assert (found["weights"], found["gradients"], found["moments"]) == (4_000_000, 4_000_000, 8_000_000)
    assert "master copy" not in found
    assert main(["fit", str(saved), "--train", "full", "--dtype", "bf16", "--master-copy", "--json"]) == 0
    found = parts_of(capsys)
    assert sum(found[name] for name in ("weights", "gradients", "moments", "master copy")) == 16_000_000


def test_lora_trains_its_adapters_alone(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: per layer q and o 2 x (64 + 64), k and v 2 x (64 + 32), three of 64 + 256; two layers."""
    assert main(["fit", str(saved), "--train", "lora", "--rank", "4", "--json"]) == 0
    found = parts_of(capsys)
    adapters = 4 * 2 * (2 * 128 + 2 * 96 + 3 * 320)
    assert (found["adapters"], found["moments"]) == (4 * adapters, 8 * adapters)
    assert found["weights"] == 4_000_000


def test_where_full_training_does_not_fit_lora_is_proposed(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(saved), "--train", "full", "--memory", "470MiB"]) == 1
    assert "`--train lora --rank 8`" in capsys.readouterr().out


def test_a_configuration_alone_is_enough(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: two tables of 100 x 64; per layer 3 x 64 x 64 of attention and 3 x 64 x 256; norms."""
    assert main(["fit", str(saved / "config.json"), "--json"]) == 0
    weights = 2 * 6400 + 2 * (2 * 4096 + 4096 + 49152 + 128) + 64
    assert parts_of(capsys)["weights"] == 4 * weights
    assert main(["fit", str(saved / "config.json"), "--dtype", "q4_0", "--json"]) == 0
    assert parts_of(capsys)["weights"] == round(weights * 18 / 32)


def test_an_embedder_and_an_index_are_counted_beside_the_model(
    model: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--embedder", str(saved), "--chunks", "1000", "--json"]
    assert main(["fit", str(model), *words]) == 0
    found = parts_of(capsys)
    assert found["vector index"] == 1000 * (4 * 64 + 1370)
    assert found["embedder saved"] > 4_000_000


def test_layers_go_on_a_gpu_as_far_as_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep.gguf"
    file.write_bytes(decoder_gguf(block_count=40, attention__head_count_kv=4))
    told = {}
    for size in ("8GiB", "600MiB", "300MiB"):
        assert main(["fit", str(file), "--context", "2048", "--gpu", size, "--batch", "8", "--json"]) == 0
        told[size] = json.loads(capsys.readouterr().out)["split"]
    assert told["8GiB"]["layers"] == 40 and told["300MiB"]["layers"] == 0
    assert 0 < told["600MiB"]["layers"] < 40
    assert told["600MiB"]["gpu_bytes"] * 1.1 <= 600 << 20
    assert told["300MiB"]["memory_bytes"] > told["600MiB"]["memory_bytes"] > told["8GiB"]["memory_bytes"]


def test_a_graph_is_not_trained(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(model), "--train", "full"]) == 1
    assert "not in a form that is trained" in capsys.readouterr().err


def test_a_word_that_is_nothing_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "nothing-of-that-name"]) == 1
    assert "there is no model `nothing-of-that-name`" in capsys.readouterr().err
