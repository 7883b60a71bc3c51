"""GGUF: the header of llama.cpp's model files, versions 2 and 3, of either byte order.

Source: the format's specification in ggml (`docs/gguf.md`); sizes of quantised blocks from `ggml-common.h`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import BinaryIO

from cape.models.errors import BadModelFile
from cape.models.formats.cursor import Cursor
from cape.models.header import Header, Scalar, Tensor, Value

MAGIC = b"GGUF"

_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_WIDTHS = {"B": 1, "b": 1, "?": 1, "H": 2, "h": 2, "I": 4, "i": 4, "f": 4, "Q": 8, "q": 8, "d": 8}
_STRING, _ARRAY = 8, 9

_MOST_KEYS = 1 << 16
_MOST_TENSORS = 1 << 20
_LONGEST_KEY = 1 << 16
_LONGEST_TEXT = 64 << 20
_LONGEST_LIST = 1 << 28
_KEPT_ELEMENTS = 1024
"""Longer lists are counted, not kept: a vocabulary has some 150,000 words."""
_DEEPEST = 4

BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""By number: the name, the elements of a block, and its bytes."""


def read(stream: BinaryIO, *, size_bytes: int | None = None) -> Header:
    """The header of a GGUF file, from its first byte on.

    With `size_bytes`, the whole file's size, tensors must lie inside. Shapes have the fastest-running extent
    first, as in the file.
    Raises `BadModelFile`, `HeaderEndsEarly`.
    """
    cursor = Cursor(stream, format="GGUF", size_bytes=size_bytes)
    _version(cursor)
    tensor_count = cursor.whole(limit=_MOST_TENSORS, what="tensors")
    key_count = cursor.whole(limit=_MOST_KEYS, what="keys")
    metadata: dict[str, Value] = {}
    long_lists: dict[str, int] = {}
    for _ in range(key_count):
        key = cursor.text(limit=_LONGEST_KEY, what="a key")
        kind = int(cursor.number("I"))
        if kind == _ARRAY:
            _list(cursor, key, metadata, long_lists)
        else:
            metadata[key] = _scalar(cursor, kind)
    tensors = [_tensor(cursor) for _ in range(tensor_count)]
    start = _aligned(cursor.position, metadata.get("general.alignment", 32))
    placed = tuple(_placed(tensor, start, size_bytes) for tensor in tensors)
    return Header(
        format="gguf",
        metadata=MappingProxyType(metadata),
        tensors=placed,
        long_lists=MappingProxyType(long_lists),
        data_start=start,
    )


def _version(cursor: Cursor) -> None:
    if cursor.take(4) != MAGIC:
        raise cursor.bad("it does not begin with `GGUF`")
    version = int(cursor.number("I"))
    if version & 0xFFFF == 0 and version:
        cursor.order = ">"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise cursor.bad(f"its version is {version}, and 2 and 3 are known")


def _scalar(cursor: Cursor, kind: int) -> Scalar:
    if kind == _STRING:
        return cursor.text(limit=_LONGEST_TEXT, what="a value")
    if kind not in _CODES:
        raise cursor.bad(f"there is no kind of value {kind}")
    return cursor.number(_CODES[kind])


def _list(cursor: Cursor, key: str, metadata: dict[str, Value], long_lists: dict[str, int]) -> None:
    kind = int(cursor.number("I"))
    count = cursor.whole(limit=_LONGEST_LIST, what="elements")
    if kind == _ARRAY or count > _KEPT_ELEMENTS:
        _skip(cursor, kind, count, 0)
        long_lists[key] = count
    else:
        metadata[key] = tuple(_scalar(cursor, kind) for _ in range(count))


def _skip(cursor: Cursor, kind: int, count: int, depth: int) -> None:
    """Go past `count` values."""
    if kind in _CODES:
        cursor.skip(_WIDTHS[_CODES[kind]] * count)
    elif kind == _STRING:
        cursor.pass_texts(count, limit=_LONGEST_TEXT)
    elif kind == _ARRAY and depth < _DEEPEST:
        for _ in range(count):
            inner = int(cursor.number("I"))
            _skip(cursor, inner, cursor.whole(limit=_LONGEST_LIST, what="elements"), depth + 1)
    else:
        raise cursor.bad(f"there is no list of kind {kind}")


def _tensor(cursor: Cursor) -> Tensor:
    """A tensor, its offset still counted from where the weights begin."""
    name = cursor.text(limit=_LONGEST_KEY, what="a tensor's name")
    dimensions = cursor.whole("I", limit=8, what="dimensions")
    shape = tuple(cursor.whole(limit=1 << 48, what="elements in a row") for _ in range(dimensions))
    kind = int(cursor.number("I"))
    offset = int(cursor.number("Q"))
    if kind not in BLOCKS:
        raise cursor.bad(f"`{name}` is of type {kind}, which is not known")
    dtype, block, block_bytes = BLOCKS[kind]
    row = shape[0] if shape else 1
    if row % block:
        raise cursor.bad(f"a row of `{name}` is no whole number of {dtype} blocks")
    elements = Tensor(name=name, dtype=dtype, shape=shape, size_bytes=0).elements
    return Tensor(
        name=name, dtype=dtype, shape=shape, size_bytes=elements // block * block_bytes, offset=offset
    )


def _aligned(position: int, alignment: Value) -> int:
    if not isinstance(alignment, int) or isinstance(alignment, bool) or not 0 < alignment <= 1 << 20:
        raise BadModelFile(f"this is no GGUF file that can be read: an alignment of {alignment!r}")
    return -(-position // alignment) * alignment


def _placed(tensor: Tensor, start: int, size_bytes: int | None) -> Tensor:
    offset = start + (tensor.offset or 0)
    if size_bytes is not None and offset + tensor.size_bytes > size_bytes:
        raise BadModelFile(f"the GGUF file is cut off: `{tensor.name}` ends after it")
    return Tensor(
        name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, size_bytes=tensor.size_bytes, offset=offset
    )
