"""A place that is a static http tree: what a directory place looks like through any web server. Read only."""

from __future__ import annotations

from pathlib import Path

from cape.sharing.errors import PlaceNotWritable, PlaceUnreachable
from cape.sources.download import FileNotServed, fetch_bytes, shown_url
from cape.sources.protocol import RegistryUnreachable

_LARGEST_BYTES = 8 << 30


class WebPlace:
    """See `Place`. It cannot list, so who reads probes names one after another."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self.shown = shown_url(self._url)

    def read(self, path: str) -> bytes | None:
        """See `Place.read`."""
        try:
            return fetch_bytes(f"{self._url}/{path}", limit_bytes=_LARGEST_BYTES)
        except FileNotServed:
            return None
        except RegistryUnreachable as error:
            raise PlaceUnreachable(
                "the place does not answer",
                where=self.shown,
                hint="is the address right, and the network there?",
            ) from error

    def fetch(self, path: str, into: Path) -> bool:
        """See `Place.fetch`."""
        data = self.read(path)
        if data is None:
            return False
        into.write_bytes(data)
        return True

    def has(self, path: str) -> bool:
        """See `Place.has`; a web server is asked for the whole."""
        return self.read(path) is not None

    def names(self, directory: str) -> list[str] | None:
        """See `Place.names`."""
        return None

    def put(self, path: str, data: bytes | Path) -> None:
        """Never: raises `PlaceNotWritable`."""
        raise self._read_only()

    def commit(self, path: str, data: bytes) -> bool:
        """Never: raises `PlaceNotWritable`."""
        raise self._read_only()

    def overwrite(self, path: str, data: bytes) -> None:
        """Never: raises `PlaceNotWritable`."""
        raise self._read_only()

    def hint(self, path: str, data: bytes) -> None:
        """Never: raises `PlaceNotWritable`."""
        raise self._read_only()

    def _read_only(self) -> PlaceNotWritable:
        return PlaceNotWritable(
            "a static http tree can be pulled from, not pushed to",
            where=self.shown,
            hint="push to the directory that it is served from",
        )
