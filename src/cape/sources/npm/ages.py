"""An npm registry that has only what is old enough, on loopback while npm resolves.

Owns which versions of a package are shown to npm: those that are locked already, and those that came early
enough for their package. npm itself has one instant for all packages, and knows no exceptions in its older
releases. Tarballs are not served here: what npm is told of them leads to the real registry.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from cape.errors import CapeError
from cape.sources.npm import semver
from cape.sources.protocol import NotRecorded, Requirement, ResolveContext

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ages:
    """Which versions may be chosen: by package the instant before which they came, else `latest`."""

    latest: str | None
    own: Mapping[str, str | None] = field(default_factory=dict)
    kept: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, requirements: Sequence[Requirement], context: ResolveContext) -> Ages | None:
        """Those of a context; None where no minimum age is asked for."""
        if context.minimum_age is None and not any(context.age_of(one) for one in requirements):
            return None
        kept: dict[str, set[str]] = {}
        for row in context.kept:
            if row.source == "npm":
                kept.setdefault(row.name, set()).add(row.version)
        return cls(
            latest=context.latest(),
            own={one.package: context.latest(one) for one in requirements},
            kept={name: frozenset(versions) for name, versions in kept.items()},
        )

    def allowed(self, package: str, document: Document) -> dict[str, Any]:
        """The versions in a registry's answer that may be chosen. Raises `NotRecorded`."""
        versions: Mapping[str, Any] = document.get("versions", {})
        limit = self.own.get(package, self.latest)
        if limit is None:
            return dict(versions)
        times = document.get("time")
        if not isinstance(times, dict) or not any(version in times for version in versions):
            raise NotRecorded(
                f"the npm registry does not tell when the versions of `{package}` came to it",
                hint="`minimum-age` needs a registry that does; `cape config npm.registry URL` names another",
            )
        kept = self.kept.get(package, frozenset())
        return {
            version: told
            for version, told in versions.items()
            if version in kept or str(times.get(version, "9"))[:19] < limit[:19]
        }


def shown_document(document: Document, allowed: Mapping[str, Any]) -> Document:
    """A registry's answer with only the allowed versions; `latest` leads to the newest of them."""
    newest = semver.newest_in(allowed, "*")
    tags = {
        tag: version if version in allowed else newest
        for tag, version in document.get("dist-tags", {}).items()
        if version in allowed or (tag == "latest" and newest)
    }
    return {**document, "versions": dict(allowed), "dist-tags": tags}


@contextmanager
def aged_registry(ages: Ages, ask: Callable[[str], Document | None]) -> Iterator[str]:
    """The URL of a registry with what is old enough of what `ask` gives for a package.

    What `ask` raises, or that ages are not told, is raised when the block ends, in place of its own error.
    """
    with _Server(ages, ask) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        except Exception:
            if server.failure is not None:
                raise server.failure from None
            raise
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, ages: Ages, ask: Callable[[str], Document | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failure: CapeError | None = None
        self._ages = ages
        self._ask = ask

    def answer(self, package: str) -> bytes | None:
        """The answer for a package; None when there is none, or it could not be had."""
        try:
            document = self._ask(package)
            if document is None:
                return None
            return json.dumps(shown_document(document, self._ages.allowed(package, document))).encode()
        except CapeError as error:
            self.failure = self.failure or error
            return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer for a package."""
        body = self.server.answer(unquote(self.path.partition("?")[0].lstrip("/")))
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body or b"{}")))
        self.end_headers()
        self.wfile.write(body or b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: this is no server of anybody's."""


def too_young(
    requirement: Requirement, document: Document | None, context: ResolveContext
) -> tuple[str, str] | None:
    """Version and time of the first release to come of age of those that fit; None when there is none."""
    limit = context.latest(requirement)
    if document is None or limit is None:
        return None
    times = document.get("time", {})
    wanted = "*" if requirement.constraint == "latest" else requirement.constraint
    try:
        fitting = [
            (str(times[version])[:19] + "Z", version)
            for version in document.get("versions", {})
            if version in times and semver.newest_in([version], wanted)
        ]
    except semver.BadRange:
        return None
    came, found = min((one for one in fitting if one[0][:19] >= limit[:19]), default=("", ""))
    return (found, came) if found else None
