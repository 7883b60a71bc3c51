"""`cape fit` of a hub on loopback: headers alone are read, and what would fit is of the same repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.cli.main import main
from tests.fitting.models import config, decoder_gguf, safetensors_of
from tests.mirrors.hub import ModelHub, model_hub

LARGE = decoder_gguf(words=100_000)
SMALL = decoder_gguf(words=60_000)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CAPE_NETWORK_ATTEMPTS", "1")
    with model_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_a_model_of_a_hub_is_summed_by_ranges_of_its_headers(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/big", {"big.gguf": LARGE}, large=("big.gguf",))
    assert main(["fit", "org/big", "--context", "512", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["estimate"]["parts"][0]["size_bytes"] == 100_000 * 64 * 4
    assert told["is_here"] is False
    ((_, asked),) = hub.files.requests
    assert asked == "bytes=0-1048575"


def test_another_file_of_the_same_repository_is_proposed_where_it_fits(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/two", {"a-Q8_0.gguf": LARGE, "a-Q4_0.gguf": SMALL}, large=("a-Q8_0.gguf", "a-Q4_0.gguf"))
    assert main(["fit", "org/two/a-Q8_0.gguf", "--context", "256", "--memory", "64MiB"]) == 1
    assert "`a-Q4_0.gguf` of the same repository" in capsys.readouterr().out


def test_safetensors_of_a_hub_are_read_with_their_configuration(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"config.json": config(), "model.safetensors": safetensors_of(600_000)}
    hub.add("org/saved", files, large=("model.safetensors",))
    assert main(["fit", "org/saved", "--train", "full", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    parts = {one["name"]: one["size_bytes"] for one in told["estimate"]["parts"]}
    assert parts["gradients"] == 2_400_000 and parts["activations"] > 0


def test_a_repository_that_is_not_there_is_said_to_be_so(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "org/none"]) == 1
    assert "org/none" in capsys.readouterr().err


def test_a_file_that_a_repository_lacks_is_said_with_those_it_has(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/big", {"big.gguf": LARGE}, large=("big.gguf",))
    assert main(["fit", "org/big/other.gguf"]) == 1
    assert "it has `big.gguf`" in capsys.readouterr().err


def test_a_hub_that_does_not_answer_is_a_failure_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CAPE_NETWORK_ATTEMPTS", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["fit", "org/big"]) == 4
    assert "error: " in capsys.readouterr().err


def test_no_hub_at_all_is_said_with_the_way_to_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert main(["fit", "org/big"]) != 0
    assert "no model hub is known" in capsys.readouterr().err
