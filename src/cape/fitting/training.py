"""The sums for torch: a decoder by transformers that answers, is trained whole, or gets LoRA's adapters.

Source: what autograd keeps was counted with torch's own hooks for saved tensors, for models of several
widths; what a process had resident was measured with Debian's torch on x86-64. On a GPU the parts are the
same, but for the run time's. Checkpointing of activations is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cape.fitting.estimate import Estimate, Part
from cape.fitting.shape import Shape

_MIB = 1 << 20
_RUN_TIME_BYTES = 370 * _MIB
"""Python with torch and transformers, a model's code imported, and no weights."""
_WORKSPACE_BYTES = 12 * _MIB
_TRAINING_WORKSPACE_BYTES = 44 * _MIB
"""What products and the optimiser want for a moment, and what the heap does not give back."""
DTYPE_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}
"""The bytes of one weight."""
ADAPTED = 7
"""The linear layers of a decoder's layer: four of attention, three of the feed-forward part."""


class Training(StrEnum):
    """What is trained."""

    FULL = "full"
    LORA = "lora"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """How a model is used: `batch` sequences of `tokens` each. `master`: weights and moments are kept in 32
    bits beside those that are computed with, as mixed precision does."""

    tokens: int = 512
    batch: int = 1
    dtype: str = "float32"
    training: Training | None = None
    rank: int = 8
    master: bool = False


def estimate_torch(shape: Shape | None, run: Run, *, parameters: int) -> Estimate:
    """What a model of so many weights takes. Raises `KeyError` for a dtype that is not in `DTYPE_BYTES`."""
    weights = Part(name="weights", size_bytes=round(parameters * DTYPE_BYTES[run.dtype]))
    run_time = Part(name="run time", size_bytes=_RUN_TIME_BYTES, on_gpu=False)
    if run.training is Training.FULL:
        kept = _optimised(parameters, run)
    elif run.training is Training.LORA and shape is not None:
        kept = _optimised(adapter_parameters(shape, run.rank), run, name="adapters")
    else:
        kept = ()
    if shape is None:
        unknown = ("activations of an architecture that is not known",)
        return Estimate(parts=(weights, *kept, run_time), unknown=unknown)
    if run.training is None:
        return Estimate(parts=(weights, *_answering(shape, run), run_time))
    return Estimate(parts=(weights, *kept, *_passing(shape, run), run_time))


def adapter_parameters(shape: Shape, rank: int) -> int:
    """The weights of LoRA's two narrow matrices beside every linear layer.

    >>> shape = Shape(architecture="llama", hidden=8, feed_forward=16, attention=8, kv_widths=(8,),
    ...     vocabulary=10, merges=0, trained_context=None)
    >>> adapter_parameters(shape, 2)
    256
    """
    hidden, forward, attention = shape.hidden, shape.feed_forward, shape.attention
    layer = 2 * (hidden + attention) + 2 * hidden + (3 if shape.has_gate else 2) * (hidden + forward)
    return rank * (shape.layers * layer + sum(shape.kv_widths))


def _optimised(parameters: int, run: Run, name: str = "") -> tuple[Part, ...]:
    """What Adam keeps: a gradient and two moments of every weight that is trained, and a copy where that
    is kept."""
    size = round(parameters * DTYPE_BYTES[run.dtype])
    kept = 4 * parameters if run.master else size
    parts = [Part(name=name, size_bytes=size)] if name else []
    parts += [Part(name="gradients", size_bytes=size), Part(name="moments", size_bytes=2 * kept)]
    if run.master:
        parts.append(Part(name="master copy", size_bytes=kept))
    return tuple(parts)


def _answering(shape: Shape, run: Run) -> tuple[Part, ...]:
    """The cache, and one layer's numbers for all tokens of the prompt."""
    tokens, width = run.tokens * run.batch, _width(run)
    compute = tokens * width * (5 * shape.hidden + 3 * shape.feed_forward * max(1, shape.experts_used))
    logits = run.batch * shape.vocabulary * 4
    return (
        Part(name="cache", size_bytes=round(tokens * sum(shape.kv_widths) * width)),
        Part(name="compute", size_bytes=round(compute) + logits + _WORKSPACE_BYTES),
    )


def _passing(shape: Shape, run: Run) -> tuple[Part, ...]:
    """What the way forward keeps for the way back, and the loss."""
    tokens, width = run.tokens * run.batch, _width(run)
    upcast = 0 if run.dtype == "float32" else 2 * shape.hidden
    norms = (6 if run.training is Training.FULL else 4) * shape.hidden * width
    forward = 4 * shape.feed_forward * max(1, shape.experts_used) * width
    adapters = ADAPTED * run.rank * width if run.training is Training.LORA else 0
    layer = norms + upcast + forward + 5 * shape.attention * width + adapters
    loss = tokens * shape.vocabulary * (4 * 3 + (4 if run.dtype == "float32" else 2 * width))
    return (
        Part(name="activations", size_bytes=round(tokens * layer * shape.layers)),
        Part(name="loss", size_bytes=round(loss) + _TRAINING_WORKSPACE_BYTES),
    )


def _width(run: Run) -> float:
    """The bytes of one number that is computed with: quantised weights are computed with in 16 bits."""
    return max(2.0, DTYPE_BYTES[run.dtype])
