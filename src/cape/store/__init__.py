"""The store: artifacts, objects and environments on disk, shared by all projects of a user.

Owns their places, how they come to be (written beside, sealed, synced, renamed), leases, verification
and garbage collection. It knows nothing of manifests, shells or ecosystems: what a key is made of and
what a builder does comes from outside.
"""

from __future__ import annotations

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
