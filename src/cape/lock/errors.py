"""What can be wrong with a lockfile, or with what a manifest asks to lock.

Owns the leaves of the error tree that this room raises. Sources raise their own.
"""

from __future__ import annotations

from cape.errors import InputError, StateError


class BadLock(InputError):
    """The lockfile is not what cape writes, and no merge of such."""

    slug = "bad-lock"


class LockTooNew(StateError):
    """The lockfile was written by a newer cape."""

    slug = "lock-too-new"


class LockUnreadable(StateError):
    """The lockfile is there and cannot be read."""

    slug = "lock-unreadable"


class LockNotWritable(StateError):
    """The lockfile cannot be written; the old one is as it was."""

    slug = "lock-not-writable"


class NoSourceOnSystem(InputError):
    """A package whose source has nothing for a system that it is wanted on."""

    slug = "no-source-on-system"


class NoSuite(InputError):
    """Debian packages are wanted, and the manifest names no suite."""

    slug = "no-suite"


class SourceMissing(InputError):
    """A package of a source that this cape does not have."""

    slug = "source-missing"


class UnknownUpgrade(InputError):
    """A name to upgrade that neither manifest nor lock have."""

    slug = "unknown-upgrade"
