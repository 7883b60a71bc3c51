"""GGUF files of random weights, of any size and of several architectures, for `fit.py` to load for real.

    write_gguf(Path("a.gguf"), Decoder(hidden=512, layers=2, dtype="Q4_K"))

The weights are one megabyte of random bytes, repeated, with scales that keep numbers small. The vocabulary
is made up.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cape.models.formats.gguf import BLOCKS

_NUMBERS = {name: (number, block, size) for number, (name, block, size) in BLOCKS.items()}
_SCALES = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82),
    "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
}  # fmt: skip
"""Where, in a block, a scale of 16 bits lies."""
_BYTE_WORDS, _SPECIAL = 256, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoder:
    """The sizes of a decoder. `tied`: the output's weights are the vocabulary's."""

    architecture: str = "llama"
    hidden: int = 512
    forward: int = 1408
    layers: int = 2
    heads: int = 8
    kv_heads: int = 4
    head: int = 64
    vocabulary: int = 32000
    context: int = 32768
    dtype: str = "Q8_0"
    vocabulary_dtype: str | None = None
    tied: bool = False
    window: int = 0
    experts: int = 0
    experts_used: int = 2


def write_gguf(file: Path, decoder: Decoder) -> None:
    """Write a decoder of random weights."""
    keys = list(_keys(decoder))
    tensors = list(_tensors(decoder))
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys))
    offset = 0
    for name, shape, dtype in tensors:
        number = _NUMBERS[dtype][0]
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset)
        offset += -(-_size(shape, dtype) // 32) * 32
    with open(file, "wb") as stream:
        stream.write(head + bytes(-len(head) % 32))
        for _, shape, dtype in tensors:
            _put(stream, dtype, -(-_size(shape, dtype) // 32) * 32)


def _size(shape: tuple[int, ...], dtype: str) -> int:
    _, block, size = _NUMBERS[dtype]
    count = 1
    for extent in shape:
        count *= extent
    return count // block * size


def _put(stream: BinaryIO, dtype: str, size: int) -> None:
    piece = _piece(dtype)
    while size > 0:
        stream.write(piece[:size])
        size -= len(piece)


_pieces: dict[str, bytes] = {}


def _piece(dtype: str) -> bytes:
    """A megabyte of random numbers of a type."""
    if dtype not in _pieces:
        size = _NUMBERS[dtype][2]
        count = (1 << 20) // size
        _pieces[dtype] = _floats(dtype, count) if dtype in _FLOATS else _blocks(dtype, count, size)
    return _pieces[dtype]


_FLOATS = {"F32": "f", "BF16": "f", "F16": "e"}


def _floats(dtype: str, count: int) -> bytes:
    source = random.Random(1)
    data = struct.pack(f"<{count}{_FLOATS[dtype]}", *(source.gauss(0, 0.02) for _ in range(count)))
    if dtype != "BF16":
        return data
    return b"".join(data[at + 2 : at + 4] for at in range(0, len(data), 4))


def _blocks(dtype: str, count: int, size: int) -> bytes:
    data = bytearray(random.Random(1).randbytes(count * size))
    for at in range(0, len(data), size):
        for scale in _SCALES.get(dtype, ()):
            data[at + scale : at + scale + 2] = struct.pack("<e", 1e-4)
    return bytes(data)


def _text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def _key(name: str, value: object) -> bytes:
    if isinstance(value, bool):
        return _text(name) + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return _text(name) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return _text(name) + struct.pack("<If", 6, value)
    assert isinstance(value, str)
    return _text(name) + struct.pack("<I", 8) + _text(value)


def _keys(decoder: Decoder) -> Iterator[bytes]:
    name = decoder.architecture
    yield _key("general.architecture", name)
    numbers: dict[str, object] = {
        "context_length": decoder.context, "embedding_length": decoder.hidden, "block_count": decoder.layers,
        "feed_forward_length": decoder.forward, "attention.head_count": decoder.heads,
        "attention.head_count_kv": decoder.kv_heads, "attention.key_length": decoder.head,
        "attention.value_length": decoder.head, "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0, "vocab_size": decoder.vocabulary,
    }  # fmt: skip
    if decoder.window:
        numbers["attention.sliding_window"] = decoder.window
    if decoder.experts:
        numbers |= {
            "expert_count": decoder.experts,
            "expert_used_count": decoder.experts_used,
            "expert_feed_forward_length": decoder.forward,
        }
    for key, value in numbers.items():
        yield _key(f"{name}.{key}", value)
    yield from _tokenizer(decoder.vocabulary)


def _tokenizer(words: int) -> Iterator[bytes]:
    yield _key("tokenizer.ggml.model", "llama")
    yield _key("tokenizer.ggml.bos_token_id", 1)
    yield _key("tokenizer.ggml.eos_token_id", 2)
    made = words - _SPECIAL - _BYTE_WORDS
    texts = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{one:02X}>" for one in range(256)),
        *(f"tok{one}" for one in range(made)),
    ]
    yield _list("tokens", 8, words) + b"".join(_text(text) for text in texts)
    yield _list("scores", 6, words) + struct.pack(f"<{words}f", *(-float(one) for one in range(words)))
    kinds = [2, 3, 3, *[6] * _BYTE_WORDS, *[1] * made]
    yield _list("token_type", 5, words) + struct.pack(f"<{words}i", *kinds)


def _list(name: str, kind: int, count: int) -> bytes:
    return _text(f"tokenizer.ggml.{name}") + struct.pack("<IIQ", 9, kind, count)


def _tensors(decoder: Decoder) -> Iterator[tuple[str, tuple[int, ...], str]]:
    hidden, vocabulary = decoder.hidden, decoder.vocabulary
    dtype = decoder.vocabulary_dtype or decoder.dtype
    yield "token_embd.weight", (hidden, vocabulary), dtype
    yield "output_norm.weight", (hidden,), "F32"
    if not decoder.tied:
        yield "output.weight", (hidden, vocabulary), dtype
    for layer in range(decoder.layers):
        for name, shape in _layer(decoder):
            yield (
                f"blk.{layer}.{name}.weight",
                shape,
                "F32" if len(shape) == 1 or "inp" in name else decoder.dtype,
            )


def _layer(decoder: Decoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, wide, narrow = decoder.hidden, decoder.heads * decoder.head, decoder.kv_heads * decoder.head
    yield "attn_norm", (hidden,)
    yield "ffn_norm", (hidden,)
    if decoder.architecture in ("qwen3", "qwen3moe", "gemma3"):
        yield "attn_q_norm", (decoder.head,)
        yield "attn_k_norm", (decoder.head,)
    if decoder.architecture == "gemma3":
        yield "post_attention_norm", (hidden,)
        yield "post_ffw_norm", (hidden,)
    yield "attn_q", (hidden, wide)
    yield "attn_k", (hidden, narrow)
    yield "attn_v", (hidden, narrow)
    yield "attn_output", (wide, hidden)
    if decoder.experts:
        yield "ffn_gate_inp", (hidden, decoder.experts)
        yield "ffn_gate_exps", (hidden, decoder.forward, decoder.experts)
        yield "ffn_up_exps", (hidden, decoder.forward, decoder.experts)
        yield "ffn_down_exps", (decoder.forward, hidden, decoder.experts)
    else:
        yield "ffn_gate", (hidden, decoder.forward)
        yield "ffn_up", (hidden, decoder.forward)
        yield "ffn_down", (decoder.forward, hidden)
