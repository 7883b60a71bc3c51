"""Sharing environments through places: what is kept there, who signed it, and whom this user trusts.

Owns the places (a directory, a git branch, a static http tree, a bucket), the signed records of what was
pushed, the keys, and trust. What a project does with them is an operation's; nothing here knows a manifest.
The layout of a place is in `docs/sharing.md`.
"""

from __future__ import annotations

from cape.sharing.errors import (
    BadSignature,
    KeyMissing,
    KeyRevoked,
    KeyUnknown,
    NotTrusted,
    PlaceDamaged,
    PlaceMissing,
    PlaceNotWritable,
    PlaceTooNew,
    PlaceUnreachable,
)
from cape.sharing.keys import PublicKey, Signer
from cape.sharing.ledger import Entry, Ledger
from cape.sharing.places import Place, open_place
from cape.sharing.records import Record

__all__ = [
    "BadSignature",
    "Entry",
    "KeyMissing",
    "KeyRevoked",
    "KeyUnknown",
    "Ledger",
    "NotTrusted",
    "Place",
    "PlaceDamaged",
    "PlaceMissing",
    "PlaceNotWritable",
    "PlaceTooNew",
    "PlaceUnreachable",
    "PublicKey",
    "Record",
    "Signer",
    "open_place",
]
