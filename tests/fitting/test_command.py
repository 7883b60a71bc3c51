"""`cape fit`, the command itself, over a real file."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from cape.cli.main import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A GGUF file of a decoder with two layers."""

    def text(word: str) -> bytes:
        return struct.pack("<Q", len(word)) + word.encode()

    numbers = {
        "block_count": 2,
        "embedding_length": 64,
        "attention.head_count": 4,
        "feed_forward_length": 128,
        "context_length": 2048,
    }
    keys = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    keys += [text(f"llama.{key}") + struct.pack("<II", 4, value) for key, value in numbers.items()]
    tensor = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 64, 32, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor
    file = tmp_path / "small.gguf"
    file.write_bytes(head + bytes(-len(head) % 32) + bytes(64 * 32 * 4))
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
    assert "does not fit with 1000000 tokens" in said
    assert "the largest context that fits: 2048 tokens" in said


@pytest.mark.parametrize("words", [("--memory", "much"), ("--context", "0"), ("--kv-dtype", "q9")])
def test_fit_refuses_words_that_are_no_sizes(
    model: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(model), *words]) == 1
    assert "error: " in capsys.readouterr().err


def test_fit_refuses_a_file_that_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    assert main(["fit", str(tmp_path / "notes.txt")]) == 1
    assert "this is no GGUF" in capsys.readouterr().err
