"""An embedder of a few words, made here: a real ONNX graph (a table that ids look up) and a tokenizer.

The graph's bytes are written by hand after onnx.proto3, since what writes ONNX files is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

MEANINGS = (
    ("ferry", "boat", "boats", "island", "isle", "leaves", "depart"),
    ("revenue", "quarterly", "sales", "turnover", "per", "cent"),
    ("holiday", "vacation", "leave", "days"),
    ("word", "parental", "maternity"),
)
DIMENSIONS = 16
_FLOAT, _INT64 = 1, 7


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _number(1, dim) if isinstance(dim, int) else _bytes(2, dim)) for dim in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dims)))


def graph(table: np.ndarray, *, given: str = "input_ids") -> bytes:
    """A model that looks up each id in a table, (words, dimensions) float32."""
    rows, columns = table.shape
    tensor = _number(1, rows) + _number(1, columns) + _number(2, _FLOAT) + _bytes(8, "table")
    tensor += _bytes(9, table.astype("<f4").tobytes())
    node = _bytes(1, "table") + _bytes(1, given) + _bytes(2, "last_hidden_state") + _bytes(4, "Gather")
    body = _bytes(1, node) + _bytes(2, "lookup") + _bytes(5, tensor)
    body += _bytes(11, _value(given, _INT64, ("batch", "sequence")))
    body += _bytes(12, _value("last_hidden_state", _FLOAT, ("batch", "sequence", columns)))
    return _number(1, 8) + _bytes(7, body) + _bytes(8, _number(2, 17))


def table() -> np.ndarray:
    """Vectors of the words, by id: words of one meaning are near each other."""
    random = np.random.default_rng(7)
    rows = [random.normal(size=DIMENSIONS)]
    for words in MEANINGS:
        centre = random.normal(size=DIMENSIONS)
        rows += [centre + 0.2 * random.normal(size=DIMENSIONS) for _ in words]
    return np.array(rows, dtype=np.float32)


def vocabulary() -> dict[str, int]:
    """Ids by word; 0 is what is unknown."""
    return {word: number for number, word in enumerate(["[UNK]", *(word for of in MEANINGS for word in of)])}


def write(directory: Path) -> tuple[Path, Path]:
    """The model's and the tokenizer's file, written."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    model, words = directory / "tiny.onnx", directory / "tokenizer.json"
    model.write_bytes(graph(table()))
    tokenizer.save(str(words))
    return model, words
