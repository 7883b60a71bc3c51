"""The certificates that programs trust: the bundle, the hashed directory, Java's key store.

Owns their three forms, made from `usr/share/ca-certificates` and from what the machine's owner adds,
without any of the usual tools; and the reading of the latter.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.environment.finishing.place import put_file, put_link
from cape.errors import InputError
from cape.names import Digest

_SHIPPED = "usr/share/ca-certificates"
LOCAL_CERTIFICATES = "usr/local/share/ca-certificates"
"""Where, below the root, the machine's own certificates lie, a file each: Debian's place for them."""

BUNDLE = "etc/ssl/certs/ca-certificates.crt"
LOCAL_BUNDLE = f"{LOCAL_CERTIFICATES}/all.pem"
_DIRECTORY = "etc/ssl/certs"
_JAVA_HOOK = "etc/ca-certificates/update.d/jks-keystore"
_JAVA_STORE = "etc/ssl/certs/java/cacerts"
_SUFFIXES = frozenset({".pem", ".crt", ".cer"})
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class UnreadableCertificate(InputError):
    """A file that should hold certificates holds something else, or nothing."""

    slug = "unreadable-certificate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """An authority that the machine's owner adds: a name for its file, and its DER form."""

    name: str
    encoded: bytes

    @property
    def digest(self) -> Digest:
        """What tells it from others, whatever its file is called."""
        return Digest.of(self.encoded)

    @property
    def text(self) -> bytes:
        """Its PEM form."""
        import ssl

        return ssl.DER_cert_to_PEM_cert(self.encoded).encode()


def read_certificates(places: Sequence[Path]) -> tuple[Certificate, ...]:
    """The certificates in files, and in the `.pem`, `.crt` and `.cer` files of directories; each once.

    They are in the order of their digests, so that names and order of files do not matter.
    Raises `UnreadableCertificate`, which names the file and the line.
    """
    found: dict[str, Certificate] = {}
    for file in (file for place in places for file in _files(place)):
        for certificate in _read(file):
            found.setdefault(certificate.digest.hex, certificate)
    return tuple(found[key] for key in sorted(found))


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    files = sorted(file for file in place.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not files:
        raise UnreadableCertificate(
            "the directory of the setting `certificates` has no `.pem`, `.crt` or `.cer` file",
            where=str(place),
        )
    return files


def _read(file: Path) -> Iterator[Certificate]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UnreadableCertificate(
            f"a file of the setting `certificates` cannot be read: {error.strerror}", where=str(file)
        ) from error
    starts = [number for number, line in enumerate(lines) if line.strip() == _BEGIN]
    if not starts:
        raise UnreadableCertificate(
            "the file holds no certificate in PEM form",
            where=f"{file}:1",
            hint="`openssl x509 -inform der -in FILE` writes the PEM form of a DER file",
        )
    for number in starts:
        encoded = _decoded(lines[number + 1 :], f"{file}:{number + 1}")
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", file.stem).lstrip(".") or "certificate"
        yield Certificate(name=name, encoded=encoded)


def _decoded(lines: Sequence[str], where: str) -> bytes:
    """The DER form of the certificate whose text these lines begin with. Raises `UnreadableCertificate`."""
    import ssl

    ends = [number for number, line in enumerate(lines) if line.strip() == _END]
    try:
        if not ends:
            raise ValueError("it has no end")
        encoded = binascii.a2b_base64("".join(lines[: ends[0]]).encode(), strict_mode=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=encoded)
        subject_hash(encoded)
    except (ValueError, IndexError, ssl.SSLError) as error:
        raise UnreadableCertificate(f"this is no certificate: {error}", where=where) from error
    return encoded


def install_certificates(root: Path, local: Sequence[Certificate] = ()) -> None:
    """Write all forms into a root that has `ca-certificates`; does nothing in any other.

    `local` are the machine's own, after Debian's.
    """
    import ssl

    shipped = sorted((root / _SHIPPED).rglob("*.crt"))
    if not shipped:
        return
    certificates = [
        (str(file.relative_to(root)), ssl.PEM_cert_to_DER_cert(file.read_bytes().decode("ascii")))
        for file in shipped
    ]
    texts = [file.read_bytes() for file in shipped]
    names = _local_names(local)
    for name, one in zip(names, local, strict=True):
        put_file(root, name, one.text)
    if local:
        put_file(root, LOCAL_BUNDLE, bundle([one.text for one in local]))
    certificates += [(name, one.encoded) for name, one in zip(names, local, strict=True)]
    put_file(root, BUNDLE, bundle([*texts, *(one.text for one in local)]))
    _link_by_hash(root, certificates)
    if (root / _JAVA_HOOK).exists():
        aliases = [(f"debian:{Path(name).stem.lower()}.pem", encoded) for name, encoded in certificates]
        put_file(root, _JAVA_STORE, java_key_store(aliases))


def _local_names(local: Sequence[Certificate]) -> list[str]:
    """A file below the root for each: Debian's have no such prefix, and the digest parts equal names."""
    return [f"{LOCAL_CERTIFICATES}/local-{one.name}-{one.digest.hex[:8]}.crt" for one in local]


def _link_by_hash(root: Path, certificates: Sequence[tuple[str, bytes]]) -> None:
    taken: Counter[str] = Counter()
    for name, certificate in certificates:
        link = f"{_DIRECTORY}/{Path(name).stem}.pem"
        put_link(root, link, name)
        key = subject_hash(certificate)
        put_link(root, f"{_DIRECTORY}/{key}.{taken[key]}", link)
        taken[key] += 1


def bundle(texts: Sequence[bytes]) -> bytes:
    """One file of many certificates; each ends with a newline."""
    return b"".join(text if text.endswith(b"\n") else text + b"\n" for text in texts)


def subject_hash(certificate: bytes) -> str:
    """The eight digits by which OpenSSL finds an authority in a directory of certificates.

    The first four bytes, little-endian, of the SHA-1 over the subject's canonical form: strings as UTF-8,
    in lower case, with blanks collapsed. Source: OpenSSL, `X509_NAME_hash_ex` and `x509_name_canon`.
    """
    body = _children(_children(certificate)[0][2])[0][2]
    fields = _children(body)
    subject = fields[5 if fields[0][0] == 0xA0 else 4][2]
    canonical = b"".join(_canonical_set(relative) for _, _, relative in _children(subject))
    return f"{struct.unpack('<I', hashlib.sha1(canonical).digest()[:4])[0]:08x}"


def _children(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """(tag, whole, value) of each DER element in a row."""
    found, at = [], 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        found.append((tag, data[at : start + length], data[start : start + length]))
        at = start + length
    return found


_ENCODINGS = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}


def _canonical_set(attributes: bytes) -> bytes:
    members = sorted(_canonical_attribute(value) for _, _, value in _children(attributes))
    return _element(0x31, b"".join(members))


def _canonical_attribute(attribute: bytes) -> bytes:
    (_, kind, _), (tag, whole, value) = _children(attribute)
    if tag not in _ENCODINGS:
        return _element(0x30, kind + whole)
    text = value.decode(_ENCODINGS[tag], errors="replace")
    words = " ".join(text.translate(_BLANKS).split(" ")).split()
    lowered = " ".join(words).translate(_LOWER)
    return _element(0x30, kind + _element(0x0C, lowered.encode()))


_BLANKS = {ord(char): " " for char in "\t\n\v\f\r"}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}  # OpenSSL lowers ASCII only


def _element(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def java_key_store(certificates: Sequence[tuple[str, bytes]]) -> bytes:
    """A JKS file of trusted certificates, (alias, DER) each, under Java's usual password.

    Dates are zero, so that equal certificates give equal bytes. Source: OpenJDK, `JavaKeyStore.java`.
    """
    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates)) + b"".join(_java_entries(certificates))
    salted = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body
    return body + hashlib.sha1(salted).digest()


def _java_entries(certificates: Sequence[tuple[str, bytes]]) -> Iterator[bytes]:
    for alias, certificate in certificates:
        yield struct.pack(">I", 2) + _java_text(alias) + struct.pack(">Q", 0) + _java_text("X.509")
        yield struct.pack(">I", len(certificate)) + certificate


def _java_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
