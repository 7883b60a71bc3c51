"""Library directories beyond the loader's two, as `ld.so.conf.d` names them.

Owns the links that make their libraries found without a cache. Executables' search paths are equal in
all environments, so a directory that only some packages bring cannot stand there.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.finishing.place import put_link
from cape.environment.relocation.paths import in_root


def link_configured_libraries(root: Path, triplet: str) -> None:
    """Link each library of a configured directory into the system's, unless one of that name is there."""
    known = [f"usr/lib/{triplet}", "usr/lib"]
    for directory in _configured(root):
        if directory in known:
            continue
        known.append(directory)
        for library in sorted((root / directory).glob("*.so*")):
            name = f"usr/lib/{triplet}/{library.name}"
            if not (root / name).is_symlink() and not (root / name).exists():
                put_link(root, name, f"{directory}/{library.name}")


def _configured(root: Path) -> list[str]:
    found: list[str] = []
    for file in sorted((root / "etc/ld.so.conf.d").glob("*.conf")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            text = line.split("#", 1)[0].strip()
            inside = in_root(text) if text.startswith("/") else None
            if inside is not None and (root / inside).is_dir():
                found.append(inside)
    return found
