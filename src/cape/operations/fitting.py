"""`cape fit`: whether a model's file fits into this machine's memory, from its header alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cape.errors import InputError
from cape.fitting import CACHE_BYTES, Estimate, estimate_gguf, largest_context
from cape.models.errors import BadModelFile
from cape.models.recognition import read_header

_CONTROL_GROUPS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


class BadFitting(InputError):
    """A number or a word that a sum of memory cannot be made with."""

    slug = "bad-fitting"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """The sum, and what there is. `largest_context` is None where none fits, or it is not known."""

    estimate: Estimate
    context: int
    memory_bytes: int
    largest_context: int | None

    @property
    def fits(self) -> bool:
        return self.estimate.size_bytes <= self.memory_bytes


def fit_model(
    file: Path, *, context: int, cache_type: str = "f16", memory_bytes: int | None = None
) -> Fitting:
    """What a GGUF file takes, compared with `memory_bytes`, or with what is free here.

    Raises `BadModelFile`, `BadFitting`.
    """
    if cache_type not in CACHE_BYTES:
        raise BadFitting(f"`{cache_type}` is no type of cache", hint=f"there are {', '.join(CACHE_BYTES)}")
    if context < 1:
        raise BadFitting(f"a context of {context} tokens is none")
    try:
        header = read_header(file)
    except BadModelFile as error:
        raise BadModelFile(error.fact, where=str(file)) from error
    except OSError as error:
        raise BadModelFile(f"it cannot be read: {error.strerror}", where=str(file)) from error
    memory = free_memory() if memory_bytes is None else memory_bytes
    return Fitting(
        estimate=estimate_gguf(header, context=context, cache_type=cache_type),
        context=context,
        memory_bytes=memory,
        largest_context=largest_context(header, memory_bytes=memory, cache_type=cache_type),
    )


def free_memory(root: Path = Path("/")) -> int:
    """The bytes that are free or can be freed, and no more than the limit of the control group at hand."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    for name in _CONTROL_GROUPS:
        try:
            free = min(free, int((root / name).read_text()))
        except (OSError, ValueError):
            continue
    return free
