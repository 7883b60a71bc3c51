"""What onnxruntime takes: of the locked MiniLM's sizes, and of a graph that is no transformer."""

from __future__ import annotations

import pytest

from cape.fitting.graphs import encoder_of, estimate_onnx
from cape.models.header import Header, Tensor

MIB = 1 << 20


def tensor(name: str, *shape: int, dtype: str = "float", used_by: str | None = None) -> Tensor:
    width = {"float": 4, "int8": 1}[dtype]
    bare = Tensor(name=name, dtype=dtype, shape=shape, size_bytes=0)
    return Tensor(name=name, dtype=dtype, shape=shape, size_bytes=bare.elements * width, used_by=used_by)


def encoder(layers: int, *, dtype: str, used_by: str, words_by: str) -> Header:
    """The sizes of a MiniLM: 384 wide, 1536 in its feed-forward part, 30,522 words."""
    tensors = [tensor("words", 30522, 384, dtype=dtype, used_by=words_by)]
    for layer in range(layers):
        tensors += [tensor(f"{layer}.{name}", 384, 384, dtype=dtype, used_by=used_by) for name in "qkvo"]
        tensors += [
            tensor(f"{layer}.up", 384, 1536, dtype=dtype, used_by=used_by),
            tensor(f"{layer}.down", 1536, 384, dtype=dtype, used_by=used_by),
        ]
        tensors += [tensor(f"{layer}.{name}", 384) for name in ("n1", "b1", "n2", "b2")]
    return Header(format="onnx", tensors=tuple(tensors))


@pytest.mark.parametrize(
    ("header", "resident"),
    [
        (encoder(3, dtype="float", used_by="MatMul", words_by="Gather"), 175.0),
        (encoder(6, dtype="int8", used_by="Cast", words_by="Cast"), 265.5),
    ],
)
def test_a_session_is_within_a_tenth_of_what_was_resident_at_its_highest(
    header: Header, resident: float
) -> None:
    """Measured with two MiniLMs, of three layers in 32 bits, and of six in 8 that are widened."""
    assert estimate_onnx(header, batch=1, tokens=128).size_bytes / MIB == pytest.approx(resident, rel=0.1)


def test_a_larger_batch_is_more_than_loading_takes() -> None:
    header = encoder(3, dtype="float", used_by="MatMul", words_by="Gather")
    found = estimate_onnx(header, batch=32, tokens=128)
    assert found.part("activations") > 0 and found.part("loading") == 0


def test_a_graph_that_is_no_transformer_has_its_weights_and_the_rest_is_said_to_be_unknown() -> None:
    header = Header(format="onnx", tensors=(tensor("kernel", 8, 3, 3, 3), tensor("bias", 8)))
    assert encoder_of(header) is None
    assert estimate_onnx(header, batch=1, tokens=1).unknown
