"""A machine as a tree of files: `/`, or a directory laid out like it.

Every reading is of small files that kernels keep in memory: no device is opened, so none wakes up.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from cape.names import System

_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The files of a machine, and the system that it is of."""

    root: Path = Path("/")
    system: System = field(default_factory=System.current)
    release: str = field(default_factory=platform.release)

    def text(self, path: str) -> str | None:
        """The text of a file, without blanks around it; None where it cannot be read."""
        try:
            with open(self.root / path, "rb") as stream:
                return stream.read(_LARGEST_BYTES).decode("utf-8", "replace").strip()
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; empty where there is none."""
        try:
            return sorted(os.listdir(self.root / path))
        except OSError:
            return []

    def has(self, path: str) -> bool:
        """Whether there is a file, directory or device of that name."""
        return (self.root / path).exists()

    def can_open(self, path: str) -> bool:
        """Whether this user may read and write a device."""
        return os.access(self.root / path, os.R_OK | os.W_OK)
