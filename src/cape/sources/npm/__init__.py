"""npm packages, with exact trees resolved by npm itself, and node's own programs.

Owns the conversation with npm, the reading of its lock, node's binaries per system, and the unpacking
of tarballs. No lifecycle script ever runs, and no address of a registry is ever written in this code
(npm's settings know it).
"""

from __future__ import annotations

from cape.sources.npm.source import NpmSource

__all__ = ["NpmSource"]
