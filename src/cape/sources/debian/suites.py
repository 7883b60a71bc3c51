"""The order of Debian's releases.

Owns which suites come before and after another. Whether a mirror has them is not known here.
"""

from __future__ import annotations

RELEASES = ("bullseye", "bookworm", "trixie", "forky", "duke")
"""Debian's releases by name, oldest first."""


def neighbours(suite: str) -> tuple[str, ...]:
    """The releases next to one, the later first; empty for a suite that is no release.

    >>> neighbours("trixie"), neighbours("sid")
    (('forky', 'bookworm'), ())
    """
    if suite not in RELEASES:
        return ()
    at = RELEASES.index(suite)
    return (*RELEASES[at + 1 : at + 2], *reversed(RELEASES[max(at - 1, 0) : at]))
