"""Links for programs that look beside themselves, where Debian has them look into `/etc` and elsewhere.

Owns one row for each. Such a program takes the path that it lies at for a sign of where it was installed:
in an environment that is not `/usr`, so it looks into a directory `etc` beside its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from cape.environment.finishing.place import put_link

_LINKS = (
    ("usr/etc/mono", "etc/mono"),
    # Emacs finds its own packages there once their source is installed, compiled or not.
    ("usr/share/emacs/site-lisp/elpa", "usr/share/emacs/site-lisp/elpa-src"),
)


def link_beside(root: Path) -> None:
    """Make each link whose target is in the root and whose place is free."""
    for place, target in _LINKS:
        if (root / target).is_dir() and not os.path.lexists(root / place):
            put_link(root, place, target)
