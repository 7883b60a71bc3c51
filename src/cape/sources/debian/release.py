"""A suite's signed `Release`: verified against the archive's keys, and read.

Owns signatures and the fields of `Release`. Only text that a trusted key signed leaves this module; how
it got here is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.names import Digest
from cape.sources.debian.errors import IndexExpired, KeyringMissing, SignatureWrong
from cape.sources.protocol import RegistryGarbage

if TYPE_CHECKING:
    from pysequoia import Cert, Sig

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexFile:
    """A file that a `Release` vouches for."""

    digest: Digest
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A suite's state at one date. `digest` is that of the signed text."""

    text: str
    fields: Mapping[str, str]
    digest: Digest
    date: datetime
    valid_until: datetime | None

    @classmethod
    def parse(cls, signed: bytes, *, where: str) -> Release:
        """The `Release` in verified text. Raises `RegistryGarbage`."""
        text = signed.decode("utf-8", "replace")
        fields = _fields(text)
        try:
            date = _date(fields["Date"])
            until = _date(fields["Valid-Until"]) if "Valid-Until" in fields else None
        except (KeyError, ValueError, TypeError) as error:
            raise RegistryGarbage("the `Release` has no date that can be read", where=where) from error
        return cls(text=text, fields=fields, digest=Digest.of(signed), date=date, valid_until=until)

    @property
    def registry(self) -> str:
        """The archive's label in lower case: `debian`, `debian-security`."""
        label = self.fields.get("Label") or self.fields.get("Origin") or "debian"
        return "-".join(label.lower().split())

    @property
    def has_by_hash(self) -> bool:
        return self.fields.get("Acquire-By-Hash") == "yes"

    @property
    def iso_date(self) -> str:
        return self.date.strftime("%Y-%m-%dT%H:%M:%SZ")

    def is_expired(self, now: datetime) -> bool:
        """Whether its signer does not want it used any more."""
        return self.valid_until is not None and now > self.valid_until

    def check_age(self, now: datetime, *, where: str) -> None:
        """Raises `IndexExpired` when its signer does not want it used any more."""
        if self.valid_until is not None and self.is_expired(now):
            raise IndexExpired(
                f"the index expired on {self.valid_until:%Y-%m-%d %H:%M} UTC (it is of {self.date:%Y-%m-%d})",
                where=where,
                hint="the mirror is not kept up to date, or this machine's clock is wrong; "
                "`cape config debian.mirror` names another mirror",
            )

    def file(self, path: str) -> IndexFile | None:
        """What the signed text says of a file, by its SHA256 table; None when it has none."""
        table = self.text.find("\nSHA256:")
        if table < 0:
            return None
        end = self.text.find(f" {path}\n", table)
        if end < 0:
            return None
        line = self.text[self.text.rfind("\n", 0, end) + 1 : end].split()
        try:
            return IndexFile(digest=Digest(line[0]), size_bytes=int(line[1]))
        except (ValueError, IndexError):
            return None


def _fields(text: str) -> dict[str, str]:
    """The fields with a value on their own line; tables are left out."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon and value.strip() and not line.startswith(" "):
            fields.setdefault(name, value.strip())
    return fields


def _date(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_KEYRING_HINT = (
    "`cape config debian.keyring FILE` names a file with the archive's keys "
    "(the package `debian-archive-keyring` has it)"
)


class Keyring:
    """The keys that may sign an archive's indices."""

    def __init__(self, sources: Sequence[Path | bytes]) -> None:
        self._sources = tuple(sources)

    def certificates(self) -> list[Cert]:
        """All keys. Raises `KeyringMissing` when a file cannot be read or there is no key."""
        found: list[Cert] = []
        for source in self._sources:
            found += _certificates(source)
        if not found:
            raise KeyringMissing(
                "there are no keys to verify Debian's indices with",
                where=", ".join(str(source) for source in self._sources if isinstance(source, Path)) or None,
                hint=_KEYRING_HINT,
            )
        return found

    @property
    def identity(self) -> str:
        """A text that differs between different keyrings."""
        return hashlib.sha256(repr(self._sources).encode()).hexdigest()


def _certificates(source: Path | bytes) -> list[Cert]:
    from pysequoia import Cert

    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        return list(Cert.split_bytes(data))
    except OSError as error:
        raise KeyringMissing(
            f"the keyring cannot be read: {error.strerror}", where=str(source), hint=_KEYRING_HINT
        ) from None
    except Exception as error:  # noqa: BLE001 - pysequoia raises RuntimeError and its own
        place = str(source) if isinstance(source, Path) else "Signed-By"
        raise KeyringMissing(
            "the keyring holds no OpenPGP keys", where=place, hint=_KEYRING_HINT
        ) from _plain(error)


def verified_inline(document: bytes, keyring: Keyring, *, where: str) -> bytes:
    """Exactly the text of an `InRelease` that a key of the keyring signed.

    Nothing outside the signed part is used: a document that has any is refused, though what the
    verifier gives back would not hold it.
    Raises `SignatureWrong`, `RegistryGarbage`, `KeyringMissing`.
    """
    if _BEGIN not in document[:4096]:
        raise RegistryGarbage("the answer is not a signed index", where=where)
    whole = document.startswith(_BEGIN) and document.rstrip().endswith(b"-----END PGP SIGNATURE-----")
    if not whole or document.count(b"\n-----BEGIN PGP") != 1:
        raise SignatureWrong("the index has text outside its signed part", where=where)
    text: bytes | None = _verify(keyring, where, bytes=document).bytes
    if not text:
        raise SignatureWrong("the signature covers no text", where=where)
    return text if text.endswith(b"\n") else text + b"\n"


def verified_detached(text: bytes, signature: bytes, keyring: Keyring, *, where: str) -> bytes:
    """The text of a `Release`, when one of the signatures in `Release.gpg` is of a key of the keyring.

    Raises `SignatureWrong`, `KeyringMissing`.
    """
    problem: SignatureWrong | None = None
    for single in _signatures(signature, where):
        try:
            _verify(keyring, where, bytes=text, signature=single)
            return text if text.endswith(b"\n") else text + b"\n"
        except SignatureWrong as error:
            problem = error
    raise problem or SignatureWrong("the `Release.gpg` holds no signature", where=where)


def _signatures(data: bytes, where: str) -> list[Sig]:
    """The signatures in a detached file: Debian signs with several keys."""
    from pysequoia import Sig
    from pysequoia.packet import PacketPile, Tag

    try:
        packets: list[Any] = [packet for packet in PacketPile.from_bytes(data) if packet.tag == Tag.Signature]
        return [Sig.from_bytes(bytes(packet)) for packet in packets]
    except Exception as error:  # noqa: BLE001 - pysequoia raises RuntimeError and its own
        raise SignatureWrong("the `Release.gpg` holds no signature", where=where) from _plain(error)


def _verify(keyring: Keyring, where: str, **what: Any) -> Any:
    import pysequoia

    certificates = keyring.certificates()
    try:
        result = pysequoia.verify(store=lambda _ids: certificates, **what)
    except Exception as error:  # noqa: BLE001 - pysequoia raises RuntimeError and its own
        raise _wrong(where) from _plain(error)
    if not result.valid_sigs:
        raise _wrong(where)
    return result


def _wrong(where: str) -> SignatureWrong:
    return SignatureWrong(
        "no trusted key signed this index as it is",
        where=where,
        hint="someone changed it on its way, or it is signed by a key that is not in the keyring "
        "(`cape config debian.keyring`)",
    )


def _plain(error: BaseException) -> Exception:
    """The first line of another library's message, without its backtrace."""
    return RuntimeError(str(error).split("\n", 1)[0])
