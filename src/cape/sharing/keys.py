"""Keys: who signs, and whom this user trusts.

Owns the user's own ed25519 keys (`cape/keys/NAME.pem` below the configuration directory, private), the text
form of public keys, and the list of trusted and revoked ones (`cape/trust.json`). The mathematics is
`cryptography`'s. A private key never leaves its file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.configuration import user_file
from cape.errors import InputError, StateError
from cape.names import write_atomically
from cape.sharing.errors import KeyMissing, KeyUnknown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ALGORITHM = "ed25519"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z")
_FINGERPRINT_DIGITS = 40
DEFAULT_KEY = "default"


class BadKey(InputError):
    """Text or a file that is no key."""

    slug = "bad-key"


class KeyExists(StateError):
    """A key of that name is there already."""

    slug = "key-exists"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey:
    """A key that signatures are checked with. `name` is its owner's word for it, and proves nothing."""

    raw: bytes
    name: str

    @property
    def fingerprint(self) -> str:
        """What people compare: the first 40 digits of the SHA-256 of the key."""
        return hashlib.sha256(self.raw).hexdigest()[:_FINGERPRINT_DIGITS]

    @property
    def text(self) -> str:
        """One line, for people to pass on: `ed25519 BASE64 NAME`."""
        return f"{_ALGORITHM} {base64.b64encode(self.raw).decode()} {self.name}"

    @classmethod
    def parse(cls, text: str, *, where: str | None = None) -> PublicKey:
        """The key of such a line. Raises `BadKey`."""
        words = text.split()
        try:
            raw = base64.b64decode(words[1], validate=True)
        except (IndexError, binascii.Error):
            raw = b""
        if len(words) != 3 or words[0] != _ALGORITHM or len(raw) != 32 or not _NAME.match(words[2]):
            raise BadKey("that is no public key of cape's", where=where, hint="`cape key export` prints one")
        return cls(raw=raw, name=words[2])

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's for `data`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key of this user, in its file."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(raw=private.public_key().public_bytes_raw(), name=name)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        return self._private.sign(data)


class KeyRing:
    """The user's own keys."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.directory = user_file(environment).parent / "keys"

    def names(self) -> list[str]:
        """Names of the keys, sorted."""
        return sorted(path.stem for path in self.directory.glob("*.pem"))

    def make(self, name: str) -> Signer:
        """A new key. Raises `KeyExists`, `BadKey`."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not _NAME.match(name):
            raise BadKey(f"`{name}` cannot name a key", hint="letters, digits and `._@+-`, 64 at most")
        file = self._file(name)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.exists():
            raise KeyExists(
                f"there is a key `{name}` already", where=str(file), hint="`cape key remove` removes it"
            )
        private = Ed25519PrivateKey.generate()
        data = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomically(file, data, mode=0o600)
        return Signer(name, private)

    def get(self, name: str | None = None) -> Signer:
        """The key of that name; without one, the only key or the one called `default`.

        Raises `KeyMissing`, `KeyUnknown`, `BadKey`.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        file = self._file(self._chosen(name))
        try:
            private = serialization.load_pem_private_key(file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise BadKey("the private key cannot be read", where=str(file)) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise BadKey("the private key is of another kind than ed25519", where=str(file))
        return Signer(file.stem, private)

    def _chosen(self, name: str | None) -> str:
        names = self.names()
        if name is not None:
            if name not in names:
                raise KeyUnknown(f"you have no key `{name}`", hint="`cape key list` lists yours")
            return name
        if not names:
            raise KeyMissing("you have no key to sign with", hint="`cape key new` makes one")
        if len(names) == 1 or DEFAULT_KEY in names:
            return names[0] if len(names) == 1 else DEFAULT_KEY
        listed = ", ".join(f"`{one}`" for one in names)
        raise KeyMissing(
            f"you have several keys ({listed}), none called `{DEFAULT_KEY}`", hint="name one: `--key NAME`"
        )

    def owns(self, key: PublicKey) -> bool:
        """Whether it is a key of this user's."""
        return any(self.get(name).public.raw == key.raw for name in self.names())

    def remove(self, name: str) -> None:
        """Remove a key for ever. Raises `KeyUnknown`."""
        self._file(self._chosen(name)).unlink()

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.pem"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedKey:
    """A key that this user has judged: trusted since a day at a place, and perhaps revoked since."""

    public: PublicKey
    since: str
    place: str
    revoked: str | None = None


class Trust:
    """Whom this user trusts. Own keys are trusted without asking."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.file = user_file(environment).parent / "trust.json"
        self._ring = KeyRing(environment)

    def all(self) -> tuple[TrustedKey, ...]:
        """Every judged key, by fingerprint. Raises `BadKey`."""
        return tuple(_judged(fields, self.file) for _, fields in sorted(self._read().items()))

    def find(self, fingerprint: str) -> TrustedKey | None:
        """What the user judged of a key; None: nothing yet."""
        return next((one for one in self.all() if one.public.fingerprint == fingerprint), None)

    def trusts(self, key: PublicKey) -> bool:
        """Whether records signed by this key are believed."""
        judged = self.find(key.fingerprint)
        if judged is not None:
            return judged.revoked is None
        return self._ring.owns(key)

    def trust(self, key: PublicKey, *, place: str, since: str) -> None:
        """Believe what this key signs from now on."""
        self._write(TrustedKey(public=key, since=since, place=place))

    def revoke(self, key: PublicKey, *, reason: str, since: str) -> None:
        """Believe nothing of it any more."""
        judged = self.find(key.fingerprint) or TrustedKey(public=key, since=since, place="")
        self._write(
            TrustedKey(public=key, since=judged.since, place=judged.place, revoked=reason or f"on {since}")
        )

    def forget(self, fingerprint: str) -> bool:
        """Forget what was judged of a key; whether anything was."""
        table = self._read()
        if table.pop(fingerprint, None) is None:
            return False
        self._save(table)
        return True

    def _write(self, one: TrustedKey) -> None:
        table = self._read()
        table[one.public.fingerprint] = {
            "key": one.public.text,
            "since": one.since,
            "place": one.place,
            "revoked": one.revoked,
        }
        self._save(table)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            table = json.loads(self.file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BadKey("the list of trusted keys cannot be read", where=str(self.file)) from error
        if not isinstance(table, dict):
            raise BadKey("the list of trusted keys is none", where=str(self.file))
        return table

    def _save(self, table: Mapping[str, object]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.file, (json.dumps(table, indent=1, sort_keys=True) + "\n").encode(), mode=0o600)


def _judged(fields: Mapping[str, Any], file: Path) -> TrustedKey:
    try:
        return TrustedKey(
            public=PublicKey.parse(fields["key"], where=str(file)),
            since=str(fields["since"]),
            place=str(fields["place"]),
            revoked=fields.get("revoked"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadKey("the list of trusted keys cannot be read", where=str(file)) from error
