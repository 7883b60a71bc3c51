"""Which scripts a package runs when it is installed.

Owns npm's rules: the three names, and `node-gyp rebuild` where there is a `binding.gyp` and no other way.
Nothing is run here.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cape.names import Digest
from cape.sources.protocol import ArtifactLookup

NAMES = ("preinstall", "install", "postinstall")
"""The scripts that npm runs in the directory of a package when it is installed, in this order."""

Scripts = tuple[tuple[str, str], ...]
"""Names and command lines, in the order in which they run."""


def scripts_of(described: Mapping[str, Any], *, has_gyp: bool) -> Scripts:
    """The install scripts of a package, by its `package.json` and whether it has a `binding.gyp`.

    >>> scripts_of({"scripts": {"test": "x"}}, has_gyp=True)
    (('install', 'node-gyp rebuild'),)
    """
    told = described.get("scripts")
    scripts = told if isinstance(told, Mapping) else {}
    found = {name: str(scripts[name]) for name in NAMES if isinstance(scripts.get(name), str)}
    if has_gyp and described.get("gypfile") is not False and not found.keys() & {"preinstall", "install"}:
        found["install"] = "node-gyp rebuild"
    return tuple((name, found[name]) for name in NAMES if name in found)


def install_scripts(artifacts: ArtifactLookup, digest: Digest) -> Scripts:
    """Those of a tarball that is in the store; empty when it is not there, or cannot be read."""
    if not artifacts.has(digest):
        return ()
    try:
        return _of_tarball(artifacts.path(digest))
    except (OSError, tarfile.TarError, EOFError, zlib.error, ValueError):
        return ()


def _of_tarball(tarball: Path) -> Scripts:
    described: Mapping[str, Any] = {}
    has_gyp = False
    with tarfile.open(tarball, "r:gz") as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            has_gyp = has_gyp or name == "binding.gyp"
            if name == "package.json" and (stream := archive.extractfile(member)) is not None:
                found = json.loads(stream.read().decode("utf-8-sig"))
                described = found if isinstance(found, dict) else {}
    return scripts_of(described, has_gyp=has_gyp)
