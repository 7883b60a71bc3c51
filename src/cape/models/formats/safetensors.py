"""safetensors: a length, a header in JSON, and the tensors without gaps.

Source: the format section of the `safetensors` project's README, whose checks are made here, too.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, BinaryIO

from cape.models.errors import BadModelFile
from cape.models.formats.cursor import Cursor
from cape.models.header import Header, Tensor

_LONGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""

BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip
"""The bits of one number, by dtype."""


def read(stream: BinaryIO, *, size_bytes: int | None = None) -> Header:
    """The header of a safetensors file, from its first byte on; tensors by their place.

    With `size_bytes`, the whole file's size, the tensors must fill exactly what is left of it.
    Raises `BadModelFile`, `HeaderEndsEarly`.
    """
    cursor = Cursor(stream, format="safetensors", size_bytes=size_bytes)
    length = cursor.whole(limit=_LONGEST_HEADER, what="bytes of header")
    table = _table(cursor, cursor.take(length))
    start = 8 + length
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise cursor.bad("its metadata are no texts")
    tensors = sorted((_tensor(cursor, name, told, start) for name, told in table.items()), key=_place)
    _no_gaps(tensors, start, size_bytes)
    return Header(
        format="safetensors",
        metadata=MappingProxyType(metadata),
        tensors=tuple(tensors),
        data_start=start,
    )


def _table(cursor: Cursor, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise cursor.bad("its header has a key twice")
        return found

    try:
        table = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise cursor.bad("its header is no JSON") from None
    if not isinstance(table, dict):
        raise cursor.bad("its header is no table")
    return table


def _tensor(cursor: Cursor, name: str, told: object, start: int) -> Tensor:
    told = told if isinstance(told, dict) else {}
    dtype, shape, offsets = told.get("dtype"), _sizes(told.get("shape")), _sizes(told.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise cursor.bad(f"`{name}` is of dtype {dtype!r}, which is not known")
    if shape is None or offsets is None or len(offsets) != 2:
        raise cursor.bad(f"`{name}` has no shape or place")
    tensor = Tensor(
        name=name, dtype=dtype, shape=shape, size_bytes=offsets[1] - offsets[0], offset=start + offsets[0]
    )
    if tensor.size_bytes * 8 != tensor.elements * BITS[dtype]:
        raise cursor.bad(f"`{name}` has {tensor.size_bytes} bytes, which is not what its shape takes")
    return tensor


def _sizes(value: object) -> tuple[int, ...] | None:
    """A list of whole numbers that could be sizes; None for anything else."""
    if not isinstance(value, list) or not all(type(one) is int and 0 <= one < 1 << 48 for one in value):
        return None
    return tuple(value)


def _place(tensor: Tensor) -> tuple[int, int]:
    return (tensor.offset or 0, tensor.size_bytes)


def _no_gaps(tensors: list[Tensor], start: int, size_bytes: int | None) -> None:
    """Tensors follow one another: what lies between two could hide another file's content."""
    end = start
    for tensor in tensors:
        if tensor.offset != end:
            fact = f"`{tensor.name}` does not begin where another ends"
            raise BadModelFile(f"this is no safetensors file that can be read: {fact}")
        end += tensor.size_bytes
    if size_bytes is not None and end != size_bytes:
        fact = "is cut off" if end > size_bytes else "has bytes after its tensors"
        raise BadModelFile(f"the safetensors file {fact}: {end} bytes are told, {size_bytes} are there")
