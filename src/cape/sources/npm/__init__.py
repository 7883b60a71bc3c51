"""npm packages, with exact trees resolved by npm itself, and node's own programs.

Owns the conversation with npm, the reading of its lock and of a project's own `package.json`, node's binaries
per system, the unpacking of tarballs, and install scripts, which run where they may and without network. No
address of a registry is ever written in this code (npm's settings know it).
"""

from __future__ import annotations

from cape.sources.npm.source import NpmSource

__all__ = ["NpmSource"]
