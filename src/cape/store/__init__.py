"""The store: artifacts, objects and environments on disk, shared by all projects of a user.

Owns their places, how they come to be (written beside, sealed, synced, renamed), leases, verification
and garbage collection. It knows nothing of manifests, shells or ecosystems: what a key is made of and
what a builder does comes from outside.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cape.store.artifacts import Artifacts
    from cape.store.collection import ABSENT_DAYS, Collected, collect, generations_reach
    from cape.store.errors import (
        ArtifactDamaged,
        ObjectDamaged,
        StoreInUse,
        StoreNotWritable,
        StoreRecordUnreadable,
    )
    from cape.store.listing import (
        ENVIRONMENT_PLACEHOLDER,
        STORE_PLACEHOLDER,
        ContentHasher,
        Entry,
        content_digest,
    )
    from cape.store.objects import Batch, Build, Objects, StoreObject
    from cape.store.projects import KnownProject, Projects
    from cape.store.store import Store

__all__ = [
    "ABSENT_DAYS",
    "ENVIRONMENT_PLACEHOLDER",
    "STORE_PLACEHOLDER",
    "ArtifactDamaged",
    "Artifacts",
    "Batch",
    "Build",
    "Collected",
    "ContentHasher",
    "Entry",
    "KnownProject",
    "ObjectDamaged",
    "Objects",
    "Projects",
    "Store",
    "StoreInUse",
    "StoreNotWritable",
    "StoreObject",
    "StoreRecordUnreadable",
    "collect",
    "content_digest",
    "generations_reach",
]

_HOMES = {
    "artifacts": ("Artifacts",),
    "collection": (
        "ABSENT_DAYS",
        "Collected",
        "collect",
        "generations_reach",
    ),
    "errors": (
        "ArtifactDamaged",
        "ObjectDamaged",
        "StoreInUse",
        "StoreNotWritable",
        "StoreRecordUnreadable",
    ),
    "listing": (
        "ENVIRONMENT_PLACEHOLDER",
        "STORE_PLACEHOLDER",
        "ContentHasher",
        "Entry",
        "content_digest",
    ),
    "objects": (
        "Batch",
        "Build",
        "Objects",
        "StoreObject",
    ),
    "projects": (
        "KnownProject",
        "Projects",
    ),
    "store": ("Store",),
}
"""The module that each public name lives in: a name is imported when it is first asked for, because
whoever only reads a lease or a record should not wait for what makes objects."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
