"""A model on a GPU: what lies in its memory and what in the processor's, and how many layers fit.

Own figures of drivers and run times on GPUs are as published, not measured here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cape.fitting.estimate import Estimate
from cape.fitting.llama import Load, compute_bytes, layer_cache_bytes
from cape.fitting.shape import Shape
from cape.models.header import Header

CONTEXT_BYTES = 512 << 20
"""What a driver and its libraries keep on every GPU that a process uses: some hundreds of megabytes."""
_LAYER = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """What lies where. `layers` of `all_layers` are on the GPUs; None where a model is not cut by layers."""

    gpu_bytes: int
    memory_bytes: int
    layers: int | None = None
    all_layers: int | None = None


def whole_on(estimate: Estimate, gpus: int = 1) -> Split:
    """Everything that a GPU can hold on the GPUs."""
    on_gpu = sum(part.size_bytes for part in estimate.parts if part.on_gpu)
    return Split(gpu_bytes=on_gpu + CONTEXT_BYTES * gpus, memory_bytes=estimate.size_bytes - on_gpu)


def split_layers(header: Header, shape: Shape, load: Load, estimate: Estimate, *, gpu_bytes: int) -> Split:
    """As many layers as there is room for, the last first, as llama.cpp puts them; the rest stays."""
    whole = whole_on(estimate)
    if whole.gpu_bytes <= gpu_bytes:
        return Split(
            gpu_bytes=whole.gpu_bytes,
            memory_bytes=whole.memory_bytes,
            layers=shape.layers,
            all_layers=shape.layers,
        )
    weights = layer_weights(header, shape.layers)
    had, count = CONTEXT_BYTES + compute_bytes(shape, load), 0
    for layer in reversed(range(shape.layers)):
        takes = weights[layer] + layer_cache_bytes(shape, load, layer)
        if had + takes > gpu_bytes:
            break
        had, count = had + takes, count + 1
    if count == 0:
        return Split(gpu_bytes=0, memory_bytes=estimate.size_bytes, layers=0, all_layers=shape.layers)
    rest = estimate.size_bytes - had + CONTEXT_BYTES + compute_bytes(shape, load)
    return Split(gpu_bytes=had, memory_bytes=rest, layers=count, all_layers=shape.layers)


def layer_weights(header: Header, layers: int) -> Sequence[int]:
    """The bytes of each layer's weights."""
    sizes = [0] * layers
    for tensor in header.tensors:
        found = _LAYER.match(tensor.name)
        if found and int(found[1]) < layers:
            sizes[int(found[1])] += tensor.size_bytes
    return sizes
