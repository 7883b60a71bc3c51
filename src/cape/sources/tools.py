"""What sources share that work through another ecosystem's own tool (uv, npm).

Owns the errors of such tools and of constraints in their language, and the directories that tools work
in. Nothing that knows one tool belongs here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cape.errors import InputError, SourceError, StateError


class ToolMissing(StateError):
    """A tool that a source works with is not on this machine."""

    slug = "tool-missing"


class ToolFailed(SourceError):
    """A tool that a source works with failed in a way that cape does not know."""

    slug = "tool-failed"


class BadConstraint(InputError):
    """A package's name or constraint is not in the language of its source."""

    slug = "bad-constraint"


def last_lines(text: str, count: int = 12) -> Sequence[str]:
    """The last lines of a tool's output, without colours and without empty ones."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return [line.rstrip()[:200] for line in plain.splitlines() if line.strip()][-count:]


_YOUNG_S = 60.0
"""A directory younger than this may be about to be locked by the one that made it."""

_swept: set[tuple[Path, str]] = set()


@contextlib.contextmanager
def workplace(cache: Path, prefix: str) -> Iterator[Path]:
    """An empty directory below `cache`, removed at the end of the block.

    It is locked meanwhile, and the kernel drops the lock when this process dies: so what a killed process
    left is told from what a running one uses, and removed at the next process's first workplace.
    """
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache, prefix)
    place = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=cache))
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield place
    finally:
        os.close(descriptor)
        shutil.rmtree(place, ignore_errors=True)


def _sweep(cache: Path, prefix: str) -> None:
    """Remove the workplaces of the dead, once for each process. Where there are no locks, nothing is."""
    if (cache, prefix) in _swept:
        return
    _swept.add((cache, prefix))
    for place in cache.glob(f"{prefix}-*"):
        with contextlib.suppress(OSError):
            if place.is_dir() and time.time() - place.stat().st_mtime > _YOUNG_S and not _is_used(place):
                shutil.rmtree(place, ignore_errors=True)


def _is_used(place: Path) -> bool:
    """Whether a running process holds the workplace. Raises `OSError` where that cannot be known."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
