"""What can go wrong with a place, its records and their signatures."""

from __future__ import annotations

from cape.errors import InputError, IntegrityError, SourceError, StateError


class PlaceMissing(InputError):
    """There is nothing at the place, or what is there is no place of cape's."""

    slug = "place-missing"


class PlaceUnreachable(SourceError):
    """A place did not answer, or its client failed."""

    slug = "place-unreachable"


class PlaceNotWritable(StateError):
    """Nothing can be pushed to a place: it is read only, or not this user's."""

    slug = "place-not-writable"


class PlaceTooNew(StateError):
    """A place was written by a newer cape."""

    slug = "place-too-new"


class PlaceDamaged(IntegrityError):
    """Something in a place is not what its record says."""

    slug = "place-damaged"


class BadSignature(IntegrityError):
    """A record is not signed by the key that it names."""

    slug = "bad-signature"


class NotTrusted(StateError):
    """A record is signed by a key that this user does not trust yet."""

    slug = "key-not-trusted"


class KeyRevoked(IntegrityError):
    """A record is signed by a key that was revoked."""

    slug = "key-revoked"


class KeyMissing(StateError):
    """This user has no key to sign with."""

    slug = "no-signing-key"


class KeyUnknown(InputError):
    """No key has that name or fingerprint."""

    slug = "unknown-key"
