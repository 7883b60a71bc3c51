"""Where the redirecting C library is that every environment gets.

Owns the path of the built library for each system. Building it belongs to the project's build
(`hatch_build.py`), and putting it into a tree to the environment.
"""

from __future__ import annotations

from pathlib import Path

from cape.errors import StateError
from cape.names import System

NAME = "libcape-redirect.so"


class RedirectLibraryMissing(StateError):
    """This installation of cape has no redirecting C library for a system."""

    slug = "redirect-library-missing"


def redirect_library(system: System) -> Path:
    """The redirecting C library for a system, as it was shipped with cape.

    Raises:
        RedirectLibraryMissing: the system is no Linux, or the wheel was built without it.
    """
    path = Path(__file__).parent / "lib" / system.value / NAME
    if not path.is_file():
        raise RedirectLibraryMissing(
            f"this installation of cape has no redirecting library for `{system}`",
            where=str(path),
            hint="install a wheel built for it, or run `python hatch_build.py` in a checkout of cape"
            if system.is_linux
            else "environments with system packages are made on Linux",
        )
    return path
