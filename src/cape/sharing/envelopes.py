"""Envelopes: bytes with the key and the signature that vouch for them, as a place keeps them.

Owns the one form in which anything signed is written. Whether the key is trusted is the ledger's.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cape.sharing.errors import BadSignature, PlaceDamaged, PlaceTooNew
from cape.sharing.keys import PublicKey, Signer

SCHEMA = 1


def seal(data: bytes, signer: Signer) -> bytes:
    """An envelope with `data`, which must be text, signed."""
    fields = {
        "schema": SCHEMA,
        "key": signer.public.text,
        "signature": base64.b64encode(signer.sign(data)).decode(),
        "record": data.decode(),
    }
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


def unseal(envelope: bytes | None, *, where: str) -> tuple[bytes, PublicKey]:
    """What an envelope holds, and the key that signed it.

    Raises `PlaceDamaged` (also for None), `PlaceTooNew`, `BadSignature`.
    """
    fields = _fields(envelope, where)
    try:
        signature = base64.b64decode(fields["signature"], validate=True)
        data, key = fields["record"].encode(), PublicKey.parse(fields["key"], where=where)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise PlaceDamaged("a record of the place cannot be read", where=where) from error
    if not key.signed(data, signature):
        raise BadSignature(
            "a record was altered after it was signed, or is signed by another key than it says",
            where=where,
            hint="believe nothing of this place until its owner explains it",
        )
    return data, key


def _fields(envelope: bytes | None, where: str) -> dict[str, Any]:
    if envelope is None:
        raise PlaceDamaged("a record of the place is missing", where=where)
    try:
        fields = json.loads(envelope)
        schema = fields["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlaceDamaged("a record of the place cannot be read", where=where) from error
    if schema != SCHEMA:
        raise PlaceTooNew(
            f"the place is of schema {schema}; this cape reads {SCHEMA}", where=where, hint="upgrade cape"
        )
    return dict(fields)
