"""ONNX: the parts of the model's Protocol Buffers message that tell of weights; weights are skipped.

Source: `onnx.proto` of the ONNX project (field numbers), and the encoding of Protocol Buffers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import BinaryIO

from cape.models.errors import WeightsOutside
from cape.models.formats.cursor import Cursor
from cape.models.header import Header, Tensor, Value

BITS = {
    1: ("float", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("string", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("double", 64),
    12: ("uint32", 32), 13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128),
    16: ("bfloat16", 16), 17: ("float8e4m3fn", 8), 18: ("float8e4m3fnuz", 8), 19: ("float8e5m2", 8),
    20: ("float8e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4), 23: ("float4e2m1", 4),
    24: ("float8e8m0", 8), 25: ("uint2", 2), 26: ("int2", 2), 27: ("float6e2m3", 6),
    28: ("float6e3m2", 6),
}  # fmt: skip
"""By number: the name of a dtype, and the bits of one number."""

_IR, _PRODUCER, _PRODUCER_VERSION, _DOMAIN, _GRAPH, _OPSET, _PROPERTY = 1, 2, 3, 4, 7, 8, 14
_TEXTS = {_PRODUCER: "producer_name", _PRODUCER_VERSION: "producer_version", _DOMAIN: "domain"}
_NODE, _GRAPH_NAME, _INITIALISER, _SPARSE = 1, 2, 5, 15
_NODE_INPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 1, 4, 5, 5, 6
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 10, 11
_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL = 1, 2, 8, 9, 13
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_DEEPEST = 16
_LONGEST_TEXT = 16 << 20
_MOST_TENSORS = 1 << 20


@dataclass(kw_only=True, slots=True)
class _Found:
    metadata: dict[str, Value] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    domains: set[str] = field(default_factory=set)
    used_by: dict[str, str] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    has_graph: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """A field of a message: for bytes, `value` is their length and `start` where they begin."""

    number: int
    kind: int
    value: int
    start: int


def read(stream: BinaryIO, *, size_bytes: int | None = None) -> Header:
    """The header of an ONNX model: its initialisers, those of sub-graphs and of constants too.

    The whole file must be readable and seekable: weights lie between names. `metadata` has `ir_version`,
    `producer_name`, `opset` (that of the default domain), `domains` (others, sorted), `operators` (sorted)
    and the model's own keys.
    Raises `BadModelFile`, `HeaderEndsEarly`.
    """
    if size_bytes is None:
        size_bytes = stream.seek(0, io.SEEK_END)
        stream.seek(0)
    cursor = Cursor(stream, format="ONNX", size_bytes=size_bytes)
    found = _Found()
    for one in _fields(cursor, size_bytes):
        _model_field(cursor, one, found)
    if not found.has_graph or "ir_version" not in found.metadata:
        raise cursor.bad("it has no graph")
    found.metadata["operators"] = tuple(sorted(found.operators - {""}))
    if found.domains:
        found.metadata["domains"] = tuple(sorted(found.domains))
    tensors = tuple(replace(one, used_by=found.used_by.get(one.name)) for one in found.tensors)
    return Header(format="onnx", metadata=MappingProxyType(found.metadata), tensors=tensors, data_start=0)


def _model_field(cursor: Cursor, one: _Field, found: _Found) -> None:
    if one.number == _IR and one.kind == _VARINT:
        found.metadata["ir_version"] = one.value
    elif one.kind != _BYTES:
        return
    elif one.number == _GRAPH:
        found.has_graph = True
        _graph(cursor, one.start + one.value, found, 0)
    elif one.number == _OPSET:
        _opset(cursor, one, found)
    elif one.number == _PROPERTY:
        key, value = _pair(cursor, one)
        found.metadata[key] = value
    elif one.number in (_PRODUCER, _PRODUCER_VERSION, _DOMAIN):
        key = {_PRODUCER: "producer_name", _PRODUCER_VERSION: "producer_version", _DOMAIN: "domain"}[
            one.number
        ]
        found.metadata[key] = _text(cursor, one)


def _opset(cursor: Cursor, one: _Field, found: _Found) -> None:
    domain, version = "", 0
    for part in _fields(cursor, one.start + one.value):
        if part.number == 1 and part.kind == _BYTES:
            domain = _text(cursor, part)
        elif part.number == 2 and part.kind == _VARINT:
            version = part.value
    if domain in ("", "ai.onnx"):
        found.metadata["opset"] = version
    else:
        found.domains.add(domain)


def _graph(cursor: Cursor, end: int, found: _Found, depth: int) -> None:
    if depth > _DEEPEST:
        raise cursor.bad("graphs lie too deep in one another")
    for one in _fields(cursor, end):
        if one.kind != _BYTES:
            continue
        if one.number == _INITIALISER:
            _keep(cursor, one, found)
        elif one.number == _NODE:
            _node(cursor, one, found, depth)
        elif one.number == _SPARSE:
            for part in _fields(cursor, one.start + one.value):
                if part.kind == _BYTES and part.number in (1, 2):
                    _keep(cursor, part, found)
        elif one.number == _GRAPH_NAME and depth == 0:
            found.metadata["graph"] = _text(cursor, one)


def _node(cursor: Cursor, node: _Field, found: _Found, depth: int) -> None:
    taken: list[str] = []
    operator = ""
    for one in _fields(cursor, node.start + node.value):
        if one.kind == _BYTES and one.number == _NODE_INPUT:
            taken.append(_text(cursor, one))
        elif one.kind == _BYTES and one.number == _NODE_OPERATOR:
            operator = _text(cursor, one)
        if one.kind != _BYTES or one.number != _NODE_ATTRIBUTE:
            continue
        for part in _fields(cursor, one.start + one.value):
            if part.kind != _BYTES:
                continue
            if part.number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                _keep(cursor, part, found)
            elif part.number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                _graph(cursor, part.start + part.value, found, depth + 1)
    found.operators.add(operator)
    for name in taken:
        found.used_by.setdefault(name, operator)


def _keep(cursor: Cursor, one: _Field, found: _Found) -> None:
    if len(found.tensors) >= _MOST_TENSORS:
        raise cursor.bad(f"it has more than {_MOST_TENSORS} tensors")
    found.tensors.append(_tensor(cursor, one))


def _tensor(cursor: Cursor, one: _Field) -> Tensor:
    name, shape, kind = "", [], 0
    raw: _Field | None = None
    external: dict[str, str] = {}
    for part in _fields(cursor, one.start + one.value):
        if part.number == _DIMS and part.kind == _VARINT:
            shape.append(part.value)
        elif part.number == _DIMS and part.kind == _BYTES:
            shape += _packed(cursor, part)
        elif part.number == _TYPE and part.kind == _VARINT:
            kind = part.value
        elif part.number == _NAME and part.kind == _BYTES:
            name = _text(cursor, part)
        elif part.number == _RAW and part.kind == _BYTES:
            raw = part
        elif part.number == _EXTERNAL and part.kind == _BYTES:
            key, value = _pair(cursor, part)
            external[key] = value
    return _made(cursor, name, tuple(shape), kind, raw, external)


def _made(
    cursor: Cursor, name: str, shape: tuple[int, ...], kind: int, raw: _Field | None, external: dict[str, str]
) -> Tensor:
    if kind not in BITS or any(extent >= 1 << 48 for extent in shape):
        raise cursor.bad(f"`{name}` is of type {kind}, which is not known, or has no shape")
    dtype, bits = BITS[kind]
    elements = Tensor(name=name, dtype=dtype, shape=shape, size_bytes=0).elements
    location = external.get("location")
    if location is not None:
        _stays(location, name)
    if raw is not None and bits and raw.value != -(-elements * bits // 8):
        raise cursor.bad(f"`{name}` has {raw.value} bytes, which is not what its shape takes")
    return Tensor(
        name=name,
        dtype=dtype,
        shape=shape,
        size_bytes=raw.value if raw is not None else -(-elements * bits // 8),
        offset=raw.start if raw is not None else None,
        external=location,
    )


def _stays(location: str, name: str) -> None:
    escapes = location.startswith("/") or "\\" in location or ".." in location.split("/")
    if escapes or not location.isprintable():
        shown = repr(location[:200])
        raise WeightsOutside(f"the weights of `{name}` lie at {shown}, outside of the model's directory")


def _packed(cursor: Cursor, one: _Field) -> list[int]:
    numbers, at, end = [], one.start, one.start + one.value
    cursor.stream.seek(at)
    while at < end:
        number, at = _varint(cursor, at)
        numbers.append(number)
        if len(numbers) > 64:
            raise cursor.bad("a tensor has more than 64 dimensions")
    return numbers


def _pair(cursor: Cursor, one: _Field) -> tuple[str, str]:
    texts = {
        part.number: _text(cursor, part)
        for part in _fields(cursor, one.start + one.value)
        if part.kind == _BYTES and part.number in (1, 2)
    }
    return texts.get(1, ""), texts.get(2, "")


def _text(cursor: Cursor, one: _Field) -> str:
    if one.value > _LONGEST_TEXT:
        raise cursor.bad(f"it has a text of {one.value} bytes")
    cursor.stream.seek(one.start)
    return cursor.take(one.value).decode("utf-8", "replace")


def _fields(cursor: Cursor, end: int) -> Iterator[_Field]:
    """The fields from where the cursor is to `end`; after each, the cursor is moved past it."""
    position = cursor.position
    while position < end:
        key, at = _varint(cursor, position)
        number, kind = key >> 3, key & 7
        value = 0
        if kind in (_VARINT, _BYTES):
            value, at = _varint(cursor, at)
        elif kind in (_FIXED64, _FIXED32):
            value = 8 if kind == _FIXED64 else 4
        else:
            raise cursor.bad(f"it has a field of kind {kind}")
        after = at if kind == _VARINT else at + value
        if number == 0 or after > end:
            raise cursor.bad("a field ends after what holds it")
        yield _Field(number=number, kind=kind, value=value, start=at)
        position = after
        cursor.stream.seek(position)


def _varint(cursor: Cursor, at: int) -> tuple[int, int]:
    """The number at the cursor, which is at `at`, and where the cursor is after it."""
    value, read = 0, cursor.stream.read
    for index in range(10):
        one = read(1)
        if not one:
            raise cursor.early()
        value |= (one[0] & 0x7F) << (7 * index)
        if one[0] < 0x80:
            return value, at + index + 1
    raise cursor.bad("it has a number of more than ten bytes")
