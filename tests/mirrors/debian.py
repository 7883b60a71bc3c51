"""A small Debian archive: debs that are built here, signed indices, a keyring of its own.

    mirror = DebianMirror(tmp_path / "mirror")
    mirror.add("hello", "1.0-1", files={"usr/bin/hello": b"#!/bin/sh\\necho hi\\n"}, depends="libc6")
    mirror.publish()
    with mirror.serve() as server:              # a `Loopback`: its faults make it misbehave
        mirror.settings(server.url)             # what to set: `debian.mirror`, `debian.keyring`

The directory is laid out as a mirror is, so `file:` URLs of it work as well (`mirror.url`). Debs are equal
for equal arguments. Files that end in `bin/NAME` or are in `runnable` are executable.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cape.configuration import Configuration
from tests.mirrors.loopback import Loopback, loopback

MTIME = 1_700_000_000
"""The time of every file in every deb, in seconds."""

ARCHITECTURES = ("amd64", "arm64")


def make_ar(members: Mapping[str, bytes]) -> bytes:
    """An ar archive, as a deb is one."""
    out = [b"!<arch>\n"]
    for name, data in members.items():
        out.append(f"{name:<16}{MTIME:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
        out.append(data + b"\n" * (len(data) % 2))
    return b"".join(out)


def make_tar(members: Sequence[tuple[tarfile.TarInfo, bytes]], *, format: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of the members as they are, whatever they are."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=format) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


def entry(
    name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644, mtime: int = MTIME
) -> tarfile.TarInfo:
    """The head of a tar's member."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.mtime = kind, link, mode, mtime
    return member


def compress(data: bytes, how: str) -> bytes:
    """`data` as a member with that suffix has it: `xz`, `gz`, or nothing."""
    if how == "xz":
        return lzma.compress(data, preset=0)
    return gzip.compress(data, mtime=0) if how == "gz" else data


def make_deb(
    control: str,
    members: Sequence[tuple[tarfile.TarInfo, bytes]],
    *,
    scripts: Mapping[str, bytes] | None = None,
    compression: str = "xz",
) -> bytes:
    """A deb with that control file, those entries and those maintainer scripts."""
    suffix = f".{compression}" if compression else ""
    head = [(entry("./", kind=tarfile.DIRTYPE, mode=0o755), b""), (entry("./control"), control.encode())]
    head += [(entry(f"./{name}", mode=0o755), data) for name, data in (scripts or {}).items()]
    return make_ar(
        {
            "debian-binary": b"2.0\n",
            f"control.tar{suffix}": compress(make_tar(head), compression),
            f"data.tar{suffix}": compress(make_tar(members), compression),
        }
    )


def tree_members(
    files: Mapping[str, bytes], links: Mapping[str, str], runnable: Sequence[str] = ()
) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Entries for files and symbolic links, with the directories above them, as dpkg-deb writes them."""
    members = [(entry("./", kind=tarfile.DIRTYPE, mode=0o755), b"")]
    made: set[str] = set()
    for path in sorted([*files, *links]):
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth])
            if directory not in made:
                made.add(directory)
                members.append((entry(f"./{directory}/", kind=tarfile.DIRTYPE, mode=0o755), b""))
        if path in links:
            members.append((entry(f"./{path}", kind=tarfile.SYMTYPE, link=links[path], mode=0o777), b""))
        else:
            is_runnable = path in runnable or path.split("/")[-2:-1] in (["bin"], ["sbin"])
            members.append((entry(f"./{path}", mode=0o755 if is_runnable else 0o644), files[path]))
    return members


@dataclass
class Suite:
    """What is published below `dists/NAME`."""

    stanzas: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in ARCHITECTURES})


class DebianMirror:
    """An archive in a directory. What is added shows after `publish`."""

    def __init__(self, directory: Path, *, suite: str = "trixie") -> None:
        self.directory = directory
        self.suite = suite
        self.suites: dict[str, Suite] = {suite: Suite()}
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """The directory as a `file:` URL."""
        return f"file://{self.directory}"

    @cached_property
    def key(self) -> Any:
        """The key that signs the indices, made at its first use."""
        from pysequoia import Tsk

        return Tsk.generate("Test archive")

    @cached_property
    def keyring(self) -> Path:
        """A file with the public part of the key, beside the archive."""
        path = self.directory.with_name(f"{self.directory.name}-keyring.gpg")
        path.write_bytes(bytes(self.key.extract_certificate()))
        return path

    def settings(self, url: str | None = None) -> Configuration:
        """The settings that make cape use this archive."""
        return Configuration({"debian.mirror": (url or self.url,), "debian.keyring": (str(self.keyring),)})

    def environment(self, url: str | None = None) -> dict[str, str]:
        """The same as environment variables, for a cape that is started as a program."""
        return {"CAPE_DEBIAN_MIRROR": url or self.url, "CAPE_DEBIAN_KEYRING": str(self.keyring)}

    def add(
        self,
        package: str,
        version: str = "1.0-1",
        *,
        architecture: str = "amd64",
        files: Mapping[str, bytes] | None = None,
        links: Mapping[str, str] | None = None,
        runnable: Sequence[str] = (),
        depends: str = "",
        essential: bool = False,
        suite: str | None = None,
        scripts: Mapping[str, bytes] | None = None,
        compression: str = "xz",
        deb: bytes | None = None,
        **fields: str,
    ) -> bytes:
        """Add a package, and give its deb.

        `architecture` is `amd64`, `arm64` or `all`; `fields` are more fields of the control file, with `_`
        for `-` (`Pre_Depends="perl-base"`). `deb` replaces the file that would be built.
        """
        described = {"Package": package, "Version": version, "Architecture": architecture}
        described |= {name.replace("_", "-"): value for name, value in fields.items()}
        if depends:
            described["Depends"] = depends
        if essential:
            described["Essential"] = "yes"
        described.setdefault("Description", f"the package {package}")
        control = "".join(f"{name}: {value}\n" for name, value in described.items())
        if deb is None:
            members = tree_members(
                files or {f"usr/share/doc/{package}/copyright": b"free\n"}, links or {}, runnable
            )
            deb = make_deb(control, members, scripts=scripts, compression=compression)
        plain_version = version.split(":", 1)[-1]
        path = f"pool/main/{package[0]}/{package}/{package}_{plain_version}_{architecture}.deb"
        self._write(path, deb)
        stanza = f"{control}Filename: {path}\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
        published = self.suites.setdefault(suite or self.suite, Suite())
        for name in ARCHITECTURES if architecture == "all" else (architecture,):
            published.stanzas[name].append(stanza)
        return deb

    def publish(
        self,
        *,
        date: datetime | None = None,
        valid_for: timedelta | None = None,
        inline: bool = True,
        by_hash: bool = True,
        compression: str = "xz",
        signer: Any = None,
        origin: str = "Debian",
        more: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write indices and signatures of all suites. `valid_for` counts from `date`; None: forever.

        `more` are further files that each suite's `Release` vouches for, by their paths.
        """
        moment = date or datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        for name, suite in self.suites.items():
            base = f"dists/{name}"
            indices = {
                f"main/binary-{architecture}/Packages{'.' * bool(compression)}{compression}": compress(
                    "\n".join(stanzas).encode(), compression
                )
                for architecture, stanzas in suite.stanzas.items()
            } | dict(more or {})
            for path, data in indices.items():
                self._write(f"{base}/{path}", data)
                if by_hash:
                    digest = hashlib.sha256(data).hexdigest()
                    self._write(f"{base}/{path.rpartition('/')[0]}/by-hash/SHA256/{digest}", data)
            text = _release(name, indices, moment, valid_for, by_hash=by_hash, origin=origin)
            self._sign(base, text, inline, signer or self.key)

    def _sign(self, base: str, text: bytes, inline: bool, key: Any) -> None:
        from pysequoia import SignatureMode, sign

        for stale in ("InRelease", "Release", "Release.gpg"):
            (self.directory / base / stale).unlink(missing_ok=True)
        if inline:
            self._write(f"{base}/InRelease", sign(key.signer(), text, mode=SignatureMode.CLEAR))
        else:
            self._write(f"{base}/Release", text)
            self._write(f"{base}/Release.gpg", sign(key.signer(), text, mode=SignatureMode.DETACHED))

    def _write(self, path: str, data: bytes) -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    @contextlib.contextmanager
    def serve(self) -> Iterator[Loopback]:
        """The archive on loopback; paths of faults start with `/dists` and `/pool`."""
        with loopback() as server:
            server.answer = self._answer
            yield server

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        file = self.directory / path.lstrip("/")
        return ("application/octet-stream", file.read_bytes()) if file.is_file() else None


@contextlib.contextmanager
def serve_states(states: Mapping[str, DebianMirror]) -> Iterator[Loopback]:
    """An archive of old states on loopback: `URL/ARCHIVE/STAMP/...` is the last state up to that stamp.

    `states` are archives by their stamps (`20260102T030405Z`).
    """

    def answer(path: str) -> tuple[str, bytes] | None:
        _, _archive, stamp, rest = path.split("/", 3)
        known = [moment for moment in sorted(states) if moment <= stamp]
        return states[known[-1]]._answer(rest) if known else None

    with loopback() as server:
        server.answer = answer
        yield server


def _release(
    suite: str,
    indices: Mapping[str, bytes],
    date: datetime,
    valid_for: timedelta | None,
    *,
    by_hash: bool,
    origin: str,
) -> bytes:
    label = "Debian-Security" if suite.endswith("-security") else "Debian"
    lines = [f"Origin: {origin}", f"Label: {label}", f"Suite: {suite}", f"Codename: {suite}"]
    lines.append(f"Date: {date:%a, %d %b %Y %H:%M:%S} UTC")
    if valid_for is not None:
        lines.append(f"Valid-Until: {date + valid_for:%a, %d %b %Y %H:%M:%S} UTC")
    if by_hash:
        lines.append("Acquire-By-Hash: yes")
    lines += ["Architectures: all amd64 arm64", "Components: main", "SHA256:"]
    for path, data in sorted(indices.items()):
        lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data):>8} {path}")
    return ("\n".join(lines) + "\n").encode()
