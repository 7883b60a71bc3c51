"""Small GGUF files made by hand: an embedder with random weights that llama.cpp runs, and shapes alone."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping

Value = int | float | bool | str | list[str] | list[float] | list[int]

_HIDDEN, _FORWARD, _HEADS, _CONTEXT = 32, 64, 2, 64
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁a", "▁cat", "▁dog", "▁sat", "▁ran"]


def embedder(seed: int = 0) -> bytes:
    """A BERT of one layer with the words of `WORDS` and random weights; it pools by the mean."""
    keys: dict[str, Value] = {
        "general.architecture": "bert",
        "bert.context_length": _CONTEXT,
        "bert.embedding_length": _HIDDEN,
        "bert.feed_forward_length": _FORWARD,
        "bert.block_count": 1,
        "bert.attention.head_count": _HEADS,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": WORDS,
        "tokenizer.ggml.scores": [0.0] * len(WORDS),
        "tokenizer.ggml.token_type": [3, 2, 3, 3] + [1] * (len(WORDS) - 4),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_HIDDEN, len(WORDS)),
        "token_types.weight": (_HIDDEN, 2),
        "position_embd.weight": (_HIDDEN, _CONTEXT),
        "token_embd_norm.weight": (_HIDDEN,),
        "token_embd_norm.bias": (_HIDDEN,),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes[f"blk.0.{name}.weight"] = (_HIDDEN, _HIDDEN)
        shapes[f"blk.0.{name}.bias"] = (_HIDDEN,)
    for name in ("attn_output_norm", "layer_output_norm"):
        shapes[f"blk.0.{name}.weight"] = shapes[f"blk.0.{name}.bias"] = (_HIDDEN,)
    shapes["blk.0.ffn_up.weight"], shapes["blk.0.ffn_up.bias"] = (_HIDDEN, _FORWARD), (_FORWARD,)
    shapes["blk.0.ffn_down.weight"], shapes["blk.0.ffn_down.bias"] = (_FORWARD, _HIDDEN), (_HIDDEN,)
    return gguf(keys, shapes, seed=seed)


def decoder(*, layers: int = 2, context: int = 2048) -> bytes:
    """What a decoder says of its shape, with one tensor: nothing that could be run."""
    keys: dict[str, Value] = {
        "general.architecture": "llama",
        "llama.context_length": context,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 128,
        "llama.block_count": layers,
        "llama.attention.head_count": 2,
        "tokenizer.ggml.tokens": ["a", "b"],
    }
    return gguf(keys, {"token_embd.weight": (64, 2)})


def gguf(keys: Mapping[str, Value], shapes: Mapping[str, tuple[int, ...]], *, seed: int = 0) -> bytes:
    """A GGUF file of version 3 with F32 tensors of these shapes, filled at random."""
    dice = random.Random(seed)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys))
    head += b"".join(_text(key) + _value(value) for key, value in keys.items())
    data = b""
    for name, shape in shapes.items():
        count = 1
        for extent in shape:
            count *= extent
        head += _text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", extent) for extent in shape) + struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{count}f", *(dice.uniform(-0.5, 0.5) for _ in range(count)))
        data += b"\0" * (-len(data) % 32)
    return head + b"\0" * (-len(head) % 32) + data


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Value) -> bytes:
    if isinstance(value, list):
        kind = {str: 8, float: 6, int: 5}[type(value[0])]
        return struct.pack("<IIQ", 9, kind, len(value)) + b"".join(_value(one)[4:] for one in value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<I", 8) + _text(value)
