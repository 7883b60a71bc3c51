"""Small files of weights in each format, and pickles, made by hand."""

from __future__ import annotations

import json
import pickle
import struct


def gguf(*, licence: str | None = "mit", tensors: int = 1, words: int = 3) -> bytes:
    """A GGUF file of version 3 with F32 tensors of eight numbers."""
    keys = [_text("general.architecture") + struct.pack("<I", 8) + _text("llama")]
    if licence:
        keys.append(_text("general.license") + struct.pack("<I", 8) + _text(licence))
    listed = b"".join(_text(f"word{at}") for at in range(words))
    keys.append(_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, words) + listed)
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(keys)) + b"".join(keys)
    for at in range(tensors):
        head += _text(f"t{at}") + struct.pack("<IQIQ", 1, 8, 0, at * 32)
    return head + b"\0" * (-len(head) % 32) + b"\1" * (32 * tensors)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def safetensors(*, licence: str | None = None) -> bytes:
    """A safetensors file with one tensor."""
    table: dict[str, object] = {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    if licence:
        table["__metadata__"] = {"license": licence}
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + b"\2" * 16


class Runs:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return (os.system, ("false",))


def dangerous_pickle(protocol: int = 4) -> bytes:
    return pickle.dumps({"weights": [1.0, 2.0], "more": Runs()}, protocol)


def harmless_pickle() -> bytes:
    from collections import OrderedDict

    return pickle.dumps(OrderedDict(weights=[1.0, 2.0]), 4)
