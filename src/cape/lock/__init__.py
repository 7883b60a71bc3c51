"""The lock: every artifact that a manifest comes to, exact, for every system.

Owns the lock as a value and as text, making it from a manifest through the sources' Protocol, its
freshness, merges, comparison and identity. It must never hold anything that knows one ecosystem, reads
the network itself, or realises what is locked.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cape.lock.changes import Change, LockChanges, compare_locks
    from cape.lock.environments import seed_for
    from cape.lock.errors import (
        BadLock,
        LockNotWritable,
        LockTooNew,
        LockUnreadable,
        NoSourceOnSystem,
        NoSuite,
        SourceMissing,
        UnknownUpgrade,
    )
    from cape.lock.files import read_lock, write_lock
    from cape.lock.freshness import check_freshness, locked_include, wanted_digest
    from cape.lock.keeping import ALL
    from cape.lock.knowledge import (
        LockedDocument,
        LockedKnowledge,
        document_line,
        knowledge_line,
        with_knowledge,
    )
    from cape.lock.making import lock_manifest
    from cape.lock.model import Lock, LockedInclude
    from cape.lock.queries import all_packages, artifacts_of, explain, identity, roots_for, rows_for
    from cape.lock.text import FORMAT, parse_lock, render_lock
    from cape.lock.wanted import IMPLICIT, wanted_requirements

__all__ = [
    "ALL",
    "FORMAT",
    "IMPLICIT",
    "BadLock",
    "Change",
    "Lock",
    "LockChanges",
    "LockNotWritable",
    "LockTooNew",
    "LockUnreadable",
    "LockedDocument",
    "LockedInclude",
    "LockedKnowledge",
    "NoSourceOnSystem",
    "NoSuite",
    "SourceMissing",
    "UnknownUpgrade",
    "all_packages",
    "artifacts_of",
    "check_freshness",
    "compare_locks",
    "document_line",
    "explain",
    "identity",
    "knowledge_line",
    "lock_manifest",
    "locked_include",
    "parse_lock",
    "read_lock",
    "render_lock",
    "roots_for",
    "rows_for",
    "seed_for",
    "wanted_digest",
    "wanted_requirements",
    "with_knowledge",
    "write_lock",
]

_HOMES = {
    "changes": ("Change", "LockChanges", "compare_locks"),
    "errors": (
        "BadLock",
        "LockNotWritable",
        "LockTooNew",
        "LockUnreadable",
        "NoSourceOnSystem",
        "NoSuite",
        "SourceMissing",
        "UnknownUpgrade",
    ),
    "files": ("read_lock", "write_lock"),
    "environments": ("seed_for",),
    "freshness": ("check_freshness", "locked_include", "wanted_digest"),
    "keeping": ("ALL",),
    "knowledge": (
        "LockedDocument",
        "LockedKnowledge",
        "document_line",
        "knowledge_line",
        "with_knowledge",
    ),
    "making": ("lock_manifest",),
    "model": ("Lock", "LockedInclude"),
    "queries": ("all_packages", "artifacts_of", "explain", "identity", "roots_for", "rows_for"),
    "text": ("FORMAT", "parse_lock", "render_lock"),
    "wanted": ("IMPLICIT", "wanted_requirements"),
}
"""The module that each public name lives in: a name is imported when it is first asked for, because
whoever only reads a lock should not wait for what makes one."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
