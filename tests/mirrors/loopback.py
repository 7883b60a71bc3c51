"""A server on loopback that serves bytes by path, and misbehaves where it is told to.

`faults[path]` is a list of what goes wrong with the next requests for that path, first to last; an
empty list means that the file is served as it is. A `Fault` in `always[path]` goes wrong each time.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one request."""

    status: int | None = None
    """Answer with this status and no file."""
    reset_after: int | None = None
    """Break the connection after so many bytes of the body."""
    truncate_after: int | None = None
    """End the body after so many bytes, and close as if that were all (no Content-Length)."""
    alter: bool = False
    """Serve other bytes of the same length."""
    longer: bool = False
    """Serve more bytes than there are."""
    ignore_range: bool = False
    stall: bool = False
    """Send half of the body, then nothing until the server ends."""
    headers: dict[str, str] = field(default_factory=dict)


PLAIN = Fault()


class Loopback:
    """The running server. `files` may be changed while it runs; `requests` tells what was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.extra: dict[str, dict[str, str]] = {}
        """Headers that are sent with a path's file."""
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.always: dict[str, Fault] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.answer: Callable[[str], tuple[str, bytes] | None] = lambda path: None
        self.closing = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def next_fault(self, path: str) -> Fault:
        waiting = self.faults.get(path)
        return waiting.pop(0) if waiting else self.always.get(path, PLAIN)

    def find(self, path: str) -> tuple[str, bytes] | None:
        if path in self.files:
            return self.types.get(path, "application/octet-stream"), self.files[path]
        return self.answer(path)


@contextlib.contextmanager
def loopback() -> Iterator[Loopback]:
    """A running server, stopped at the end."""
    server = Loopback()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def unused_url() -> str:
    """An address on loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _handler_of(owner: Loopback) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            owner.requests.append((self.path, self.headers.get("Range")))
            owner.headers_seen.append(dict(self.headers))
            fault = owner.next_fault(path)
            with contextlib.suppress(ConnectionError):
                self._serve(path, fault)

        def do_HEAD(self) -> None:
            found = owner.find(self.path.split("?")[0])
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(found[1])) if found else "0")
            self.end_headers()

        def _serve(self, path: str, fault: Fault) -> None:
            found = owner.find(path)
            if fault.status is not None or found is None:
                self._refuse(fault.status or 404, fault)
                return
            kind, body = found
            if fault.alter:
                body = bytes(byte ^ 0xFF for byte in body)
            if fault.longer:
                body += b"more"
            asked = None if fault.ignore_range else self.headers.get("Range")
            start, end = _span(asked, len(body))
            if start >= len(body) and start:
                self._refuse(416, fault)
                return
            self._head(
                kind, body, (start, end), fault, is_part=asked is not None and (start, end) != (0, len(body))
            )
            self._body(body[start:end], fault)

        def _refuse(self, status: int, fault: Fault) -> None:
            self.send_response(status)
            for name, value in fault.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _head(
            self, kind: str, body: bytes, span: tuple[int, int], fault: Fault, *, is_part: bool
        ) -> None:
            start, end = span
            self.send_response(206 if is_part else 200)
            self.send_header("Content-Type", kind)
            for name, value in owner.extra.get(self.path.split("?")[0], {}).items():
                self.send_header(name, value)
            if is_part:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
            if fault.truncate_after is None:
                self.send_header("Content-Length", str(end - start))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()

        def _body(self, body: bytes, fault: Fault) -> None:
            if fault.stall:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                owner.closing.wait()
                self.close_connection = True
            elif fault.reset_after is not None:
                self.wfile.write(body[: fault.reset_after])
                self.wfile.flush()
                self._reset()
            elif fault.truncate_after is not None:
                self.wfile.write(body[: fault.truncate_after])
            else:
                self.wfile.write(body)

        def _reset(self) -> None:
            """Break the connection so that the client sees a reset, not an end."""
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    return Handler


def _span(range_header: str | None, size: int) -> tuple[int, int]:
    """The first byte that is asked for, and the one after the last."""
    found = re.match(r"bytes=(\d+)-(\d*)", range_header or "")
    if found is None:
        return 0, size
    return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
