"""Records: what a place says of one generation that was pushed to it.

Owns the form of a record, the digest by which the next one names it, and the reading of one. A record names
everything by digest, so one signature over its bytes covers manifest, lock, included files and all blobs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cape.names import Digest
from cape.sharing.errors import PlaceDamaged, PlaceTooNew

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One generation of a place.

    `number` counts from 1, `parent` is the digest of the record before (None for the first). `files` maps
    paths relative to the project (`cape.toml`, `cape.lock`, included manifests) to digests of their bytes;
    `carried` are artifacts and other blobs that the place holds for it, with their sizes in bytes.
    `pushed_at` is what the pusher's clock said (ISO 8601, UTC): for people, never for order. `forced_over`
    is the record that a forced push did not build on.
    """

    number: int
    parent: Digest | None
    files: Mapping[str, Digest]
    carried: Mapping[Digest, int] = field(default_factory=dict)
    knowledge: Mapping[str, Digest] = field(default_factory=dict)
    name: str
    pushed_by: str
    pushed_at: str
    command: str
    message: str = ""
    key: str
    forced_over: Digest | None = None

    def to_bytes(self) -> bytes:
        """The record as it is signed: JSON with sorted keys, in ASCII."""
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "number": self.number,
            "parent": self.parent and self.parent.hex,
            "files": {path: digest.hex for path, digest in self.files.items()},
            "carried": {digest.hex: size for digest, size in self.carried.items()},
            "knowledge": {name: digest.hex for name, digest in self.knowledge.items()},
            "name": self.name,
            "pushed_by": self.pushed_by,
            "pushed_at": self.pushed_at,
            "command": self.command,
            "message": self.message,
            "key": self.key,
            "forced_over": self.forced_over and self.forced_over.hex,
        }
        return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()

    @property
    def digest(self) -> Digest:
        """What the next record calls this one."""
        return Digest.of(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Record:
        """The record in `data`. Raises `PlaceDamaged`, `PlaceTooNew`."""
        try:
            fields = json.loads(data)
            schema = fields["schema"]
            if schema == SCHEMA:
                record = _record(fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlaceDamaged("a record of the place cannot be read", where=where) from error
        if schema != SCHEMA:
            raise PlaceTooNew(
                f"the place has a record of schema {schema}; this cape reads {SCHEMA}",
                where=where,
                hint="upgrade cape",
            )
        if record.to_bytes() != data:
            raise PlaceDamaged("a record of the place is not as cape writes it", where=where)
        return record


def _record(fields: Mapping[str, Any]) -> Record:
    return Record(
        number=int(fields["number"]),
        parent=_digest(fields["parent"]),
        files={str(path): Digest(value) for path, value in fields["files"].items()},
        carried={Digest(value): int(size) for value, size in fields["carried"].items()},
        knowledge={str(name): Digest(value) for name, value in fields["knowledge"].items()},
        name=str(fields["name"]),
        pushed_by=str(fields["pushed_by"]),
        pushed_at=str(fields["pushed_at"]),
        command=str(fields["command"]),
        message=str(fields["message"]),
        key=str(fields["key"]),
        forced_over=_digest(fields["forced_over"]),
    )


def _digest(value: str | None) -> Digest | None:
    return None if value is None else Digest(value)
