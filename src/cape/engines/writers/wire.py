"""Requests to a writer's service: JSON there, JSON or a stream of events back.

Owns waits, retries and what a failure becomes. A key stands in a header and in no message; no reply's body is
put into an error but for the service's own short reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cape.engines.writers.errors import (
    WriterBusy,
    WriterDown,
    WriterError,
    WriterJunk,
    WriterRefused,
    WriterUnreached,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_LARGEST_BYTES = 4 << 20
_AT_ONCE = 1 << 16
_LONGEST_REASON = 200
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Where requests go, with which headers, and how long they may take.

    `silence_s` is the longest time without a byte, `longest_s` that of a whole reply. `attempts` counts the
    first one too.
    """

    name: str
    base: str
    headers: Mapping[str, str]
    silence_s: float = 60.0
    attempts: int = 3
    longest_s: float = 600.0

    def shown(self) -> str:
        """The address without user, password and query, for messages."""
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def ask(service: Service, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request, as a JSON object. Raises `WriterError`s."""
    with _answered(service, path, body, stream=False) as answer:
        data = b"".join(_pieces(service, answer))
    try:
        told = json.loads(data)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise WriterJunk(
            f"the writer `{service.name}` sent no JSON object",
            where=service.shown(),
            hint="is the address that of an API?",
        )
    return told


def events(service: Service, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a stream, each a JSON object, until it ends or says `[DONE]`. Raises `WriterError`s.

    Source: server-sent events, the WHATWG HTML standard, section 9.2.
    """
    with _answered(service, path, body, stream=True) as answer:
        for line in _lines(service, answer):
            if not line.startswith("data:"):
                continue
            told = line.removeprefix("data:").strip()
            if told == "[DONE]":
                return
            try:
                event = json.loads(told)
            except ValueError:
                raise WriterJunk(
                    f"the writer `{service.name}` sent a broken event", where=service.shown()
                ) from None
            if isinstance(event, dict):
                yield event


def _lines(service: Service, answer: BaseHTTPResponse) -> Iterator[str]:
    waiting = b""
    for piece in _pieces(service, answer):
        waiting += piece
        *whole, waiting = waiting.split(b"\n")
        yield from (one.decode("utf-8", "replace").rstrip("\r") for one in whole)
    if waiting:
        yield waiting.decode("utf-8", "replace")


def _pieces(service: Service, answer: BaseHTTPResponse) -> Iterator[bytes]:
    """What comes of a reply, as it comes, within its size and its time."""
    import urllib3

    taken, ends = 0, time.monotonic() + service.longest_s
    try:
        while piece := answer.read1(_AT_ONCE):
            taken += len(piece)
            if taken > _LARGEST_BYTES:
                raise WriterJunk(f"the writer `{service.name}` sent too much", where=service.shown())
            if time.monotonic() > ends:
                raise _down(service, f"its reply did not end in {service.longest_s:g} s")
            yield piece
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _down(service, "it broke off") from error


@contextmanager
def _answered(
    service: Service, path: str, body: Mapping[str, Any], *, stream: bool
) -> Iterator[BaseHTTPResponse]:
    """A good answer, after as many attempts as the service's settings allow."""
    import urllib3

    sent = json.dumps(body).encode()
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        **service.headers,
    }
    silence_s = min(service.silence_s, service.longest_s)
    timeout = urllib3.Timeout(connect=min(15.0, silence_s), read=silence_s)
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        last: WriterError | None = None
        for attempt in range(service.attempts):
            if last is not None:
                time.sleep(min(_LONGEST_PAUSE_S, _PAUSE_S * 2 ** (attempt - 1)))
            try:
                answer = pool.request(
                    "POST", service.base.rstrip("/") + path, body=sent, headers=headers,
                    preload_content=False, redirect=False,
                )  # fmt: skip
            except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
                last = _down(service, "it did not answer", WriterUnreached)
                last.__cause__ = error
                continue
            except (urllib3.exceptions.HTTPError, OSError) as error:
                last = _down(service, "it did not answer")
                last.__cause__ = error
                continue
            try:
                if 200 <= answer.status < 300:
                    yield answer
                    return
                last = _refusal(service, answer)
                if answer.status not in _PASSING:
                    raise last
            finally:
                answer.release_conn()
                answer.close()
        assert last is not None
        raise last


def _down(service: Service, what: str, error: type[WriterDown] = WriterDown) -> WriterDown:
    return error(
        f"the writer `{service.name}` cannot be used: {what}",
        where=service.shown(),
        hint="without a writer answers are quoted: leave `--writer` out, or name another one",
    )


def _refusal(service: Service, answer: BaseHTTPResponse) -> WriterError:
    reason = _reason(answer)
    told = f"the writer `{service.name}` answered {answer.status}" + (f": {reason}" if reason else "")
    if answer.status in (401, 403):
        return WriterRefused(told, where=service.shown(), hint="look at the variable that `key` names")
    if answer.status == 429 or answer.status in (503, 529):
        return WriterBusy(told, where=service.shown(), hint="try again later, or use another writer")
    if answer.status in _PASSING:
        return WriterDown(told, where=service.shown())
    return WriterRefused(told, where=service.shown())


def _reason(answer: BaseHTTPResponse) -> str:
    """The service's own words, if it has short ones: `error.message`, as all of them say it."""
    import urllib3

    try:
        told = json.loads(answer.read(1 << 16))
    except (ValueError, OSError, urllib3.exceptions.HTTPError):
        return ""
    error = told.get("error") if isinstance(told, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(message.split())[:_LONGEST_REASON] if isinstance(message, str) else ""
