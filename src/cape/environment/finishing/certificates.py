"""The certificates that programs trust: the bundle, the hashed directory, Java's key store.

Owns their three forms, made from `usr/share/ca-certificates` without any of the usual tools.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cape.environment.finishing.place import put_file, put_link

_SHIPPED = "usr/share/ca-certificates"
_DIRECTORY = "etc/ssl/certs"
_JAVA_HOOK = "etc/ca-certificates/update.d/jks-keystore"
_JAVA_STORE = "etc/ssl/certs/java/cacerts"


def install_certificates(root: Path) -> None:
    """Write all forms into a root that has `ca-certificates`; does nothing in any other."""
    shipped = sorted((root / _SHIPPED).rglob("*.crt"))
    if not shipped:
        return
    texts = [file.read_bytes() for file in shipped]
    put_file(root, f"{_DIRECTORY}/ca-certificates.crt", bundle(texts))
    encoded = [ssl.PEM_cert_to_DER_cert(text.decode("ascii")) for text in texts]
    _link_by_hash(
        root, [(str(file.relative_to(root)), der) for file, der in zip(shipped, encoded, strict=True)]
    )
    if (root / _JAVA_HOOK).exists():
        aliases = [f"debian:{file.stem.lower()}.pem" for file in shipped]
        put_file(root, _JAVA_STORE, java_key_store(list(zip(aliases, encoded, strict=True))))


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
