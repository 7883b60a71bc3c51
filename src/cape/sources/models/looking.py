"""Looking at a repository of a hub without locking it: its files, and how each begins.

Nothing is kept but what the hub's source keeps anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from cape.sources.connections import FileNotServed, RegistryRefuses
from cape.sources.download import fetch_bytes
from cape.sources.models.hub import Hub, HubFile, refused
from cape.sources.protocol import Requirement, ResolveContext
from cape.sources.streaming import Beginning, beginning_of

_SMALL_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """One commit of a repository of a hub, with its files by path."""

    name: str
    commit: str
    files: Sequence[HubFile]
    hub: Hub

    def url(self, path: str) -> str:
        return f"{self.hub.endpoint()}/{self.name}/resolve/{self.commit}/{quote(path, safe='/')}"

    def small(self, path: str) -> bytes | None:
        """A small file, whole; None where there is none. Raises `RegistryUnreachable`, `HubRefuses`."""
        if not any(file.path == path for file in self.files):
            return None
        try:
            return fetch_bytes(self.url(path), limit_bytes=_SMALL_BYTES)
        except FileNotServed:
            return None
        except RegistryRefuses as error:
            raise refused(_wanted(self.name, self.commit), error) from error

    def beginning(self, path: str, length: int) -> Beginning:
        """The first bytes of a file, by a range. Raises `RegistryUnreachable`, `HubRefuses`."""
        try:
            return beginning_of(self.url(path), length)
        except RegistryRefuses as error:
            raise refused(_wanted(self.name, self.commit), error) from error


def look(hub: Hub, name: str, revision: str = "main") -> Repository:
    """A repository as it is now. Raises `RegistryUnknown`, `UnknownPackage`, `UnknownVersion`,
    `RegistryUnreachable`, `HubRefuses`, `HubGarbage`, `Offline`."""
    commit, files = hub.listing(_wanted(name, revision), ResolveContext(systems=()))
    return Repository(name=name, commit=commit, files=files, hub=hub)


def _wanted(name: str, revision: str) -> Requirement:
    return Requirement(
        source="model", name=name, package=name, options={"registry": "hf", "revision": revision}
    )
