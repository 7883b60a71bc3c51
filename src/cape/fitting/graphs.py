"""The sum for onnxruntime: an ONNX graph on the processor, with the session's defaults.

Found from what sessions had resident at their highest: weights that a `Cast` or a `DequantizeLinear` widens
are widened while the graph is loaded, and both are kept; the largest matrix is there twice for a moment, and
of one that is widened also what it is scaled to; of matrices of products, which are packed anew, most of the
room stays taken; and each run's numbers lie twice, in the arena and in the plan that the first run makes. The
numbers of a run are summed for transformers alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cape.fitting.estimate import Estimate, Part
from cape.models.header import Header, Tensor

_MIB = 1 << 20
_RUN_TIME_BYTES = 66 * _MIB
"""Python with numpy and onnxruntime, a session, and no weights."""
_WIDENING = frozenset(("Cast", "DequantizeLinear"))
_PRODUCTS = frozenset(("MatMul", "Gemm"))
_NARROW = frozenset(("int8", "uint8", "int4", "uint4", "float16", "bfloat16"))
_PACKING = 0.7
"""How much of the room of what is packed anew stays taken."""
_SCORES, _GUARDED_SCORES = 2.0, 5.5
"""How many tables of scores lie there at once: few where attention is one step, more where it is guarded
against what is no number, as newer exporters of torch write it."""
_HEAD, _MINILM = 64, 384


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoder:
    """What can be told of a transformer from the sizes of its weights alone."""

    hidden: int
    feed_forward: int
    words: int
    is_guarded: bool

    @property
    def heads(self) -> int:
        """As most have it: of 64 numbers each; those of the MiniLMs are of 32."""
        return 12 if self.hidden == _MINILM else max(1, self.hidden // _HEAD)


def estimate_onnx(header: Header, *, batch: int, tokens: int) -> Estimate:
    """What a graph takes at its highest: while it is loaded, or in a run over so many tokens."""
    widened = [4 * one.elements for one in header.tensors if _is_widened(one)]
    packed = round(_PACKING * _packed(header))
    encoder = encoder_of(header)
    stored = max((one.size_bytes for one in header.tensors), default=0)
    loading = max(stored, 2 * max(widened, default=0)) - packed
    running = 2 * _activations(encoder, batch, tokens) if encoder else 0
    parts = [Part(name="weights", size_bytes=header.size_bytes)]
    parts += [Part(name="widened weights", size_bytes=sum(widened))] if widened else []
    parts += [Part(name="packed weights", size_bytes=packed)] if packed else []
    fullest = "loading" if loading > running else "activations"
    parts.append(Part(name=fullest, size_bytes=max(loading, running, 0)))
    parts.append(Part(name="run time", size_bytes=_RUN_TIME_BYTES, on_gpu=False))
    unknown = () if encoder else ("the numbers of a run of a graph that is no transformer",)
    return Estimate(parts=tuple(parts), unknown=unknown)


def encoder_of(header: Header) -> _Encoder | None:
    """The widths of a transformer; None where the graph does not look like one."""
    norms = Counter(one.shape[0] for one in header.tensors if len(one.shape) == 1 and one.dtype == "float")
    matrices = [one.shape for one in header.tensors if len(one.shape) == 2]
    for hidden, count in norms.most_common():
        beside = [shape[0] * shape[1] // hidden for shape in matrices if hidden in shape]
        if count >= 4 and len(beside) >= 4 and hidden >= 32:
            words = max(beside)
            forward = max((one for one in beside if one != words), default=words)
            operators = header.metadata.get("operators")
            return _Encoder(
                hidden=hidden,
                feed_forward=min(forward, 8 * hidden),
                words=words,
                is_guarded=isinstance(operators, tuple) and "IsNaN" in operators,
            )
    return None


def _is_widened(tensor: Tensor) -> bool:
    return tensor.used_by in _WIDENING and tensor.dtype in _NARROW and len(tensor.shape) > 1


def _packed(header: Header) -> int:
    """Matrices of products in 32 bits; of what is widened, all but the table of words."""
    plain = sum(
        one.size_bytes
        for one in header.tensors
        if one.used_by in _PRODUCTS and one.dtype == "float" and len(one.shape) == 2
    )
    widened = [4 * one.elements for one in header.tensors if _is_widened(one) and len(one.shape) == 2]
    return plain + sum(widened) - max(widened, default=0)


def _activations(encoder: _Encoder, batch: int, tokens: int) -> int:
    """The numbers of one layer: scores of every token against every other, and the widest part."""
    tables = _GUARDED_SCORES if encoder.is_guarded else _SCORES
    scores = round(tables * batch * encoder.heads * tokens * tokens)
    return 4 * max(scores + 3 * batch * tokens * encoder.hidden, 2 * batch * tokens * encoder.feed_forward)
