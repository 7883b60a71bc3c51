"""A place in an S3-compatible bucket, with the credentials and endpoint that AWS's own variables name.

The client is `obstore`, of the extra `s3`. A name that is taken is told by a conditional put. Not
every server knows those, and one that puts all the same would lose a push, so each is tried before the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cape.errors import StateError
from cape.sharing.errors import PlaceNotWritable, PlaceUnreachable
from cape.sources import reach

_TRIED = "conditional"
"""What is put twice to see whether a server refuses the second time."""


class BucketClientMissing(StateError):
    """The client for buckets is not installed."""

    slug = "bucket-client-missing"


class BucketPlace:
    """See `Place`. `url` is `s3://BUCKET/PREFIX`."""

    def __init__(self, url: str) -> None:
        self.shown = url
        self._url = url
        self._opened: Any = None
        self._keeps_names = False

    def read(self, path: str) -> bytes | None:
        """See `Place.read`."""
        with self._asking():
            try:
                return bytes(self._client().get(self._store(), path).bytes())
            except _absent():
                return None

    def fetch(self, path: str, into: Path) -> bool:
        """See `Place.fetch`, piece by piece."""
        with self._asking():
            try:
                answer = self._client().get(self._store(), path)
            except _absent():
                return False
            with open(into, "wb") as stream:
                for piece in answer.stream(min_chunk_size=4 << 20):
                    stream.write(piece)
            return True

    def has(self, path: str) -> bool:
        """See `Place.has`."""
        with self._asking():
            try:
                self._client().head(self._store(), path)
            except _absent():
                return False
            return True

    def names(self, directory: str) -> list[str] | None:
        """See `Place.names`."""
        with self._asking():
            found = self._client().list_with_delimiter(self._store(), prefix=directory)
            paths = [str(one["path"]) for one in found["objects"]] + [
                str(one) for one in found["common_prefixes"]
            ]
            return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Place.put`."""
        if self.has(path):
            return
        with self._asking(writing=True):
            self._client().put(self._store(), path, data)

    def commit(self, path: str, data: bytes) -> bool:
        """See `Place.commit`."""
        self._require_conditions()
        return self._create(path, data)

    def _create(self, path: str, data: bytes) -> bool:
        with self._asking(writing=True):
            from obstore.exceptions import AlreadyExistsError

            try:
                self._client().put(self._store(), path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def _require_conditions(self) -> None:
        """Raise `PlaceNotWritable` where a second put under one name is not refused."""
        if not self._keeps_names and self._create(_TRIED, b"") and self._create(_TRIED, b""):
            raise PlaceNotWritable(
                "the bucket's server overwrites what is to be written only once (it ignores "
                "`If-None-Match`): of two pushes at once one would be lost",
                where=self.shown,
                hint="push to a directory or a git branch, or to a server that knows conditional writes",
            )
        self._keeps_names = True

    def overwrite(self, path: str, data: bytes) -> None:
        """See `Place.overwrite`."""
        with self._asking(writing=True):
            self._client().put(self._store(), path, data)

    hint = overwrite

    def _client(self) -> Any:
        try:
            import obstore
        except ImportError as error:
            raise BucketClientMissing(
                "this installation of cape cannot reach buckets", hint="install it with its extra: `cape[s3]`"
            ) from error
        return obstore

    def _store(self) -> Any:
        self._client()
        if self._opened is None:
            from obstore.store import S3Store

            if reach.is_forbidden():
                raise PlaceUnreachable("the place is a bucket, and no network may be used", where=self.shown)
            patience: dict[str, Any] = {} if reach.has_way_out() else {"retry_config": {"max_retries": 0}}
            self._opened = S3Store.from_url(self._url, client_options={"allow_http": True}, **patience)
        return self._opened

    @contextlib.contextmanager
    def _asking(self, *, writing: bool = False) -> Iterator[None]:
        self._client()
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            kind = PlaceNotWritable if writing else PlaceUnreachable
            raise kind(
                "the bucket does not let you in",
                where=self.shown,
                hint="set `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, perhaps `AWS_ENDPOINT_URL`",
            ) from error
        except BaseError as error:
            first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise PlaceUnreachable(f"the bucket does not answer: {first}", where=self.shown) from error


def _absent() -> tuple[type[BaseException], ...]:
    from obstore.exceptions import NotFoundError

    return (FileNotFoundError, NotFoundError)
