"""The sum for llama.cpp: what it has resident with a GGUF model, part by part.

Source: the cache's sizes are llama.cpp's own (`llama-kv-cache*.cpp`); the forms of the compute buffer and the
types that are repacked were found from what it reserved for models of random weights, and the run time's
own figures from what `xllamacpp` had resident on x86-64, with flash attention, which is its default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cape.errors import InputError
from cape.fitting.estimate import Estimate, Part, largest
from cape.fitting.shape import Shape, shape_of
from cape.models.header import Header, Tensor

_MIB = 1 << 20
_RUN_TIME_BYTES = 38 * _MIB
"""Python with `xllamacpp`, its server and its threads, and no model."""
_WORD_BYTES, _MERGE_BYTES = 245, 314
"""What the tokenizer and the sampler keep for each word of the vocabulary, and each merge."""
CACHE_BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32,
    "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
"""The bytes of one number of the cache."""
REPACKED = frozenset(("Q4_0", "Q4_K", "IQ4_NL", "MXFP4"))
"""Types that llama.cpp keeps in another order for a processor with AVX2, beside the file's pages."""
_STEP = 256
MICRO_BATCH = 512
_CHECKPOINT_TOKENS, _MOST_CHECKPOINTS = 8192, 32
_WORDS = "token_embd.weight"


class UnknownShape(InputError):
    """A model's architecture is not known, so that only its weights can be summed."""

    slug = "unknown-shape"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How a model is run: `context` tokens in each of `parallel` sequences."""

    context: int = 4096
    parallel: int = 1
    micro_batch: int = MICRO_BATCH
    cache_type: str = "f16"


LOAD = Load()


def memory_needed(model_file: Path, *, context: int, parallel: int = 1) -> int:
    """The bytes that serving a GGUF file with `xllamacpp` has resident at its fullest, without head-room.

    `context` is the tokens of one sequence, `parallel` how many run at once.
    Raises `BadModelFile`, `UnknownShape`, `OSError`.
    """
    from cape.models.recognition import read_header

    found = estimate_gguf(read_header(model_file), context=context, parallel=parallel)
    if found.unknown:
        raise UnknownShape(f"not known: {found.unknown[0]}", where=str(model_file))
    return found.size_bytes


def estimate_gguf(
    header: Header,
    *,
    context: int,
    micro_batch: int = MICRO_BATCH,
    cache_type: str = "f16",
    parallel: int = 1,
) -> Estimate:
    """What a GGUF model takes on the processor, with `context` tokens in each of `parallel` sequences.

    Raises `KeyError` for a type of cache that is not in `CACHE_BYTES`.
    """
    load = Load(context=context, parallel=parallel, micro_batch=micro_batch, cache_type=cache_type)
    shape = shape_of(header)
    weights = Part(name="weights", size_bytes=_mapped(header, shape))
    if shape is None:
        told = header.metadata.get("general.architecture")
        return Estimate(parts=(weights,), unknown=(f"cache and compute of architecture `{told}`",))
    repacked = sum(tensor.size_bytes for tensor in _repacked(header, shape))
    return Estimate(
        parts=(weights, *_kept(Part(name="repacked weights", size_bytes=repacked)), *parts_of(shape, load))
    )


def parts_of(shape: Shape, load: Load) -> tuple[Part, ...]:
    """All parts but the weights."""
    return (
        *_kept(
            Part(name="cache", size_bytes=cache_bytes(shape, load)),
            Part(name="checkpoints", size_bytes=_checkpoints(shape, load), on_gpu=False),
        ),
        Part(name="compute", size_bytes=compute_bytes(shape, load)),
        Part(name="tokenizer", size_bytes=_tokenizer(shape), on_gpu=False),
        Part(name="run time", size_bytes=_RUN_TIME_BYTES, on_gpu=False),
    )


def _kept(*parts: Part) -> Iterable[Part]:
    return (part for part in parts if part.size_bytes)


# -- weights --------------------------------------------------------------------------------------------


def _repacked(header: Header, shape: Shape | None) -> list[Tensor]:
    """The matrices that get another order; the vocabulary's only where it is the output's, too."""
    tied = shape is not None and shape.tied
    return [
        tensor
        for tensor in header.tensors
        if tensor.dtype in REPACKED
        and len(tensor.shape) > 1
        and tensor.shape[1] % 8 == 0
        and (tensor.name != _WORDS or tied)
    ]


def _mapped(header: Header, shape: Shape | None) -> int:
    """The pages of the file that stay: from the first to the last tensor that is used as it is."""
    elsewhere = {tensor.name for tensor in _repacked(header, shape) if tensor.name != _WORDS}
    used = [tensor for tensor in header.tensors if tensor.name not in elsewhere]
    places = [(tensor.offset or 0, (tensor.offset or 0) + tensor.size_bytes) for tensor in used]
    return max(end for _, end in places) - min(start for start, _ in places) if places else 0


# -- cache ----------------------------------------------------------------------------------------------


def cells_of(tokens: int) -> int:
    """The cells of a cache of so many tokens: whole steps."""
    return -(-tokens // _STEP) * _STEP


def layer_cache_bytes(shape: Shape, load: Load, layer: int) -> int:
    """The cache of one layer, for all sequences."""
    window = shape.windows[layer] if shape.windows else 0
    cells = cells_of(load.context)
    if window:
        cells = min(cells, cells_of(window + load.micro_batch))
    return round(cells * load.parallel * shape.kv_widths[layer] * CACHE_BYTES[load.cache_type])


def cache_bytes(shape: Shape, load: Load) -> int:
    """The cache of all layers."""
    return sum(layer_cache_bytes(shape, load, layer) for layer in range(shape.layers))


def _checkpoints(shape: Shape, load: Load) -> int:
    """Copies of the windows' caches that the server keeps, to go back in a conversation."""
    windows = shape.windows or (0,) * shape.layers
    width = sum(
        min(window, load.context) * kv for window, kv in zip(windows, shape.kv_widths, strict=True) if window
    )
    count = min(_MOST_CHECKPOINTS, 1 + load.context // _CHECKPOINT_TOKENS)
    return round(width * CACHE_BYTES[load.cache_type]) * count * load.parallel


# -- the rest -------------------------------------------------------------------------------------------


def compute_bytes(shape: Shape, load: Load) -> int:
    """The compute buffer at its fullest: in the feed-forward part or in attention, and the mask."""
    hidden, forward = shape.hidden, shape.feed_forward
    kv = max(shape.kv_widths) // 2
    widest = max(5 * hidden + 3 * forward, hidden + 3 * shape.attention + 2 * kv)
    if shape.experts:
        used = max(1, shape.experts_used)
        widest = max(
            3 * hidden + 3 * used * forward + used * hidden // 2,
            (3 + 2 * used) * hidden,
            hidden + 3 * shape.attention + 2 * kv,
        )
    cells = cells_of(load.micro_batch if shape.is_encoder else load.context)
    return min(load.micro_batch, cells_of(load.context)) * (4 * widest + 2 * cells)


def _tokenizer(shape: Shape) -> int:
    return shape.vocabulary * _WORD_BYTES + shape.merges * _MERGE_BYTES


def largest_context(
    header: Header, *, memory_bytes: int, cache_type: str = "f16", parallel: int = 1
) -> int | None:
    """The largest context, in steps of 256 tokens, that memory holds; None where none does, or the
    architecture is unknown. Never more than the model was trained for."""
    shape = shape_of(header)
    if shape is None:
        return None

    def fits(context: int) -> bool:
        found = estimate_gguf(header, context=context, cache_type=cache_type, parallel=parallel)
        return found.size_bytes <= memory_bytes

    return largest(fits, step=_STEP, most=shape.trained_context or 1 << 20)
