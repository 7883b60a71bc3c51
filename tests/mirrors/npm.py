"""An npm registry on loopback with generated tarballs.

    with npm_registry() as registry:
        registry.publish("is-odd", "1.0.0", files={"index.js": b""}, dependencies={"is-number": "^1.0.0"})
        registry.url          # what to set as `npm.registry`

Tarballs are equal for equal arguments. `registry.server` is the `Loopback` that serves them: its faults
by path make it misbehave (`/is-odd`, `/is-odd/-/is-odd-1.0.0.tgz`).
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.mirrors.loopback import Loopback, loopback


def make_tarball(files: Mapping[str, bytes], *, top: str = "package", runnable: Sequence[str] = ()) -> bytes:
    """A gzipped tar archive of files below `top`; equal files give equal bytes."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(f"{top}/{path}" if top else path)
            member.size = len(data)
            member.mode = 0o755 if path in runnable else 0o644
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(output.getvalue(), mtime=0)


class NpmRegistry:
    """Packages by name, with all their versions."""

    def __init__(self, server: Loopback) -> None:
        self.server = server
        self.url = f"{server.url}/"
        self.packages: dict[str, dict[str, dict[str, Any]]] = {}
        self.times: dict[str, dict[str, str]] = {}
        """When versions came, by package and version; told of packages that are in it only."""
        server.answer = self._answer

    def publish(
        self,
        name: str,
        version: str,
        *,
        files: Mapping[str, bytes] | None = None,
        uploaded: str | None = None,
        **described: Any,
    ) -> bytes:
        """Publish a version; `described` goes to its `package.json`. Its tarball."""
        manifest = {"name": name, "version": version, **described}
        text = json.dumps(manifest, indent=2).encode()
        data = make_tarball({"package.json": text, **(files or {"index.js": b"module.exports = 1\n"})})
        path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.server.files[path] = data
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        dist = {
            "tarball": f"{self.server.url}{path}",
            "integrity": integrity,
            "shasum": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        }
        if uploaded:
            self.times.setdefault(name, {})[version] = uploaded
        self.packages.setdefault(name, {})[version] = {**manifest, "dist": dist}
        return data

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        name = unquote(path).strip("/")
        if name not in self.packages:
            return None
        versions = self.packages[name]
        newest = max(versions, key=lambda version: [int(part) for part in version.split(".")])
        page = {"name": name, "dist-tags": {"latest": newest}, "versions": versions}
        if name in self.times:
            page["time"] = self.times[name]
        return "application/json", json.dumps(page).encode()


@contextlib.contextmanager
def npm_registry() -> Iterator[NpmRegistry]:
    """A running registry, stopped at the end."""
    with loopback() as server:
        yield NpmRegistry(server)
