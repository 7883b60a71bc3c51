"""What was built of a project: one file per build, with the newest result for each system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.names import Digest, System, write_atomically

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A result: the key that it was made for, its archive's digest and size, and whether it was made in a
    sandbox. `location` is what the lock calls the archive."""

    name: str
    version: str
    system: System
    key: Digest
    digest: Digest
    size_bytes: int
    files: int
    sandboxed: bool

    @property
    def location(self) -> str:
        return f"{self.name}/{self.name}-{self.version}-{self.system}.tar"


def record_file(project: Path, name: str) -> Path:
    """Where the record of a build is, or would be."""
    return project / ".cape" / "builds" / f"{name}.json"


def read_record(project: Path, name: str) -> Mapping[System, Built]:
    """The newest result of a build for each system; empty when there is none that can be read."""
    try:
        fields = json.loads(record_file(project, name).read_bytes())
        if fields["schema"] != _SCHEMA:
            return {}
        return {System(system): _built(name, System(system), one) for system, one in fields["built"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_record(project: Path, built: Built) -> None:
    """Make a result the newest of its build and system."""
    present = {**read_record(project, built.name), built.system: built}
    fields = {
        "schema": _SCHEMA,
        "built": {str(system): _fields(one) for system, one in sorted(present.items())},
    }
    file = record_file(project, built.name)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    write_atomically(file, (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode())


def _fields(one: Built) -> dict[str, Any]:
    return {
        "version": one.version,
        "key": one.key.hex,
        "digest": one.digest.hex,
        "size_bytes": one.size_bytes,
        "files": one.files,
        "sandboxed": one.sandboxed,
    }


def _built(name: str, system: System, fields: Mapping[str, Any]) -> Built:
    return Built(
        name=name,
        version=str(fields["version"]),
        system=system,
        key=Digest(fields["key"]),
        digest=Digest(fields["digest"]),
        size_bytes=int(fields["size_bytes"]),
        files=int(fields["files"]),
        sandboxed=bool(fields["sandboxed"]),
    )
