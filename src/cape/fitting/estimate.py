"""The sum: what llama.cpp has resident on a processor with a GGUF model, part by part.

The run time's own figures were measured with `xllamacpp` on x86-64; the compute buffer's form was found from
what llama.cpp reserved for models of random weights, with flash attention, which is its default.
"""

from __future__ import annotations

from dataclasses import dataclass

from cape.fitting.shape import Shape, shape_of
from cape.models.header import Header

_MIB = 1 << 20
_RUN_TIME_BYTES = 33 * _MIB
"""Python with `xllamacpp` loaded, and no model: anonymous and file pages."""
_TOKEN_BYTES, _MERGE_BYTES = 213, 314
"""What the tokenizer keeps for each word of the vocabulary, and each merge."""
CACHE_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""The bytes of one number of the cache."""
_STEP = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of the sum."""

    name: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What is resident. `unknown` names what could not be summed; empty where everything was."""

    parts: tuple[Part, ...]
    unknown: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)


def estimate_gguf(
    header: Header, *, context: int, micro_batch: int = 512, cache_type: str = "f16"
) -> Estimate:
    """What a GGUF model takes with `context` tokens in one sequence.

    A layer with a sliding window counts as a full one; weights that llama.cpp repacks for the processor
    count once. Raises `KeyError` for a type of cache that is not in `CACHE_BYTES`.
    """
    weights = Part(name="weights", size_bytes=header.data_start + header.size_bytes)
    shape = shape_of(header)
    if shape is None:
        told = header.metadata.get("general.architecture")
        return Estimate(parts=(weights,), unknown=(f"cache and compute of architecture `{told}`",))
    cells = -(-context // _STEP) * _STEP
    return Estimate(
        parts=(
            weights,
            Part(name="cache", size_bytes=_cache(shape, cells, CACHE_BYTES[cache_type])),
            Part(name="compute", size_bytes=_compute(shape, cells, micro_batch)),
            Part(name="tokenizer", size_bytes=_tokenizer(shape)),
            Part(name="run time", size_bytes=_RUN_TIME_BYTES),
        )
    )


def _cache(shape: Shape, cells: int, number_bytes: float) -> int:
    return round(cells * sum(shape.kv_widths) * number_bytes)


def _compute(shape: Shape, cells: int, micro_batch: int) -> int:
    """The compute buffer at its fullest: in the feed-forward part or in attention, and the mask."""
    forward = 5 * shape.hidden + 3 * shape.feed_forward
    attention = shape.hidden + 5 * shape.attention
    return micro_batch * (4 * max(forward, attention) + 2 * cells)


def _tokenizer(shape: Shape) -> int:
    return shape.vocabulary * _TOKEN_BYTES + shape.merges * _MERGE_BYTES


def largest_context(header: Header, *, memory_bytes: int, cache_type: str = "f16") -> int | None:
    """The largest context, in steps of 256 tokens, that memory holds; None where none does, or the
    architecture is unknown. Never more than the model was trained for."""
    shape = shape_of(header)
    if shape is None:
        return None
    low, high = 0, (shape.trained_context or 1 << 20) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        takes = estimate_gguf(header, context=middle * _STEP, cache_type=cache_type).size_bytes
        low, high = (middle, high) if takes <= memory_bytes else (low, middle - 1)
    return low * _STEP or None
