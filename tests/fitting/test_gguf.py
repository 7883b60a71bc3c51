"""What a GGUF model takes: compared with what llama.cpp itself reserved and had resident."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cape.fitting import estimate_gguf, largest_context
from cape.models.header import Header, Tensor

MIB = 1 << 20


def smol() -> Header:
    """SmolLM2-135M as Q4_1: the numbers of its header."""
    keys = {
        "block_count": 30,
        "embedding_length": 576,
        "attention.head_count": 9,
        "attention.head_count_kv": 3,
        "feed_forward_length": 1536,
        "context_length": 8192,
    }
    start = 98362432 - 96574464
    return Header(
        format="gguf",
        metadata={"general.architecture": "llama", **{f"llama.{key}": value for key, value in keys.items()}},
        tensors=(Tensor(name="all", dtype="Q4_1", shape=(1,), size_bytes=96574464, offset=start),),
        long_lists={"tokenizer.ggml.tokens": 49152, "tokenizer.ggml.merges": 48900},
        data_start=start,
    )


def part(context: int, name: str, **options: str) -> float:
    parts = estimate_gguf(smol(), context=context, **options).parts  # type: ignore[arg-type]
    return next(one.size_bytes for one in parts if one.name == name) / MIB


@pytest.mark.parametrize(("context", "reserved"), [(512, 11.25), (2048, 45.0), (8192, 180.0)])
def test_cache_is_what_llama_cpp_reserved(context: int, reserved: float) -> None:
    assert part(context, "cache") == reserved


def test_quantised_cache_is_what_llama_cpp_reserved() -> None:
    assert part(2048, "cache", cache_type="q8_0") == pytest.approx(23.91, abs=0.01)


@pytest.mark.parametrize(("context", "reserved"), [(512, 15.14), (2048, 16.64), (8192, 22.64)])
def test_compute_is_near_what_llama_cpp_reserved(context: int, reserved: float) -> None:
    assert part(context, "compute") == pytest.approx(reserved, rel=0.01)


@pytest.mark.parametrize(("context", "resident"), [(512, 183.3), (2048, 220.6)])
def test_sum_is_within_a_tenth_of_what_was_resident_after_a_prompt(context: int, resident: float) -> None:
    assert estimate_gguf(smol(), context=context).size_bytes / MIB == pytest.approx(resident, rel=0.1)


def test_unknown_architecture_has_its_weights_and_says_what_is_missing() -> None:
    found = estimate_gguf(replace(smol(), metadata={"general.architecture": "odd"}), context=512)
    assert [one.name for one in found.parts] == ["weights"]
    assert found.unknown == ("cache and compute of architecture `odd`",)


def test_largest_context_fits_and_the_next_step_does_not() -> None:
    memory = 220 * MIB
    found = largest_context(smol(), memory_bytes=memory)
    assert found is not None
    assert estimate_gguf(smol(), context=found).size_bytes <= memory
    assert estimate_gguf(smol(), context=found + 256).size_bytes > memory


def test_no_context_fits_where_the_weights_do_not() -> None:
    assert largest_context(smol(), memory_bytes=50 * MIB) is None


def test_largest_context_is_never_more_than_the_model_was_trained_for() -> None:
    assert largest_context(smol(), memory_bytes=1 << 40) == 8192
