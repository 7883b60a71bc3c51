"""The ledger of a place: its signed records, one after another, and who may add the next.

Owns the names in a place (`records/N.json` with its signature inside, `keys/`, `revocations/`, `blobs/`,
`head`), the check of every record before anything else is believed, and the one step by which a push comes
to be. Times are never compared: order is by number and by the digest of the record before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cape.names import Digest
from cape.sharing.envelopes import SCHEMA, seal, unseal
from cape.sharing.errors import BadSignature, KeyRevoked, NotTrusted, PlaceDamaged
from cape.sharing.keys import PublicKey, Signer, Trust
from cape.sharing.places import Place
from cape.sharing.records import Record

HEAD = "head"
LISTED = "list"
"""The names of all revocations, for readers who cannot list."""

Consent = Callable[[PublicKey, Record], bool]
"""Asks the user whether to trust a key that signed a record; False where nobody can be asked."""


def nobody(key: PublicKey, record: Record) -> bool:
    """The consent of a command without a terminal."""
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A record whose signature was checked, and the key that it is signed with."""

    record: Record
    key: PublicKey
    digest: Digest


class Ledger:
    """The records of one place, as far as this user trusts them."""

    def __init__(self, place: Place, trust: Trust, *, consent: Consent = nobody, today: str = "") -> None:
        self.place = place
        self._trust = trust
        self._consent = consent
        self._today = today
        self._revoked: dict[str, tuple[int, str]] | None = None

    def head(self) -> Entry | None:
        """The newest record; None for a place where nothing was pushed.

        Raises `PlaceDamaged`, `BadSignature`, `NotTrusted`, `KeyRevoked`, `PlaceTooNew`.
        """
        number = self._newest()
        return self.entry(number) if number else None

    def log(self, *, limit: int | None = None) -> list[Entry]:
        """The records, newest first. Raises as `head`; also where one does not follow on the one before."""
        number = self._newest()
        entries: list[Entry] = []
        while number > 0 and (limit is None or len(entries) < limit):
            entry = self.entry(number)
            if entries and entries[-1].record.parent != entry.digest:
                raise PlaceDamaged(
                    f"record {number + 1} does not follow on record {number}: one of them was replaced",
                    where=self.place.shown,
                )
            entries.append(entry)
            number -= 1
        return entries

    def entry(self, number: int) -> Entry:
        """The record of that number, checked. Raises as `head`."""
        where = f"{self.place.shown}: record {number}"
        data, key = unseal(self.place.read(f"records/{number}.json"), where=where)
        record = Record.from_bytes(data, where=where)
        if record.number != number or record.key != key.fingerprint:
            raise BadSignature("a record is signed for another number or key than it says", where=where)
        self.check_trust(key, record, where)
        return Entry(record=record, key=key, digest=Digest.of(data))

    def add(self, record: Record, signer: Signer) -> Entry | None:
        """Sign a record and add it, with all blobs that were put before; None: somebody was quicker."""
        record = replace(record, key=signer.public.fingerprint)
        data = record.to_bytes()
        if self.place.commit(f"records/{record.number}.json", seal(data, signer)):
            self._point_to(record.number)
            return Entry(record=record, key=signer.public, digest=record.digest)
        return None

    def keep(self, data: bytes) -> Digest:
        """Put bytes into the place, to be seen with the next record."""
        digest = Digest.of(data)
        self.place.put(blob_path(digest), data)
        return digest

    def keep_file(self, digest: Digest, file: Path) -> None:
        """Put a file of that digest into the place."""
        self.place.put(blob_path(digest), file)

    def holds(self, digest: Digest) -> bool:
        """Whether the place has the blob."""
        return self.place.has(blob_path(digest))

    def blob(self, digest: Digest, *, what: str) -> bytes:
        """The bytes of that digest. Raises `PlaceDamaged` where they are missing or others."""
        data = self.place.read(blob_path(digest))
        where = f"{self.place.shown}: {what}"
        if data is None:
            raise PlaceDamaged(f"the place lacks {what}, `{digest}`", where=where, hint="push it again")
        if Digest.of(data) != digest:
            raise PlaceDamaged(f"{what} at the place is not `{digest}`: it was altered", where=where)
        return data

    def fetch(self, digest: Digest, into: Path) -> bool:
        """Bring a blob into a file; its digest is for the caller to check. False: the place lacks it."""
        return self.place.fetch(blob_path(digest), into)

    def revoke(self, key: PublicKey, signer: Signer, *, since: int, reason: str) -> None:
        """Say at the place that a key's records from number `since` on are not to be believed."""
        fields = {"schema": SCHEMA, "fingerprint": key.fingerprint, "since": since, "reason": reason}
        data = json.dumps(fields, sort_keys=True).encode()
        name = f"{key.fingerprint}.json"
        self.place.commit(f"revocations/{name}", seal(data, signer))
        listed = self.place.names("revocations") or [name]
        self.place.hint(
            f"revocations/{LISTED}", "".join(f"{one}\n" for one in listed if one != LISTED).encode()
        )

    def check_trust(self, key: PublicKey, record: Record, where: str) -> None:
        """Raise `NotTrusted` or `KeyRevoked` where a record of the number that it says is not to be believed;
        the user may be asked."""
        judged = self._trust.find(key.fingerprint)
        if judged is not None and judged.revoked:
            raise _revoked(key, judged.revoked, where)
        since, reason = self._revocations().get(key.fingerprint, (0, ""))
        if since and record.number >= since:
            raise _revoked(key, reason, where)
        if self._trust.trusts(key):
            return
        if not self._consent(key, record):
            raise NotTrusted(
                f"it is signed by the key {key.fingerprint} (`{key.name}`), which you do not trust",
                where=where,
                hint=f"compare the fingerprint with its owner, then `cape key trust '{key.text}'`",
            )
        self._trust.trust(key, place=self.place.shown, since=self._today)

    def _revocations(self) -> Mapping[str, tuple[int, str]]:
        """Revoked keys of the place: from which record on, and why. Only who is trusted can revoke."""
        if self._revoked is None:
            self._revoked = {}
            for name in self._revocation_names():
                where = f"{self.place.shown}: revocation {name}"
                data, key = unseal(self.place.read(f"revocations/{name}"), where=where)
                fields = json.loads(data)
                by_itself = fields.get("fingerprint") == key.fingerprint
                if by_itself or self._trust.trusts(key):
                    self._revoked[str(fields["fingerprint"])] = (int(fields["since"]), str(fields["reason"]))
        return self._revoked

    def _revocation_names(self) -> list[str]:
        names = self.place.names("revocations")
        if names is None:
            names = (self.place.read(f"revocations/{LISTED}") or b"").decode().split()
        return [name for name in names if name != LISTED]

    def _newest(self) -> int:
        names = self.place.names("records")
        if names is not None:
            numbers = [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()]
            return max(numbers, default=0)
        number = self._hinted()
        while self.place.has(f"records/{number + 1}.json"):
            number += 1
        return number

    def _hinted(self) -> int:
        """Where a place that cannot list says that its newest record is, or was."""
        data = self.place.read(HEAD)
        try:
            return int(data or b"0")
        except ValueError as error:
            raise PlaceDamaged("the place's `head` is no number", where=self.place.shown) from error

    def _point_to(self, number: int) -> None:
        """A hint for readers through http. It may lag; they look on from it."""
        self.place.hint(HEAD, f"{number}\n".encode())


def blob_path(digest: Digest) -> str:
    """Where a place keeps the bytes of a digest: as a store of cape does, so that a place is a tree of
    artifacts too."""
    return f"blobs/{digest.hex[:2]}/{digest.hex}"


def _revoked(key: PublicKey, reason: str, where: str) -> KeyRevoked:
    why = f": {reason}" if reason else ""
    return KeyRevoked(
        f"it is signed by the key {key.fingerprint} (`{key.name}`), which was revoked{why}",
        where=where,
        hint="ask the place's owner for a record that is signed by another key",
    )
