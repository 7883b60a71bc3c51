"""Symbolic links of an unpacked tree, made relative.

Owns the new target of a link. It never follows one, and never asks whether the target exists: that may
come from another package.
"""

from __future__ import annotations

import posixpath

from cape.environment.relocation.paths import MERGED, in_root


def relative_target(link: str, target: str) -> str:
    """The target that a link below the root should have.

    `link` is relative to the root (`usr/bin/awk`), `target` as published. An absolute target becomes
    relative to the link's directory; one that climbs out of the root, or goes through a merged top
    directory, is made straight; all others, and those of the machine's own directories, stay.

    >>> relative_target("usr/bin/awk", "/etc/alternatives/awk")
    '../../etc/alternatives/awk'
    """
    directory = posixpath.dirname(link)
    if not target.startswith("/"):
        joined = posixpath.normpath(posixpath.join(directory, target))
        if joined.split("/")[0] not in MERGED | {".."}:
            return target
        target = "/" + joined
    inside = in_root(target)
    return target if inside is None else posixpath.relpath(inside, directory or ".")
