"""A large file of which only the URL is known: its size, its beginning, its digest.

Owns finding these out without holding the file in memory. A file whose digest is known is `download`'s.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, TypeVar
from urllib.parse import urljoin

from cape.names import Digest
from cape.sources.connections import (
    Passing,
    Patience,
    answer_of,
    chunks_of,
    local_file,
    shown_url,
    unreachable,
)
from cape.sources.download import disk_errors, usual_patience
from cape.sources.protocol import NO_PROGRESS, ArtifactLookup, Progress, RegistryGarbage

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """The first bytes of a file, and the size of the whole; None where the server does not tell it."""

    data: bytes
    size_bytes: int | None


def beginning_of(url: str, length: int, *, patience: Patience | None = None) -> Beginning:
    """The first `length` bytes (or what there is), from a server that may not know ranges.

    Raises `FileNotServed`, `RegistryUnreachable`, `Offline`.
    """
    if url.startswith("file:"):
        with local_file(url) as stream:
            return Beginning(data=stream.read(length), size_bytes=os.fstat(stream.fileno()).st_size)
    return _tried(url, patience or usual_patience(), lambda patience: _asked_beginning(url, length, patience))


def _asked_beginning(url: str, length: int, patience: Patience) -> Beginning:
    pieces, had = [], 0
    with answer_of(url, {"Range": f"bytes=0-{length - 1}"}, patience) as answer:
        told = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status != 206:
            told = answer.headers.get("Content-Length", "")
        if answer.status == 416:
            return Beginning(data=b"", size_bytes=0)
        for chunk in chunks_of(answer):
            pieces.append(chunk)
            had += len(chunk)
            if had >= length:
                break
    return Beginning(data=b"".join(pieces)[:length], size_bytes=int(told) if told.isdecimal() else None)


def measured(
    name: str,
    url: str,
    artifacts: ArtifactLookup,
    *,
    progress: Progress = NO_PROGRESS,
    patience: Patience | None = None,
) -> tuple[Digest, int]:
    """Digest and size in bytes of a file, which is then in `artifacts`. It never is in memory whole.

    A broken connection is taken up again where the server says that the file is still the same.
    Raises `FileNotServed`, `RegistryUnreachable`, `RegistryGarbage`, `DiskFull`, `Offline`.
    """
    place = artifacts.partial(Digest.of(url.encode()))
    unchecked = place.with_name(f"{place.name}.{os.getpid()}.{threading.get_ident()}")
    progress.start(f"downloading {name}", 0, unit="B")
    try:
        with disk_errors(unchecked):
            unchecked.parent.mkdir(parents=True, exist_ok=True)
            with open(unchecked, "w+b", buffering=0) as stream:
                digest = _Measuring(url, stream, progress).run(patience or usual_patience())
            size_bytes = unchecked.stat().st_size
            artifacts.admit(digest, unchecked, size_bytes=size_bytes)
        return digest, size_bytes
    finally:
        progress.finish()
        unchecked.unlink(missing_ok=True)


class _Measuring:
    """One file on its way to a digest."""

    def __init__(self, url: str, stream: BinaryIO, progress: Progress) -> None:
        self._url = url
        self._stream = stream
        self._progress = progress
        self._hash = hashlib.sha256()
        self._tag: str | None = None

    def run(self, patience: Patience) -> Digest:
        if self._url.startswith("file:"):
            with local_file(self._url) as source:
                while data := source.read(1 << 20):
                    self._keep(data)
        else:
            _tried(self._url, patience, self._attempt, gained=self._stream.tell)
        return Digest(self._hash.hexdigest())

    def _attempt(self, patience: Patience) -> None:
        start = self._stream.tell() if self._tag else 0
        headers = {"Range": f"bytes={start}-", "If-Range": self._tag or ""} if start else {}
        with answer_of(self._url, headers, patience) as answer:
            if answer.status != 206:
                self._begin_anew()
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                fact = "the registry gives another part than was asked"
                raise RegistryGarbage(fact, where=shown_url(self._url))
            tag = answer.headers.get("ETag", "")
            self._tag = tag if tag.startswith('"') else None
            total = _total(answer.headers.get("Content-Length", ""), start if answer.status == 206 else 0)
            for chunk in chunks_of(answer):
                self._keep(chunk)
        if total is not None and self._stream.tell() < total:
            raise Passing("the answer ended early")

    def _begin_anew(self) -> None:
        self._stream.seek(0)
        self._stream.truncate(0)
        self._hash = hashlib.sha256()

    def _keep(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self._progress.advance(len(data))


def _total(length: str, start: int) -> int | None:
    return start + int(length) if length.isdecimal() else None


def _tried(
    url: str, patience: Patience, ask: Callable[[Patience], _T], gained: Callable[[], int] = lambda: 0
) -> _T:
    """What `ask` gives, asked again as long as patience lasts; bytes that came start the count anew."""
    failures = 0
    while True:
        before = gained()
        try:
            return ask(patience)
        except Passing as error:
            failures = 1 if gained() > before else failures + 1
            if failures >= patience.attempts:
                raise unreachable(url, str(error), failures) from None
            _log.debug("asking %s again: %s", shown_url(url), error)
            time.sleep(max(patience.pause(failures), error.wait_s))


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One answer of several: its body, and where the next is."""

    body: bytes
    next: str | None


def page_of(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    limit_bytes: int = 64 << 20,
    patience: Patience | None = None,
) -> Page:
    """An answer with its link to the next page.

    Raises `FileNotServed`, `RegistryRefuses`, `RegistryUnreachable`, `RegistryGarbage`, `Offline`.
    """
    return _tried(
        url, patience or usual_patience(), lambda patience: _page(url, headers or {}, limit_bytes, patience)
    )


_NEXT = re.compile(r"<([^>]+)>\s*;[^,]*\brel=\"?next\"?")


def _page(url: str, headers: Mapping[str, str], limit_bytes: int, patience: Patience) -> Page:
    pieces, had = [], 0
    with answer_of(url, headers, patience) as answer:
        for chunk in chunks_of(answer):
            pieces.append(chunk)
            had += len(chunk)
            if had > limit_bytes:
                raise RegistryGarbage(f"the answer is larger than {limit_bytes} bytes", where=shown_url(url))
        found = _NEXT.search(answer.headers.get("Link", ""))
    return Page(body=b"".join(pieces), next=urljoin(url, found[1]) if found else None)
