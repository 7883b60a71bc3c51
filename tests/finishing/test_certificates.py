"""Certificates of the machine's owner, beside Debian's. The two here are self-signed, until 2126."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest

from cape.environment.finishing.certificates import (
    BUNDLE,
    Certificate,
    UnreadableCertificate,
    install_certificates,
    read_certificates,
)
from cape.environment.finishing.place import put_file
from cape.environment.plan import plan_environment
from cape.lock import Lock
from cape.names import Digest, System
from cape.sources.protocol import Artifact, LockedPackage

DEEP = """-----BEGIN CERTIFICATE-----
MIIBnjCCAUOgAwIBAgIUPATHtTjRvmt2i1Hfj+zZzb1XGvAwCgYIKoZIzj0EAwIw
IzENMAsGA1UECgwERGVlcDESMBAGA1UEAwwJRGVlcCBSb290MCAXDTI2MTEyNTAy
NDUzNFoYDzIxMjYxMTAxMDI0NTM0WjAjMQ0wCwYDVQQKDAREZWVwMRIwEAYDVQQD
DAlEZWVwIFJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ6ZVzTGKafgm+u
QeBt7D6hFoKvNPkcjliW3RWl6GmqBjDMT74HdAbRVZb2GFs99FR/LRU2q1CKAe9m
67L65Kh7o1MwUTAdBgNVHQ4EFgQUanxQph/KxrRkHEDTHBPy9Wu+9UIwHwYDVR0j
BBgwFoAUanxQph/KxrRkHEDTHBPy9Wu+9UIwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNJADBGAiEAwrlh787xDH9oe2x10sGsX7OYOhDMUWz+2Pp5sbqFC48C
IQDwWo81JP1qk5Z7P9t1L0tBjyAeid9sWQtsQO8+FTP3Og==
-----END CERTIFICATE-----
"""
DEEP_HASH = "13ba4f9c"
"""What `openssl x509 -subject_hash` prints for it."""

OTHER = """-----BEGIN CERTIFICATE-----
MIIBeDCCAR2gAwIBAgIUV9ngIz2b3lWY+tZoJMTsE5V6PPgwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFT3RoZXIwIBcNMjYxMTI1MDI0NTM0WhgPMjEyNjExMDEwMjQ1
MzRaMBAxDjAMBgNVBAMMBU90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
7OsamS7mKM3ptIppX9YhJJwLw/SNoD9OhJ0/PgXvJqZNGzHy7HNx2N3a/CUAGEVO
zWhauU7D7/2pXIZ1j66e9aNTMFEwHQYDVR0OBBYEFBOMXyO+5d/6dDmF9BHmOeVA
9XDpMB8GA1UdIwQYMBaAFBOMXyO+5d/6dDmF9BHmOeVA9XDpMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhANOHgPoms/6dKH5rVcQfxmPZXpnmKcm5
Gq/0mbwdUzrsAiEAzA3Q8mpu0+2vzY6c2l2Q919iSBzntdx6tEUctb/6JSc=
-----END CERTIFICATE-----
"""
SHIPPED = "usr/share/ca-certificates/mozilla/Other.crt"


def file_with(tmp_path: Path, name: str, text: str) -> Path:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_added_certificates_are_in_bundle_directory_and_java_store(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    put_file(root, SHIPPED, OTHER.encode())
    put_file(root, "etc/ca-certificates/update.d/jks-keystore", b"")
    (deep,) = read_certificates([file_with(tmp_path, "deep.pem", DEEP)])
    install_certificates(root, [deep])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(root / BUNDLE))
    assert len(context.get_ca_certs()) == 2
    assert (root / f"etc/ssl/certs/{DEEP_HASH}.0").read_text() == DEEP
    assert deep.encoded in (root / "etc/ssl/certs/java/cacerts").read_bytes()


def test_an_environment_without_certificates_gets_none(tmp_path: Path) -> None:
    install_certificates(tmp_path, [Certificate(name="deep", encoded=ssl.PEM_cert_to_DER_cert(DEEP))])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("package", "changes"), [("ca-certificates", True), ("curl", False)])
def test_certificates_change_the_identity_of_environments_that_have_some(package: str, changes: bool) -> None:
    system = System.X86_64_LINUX
    artifact = Artifact(digest=Digest.of(b"deb"), size_bytes=3, registry="debian", location="pool/x.deb")
    row = LockedPackage(source="debian", name=package, version="1", systems=(system,), artifact=artifact)
    lock = Lock(systems=(system,), packages=(row,))
    deep = Certificate(name="deep", encoded=ssl.PEM_cert_to_DER_cert(DEEP))
    plain, other = plan_environment(lock, system), plan_environment(lock, system, certificates=[deep])
    assert (plain.identity != other.identity) is changes
    assert other.certificates == ((deep,) if changes else ())


def test_a_directory_gives_its_certificates_each_once(tmp_path: Path) -> None:
    file_with(tmp_path, "d/both.crt", f"# two\n{DEEP}\n{OTHER}")
    file_with(tmp_path, "d/again.pem", DEEP)
    file_with(tmp_path, "d/README", "no certificate")
    found = read_certificates([tmp_path / "d", file_with(tmp_path, "other.pem", OTHER)])
    assert sorted(one.text.decode() for one in found) == sorted([DEEP, OTHER])


@pytest.mark.parametrize(
    ("text", "line", "fact"),
    [
        ("hello\n", 1, "no certificate in PEM form"),
        (DEEP + OTHER.replace("M", "!", 3), DEEP.count("\n") + 1, "this is no certificate"),
        (DEEP.replace(DEEP.splitlines()[2] + "\n", ""), 1, "this is no certificate"),
        (DEEP.partition("-----END")[0], 1, "it has no end"),
    ],
)
def test_a_file_that_is_no_certificate_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, fact: str
) -> None:
    file = file_with(tmp_path, "bad.pem", text)
    with pytest.raises(UnreadableCertificate, match=fact) as caught:
        read_certificates([file])
    assert caught.value.where == f"{file}:{line}"


def test_a_place_that_is_not_there_or_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCertificate, match="No such file"):
        read_certificates([tmp_path / "absent.pem"])
    with pytest.raises(UnreadableCertificate, match=re.escape("no `.pem`")):
        read_certificates([tmp_path])
