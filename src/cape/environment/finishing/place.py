"""Putting a generated file or link into an environment's root, never through a hard link or out of it.

Owns the writing. What is written, and why, belongs to the modules beside this one.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from cape.errors import IntegrityError


class EscapingPath(IntegrityError):
    """A generated file would lie outside of the environment."""

    slug = "escaping-path"


def exists(root: Path, path: str) -> bool:
    """Whether an absolute path of a system has a file or link, dangling or not, in the root."""
    from cape.environment.relocation.paths import in_root  # Activation, which must be quick, reaches here.

    inside = in_root(path)
    return inside is not None and os.path.lexists(root / inside)


def put_file(root: Path, path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file at `path` (relative to the root), in place of whatever link or file was there."""
    place = _cleared(root, path)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)


def put_link(root: Path, path: str, target: str) -> None:
    """Make `path` a link to `target`, both relative to the root, in place of what was there."""
    os.symlink(posixpath.relpath(target, posixpath.dirname(path) or "."), _cleared(root, path))


def _cleared(root: Path, path: str) -> Path:
    place = root / path
    home = Path(os.path.realpath(root))
    if not Path(os.path.realpath(place.parent)).is_relative_to(home) or ".." in Path(path).parts:
        raise EscapingPath(f"`{path}` leads out of the environment", where=str(root))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    return place
