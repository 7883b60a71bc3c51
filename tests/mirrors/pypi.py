"""A Python index on loopback with generated wheels.

    with python_index() as index:
        index.add_wheel("six", "1.0", files={"six.py": b"answer = 42"})
        index.simple          # the URL to set as `pypi.index`

Wheels are equal for equal arguments. `index.server` is the `Loopback` that serves them: its faults by
path make it misbehave (`/simple/six/`, `/files/six-1.0-py3-none-any.whl`).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence

from tests.mirrors.loopback import Loopback, loopback

_JSON = "application/vnd.pypi.simple.v1+json"


def make_wheel(
    name: str,
    version: str,
    *,
    files: Mapping[str, bytes] | None = None,
    requires: Sequence[str] = (),
    requires_python: str = "",
    entry_points: str = "",
    licence: str = "MIT",
    tag: str = "py3-none-any",
    runnable: Sequence[str] = (),
) -> tuple[str, bytes]:
    """File name and bytes of a wheel. `files` are by path in the wheel; METADATA and RECORD are made."""
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"
    metadata += f"Requires-Python: {requires_python}\n" if requires_python else ""
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    members = dict(files if files is not None else {f"{stem.rpartition('-')[0]}.py": b"name = __name__\n"})
    members[f"{stem}.dist-info/METADATA"] = metadata.encode()
    members[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    )
    if entry_points:
        members[f"{stem}.dist-info/entry_points.txt"] = entry_points.encode()
    rows = [f"{path},sha256={_urlsafe(data)},{len(data)}\n" for path, data in members.items()]
    members[f"{stem}.dist-info/RECORD"] = "".join([*rows, f"{stem}.dist-info/RECORD,,\n"]).encode()
    return f"{stem}-{tag}.whl", zip_of(members, runnable=runnable)


def zip_of(members: Mapping[str, bytes], *, runnable: Sequence[str] = ()) -> bytes:
    """A zip archive; equal members give equal bytes."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if path in runnable else 0o100644) << 16
            archive.writestr(info, data)
    return output.getvalue()


class PythonIndex:
    """Wheels by project, served as a simple index in JSON."""

    def __init__(self, server: Loopback) -> None:
        self.server = server
        self.simple = f"{server.url}/simple"
        self.projects: dict[str, dict[str, bytes]] = {}
        self.without_hashes = False
        self.uploaded: dict[str, str] = {}
        """When files came, by their names (`2026-01-02T03:04:05Z`); the index tells it of these only."""
        self.yanked: dict[str, str] = {}
        """Why files were taken back by their authors, by their names."""
        server.answer = self._answer

    def add_wheel(self, name: str, version: str, *, uploaded: str | None = None, **parts: object) -> str:
        """Publish a wheel made by `make_wheel`; its file name."""
        file_name, data = make_wheel(name, version, **parts)  # type: ignore[arg-type]
        self.add_file(name, file_name, data)
        if uploaded:
            self.uploaded[file_name] = uploaded
        return file_name

    def add_file(self, name: str, file_name: str, data: bytes) -> None:
        """Publish any file under a project."""
        self.projects.setdefault(_normal(name), {})[file_name] = data
        self.server.files[f"/files/{file_name}"] = data

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        found = re.fullmatch(r"/simple/([^/]+)/?", path)
        if not found or found[1] not in self.projects:
            return None
        files = [self._entry(name, data) for name, data in sorted(self.projects[found[1]].items())]
        page = {"meta": {"api-version": "1.1"}, "name": found[1], "versions": [], "files": files}
        return _JSON, json.dumps(page).encode()

    def _entry(self, file_name: str, data: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"filename": file_name, "url": f"{self.server.url}/files/{file_name}"}
        if file_name in self.uploaded:
            entry["upload-time"] = self.uploaded[file_name]
        if file_name in self.yanked:
            entry["yanked"] = self.yanked[file_name]
        if self.without_hashes:
            return {**entry, "hashes": {}}
        return {**entry, "hashes": {"sha256": hashlib.sha256(data).hexdigest()}, "size": len(data)}


@contextlib.contextmanager
def python_index() -> Iterator[PythonIndex]:
    """A running index, stopped at the end."""
    with loopback() as server:
        yield PythonIndex(server)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
