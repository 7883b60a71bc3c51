"""The lock: every artifact that a manifest comes to, exact, for every system.

Owns the lock as a value and as text, making it from a manifest through the sources' Protocol, its
freshness, merges, comparison and identity. It must never hold anything that knows one ecosystem, reads
the network itself, or realises what is locked.
"""

from __future__ import annotations

from cape.lock.changes import Change, LockChanges, compare_locks
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
from cape.lock.freshness import check_freshness
from cape.lock.making import ALL, lock_manifest
from cape.lock.model import Lock
from cape.lock.queries import artifacts_of, explain, identity, rows_for
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
    "NoSourceOnSystem",
    "NoSuite",
    "SourceMissing",
    "UnknownUpgrade",
    "artifacts_of",
    "check_freshness",
    "compare_locks",
    "explain",
    "identity",
    "lock_manifest",
    "parse_lock",
    "read_lock",
    "render_lock",
    "rows_for",
    "wanted_requirements",
    "write_lock",
]
