"""What can go wrong between cape and a Debian archive, as errors that a user can act on.

Owns the leaves of the error tree that only this source raises. Nothing that finds them out belongs here.
"""

from __future__ import annotations

from cape.errors import IntegrityError, SourceError, StateError
from cape.sources.protocol import RegistryUnknown


class KeyringMissing(StateError):
    """No OpenPGP keys that could verify the archive's indices are on this machine."""

    slug = "keyring-missing"


class SignatureWrong(IntegrityError):
    """An index is not signed by a key that is trusted, or not as it is."""

    slug = "signature-wrong"


class IndexAltered(IntegrityError):
    """An index is not the one that the signed `Release` names."""

    slug = "index-altered"


class IndexExpired(SourceError):
    """A signed index is older than its signer allows."""

    slug = "index-expired"


class SuiteMissing(RegistryUnknown):
    """No Debian mirror of this machine has the suite."""

    slug = "suite-missing"


class DamagedPackage(IntegrityError):
    """A deb that cannot be unpacked: not the format, cut short, or with entries that no package has."""

    slug = "damaged-package"


class EscapingPath(IntegrityError):
    """A deb with a path that leads out of the tree that it is unpacked to."""

    slug = "escaping-path"


class UnreadableCompression(StateError):
    """A deb compressed in a way that this Python cannot read."""

    slug = "unreadable-compression"
