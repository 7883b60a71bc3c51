"""Which files of a directory are read, by whom, and how their wishes become one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from cape.adoption import apt, conda, docker, nix, node, python, tools
from cape.adoption.model import Adoption, Reading, Wish

Reader = Callable[[str, str, Reading], None]
"""Takes a file's name, its text, and what to add to."""

READERS: tuple[tuple[str, Reader], ...] = (
    ("pyproject.toml", python.read_pyproject),
    ("requirements*.txt", python.read_requirements),
    ("environment.yml", conda.read_environment),
    ("environment.yaml", conda.read_environment),
    ("package.json", node.read_package),
    ("Aptfile", apt.read_list),
    ("apt.txt", apt.read_list),
    ("packages.txt", apt.read_list),
    (".tool-versions", tools.read_tool_versions),
    (".python-version", tools.read_python_version),
    (".nvmrc", tools.read_node_version),
    (".node-version", tools.read_node_version),
    ("mise.toml", tools.read_mise),
    (".mise.toml", tools.read_mise),
    ("devbox.json", nix.read_devbox),
    (".flox/env/manifest.toml", nix.read_flox),
    ("Dockerfile", docker.read_dockerfile),
    ("Containerfile", docker.read_dockerfile),
)
"""Patterns of files, the more exact statement of a need before the vaguer one."""

_TOO_LARGE_BYTES = 1 << 20


def adopt(directory: Path) -> Adoption:
    """What the files of a directory ask for; nothing when there are none. Never raises for a bad file."""
    reading = Reading()
    for pattern, reader in READERS:
        for path in sorted(directory.glob(pattern)):
            if path.is_file():
                _read(path, path.relative_to(directory).as_posix(), reader, reading)
    return Adoption(
        files=tuple(reading.files),
        wishes=tuple(_joined(reading)),
        variables=tuple(reading.variables.items()),
        hooks=tuple(reading.hooks),
        followed=tuple(reading.followed.items()),
        unmapped=tuple(reading.unmapped),
    )


def _read(path: Path, name: str, reader: Reader, reading: Reading) -> None:
    try:
        if path.stat().st_size > _TOO_LARGE_BYTES:
            raise ValueError("it is larger than a list of packages is")
        text = path.read_text(encoding="utf-8-sig")
        reader(name, text, reading)
    except (OSError, ValueError) as error:
        reading.leave(name, path.name, f"it cannot be read: {error}".splitlines()[0])
        return
    reading.files.append(name)


def _joined(reading: Reading) -> Iterable[Wish]:
    """One wish for each package; what two files say of it is joined, or the first counts and it is told."""
    known: dict[tuple[str, str], Wish] = {}
    for wish in reading.wishes:
        key = (wish.source, _folded(wish))
        first = known.get(key)
        known[key] = wish if first is None else _both(first, wish, reading)
    return known.values()


def _folded(wish: Wish) -> str:
    return python.folded(wish.package) if wish.source == "pypi" else wish.package


def _both(first: Wish, other: Wish, reading: Reading) -> Wish:
    extras = tuple(dict.fromkeys((*first.extras, *other.extras)))
    first = replace(first, extras=extras, certain=first.certain or other.certain)
    if other.constraint in ("*", first.constraint):
        return first
    if first.constraint == "*":
        return replace(first, constraint=other.constraint)
    if first.source == "pypi":
        return replace(first, constraint=python.both(first.constraint, other.constraint))
    reading.leave(
        other.where, f"{other.package} {other.constraint}", f"`{first.constraint}` of {first.where} counts"
    )
    return first
