"""Python packages: wheels from a Python index, resolved by `uv`.

Owns the conversation with uv, the choice of one wheel per system, and the unpacking of wheels. Which
interpreter an environment has is told by the context; nothing here knows system packages, and no
address of an index is ever written in this code (uv, pip and the user's settings know it).
"""

from __future__ import annotations

from cape.sources.pypi.source import PypiSource
from cape.sources.pypi.tool import uv_version

__all__ = ["PypiSource", "uv_version"]
