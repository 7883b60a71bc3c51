"""Models of a lock whose weights alone are more than this machine has of memory: said before they come."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cape.lock import Lock
from cape.names import Digest, System

_log = logging.getLogger(__name__)


def large_models(
    lock: Lock, system: System, *, memory_bytes: int, is_here: Callable[[Digest], bool] = lambda digest: False
) -> tuple[str, ...]:
    """A sentence for each model of a system whose files are not all here, and larger than memory. Pure."""
    sizes: dict[str, int] = {}
    coming: set[str] = set()
    for row in lock.packages:
        if row.source == "model" and system in row.systems and row.placement is not None:
            size = int(row.attributes.get("file-size", 0))
            sizes[row.placement] = sizes.get(row.placement, 0) + size
            if not is_here(row.artifact.digest):
                coming.add(row.placement)
    return tuple(
        f"the weights of `{name}` are {size / 1e9:.1f} GB, and {memory_bytes / 1e9:.1f} GB of memory are "
        f"free: `cape fit {name}` says what would fit"
        for name, size in sorted(sizes.items())
        if name in coming and size > memory_bytes
    )


def warn_of_large_models(lock: Lock, is_here: Callable[[Digest], bool]) -> None:
    """Say it at once, where a model of the lock is not here yet; costs nothing where there is none."""
    if not any(row.source == "model" and not is_here(row.artifact.digest) for row in lock.packages):
        return
    from cape.operations.memory import free_memory

    memory = free_memory()
    for sentence in large_models(lock, System.current(), memory_bytes=memory, is_here=is_here):
        _log.warning("warning: %s", sentence)
