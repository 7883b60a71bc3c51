"""Archives in the form of standalone Pythons, and a mirror of them that uv is told of.

`own_python` packs the interpreter that runs the tests, so that what comes out can be run; `tiny` is a few
files, for what only looks.
"""

from __future__ import annotations

import io
import json
import os
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from tests.mirrors.loopback import Loopback

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSION = f"{MINOR}.{sys.version_info.micro}"
_UNWANTED = ("/site-packages", "/dist-packages", "/test", "/__pycache__", "/idlelib", "/config-")


def tiny(version: str = "3.12.4", *, more: Mapping[str, bytes] | None = None) -> bytes:
    """An archive that holds what every such archive holds, in a few files."""
    minor = version.rpartition(".")[0]
    files = {
        f"python/bin/python{minor}": b"#!/bin/sh\nexit 0\n",
        f"python/lib/python{minor}/os.py": b"",
        f"python/lib/python{minor}/_sysconfigdata__linux_x86_64-linux-gnu.py": (
            b"build_time_vars = {'CC': 'clang -pthread', 'CXX': 'clang++ -pthread',"
            b" 'prefix': '/install', 'LIBDIR': '/install/lib', 'srcdir': '/build/installer'}\n"
        ),
        f"python/lib/python{minor}/test/test_os.py": b"",
        f"python/lib/python{minor}/site-packages/pip/__init__.py": b"",
        **(more or {}),
    }
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz", compresslevel=1) as stream:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if "/bin/" in name else 0o644
            stream.addfile(entry, io.BytesIO(content))
        _links(stream, minor)
    return body.getvalue()


@lru_cache(maxsize=1)
def own_python() -> bytes:
    """The interpreter that runs this, with its standard library, in that form."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz", compresslevel=1) as stream:
        stream.add(os.path.realpath(sys.executable), f"python/bin/python{MINOR}")
        _links(stream, MINOR)
        for kind in ("stdlib", "platstdlib"):
            place = Path(sysconfig.get_path(kind, vars={"platbase": sys.base_prefix}))
            stream.add(place, f"python/lib/python{MINOR}", filter=_wanted)
        shared = Path(str(sysconfig.get_config_var("LIBDIR"))) / f"libpython{MINOR}.so.1.0"
        if shared.exists():
            stream.add(shared, f"python/lib/{shared.name}")
    return body.getvalue()


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    outside = entry.issym() and entry.linkname.startswith("/")
    return None if outside or any(part in entry.name for part in _UNWANTED) else entry


def _links(stream: tarfile.TarFile, minor: str) -> None:
    for alias in ("python3", "python"):
        entry = tarfile.TarInfo(f"python/bin/{alias}")
        entry.type, entry.linkname = tarfile.SYMTYPE, f"python{minor}"
        stream.addfile(entry)


def offer(server: Loopback, directory: Path, archives: Mapping[tuple[str, str], bytes]) -> dict[str, str]:
    """Serve archives by (version, release day), and the variables that tell uv of them."""
    rows = {}
    for (version, day), body in archives.items():
        name = f"cpython-{version}+{day}-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
        server.files[f"/{day}/{name.replace('+', '%2B')}"] = body
        major, minor, patch = (int(part) for part in version.split("."))
        rows[f"cpython-{version}-linux-x86_64-gnu"] = {
            "name": "cpython", "arch": {"family": "x86_64", "variant": None}, "os": "linux", "libc": "gnu",
            "major": major, "minor": minor, "patch": patch, "prerelease": "", "variant": None,
            "url": f"{server.url}/{day}/{name.replace('+', '%2B')}", "sha256": None, "build": day,
        }  # fmt: skip
    listed = directory / "interpreters.json"
    listed.write_text(json.dumps(rows))
    return {"UV_PYTHON_DOWNLOADS_JSON_URL": listed.as_uri()}
