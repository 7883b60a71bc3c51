"""`cape fit`: whether a model fits into this machine's memory, from headers alone, and what else would."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.fitting import CACHE_BYTES, Estimate, Part, Shape, estimate_gguf, shape_of, shape_of_config
from cape.fitting.estimate import largest
from cape.fitting.graphs import encoder_of, estimate_onnx
from cape.fitting.llama import Load, parts_of
from cape.fitting.offloading import Split, split_layers, whole_on
from cape.fitting.quantising import BITS, OFFERED, quantised_bytes
from cape.fitting.retrieval import index_part
from cape.fitting.training import DTYPE_BYTES, Run, Training, estimate_torch
from cape.operations.memory import GpuMemory, free_memory, gpu_memories
from cape.operations.weighing import Weighed, weigh

if TYPE_CHECKING:
    from cape.operations.project import Workshop

__all__ = ["BadFitting", "FitRequest", "Fitting", "fit_model", "free_memory"]

LLAMA, TORCH, ONNX = "llama.cpp", "torch", "onnxruntime"
_CONTEXT, _TRAINED_TOKENS, _EMBEDDED_TOKENS = 4096, 512, 256
_STEP, _MOST_CONTEXT, _MOST_BATCH = 256, 1 << 22, 4096
_DIMENSIONS = 384
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SHORT = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "8bit": "int8", "4bit": "int4"}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class BadFitting(InputError):
    """A number or a word that a sum of memory cannot be made with."""

    slug = "bad-fitting"


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRequest:
    """What is asked. `model` is a file, a directory, a name of `[models]` or of a hub; `gpu` is `auto`,
    `none`, or sizes such as `24GiB` and `2x24GiB`."""

    model: str
    context: int | None = None
    batch: int = 1
    dtype: str | None = None
    cache_type: str = "f16"
    training: Training | None = None
    rank: int = 8
    master: bool = False
    embedder: str | None = None
    chunks: int = 0
    gpu: str = "auto"
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """The sum, and what there is. `fits` counts a tenth of head-room. The largest are None where none
    fits or it is not known; `remedies` are what would fit, where this does not."""

    model: str
    run_time: str
    estimate: Estimate
    context: int
    batch: int
    memory_bytes: int
    gpus: tuple[GpuMemory, ...]
    split: Split | None
    fits: bool
    is_here: bool
    largest_context: int | None
    largest_batch: int | None
    remedies: tuple[str, ...] = ()

    @property
    def headroom_bytes(self) -> int:
        return headroom(self.estimate.size_bytes)


def headroom(size_bytes: int) -> int:
    """What is to be free beside a sum: it may be wrong by a tenth, and programs that stand beside grow."""
    return size_bytes // 10


def fit_model(request: FitRequest, workshop: Callable[[], Workshop], directory: Path) -> Fitting:
    """What a model takes, compared with what is free here, or with what the request says that there is.

    Raises `BadFitting`, and as `weigh`.
    """
    request = _checked(request)
    weighed = weigh(request.model, workshop, directory)
    beside = _beside(request, workshop, directory)
    subject = _Subject(weighed, beside)
    request = replace(request, context=request.context or subject.usual_context(request))
    place = _place(request)
    estimate = subject.estimate(request, on_gpu=bool(place.gpus))
    split = _split(subject, request, estimate, place)
    does = _room(split, estimate, place)
    return Fitting(
        model=weighed.name,
        run_time=subject.run_time(request),
        estimate=estimate,
        context=request.context or 0,
        batch=request.batch,
        memory_bytes=place.memory_bytes,
        gpus=place.gpus,
        split=split,
        fits=does,
        is_here=weighed.is_here,
        largest_context=_largest_context(subject, request, place),
        largest_batch=_largest_batch(subject, request, place),
        remedies=() if does else tuple(_remedies(subject, request, place)) or (_enough(estimate),),
    )


def _checked(request: FitRequest) -> FitRequest:
    if request.cache_type not in CACHE_BYTES:
        raise BadFitting(
            f"`{request.cache_type}` is no type of cache", hint=f"there are {', '.join(CACHE_BYTES)}"
        )
    for number, what in ((request.context, "context"), (request.batch, "batch"), (request.rank, "rank")):
        if number is not None and number < 1:
            raise BadFitting(f"a {what} of {number} is none")
    dtype = _SHORT.get(request.dtype.lower(), request.dtype.lower()) if request.dtype else None
    if dtype and dtype not in DTYPE_BYTES:
        if dtype.upper() not in BITS:
            known = ", ".join((*DTYPE_BYTES, *(name.lower() for name in OFFERED)))
            raise BadFitting(f"`{request.dtype}` is no type of weights", hint=f"for example {known}")
        dtype = dtype.upper()
    return replace(request, dtype=dtype)


# -- what it is compared with ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    memory_bytes: int
    gpus: tuple[GpuMemory, ...] = ()

    @property
    def gpu_bytes(self) -> int:
        return sum(gpu.free_bytes for gpu in self.gpus)


def _place(request: FitRequest) -> _Place:
    memory = free_memory() if request.memory_bytes is None else request.memory_bytes
    if request.gpu == "none":
        return _Place(memory_bytes=memory)
    if request.gpu != "auto":
        return _Place(memory_bytes=memory, gpus=_told_gpus(request.gpu))
    if request.memory_bytes is not None:
        return _Place(memory_bytes=memory)  # another machine is meant
    from cape.operations.gpu import this_accelerator

    return _Place(memory_bytes=memory, gpus=gpu_memories(this_accelerator().kind))


def _told_gpus(text: str) -> tuple[GpuMemory, ...]:
    found = re.fullmatch(r"(?:(\d{1,3})x)?(.+)", text)
    assert found is not None
    size = size_of(found[2])
    return (GpuMemory(name=f"a GPU of {found[2]}", size_bytes=size, free_bytes=size),) * int(found[1] or 1)


def size_of(text: str) -> int:
    """The bytes of a size such as `8GiB`. Raises `BadFitting`.

    >>> size_of("1.5KiB")
    1536
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(?:([KMGT])iB)?", text)
    if found is None:
        raise BadFitting(f"`{text}` is no size", hint="for example `8GiB`")
    return int(float(found[1]) * _UNITS[found[2] or ""])


# -- the sum --------------------------------------------------------------------------------------------


class _Subject:
    """A model with what is loaded beside it, of which sums are made for many requests."""

    def __init__(self, weighed: Weighed, beside: tuple[Part, ...]) -> None:
        self.weighed = weighed
        self.beside = beside
        self.gguf = weighed.gguf
        self.shape = self._shape()
        first = weighed.headers[0] if weighed.headers else None
        self.onnx = first if first is not None and first.format == "onnx" else None

    def _shape(self) -> Shape | None:
        if self.gguf is not None:
            return shape_of(self.gguf)
        return shape_of_config(self.weighed.config) if self.weighed.config is not None else None

    @property
    def parameters(self) -> int:
        """The number of weights; 0 where it is not known."""
        if self.weighed.headers:
            return sum(header.elements for header in self.weighed.headers)
        return self.shape.parameters if self.shape else 0

    def run_time(self, request: FitRequest) -> str:
        if self.onnx is not None:
            return ONNX
        return LLAMA if self.gguf is not None or request.dtype in BITS else TORCH

    def usual_context(self, request: FitRequest) -> int:
        usual = _TRAINED_TOKENS if request.training else _EMBEDDED_TOKENS if self.onnx else _CONTEXT
        return min(usual, (self.shape.trained_context if self.shape else None) or usual)

    def estimate(self, request: FitRequest, *, on_gpu: bool = False) -> Estimate:
        found = self._alone(request)
        parts = found.parts
        if on_gpu and self.gguf is not None:  # nothing is repacked there
            kept = [part for part in parts[1:] if part.name != "repacked weights"]
            parts = (replace(parts[0], size_bytes=self.gguf.size_bytes), *kept)
        return replace(found, parts=(*parts, *self.beside))

    def _alone(self, request: FitRequest) -> Estimate:
        context = request.context or _CONTEXT
        if request.training and (self.gguf is not None or self.onnx is not None):
            raise BadFitting(
                f"`{self.weighed.name}` is not in a form that is trained",
                hint="name the safetensors files, or the `config.json`, that it was made from",
            )
        if request.dtype and (self.gguf is not None or self.onnx is not None):
            raise BadFitting(
                f"the weights of `{self.weighed.name}` are of the types that its file has",
                hint="leave `--dtype` out, or name the safetensors files that it was made from",
            )
        if self.gguf is not None:
            return estimate_gguf(
                self.gguf, context=context, parallel=request.batch, cache_type=request.cache_type
            )
        if self.onnx is not None:
            return estimate_onnx(self.onnx, batch=request.batch, tokens=context)
        if not self.parameters:
            return self._by_size()
        if request.dtype in BITS:
            return self._quantised(request.dtype, request, context)
        return self._by_torch(request, context)

    def _by_size(self) -> Estimate:
        if not self.weighed.size_bytes:
            raise BadFitting(f"`{self.weighed.name}` tells no sizes of a model")
        weights = Part(name="weights", size_bytes=self.weighed.size_bytes)
        return Estimate(parts=(weights,), unknown=("all but the weights, until the file is here",))

    def _quantised(self, name: str, request: FitRequest, context: int) -> Estimate:
        weights = Part(name="weights", size_bytes=quantised_bytes(self.parameters, name))
        if self.shape is None:
            return Estimate(parts=(weights,), unknown=("cache and compute of its architecture",))
        load = Load(context=context, parallel=request.batch, cache_type=request.cache_type)
        return Estimate(parts=(weights, *parts_of(self.shape, load)))

    def _by_torch(self, request: FitRequest, context: int) -> Estimate:
        dtype, parameters = request.dtype or self._stored_dtype(), self.parameters
        if dtype is None:  # packed by a quantiser: what is stored is what is loaded
            dtype, parameters = "int8", self.weighed.size_bytes
        run = Run(
            tokens=context,
            batch=request.batch,
            dtype=dtype,
            training=request.training,
            rank=request.rank,
            master=request.master,
        )
        found = estimate_torch(self.shape, run, parameters=parameters)
        return self._converted(found) if request.dtype not in (None, self._stored_dtype()) else found

    def _converted(self, estimate: Estimate) -> Estimate:
        """With the file's pages, while its weights are made into another type, before the rest is there."""
        later = estimate.size_bytes - estimate.part("weights") - estimate.part("run time")
        size = self.weighed.size_bytes - later
        if size <= 0:
            return estimate
        part = Part(name="conversion", size_bytes=size, on_gpu=False)
        return replace(estimate, parts=(*estimate.parts[:-1], part, estimate.parts[-1]))

    def _stored_dtype(self) -> str | None:
        """The dtype of most weights, else of the configuration; None for one that is not computed with."""
        sizes: dict[str, int] = {}
        for header in self.weighed.headers:
            for name, size in header.by_dtype.items():
                sizes[name] = sizes.get(name, 0) + size
        if sizes:
            return _NAMES.get(max(sizes, key=lambda name: sizes[name]))
        config = self.weighed.config or {}
        told = config.get("dtype", config.get("torch_dtype"))
        return told if isinstance(told, str) and told in DTYPE_BYTES else "float32"


def _beside(request: FitRequest, workshop: Callable[[], Workshop], directory: Path) -> tuple[Part, ...]:
    """The embedder, and the index of its vectors."""
    parts: list[Part] = []
    dimensions = _DIMENSIONS
    if request.embedder is not None:
        weighed = weigh(request.embedder, workshop, directory)
        subject = _Subject(weighed, ())
        asked = FitRequest(model=request.embedder, context=_EMBEDDED_TOKENS)
        size = subject.estimate(asked).size_bytes
        parts.append(Part(name=f"embedder {weighed.name}", size_bytes=size, on_gpu=False))
        encoder = encoder_of(subject.onnx) if subject.onnx else subject.shape
        dimensions = encoder.hidden if encoder else dimensions
    if request.chunks:
        parts.append(index_part(chunks=request.chunks, dimensions=dimensions))
    return tuple(parts)


# -- whether it fits, and what else would ---------------------------------------------------------------


def _split(subject: _Subject, request: FitRequest, estimate: Estimate, place: _Place) -> Split | None:
    """What lies on the GPUs; None where there are none."""
    if not place.gpus:
        return None
    if subject.gguf is not None and subject.shape is not None:
        load = Load(
            context=request.context or _CONTEXT, parallel=request.batch, cache_type=request.cache_type
        )
        room = place.gpu_bytes * 10 // 11
        return split_layers(subject.gguf, subject.shape, load, estimate, gpu_bytes=room)
    return whole_on(estimate, len(place.gpus))


def _room(split: Split | None, estimate: Estimate, place: _Place) -> bool:
    in_memory = split.memory_bytes if split else estimate.size_bytes
    on_gpu = split.gpu_bytes if split else 0
    return in_memory + headroom(in_memory) <= place.memory_bytes and (
        not split or on_gpu + headroom(on_gpu) <= place.gpu_bytes
    )


def _does_fit(subject: _Subject, request: FitRequest, place: _Place) -> bool:
    estimate = subject.estimate(request, on_gpu=bool(place.gpus))
    return _room(_split(subject, request, estimate, place), estimate, place)


def _largest_context(subject: _Subject, request: FitRequest, place: _Place) -> int | None:
    if subject.shape is None:
        return None
    most = subject.shape.trained_context or _MOST_CONTEXT
    step = min(_STEP, most)
    return largest(
        lambda tokens: _does_fit(subject, replace(request, context=tokens), place), step=step, most=most
    )


def _largest_batch(subject: _Subject, request: FitRequest, place: _Place) -> int | None:
    if subject.shape is None and (subject.onnx is None or encoder_of(subject.onnx) is None):
        return None
    return largest(
        lambda batch: _does_fit(subject, replace(request, batch=batch), place), step=1, most=_MOST_BATCH
    )


def _remedies(subject: _Subject, request: FitRequest, place: _Place) -> Iterator[str]:
    """What would fit, the least change first."""
    context = _largest_context(subject, request, place)
    if context and context < (request.context or 0):
        yield f"`--context {context}`"
    batch = _largest_batch(subject, request, place)
    if batch and batch < request.batch:
        yield f"`--batch {batch}`"
    is_whole = request.training is Training.FULL
    if is_whole and _does_fit(subject, replace(request, training=Training.LORA), place):
        yield f"`--train lora --rank {request.rank}`"
    is_wide = subject.run_time(request) == LLAMA and request.cache_type in ("f16", "f32", "bf16")
    if is_wide and _does_fit(subject, replace(request, cache_type="q8_0"), place):
        yield "`--kv-dtype q8_0`"
    yield from _smaller_weights(subject, request, place)
    if subject.run_time(request) == TORCH and request.training is None:
        for dtype in ("bfloat16", "int8", "int4"):
            if _does_fit(subject, replace(request, dtype=dtype), place):
                yield f"`--dtype {dtype}`"
                break


def _enough(estimate: Estimate) -> str:
    size = estimate.size_bytes
    return f"{_gigabytes(size + headroom(size))} of memory"


def _smaller_weights(subject: _Subject, request: FitRequest, place: _Place) -> Iterator[str]:
    """Another file of the same repository that fits, else the best quantisation that does."""
    estimate = subject.estimate(request, on_gpu=bool(place.gpus))
    weights = estimate.part("weights") + estimate.part("repacked weights")
    room = place.memory_bytes + (place.gpu_bytes if request.training is None else 0)

    def does(size: int) -> bool:
        takes = estimate.size_bytes - weights + size
        return size < weights and takes + headroom(takes) <= room

    others = {name: size for name, size in subject.weighed.others.items() if does(size)}
    if others:
        best = max(others, key=lambda name: others[name])
        yield f"`{best}` of the same repository, {_gigabytes(others[best])}"
        return
    if request.training is None and subject.onnx is None and subject.parameters:
        sizes = {name: quantised_bytes(subject.parameters, name) for name in OFFERED}
        best_name = next((name for name in OFFERED if does(sizes[name])), None)
        if best_name:
            yield f"weights as {best_name}, about {_gigabytes(sizes[best_name])}"


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:.0f} MB"
