"""The projects that a store knows: where they are, when they were last seen, what they reach.

Owns the register that keeps a project's environments from being collected. It reads no manifest.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cape.names import Digest, write_atomically
from cape.store.errors import disk_errors


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownProject:
    """One project: its directory, when it was last there (seconds since 1970), its environments then."""

    directory: Path
    seen_s: float
    environments: tuple[str, ...]


class Projects:
    """The register of a store: `projects/HEX.json`, one file a project."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def register(self, directory: Path, environments: Iterable[str], *, now_s: float | None = None) -> None:
        """Remember that a project is there and reaches these environments (names in `environments/`)."""
        record = {
            "schema_version": 1,
            "directory": str(directory),
            "seen_s": int(time.time() if now_s is None else now_s),
            "environments": sorted(set(environments)),
        }
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file(directory), (json.dumps(record) + "\n").encode(), mode=0o600)

    def forget(self, directory: Path) -> None:
        """Remove a project from the register."""
        self._file(directory).unlink(missing_ok=True)

    def all(self) -> Iterator[KnownProject]:
        """All known projects; records that cannot be read are passed over."""
        for file in sorted(self.root.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads(file.read_bytes())
                yield KnownProject(
                    directory=Path(record["directory"]),
                    seen_s=float(record["seen_s"]),
                    environments=tuple(record["environments"]),
                )

    def _file(self, directory: Path) -> Path:
        return self.root / f"{Digest.of(str(directory).encode()).hex[:32]}.json"
