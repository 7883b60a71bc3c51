"""What a generation tells of itself: what is new in it since the one before.

Owns comparing a generation that is about to be made with the current one, in lines for `cape history`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cape.environment.generations import Generation
from cape.environment.kept import kept_manifest
from cape.errors import CapeError
from cape.lock import Lock, compare_locks, parse_lock
from cape.manifest import Manifest, environment_of

_SECTIONS = ("vars", "services", "knowledge", "profile")


def changes_since(current: Generation | None, manifest: Manifest, lock: Lock) -> tuple[str, ...]:
    """Packages first, as `cape lock` lists them, then other keys of the manifest: `~ vars.PORT`."""
    before, old = _before(current)
    return (*compare_locks(old, lock).lines(), *sorted(_keys(before, manifest), key=lambda line: line[2:]))


def _before(current: Generation | None) -> tuple[Manifest | None, Lock | None]:
    """Manifest and lock of a generation; None for what an older or newer cape wrote in a way of its own."""
    if current is None:
        return None, None
    try:
        lock = parse_lock(current.lock_text, path=current.directory / "cape.lock")
    except (CapeError, OSError):
        lock = None
    try:
        return kept_manifest(current.project, Path(current.directory)), lock
    except (CapeError, OSError):
        return None, lock


def _keys(before: Manifest | None, after: Manifest) -> Iterator[str]:
    old, new = _values(before), _values(after)
    for key in old.keys() | new.keys():
        if key not in old:
            yield f"+ {key}"
        elif key not in new:
            yield f"- {key}"
        elif old[key] != new[key]:
            yield f"~ {key}"


def _values(manifest: Manifest | None) -> Mapping[str, object]:
    """What a manifest says beside its packages, by key."""
    if manifest is None:
        return {}
    values: dict[str, object] = dict(_own_values(manifest))
    for name in manifest.environments:
        one = environment_of(manifest, name)
        own = {key: value for key, value in _own_values(one) if values.get(key) != value}
        values |= {f"environments.{name}.{key}": value for key, value in own.items()}
    return values


def _own_values(manifest: Manifest) -> Iterator[tuple[str, object]]:
    for section in _SECTIONS:
        for name, value in getattr(manifest, section).items():
            yield f"{section}.{name}", value
    if manifest.hook.on_activate is not None:
        yield "hook.on-activate", manifest.hook.on_activate
