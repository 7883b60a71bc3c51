"""What `--mode dev` adds: compilers, pkg-config, manuals and completions find what the environment has.

Owns which variables lead there, and which of the environment's directories are named. Each is a list that
is prepended to, and only directories that exist are in it; nothing here is set in mode `run`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cape.environment.activation import Prepend

_ORIGIN = "mode dev"
_SYSTEMS_TOO = ":"
"""An empty entry at the end: what the program searches by itself comes after."""

_DATA_DEFAULT = ":/usr/local/share:/usr/share"

_LISTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("CPATH", ("root/usr/include", "root/usr/include/*-linux-gnu"), ""),
    ("LIBRARY_PATH", ("root/usr/lib/*-linux-gnu", "root/usr/lib"), ""),
    (
        "PKG_CONFIG_PATH",
        ("root/usr/lib/*-linux-gnu/pkgconfig", "root/usr/lib/pkgconfig", "root/usr/share/pkgconfig"),
        "",
    ),
    ("CMAKE_PREFIX_PATH", ("root/usr",), ""),
    ("ACLOCAL_PATH", ("root/usr/share/aclocal",), ""),
    ("MANPATH", ("root/usr/share/man", "share/man"), _SYSTEMS_TOO),
    ("INFOPATH", ("root/usr/share/info", "share/info"), _SYSTEMS_TOO),
    ("XDG_DATA_DIRS", ("root/usr/share", "share"), _DATA_DEFAULT),
)


def development_operations(environment: Path) -> Iterator[Prepend]:
    """One operation for each variable that has something to lead to."""
    for name, patterns, otherwise in _LISTS:
        found = _directories(environment, patterns)
        if found:
            value = ":".join(map(str, found))
            yield Prepend(name=name, value=value, origin=_ORIGIN, otherwise=otherwise)


def completion_directories(environment: Path, shell: str) -> tuple[Path, ...]:
    """Where the completions of the environment's programs for zsh or fish are."""
    share = "root/usr/share"
    patterns = {
        "zsh": (f"{share}/zsh/site-functions", f"{share}/zsh/vendor-completions"),
        "fish": (f"{share}/fish/vendor_completions.d",),
    }
    return tuple(_directories(environment, patterns.get(shell, ())))


def _directories(environment: Path, patterns: Iterable[str]) -> list[Path]:
    places = [place for pattern in patterns for place in sorted(environment.glob(pattern))]
    return [place for place in places if place.is_dir() and ":" not in str(place)]
