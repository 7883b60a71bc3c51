"""Shapes from headers and configurations, and laws that every sum keeps."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.fitting import Shape, shape_of_config
from cape.fitting.llama import Load, cache_bytes, compute_bytes, parts_of
from cape.fitting.training import Run, Training, estimate_torch
from tests.fitting.models import CONFIG, config

SHAPE = Shape(
    architecture="llama",
    hidden=64,
    feed_forward=256,
    attention=64,
    kv_widths=(64,) * 4,
    vocabulary=1000,
    merges=0,
    trained_context=4096,
)


def test_a_published_configuration_has_its_published_number_of_weights() -> None:
    """Llama 2 of 7 billion: 6,738,415,616 weights are published."""
    llama = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000,
        "max_position_embeddings": 4096,
    }  # fmt: skip
    shape = shape_of_config(llama)
    assert shape is not None
    assert shape.parameters == 6_738_415_616
    assert sum(shape.kv_widths) * 2 == 512 * 1024  # half a megabyte of cache per token, in 16 bits


def test_windows_are_read_from_the_kinds_of_layers() -> None:
    kinds = ["sliding_attention", "full_attention"]
    shape = shape_of_config(json.loads(config(sliding_window=512, layer_types=kinds)))
    assert shape is not None and shape.windows == (512, 0)


def test_latent_attention_keeps_the_latent_alone() -> None:
    shape = shape_of_config({**CONFIG, "kv_lora_rank": 512, "qk_rope_head_dim": 64})
    assert shape is not None and shape.kv_widths == (576, 576)


@pytest.mark.parametrize("changed", [{"model_type": "mamba"}, {"num_hidden_layers": "two"}, {"model_type": 7},
                                     {"layer_types": ["linear_attention", "full_attention"]}])  # fmt: skip
def test_what_is_no_plain_transformer_has_no_shape(changed: dict[str, object]) -> None:
    assert shape_of_config({**CONFIG, **changed}) is None


def test_layers_with_a_window_keep_no_more_than_it_and_a_batch() -> None:
    """Two layers whole, two of a window of 512 and a micro-batch of 512: 64 numbers of two bytes."""
    windowed = replace(SHAPE, windows=(512, 0, 512, 0))
    assert cache_bytes(windowed, Load(context=4096)) == 2 * 64 * 2 * (4096 + 1024)
    assert cache_bytes(windowed, Load(context=256)) == cache_bytes(SHAPE, Load(context=256))


@settings(max_examples=30, deadline=None)
@given(
    context=st.integers(1, 1 << 18), more=st.integers(0, 1 << 16), parallel=st.integers(1, 16),
    windows=st.sampled_from([(), (0,) * 4, (512, 0, 1024, 0)]),
)  # fmt: skip
def test_a_larger_context_or_more_sequences_never_take_less(
    context: int, more: int, parallel: int, windows: tuple[int, ...]
) -> None:
    shape = replace(SHAPE, windows=windows)

    def takes(load: Load) -> int:
        return sum(part.size_bytes for part in parts_of(shape, load))

    load = Load(context=context, parallel=parallel)
    assert takes(load) <= takes(replace(load, context=context + more))
    assert takes(load) <= takes(replace(load, parallel=parallel + 1))
    assert compute_bytes(shape, load) >= 0


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(1, 8192), batch=st.integers(1, 64), kind=st.sampled_from([None, *Training]))
def test_a_larger_batch_never_takes_less(tokens: int, batch: int, kind: Training | None) -> None:
    run = Run(tokens=tokens, batch=batch, training=kind)
    less = estimate_torch(SHAPE, run, parameters=1000).size_bytes
    assert less <= estimate_torch(SHAPE, replace(run, batch=batch + 1), parameters=1000).size_bytes
