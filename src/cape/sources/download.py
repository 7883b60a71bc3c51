"""Transfers from registries: many at a time, resumed, retried, verified.

Owns what is brought, from which of several places, retried and resumed. One request and its failures are
`connections`'s. It knows URLs and digests, and neither packages nor sources; what a file means must never be
decided here.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cape.errors import CapeError, DiskFull, IntegrityError, StateError
from cape.names import Digest
from cape.sources import reach
from cape.sources.connections import (
    FileNotServed,
    Passing,
    Patience,
    answer_of,
    chunks_of,
    local_file,
    offer_credentials,
    shown_url,
    unreachable,
    usual_patience,
)
from cape.sources.protocol import (
    NO_PROGRESS,
    ArtifactGone,
    ArtifactLookup,
    Progress,
    RegistryGarbage,
    RegistryUnreachable,
)
from cape.sources.side_by_side import LARGE_BYTES, NoRanges, blocks_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

__all__ = [
    "Download",
    "FileNotServed",
    "Patience",
    "Published",
    "disk_errors",
    "download_all",
    "fetch_bytes",
    "measure_all",
    "offer_credentials",
    "shown_url",
    "usual_patience",
]

_log = logging.getLogger(__name__)

_LARGEST_MEASURED_BYTES = 2 << 30
_TOLD = 8
_MOST_SIDE_BY_SIDE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """One artifact to bring: what it must be, what to call it in messages, and where it may be had."""

    digest: Digest
    size_bytes: int
    name: str
    urls: tuple[str, ...]


def download_all(
    downloads: Sequence[Download],
    artifacts: ArtifactLookup,
    *,
    connections: int = 6,
    progress: Progress = NO_PROGRESS,
    patience: Patience | None = None,
    arrived: Callable[[Digest], None] = lambda digest: None,
) -> None:
    """Bring every artifact that `artifacts` does not have.

    `arrived` is called for each that came, from any thread; what it raises stops the rest. The URLs of an
    artifact are asked in order; an unfinished file is resumed, also by a later process, and two processes
    never write to the same one. Artifacts that no URL serves are all named in one
    error, after the others came; any other failure stops the rest, which can be resumed.

    Raises:
        ArtifactGone: no URL serves an artifact any more (or there is none).
        RegistryUnreachable: a server did not answer, after all attempts.
        Offline: there is no network, or it must not be used.
        IntegrityError: a server gives other bytes than the lock says.
        DiskFull: the store's file system has no room.
    """
    wanted = {item.digest: item for item in downloads if not artifacts.has(item.digest)}
    if not wanted:
        return
    progress.start("downloading", sum(item.size_bytes for item in wanted.values()), unit="B")
    try:
        _check_room(list(wanted.values()), artifacts)
        crew = _Crew(artifacts, progress, patience or usual_patience(), arrived)
        crew.bring(list(wanted.values()), connections)
    except reach.Offline as error:
        lacking = sorted(item.name for item in wanted.values() if not artifacts.has(item.digest))
        raise reach.offline(_not_here(lacking), where=error.where) from None
    finally:
        progress.finish()


def _check_room(wanted: Sequence[Download], artifacts: ArtifactLookup) -> None:
    """Raise `DiskFull` before the first byte where what is to come does not fit."""
    places = {item: artifacts.partial(item.digest) for item in wanted}
    home = next(iter(places.values())).parent
    while not home.exists():
        home = home.parent
    had = sum(min(item.size_bytes, _size_of(place)) for item, place in places.items())
    needed_bytes = sum(item.size_bytes for item in wanted) - had
    free_bytes = shutil.disk_usage(home).free
    if needed_bytes > free_bytes:
        raise DiskFull(
            f"there is no room for {_megabytes(needed_bytes)} to download: {_megabytes(free_bytes)} are free",
            where=str(home),
            hint="`cape gc` removes what is not used; `cape config store DIR` names another place",
        )


def _size_of(place: Path) -> int:
    try:
        return place.stat().st_blocks * 512
    except OSError:
        return 0


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def fetch_bytes(
    url: str,
    *,
    limit_bytes: int = 256 << 20,
    headers: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> bytes:
    """The whole answer to a GET of an index, with retries.

    Raises:
        FileNotServed: the registry has no such file (404, 410).
        RegistryUnreachable: it did not answer, or answered with an error, after all attempts.
        RegistryGarbage: the answer is larger than `limit_bytes`.
    """
    patience = patience or usual_patience()
    failures = 0
    while True:
        try:
            return _whole_answer(url, limit_bytes, headers or {}, patience)
        except Passing as error:
            failures += 1
            if failures >= patience.attempts:
                raise unreachable(url, str(error), failures) from None
            _log.debug("asking %s again: %s", shown_url(url), error)
            time.sleep(max(patience.pause(failures), error.wait_s))


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A file whose sha256 or size its registry does not tell.

    `integrity` is what the registry does tell, as in `sha512-BASE64` (several parted by spaces); None
    when it tells nothing.
    """

    name: str
    url: str
    integrity: str | None = None


def measure_all(
    files: Sequence[Published],
    artifacts: ArtifactLookup,
    *,
    connections: int = 6,
    progress: Progress = NO_PROGRESS,
    patience: Patience | None = None,
) -> tuple[tuple[Digest, int], ...]:
    """Digest and size in bytes of each file, in the order given; the files are then in `artifacts`.

    Progress is told in files: nobody knows how large they are.

    Raises `FileNotServed`, `RegistryUnreachable`, `DiskFull`, and `IntegrityError` when a file is not
    what the registry itself tells.
    """
    patience = patience or usual_patience()
    found: dict[Published, tuple[Digest, int]] = {}
    crew = _Crew(artifacts, progress, patience)

    def task(file: Published) -> Callable[[], None]:
        def measure() -> None:
            found[file] = _measured(file, artifacts, patience)
            progress.advance()

        return measure

    tasks = [task(file) for file in dict.fromkeys(files)]
    if not tasks:
        return ()
    progress.start("downloading", len(tasks))
    try:
        crew.run(tasks, connections)
    finally:
        progress.finish()
    return tuple(found[file] for file in files)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the kernel's refusals inside the block into errors that a user can act on.

    Other `OSError`s pass: they are the block's own to handle, or bugs.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "there is no room left on the disk",
                where=str(path),
                hint="`cape gc` removes what is not used",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR):
            raise StateError(f"cannot write: {error.strerror}", where=str(error.filename or path)) from error
        raise


class _Stopped(Exception):
    """The crew was told to stop; nothing failed here."""


class _Crew:
    """Threads that do tasks; the caller's thread only waits, so that Ctrl-C reaches it at once."""

    def __init__(
        self,
        artifacts: ArtifactLookup,
        progress: Progress,
        patience: Patience,
        arrived: Callable[[Digest], None] = lambda digest: None,
    ) -> None:
        self.arrived = arrived
        self.artifacts = artifacts
        self.progress = progress
        self.patience = patience
        self.side_by_side = 1
        """The connections that one large file may have."""
        self.stop = threading.Event()
        self.answers: set[BaseHTTPResponse] = set()

    def bring(self, wanted: list[Download], connections: int) -> None:
        """Bring artifacts, the largest first."""
        ordered = sorted(wanted, key=lambda item: (-item.size_bytes, item.digest))
        self.side_by_side = max(1, min(_MOST_SIDE_BY_SIDE, connections // len(ordered)))
        self.run([_Transfer(item, self).run for item in ordered], connections)

    def run(self, tasks: Sequence[Callable[[], None]], connections: int) -> None:
        """Do every task; the first failure stops the rest, but for `ArtifactGone`, which comes last."""
        waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        results: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for task in tasks:
            waiting.put(task)
        for _ in range(min(connections, len(tasks))):
            threading.Thread(target=self._work, args=(waiting, results), daemon=True).start()
        try:
            gone = [error for _ in tasks if (error := _outcome(results.get())) is not None]
        finally:
            self._halt()
        if gone:
            raise gone[0] if len(gone) == 1 else _all_gone(gone)

    def _work(
        self,
        waiting: queue.SimpleQueue[Callable[[], None]],
        results: queue.SimpleQueue[BaseException | None],
    ) -> None:
        while not self.stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                task()
                results.put(None)
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                results.put(error)

    def _halt(self) -> None:
        """Tell the threads to stop, and wake those that wait for a server."""
        self.stop.set()
        for answer in tuple(self.answers):
            try:
                answer.shutdown()
            except (AttributeError, ValueError, OSError):
                _log.debug("a connection could not be shut down; its thread ends by its time-out")


def _outcome(error: BaseException | None) -> ArtifactGone | None:
    """What is remembered of a finished task; failures that end the work are raised."""
    if error is None or isinstance(error, ArtifactGone):
        return error
    raise error


class _Transfer:
    """One artifact on its way: its unfinished file, and what went wrong at the URLs asked so far."""

    def __init__(self, item: Download, crew: _Crew) -> None:
        self.item = item
        self.crew = crew
        self.partial = crew.artifacts.partial(item.digest)
        self.reported_bytes = 0

    def run(self) -> None:
        """Bring the artifact from the first URL that has it."""
        troubles: list[CapeError] = []
        with disk_errors(self.partial):
            self.partial.parent.mkdir(parents=True, exist_ok=True)
        for url in self.item.urls:
            try:
                self._from(url)
                self._report(self.item.size_bytes)
                self.crew.arrived(self.item.digest)
                return
            except FileNotServed as error:
                _log.debug("%s", error)
            except (RegistryUnreachable, IntegrityError) as error:
                troubles.append(error)
        raise self._verdict(troubles)

    def _verdict(self, troubles: list[CapeError]) -> CapeError:
        """The error to show when every URL failed: altered bytes before silence before absence."""
        altered = [error for error in troubles if isinstance(error, IntegrityError)]
        return (altered or troubles or [_gone(self.item)])[0]

    def _from(self, url: str) -> None:
        """Bring it from one URL. A resumed file that turns out wrong is fetched whole once."""
        while True:
            with self._claimed() as stream:
                if stream is None:
                    return
                resumed = self._fill(stream, url)
                try:
                    with disk_errors(self.partial):
                        self.crew.artifacts.admit(
                            self.item.digest, self.partial, size_bytes=self.item.size_bytes
                        )
                    return
                except IntegrityError as error:
                    self.partial.unlink(missing_ok=True)
                    if not resumed:
                        raise _altered(self.item, url) from error
                    _log.debug("the resumed %s is not what it should be; fetching it whole", self.item.name)

    @contextmanager
    def _claimed(self) -> Iterator[BinaryIO | None]:
        """The unfinished file, locked for this thread; None when the artifact came meanwhile.

        The file may be moved or removed by the one that held the lock before; so the name is looked up
        again once the lock is ours.
        """
        while True:
            with disk_errors(self.partial):
                descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with open(descriptor, "r+b", buffering=0) as stream:
                self._wait_for_lock(stream.fileno())
                if self.crew.artifacts.has(self.item.digest):
                    yield None
                    return
                if _is_still_named(stream.fileno(), self.partial):
                    yield stream
                    return

    def _wait_for_lock(self, descriptor: int) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if self.crew.stop.wait(0.1):
                    raise _Stopped from None

    def _fill(self, stream: BinaryIO, url: str) -> bool:
        """Bring what the unfinished file lacks; whether any of it was there before this call's bytes.

        Raises `FileNotServed`, `RegistryUnreachable`, `IntegrityError`, `DiskFull`.
        """
        had = min(_size(stream), self.item.size_bytes)
        if url.startswith("file:"):
            self._copy(stream, url)
            return False
        resumed, failures = had > 0, 0
        while (before := _size(stream)) != self.item.size_bytes or before == 0:
            try:
                self._attempt(stream, url, before)
                if _size(stream) == self.item.size_bytes:
                    break
                raise Passing("the answer ended early")
            except Passing as error:
                gained = _size(stream) > before
                failures = 1 if gained else failures + 1
                resumed = resumed or gained
                if failures >= self.crew.patience.attempts:
                    raise unreachable(url, str(error), failures) from None
                _log.debug("asking %s again: %s", shown_url(url), error)
                if self.crew.stop.wait(max(self.crew.patience.pause(failures), error.wait_s)):
                    raise _Stopped from None
        return resumed

    def _attempt(self, stream: BinaryIO, url: str, start: int) -> None:
        """One request, from byte `start` on where the server can."""
        if start > self.item.size_bytes:
            start = _emptied(stream)
        if self._is_large(start):
            try:
                self._side_by_side(stream, url, start)
                return
            except NoRanges:
                start = _size(stream)
        headers = {"Range": f"bytes={start}-"} if start else {}
        with answer_of(url, headers, self.crew.patience) as answer:
            if answer.status == 416 or not _continues(answer, start):
                start = _emptied(stream)
            if answer.status == 416:
                raise Passing("the server cannot continue the file")
            stream.seek(start)
            self.crew.answers.add(answer)
            try:
                self._pour(answer, stream, url)
            finally:
                self.crew.answers.discard(answer)

    def _is_large(self, start: int) -> bool:
        return self.crew.side_by_side > 1 and self.item.size_bytes - start >= LARGE_BYTES

    def _side_by_side(self, stream: BinaryIO, url: str, start: int) -> None:
        """The rest of a large file over several connections. Raises `NoRanges` where there are no parts."""
        stream.seek(start)
        blocks = blocks_of(
            url,
            start,
            self.item.size_bytes,
            connections=self.crew.side_by_side,
            patience=self.crew.patience,
            stop=self.crew.stop,
            answers=self.crew.answers,
        )
        with contextlib.closing(blocks):
            for block in blocks:
                if self.crew.stop.is_set():
                    raise _Stopped
                with disk_errors(self.partial):
                    _write_all(stream, block)
                self._report(stream.tell())

    def _pour(self, answer: BaseHTTPResponse, stream: BinaryIO, url: str) -> None:
        for chunk in chunks_of(answer):
            if self.crew.stop.is_set():
                raise _Stopped
            with disk_errors(self.partial):
                _write_all(stream, chunk)
            position = stream.tell()
            if position > self.item.size_bytes:
                _emptied(stream)
                raise _altered(self.item, url)
            self._report(position)

    def _copy(self, stream: BinaryIO, url: str) -> None:
        _emptied(stream)
        with local_file(url) as source, disk_errors(self.partial):
            shutil.copyfileobj(source, stream, 1 << 20)

    def _report(self, position: int) -> None:
        """Tell the progress how far this file is; it never goes back."""
        if position > self.reported_bytes:
            self.crew.progress.advance(position - self.reported_bytes)
            self.reported_bytes = position


def _measured(file: Published, artifacts: ArtifactLookup, patience: Patience) -> tuple[Digest, int]:
    body = fetch_bytes(file.url, limit_bytes=_LARGEST_MEASURED_BYTES, patience=patience)
    if file.integrity and not _has_integrity(body, file.integrity):
        raise IntegrityError(
            f"`{file.name}` is not what its registry says: expected {file.integrity}",
            where=shown_url(file.url),
            hint="the registry or something on the way changed the file",
        )
    digest = Digest.of(body)
    if not artifacts.has(digest):
        unchecked = artifacts.partial(digest)
        unchecked = unchecked.with_name(f"{unchecked.name}.{os.getpid()}.{threading.get_ident()}")
        with disk_errors(unchecked):
            unchecked.parent.mkdir(parents=True, exist_ok=True)
            unchecked.write_bytes(body)
            artifacts.admit(digest, unchecked, size_bytes=len(body))
    return digest, len(body)


def _has_integrity(body: bytes, integrity: str) -> bool:
    """Whether the strongest hash of a subresource integrity string is that of `body`."""
    hashes = dict(part.split("?")[0].split("-", 1) for part in integrity.split() if "-" in part)
    for algorithm in ("sha512", "sha384", "sha256", "sha1"):
        if algorithm in hashes:
            own = base64.b64encode(hashlib.new(algorithm, body, usedforsecurity=False).digest())
            return own.decode() == hashes[algorithm]
    return False


def _whole_answer(url: str, limit_bytes: int, headers: Mapping[str, str], patience: Patience) -> bytes:
    if url.startswith("file:"):
        with local_file(url) as stream:
            body = stream.read(limit_bytes + 1)
    else:
        body = b""
        pieces: list[bytes] = []
        size = 0
        with answer_of(url, headers, patience) as answer:
            for chunk in chunks_of(answer):
                pieces.append(chunk)
                size += len(chunk)
                if size > limit_bytes:
                    break
        body = b"".join(pieces)
    if len(body) > limit_bytes:
        raise RegistryGarbage(f"the answer is larger than {limit_bytes} bytes", where=shown_url(url))
    return body


def _continues(answer: BaseHTTPResponse, start: int) -> bool:
    """Whether the answer's first byte is that at `start`."""
    if start == 0:
        return answer.status != 206 or answer.headers.get("Content-Range", "").startswith("bytes 0-")
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _not_here(names: Sequence[str]) -> str:
    """The fact that artifacts are lacking, the first few by name."""
    told = ", ".join(f"`{name}`" for name in names[:_TOLD])
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"{told}{more} {'is' if len(names) == 1 else 'are'} not in the store"


_WAYS_OUT = (
    "`cape config artifacts DIR` names a directory that has it, "
    "`cape sync --from DIR` takes it from a vendored tree, `cape upgrade` locks its successor"
)


def _gone(item: Download) -> ArtifactGone:
    asked = [shown_url(url) for url in item.urls]
    return ArtifactGone(
        f"no registry serves `{item.name}` ({item.digest}) any more",
        where=", ".join(asked) or None,
        hint=_WAYS_OUT,
    )


def _all_gone(errors: Sequence[ArtifactGone]) -> ArtifactGone:
    facts = "; ".join(sorted(error.fact for error in errors))
    return ArtifactGone(f"{len(errors)} artifacts are gone: {facts}", hint=_WAYS_OUT)


def _altered(item: Download, url: str) -> IntegrityError:
    return IntegrityError(
        f"`{item.name}` is not what the lock says: expected {item.digest}, {item.size_bytes} bytes",
        where=shown_url(url),
        hint="the registry or something on the way changed the file; another mirror may have the right one",
    )


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _emptied(stream: BinaryIO) -> int:
    """Empty the file; gives the place to go on from, 0."""
    if _size(stream):
        stream.truncate(0)
    stream.seek(0)
    return 0


def _write_all(stream: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[stream.write(rest) :]


def _is_still_named(descriptor: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
