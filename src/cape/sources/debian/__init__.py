"""The source `debian`: a suite of Debian's archive, resolved, verified and unpacked without apt or dpkg.

Owns everything that knows Debian: mirrors and keys, signed indices, version numbers, relations between
packages, and the deb format. Nothing here knows manifests, locks, stores or environments, and no
maintainer script is ever run.
"""

from __future__ import annotations

from cape.sources.debian.source import DebianSource, Description

__all__ = ["DebianSource", "Description"]
