"""The error for a cape that was installed without its knowledge part, and the import that raises it."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from typing import Any

from cape.errors import StateError


class KnowledgeNotInstalled(StateError):
    """A Python package that reads or ranks documents is not installed."""

    slug = "knowledge-not-installed"


def _missing(distribution: str) -> KnowledgeNotInstalled:
    return KnowledgeNotInstalled(
        f"the Python package `{distribution}` is not installed", hint="install `cape[knowledge]`"
    )


def load(module: str, distribution: str) -> Any:
    """The module of an optional package, imported now. Raises `KnowledgeNotInstalled`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(distribution) from error


@functools.cache
def version_of(distribution: str) -> str:
    """The installed version of an optional package. Raises `KnowledgeNotInstalled`."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing(distribution) from error
