"""A service on loopback that gives answers one after another, and keeps what it was asked.

The bodies in the tests have the form of the real services' replies, as their references print them.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one request gets. A `body` of text is sent as it is, another as JSON."""

    body: Any = ""
    status: int = 200
    wait_s: float = 0.0
    cut_after: int | None = None
    drip_s: float = 0.0
    """Seconds between a byte and the next one; 0: all at once."""


@dataclass
class Service:
    """The running service: `answers` are used up, the last one stays."""

    url: str
    answers: list[Answer]
    asked: list[tuple[str, Mapping[str, str], dict[str, Any]]] = field(default_factory=list)


@contextlib.contextmanager
def service(*answers: Answer) -> Iterator[Service]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            running.asked.append((self.path, headers, body))
            answer = running.answers.pop(0) if len(running.answers) > 1 else running.answers[0]
            time.sleep(answer.wait_s)
            sent = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            with contextlib.suppress(OSError):
                self.send_response(answer.status)
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                if not answer.drip_s:
                    self.wfile.write(sent[: answer.cut_after])
                for number in range(len(sent) if answer.drip_s else 0):
                    self.wfile.write(sent[number : number + 1])
                    time.sleep(answer.drip_s)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Service(url=f"http://127.0.0.1:{server.server_address[1]}", answers=list(answers))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()


def streamed(*events: Any, done: bool = False) -> str:
    """A body of server-sent events."""
    lines = [f"data: {json.dumps(one)}\n\n" for one in events]
    return "".join(["event: message\n", *lines, *(["data: [DONE]\n\n"] if done else [])])
