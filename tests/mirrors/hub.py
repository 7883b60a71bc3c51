"""A model hub on loopback, of Hugging Face's shape, with a file server of its own that it redirects to.

    with model_hub() as hub:
        hub.add("org/tiny", {"model.gguf": data}, large=("model.gguf",), licence="mit")
        hub.url                   # the URL to set as `hub`

`hub.server` and `hub.files` are the `Loopback`s: their faults by path make them misbehave
(`/org/tiny/resolve/COMMIT/model.gguf`; `/blobs/SHA256`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.mirrors.loopback import Fault, Loopback, loopback


class ModelHub:
    """The running hub. Repositories may be added and changed while it runs."""

    def __init__(self, server: Loopback, files: Loopback) -> None:
        self.server = server
        self.files = files
        self.url = server.url
        self.page_size = 1000
        self.token: str | None = None
        self._answers: dict[str, Any] = {}
        self._revisions: dict[tuple[str, str], str] = {}
        server.answer = self._answer

    def add(
        self,
        repository: str,
        files: Mapping[str, bytes],
        *,
        large: Sequence[str] = (),
        licence: str | None = "apache-2.0",
        revision: str = "main",
    ) -> str:
        """Publish files as the newest commit of a revision; its commit."""
        content = json.dumps({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})
        commit = hashlib.sha1(f"{repository} {content}".encode()).hexdigest()
        card = {"license": licence} if licence else {}
        told = {"id": repository, "sha": commit, "cardData": card, "tags": ["gguf"]}
        self._answers[f"/api/models/{repository}"] = told
        for name in (revision, commit):
            self._answers[f"/api/models/{repository}/revision/{name}"] = told
        entries = [_entry(path, data, path in large) for path, data in sorted(files.items())]
        self._answers[f"/api/models/{repository}/tree/{commit}"] = entries
        for path, data in files.items():
            place = f"/{repository}/resolve/{commit}/{path}"
            if path in large:
                self._serve_large(place, data)
            else:
                self.server.files[place] = data
        return commit

    def _serve_large(self, place: str, data: bytes) -> None:
        name = f"/blobs/{hashlib.sha256(data).hexdigest()}"
        self.files.files[name] = data
        target = f"{self.files.url}{name}?X-Amz-Signature=secret"
        self.server.always[place] = Fault(status=302, headers={"Location": target})

    def wants(self, token: str) -> None:
        """From now on, let only requests with this token in."""
        self.token = token

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        found = self._answers.get(unquote(path))
        return None if found is None else ("application/json", json.dumps(found).encode())


def _entry(path: str, data: bytes, is_large: bool) -> dict[str, Any]:
    if not is_large:
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return {"type": "file", "oid": oid, "size": len(data), "path": path}
    digest = hashlib.sha256(data).hexdigest()
    pointer = f"version 1\noid sha256:{digest}\nsize {len(data)}\n".encode()
    oid = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
    lfs = {"oid": digest, "size": len(data), "pointerSize": len(pointer)}
    return {"type": "file", "oid": oid, "size": len(data), "path": path, "lfs": lfs}


@contextlib.contextmanager
def model_hub() -> Iterator[ModelHub]:
    """A running hub, stopped at the end."""
    with loopback() as server, loopback() as files:
        yield ModelHub(server, files)
