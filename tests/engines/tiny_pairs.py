"""A cross-encoder of a few words, made here: a real ONNX graph that adds up what each word is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.engines.tiny import _FLOAT, _INT64, _bytes, _number, _value


def graph(worth: np.ndarray) -> bytes:
    """A model that gives the sum of its tokens' worth, (1, 1) float32."""
    table = _number(1, len(worth)) + _number(2, _FLOAT) + _bytes(8, "worth")
    table += _bytes(9, worth.astype("<f4").tobytes())
    looked_up = _bytes(1, "worth") + _bytes(1, "input_ids") + _bytes(2, "each") + _bytes(4, "Gather")
    keeps = _bytes(1, "keepdims") + _number(3, 1) + _number(20, 2)
    summed = _bytes(1, "each") + _bytes(2, "logits") + _bytes(4, "ReduceSum") + _bytes(5, keeps)
    body = _bytes(1, looked_up) + _bytes(1, summed) + _bytes(2, "pairs") + _bytes(5, table)
    body += _bytes(11, _value("input_ids", _INT64, ("batch", "sequence")))
    body += _bytes(12, _value("logits", _FLOAT, (1, 1)))
    return _number(1, 8) + _bytes(7, body) + _bytes(8, _number(2, 17))


def write(directory: Path, worth: Mapping[str, float]) -> tuple[Path, Path]:
    """The model's and the tokenizer's file, written; words that are not there are worth nothing."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[UNK]", *worth])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    directory.mkdir(parents=True, exist_ok=True)
    model, words = directory / "cross.onnx", directory / "tokenizer.json"
    model.write_bytes(graph(np.array([0.0, *worth.values()])))
    tokenizer.save(str(words))
    return model, words
