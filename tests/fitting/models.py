"""Small models of several forms, made by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping


def _text(word: str) -> bytes:
    return struct.pack("<Q", len(word)) + word.encode()


def decoder_gguf(architecture: str = "llama", words: int = 32, **numbers: int) -> bytes:
    """A GGUF file of a decoder with two layers of 64, with a table of words that fills it."""
    keys = {
        "block_count": 2,
        "embedding_length": 64,
        "attention.head_count": 4,
        "feed_forward_length": 128,
        "context_length": 2048,
        **{key.replace("__", "."): value for key, value in numbers.items()},
    }
    lines = [_text("general.architecture") + struct.pack("<I", 8) + _text(architecture)]
    lines += [_text(f"{architecture}.{key}") + struct.pack("<II", 4, value) for key, value in keys.items()]
    tensor = _text("token_embd.weight") + struct.pack("<IQQIQ", 2, 64, words, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(lines)) + b"".join(lines) + tensor
    return head + bytes(-len(head) % 32) + bytes(64 * words * 4)


CONFIG: Mapping[str, object] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "dtype": "float32",
}


def config(**changed: object) -> bytes:
    """The `config.json` of a small decoder."""
    return json.dumps({**CONFIG, **changed}).encode()


def safetensors_of(elements: int, dtype: str = "F32") -> bytes:
    """A safetensors file with one tensor."""
    size = elements * (4 if dtype == "F32" else 2)
    head = json.dumps({"w": {"dtype": dtype, "shape": [elements], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(size)
