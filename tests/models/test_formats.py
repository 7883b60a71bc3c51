"""Readers of GGUF, safetensors and ONNX: what they tell, and that nothing makes them fall."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.models.errors import BadModelFile, HeaderEndsEarly, WeightsOutside
from cape.models.formats import gguf, onnx, safetensors
from cape.models.recognition import Kind, kind_of_bytes, read_header
from tests.models import weights


def packed(table: object, data: bytes = b"") -> bytes:
    head = json.dumps(table).encode() if not isinstance(table, bytes) else table
    return struct.pack("<Q", len(head)) + head + data


def field(number: int, value: int | bytes) -> bytes:
    """A field of a Protocol Buffers message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def tensor(
    name: str, kind: int, shape: tuple[int, ...], raw: bytes | None, location: str | None = None
) -> bytes:
    dims = b"".join(field(1, one) for one in shape)
    told = dims + field(2, kind) + field(8, name.encode())
    if raw is not None:
        told += field(9, raw)
    if location is not None:
        told += field(13, field(1, b"location") + field(2, location.encode()))
    return told


def model(*tensors: bytes, nodes: bytes = b"") -> bytes:
    graph = nodes + b"".join(field(5, one) for one in tensors)
    return (
        field(1, 8)
        + field(7, graph)
        + field(8, field(2, 17))
        + field(14, field(1, b"license") + field(2, b"mit"))
    )


def test_gguf_tells_its_tensors_licence_and_vocabulary() -> None:
    data = weights.gguf(licence="mit", tensors=3, words=5000)
    header = gguf.read(io.BytesIO(data), size_bytes=len(data))
    assert header.metadata["general.architecture"] == "llama" and header.licence == "mit"
    assert header.long_lists == {"tokenizer.ggml.tokens": 5000}
    assert [(one.name, one.dtype, one.shape, one.size_bytes) for one in header.tensors[:1]] == [
        ("t0", "F32", (8,), 32)
    ]
    last = header.tensors[-1]
    assert last.offset is not None and last.offset + last.size_bytes == len(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"GGML" + data[4:], "does not begin"),
        (lambda data: data[:4] + struct.pack("<I", 1) + data[8:], "version is 1"),
        (lambda data: data[:8] + struct.pack("<Q", 1 << 60) + data[16:], "tensors, more than"),
        (lambda data: data[:16] + struct.pack("<Q", 1 << 60) + data[24:], "keys, more than"),
        (lambda data: data[:24] + struct.pack("<Q", 1 << 60) + data[32:], "bytes of a key, more than"),
        (lambda data: data[:-1], "cut off"),
        (lambda data: data[:100], "ends early"),
    ],
)
def test_a_gguf_file_that_lies_is_refused(change: object, said: str) -> None:
    data = change(weights.gguf())  # type: ignore[operator]
    with pytest.raises(BadModelFile, match=said):
        gguf.read(io.BytesIO(data), size_bytes=len(data))


def test_a_beginning_of_a_gguf_file_is_enough_for_its_header() -> None:
    data = weights.gguf(tensors=2)
    start = gguf.read(io.BytesIO(data)).data_start
    assert gguf.read(io.BytesIO(data[:start])) == gguf.read(io.BytesIO(data))
    with pytest.raises(HeaderEndsEarly):
        gguf.read(io.BytesIO(data[: start // 2]))


def test_safetensors_tells_its_tensors_and_metadata() -> None:
    data = weights.safetensors(licence="apache-2.0")
    header = safetensors.read(io.BytesIO(data), size_bytes=len(data))
    assert header.licence == "apache-2.0" and header.by_dtype == {"F32": 16} and header.elements == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            packed({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"0000"),
            "not what its shape takes",
        ),
        (packed({"w": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"0000"), "not known"),
        (packed({"w": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"00"), "does not begin where"),
        (packed({"w": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"0"), "cut off"),
        (packed({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"0 more"), "bytes after"),
        (packed({"w": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}, b"0"), "no shape or place"),
        (packed(b'{"w": 1, "w": 2}'), "a key twice"),
        (packed(b"[" * 100_000), "no JSON"),
        (struct.pack("<Q", 1 << 40) + b"{}", "more than"),
        (packed({"__metadata__": {"a": 1}}), "no texts"),
    ],
)
def test_a_safetensors_file_that_lies_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadModelFile, match=said):
        safetensors.read(io.BytesIO(data), size_bytes=len(data))


def test_onnx_tells_initialisers_those_of_constants_and_of_graphs_in_graphs() -> None:
    inner = field(5, tensor("inner", 10, (4,), b"\0" * 8))
    branch = field(1, b"then") + field(6, inner)
    constant = field(1, b"value") + field(5, tensor("constant", 7, (1,), b"\0" * 8))
    nodes = field(1, field(5, branch)) + field(1, field(5, constant))
    data = model(tensor("w", 1, (2, 3), b"\0" * 24), nodes=nodes)
    header = onnx.read(io.BytesIO(data))
    assert {one.name: (one.dtype, one.size_bytes) for one in header.tensors} == {
        "w": ("float", 24), "inner": ("float16", 8), "constant": ("int64", 8)
    }  # fmt: skip
    assert header.metadata["opset"] == 17 and header.licence == "mit"


def test_onnx_weights_of_another_file_are_told_and_must_stay_beside_it() -> None:
    data = model(tensor("w", 1, (10,), None, "weights/model.onnx_data"))
    header = onnx.read(io.BytesIO(data))
    assert header.external == ("weights/model.onnx_data",) and header.size_bytes == 40
    for outside in ("../secret", "/etc/shadow", "a/../../b", "..\\b"):
        with pytest.raises(WeightsOutside):
            onnx.read(io.BytesIO(model(tensor("w", 1, (10,), None, outside))))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x08", b"\x08\x08", b"hello", field(1, 8) + field(7, b"\x2a\xff\xff\xff\xff\x0f"), b"\xff" * 40,
     model(tensor("w", 1, (3,), b"\0"))],
)  # fmt: skip
def test_what_is_no_onnx_model_is_refused(data: bytes) -> None:
    with pytest.raises(BadModelFile):
        onnx.read(io.BytesIO(data))


WHOLE = (
    weights.gguf(tensors=2),
    weights.safetensors(licence="mit"),
    model(tensor("w", 1, (2, 3), b"\0" * 24)),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(range(3)), st.data())
def test_any_change_of_a_file_is_read_or_refused_and_nothing_else(which: int, data: st.DataObject) -> None:
    changed = bytearray(WHOLE[which])
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))])
    reader = (gguf.read, safetensors.read, onnx.read)[which]
    for one in (bytes(changed), cut):
        try:
            reader(io.BytesIO(one), size_bytes=len(one))
        except BadModelFile:
            continue


@pytest.mark.parametrize(
    ("first", "name", "kind"),
    [
        (b"GGUF\x03\0\0\0", "model", Kind.GGUF),
        (b"GGUF\x03\0\0\0", "model.pt", Kind.PICKLE),
        (weights.safetensors()[:16], "model", Kind.SAFETENSORS),
        (struct.pack("<Q", 0x0380) + b'{"', "model", Kind.SAFETENSORS),
        (b"\x80\x04\x95", "model", Kind.PICKLE),
        (b"PK\x03\x04", "weights.zip", Kind.PICKLE),
        (b"\x08\x07", "model.onnx", Kind.ONNX),
        (b"{}", "config.json", Kind.OTHER),
        (b"", "pytorch_model.bin", Kind.PICKLE),
    ],
)
def test_a_kind_is_told_by_first_bytes_and_name(first: bytes, name: str, kind: Kind) -> None:
    assert kind_of_bytes(first, name) is kind


def test_a_file_is_read_by_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(weights.gguf())
    assert read_header(file).format == "gguf"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(BadModelFile, match="no GGUF, safetensors or ONNX file"):
        read_header(file)
