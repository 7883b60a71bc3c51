"""One large file over several connections at a time, its blocks given in order.

Owns how many blocks are on their way. What is done with them, and where they begin after a break, is the
caller's: a file that grows from its beginning alone can be taken up by anybody.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from cape.sources.connections import Passing, Patience, answer_of, chunks_of, shown_url

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Stopping = Callable[[], bool]
"""Whether nobody wants the block any more."""

_log = logging.getLogger(__name__)

LARGE_BYTES = 64 << 20
"""Below this, opening more connections gains nothing."""

BLOCK_BYTES = 8 << 20


class NoRanges(Exception):
    """The server cannot give a part of the file."""


def blocks_of(
    url: str,
    start: int,
    end: int,
    *,
    connections: int,
    patience: Patience,
    stop: threading.Event,
    answers: set[BaseHTTPResponse],
) -> Generator[bytes, None, None]:
    """The bytes from `start` to before `end`, in order, in blocks of which several are on their way.

    `answers` holds those that are being read, so that they can be shut down. At most `connections` blocks are
    in memory. Raises `NoRanges`, and what `answer_of` raises; what was given until then is right.
    """
    spans = deque((at, min(at + BLOCK_BYTES, end)) for at in range(start, end, BLOCK_BYTES))
    waiting: deque[Future[bytes]] = deque()
    crew = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="block")
    broken = threading.Event()

    def bring(span: tuple[int, int]) -> bytes:
        return _block(url, *span, patience, lambda: stop.is_set() or broken.is_set(), answers)

    try:
        while spans or waiting:
            while spans and len(waiting) < connections:
                waiting.append(crew.submit(bring, spans.popleft()))
            yield waiting.popleft().result()
    finally:
        broken.set()
        for future in waiting:
            future.cancel()
        crew.shutdown(wait=False)


def _block(
    url: str, start: int, end: int, patience: Patience, given_up: Stopping, answers: set[BaseHTTPResponse]
) -> bytes:
    """One block; a connection that breaks after some of it is replaced by another."""
    data = bytearray()
    while len(data) < end - start and not given_up():
        had = len(data)
        try:
            _read(url, start + had, end, data, patience, given_up, answers)
            if len(data) == had:
                raise Passing("the answer ended early")
        except Passing as error:
            if len(data) == had:
                raise
            _log.debug("asking %s again: %s", shown_url(url), error)
    if len(data) < end - start:
        raise Passing("it was stopped")
    return bytes(data)


def _read(
    url: str,
    start: int,
    end: int,
    data: bytearray,
    patience: Patience,
    given_up: Stopping,
    answers: set[BaseHTTPResponse],
) -> None:
    whole = len(data) + end - start
    with answer_of(url, {"Range": f"bytes={start}-{end - 1}"}, patience) as answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise NoRanges
        answers.add(answer)
        try:
            for chunk in chunks_of(answer):
                data += chunk[: whole - len(data)]
                if len(data) >= whole or given_up():
                    return
        finally:
            answers.discard(answer)
