"""What the artifacts of a lock need, each read once: kept facts, the store, or parts from a registry.

Owns which artifacts are brought whole and which are read from afar, and where what was read is kept. Only
what is likely to be installed here is brought; of a large wheel, or another system's, just the parts that
say something. What counts as missing is `missing`'s to say.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from cape.errors import CapeError
from cape.names import Digest, System, write_atomically
from cape.operations.project import Workshop
from cape.sources.protocol import LockedPackage, Source

if TYPE_CHECKING:
    from typing import IO

    from cape.analysis.needs import PackageNeeds
    from cape.analysis.wheels import Scripts

_log = logging.getLogger(__name__)

WHOLE_BYTES = 96 << 20
"""An artifact of this machine's system up to this size is fetched whole: sync will want it."""

_LARGE_MEMBER_BYTES = 48 << 20
"""Of a larger artifact, members up to this size are read."""

_READERS = 4
_DEBIAN, _PYPI, _NPM = "debian", "pypi", "npm"

ScriptsRead = dict[str, "Scripts"]
"""What code says that was read for one system: the wheels of another one mostly have the same."""


class NeedsRead:
    """Reads what artifacts need, each once: by what was kept, in the store, or from a registry."""

    def __init__(
        self,
        workshop: Workshop,
        system: System,
        sources: Mapping[str, Source],
        *,
        dry_run: bool,
        scripts: ScriptsRead | None = None,
    ) -> None:
        """With `dry_run` nothing is brought into the store; `scripts` is shared by the systems of a lock."""
        self._workshop = workshop
        self._system = system
        self._sources = sources
        self._dry_run = dry_run
        self._scripts = {} if scripts is None else scripts
        self._kept = workshop.store.root / "indices" / "needs"

    def read(self, rows: Sequence[LockedPackage]) -> dict[Digest, PackageNeeds]:
        """The needs of all rows that can be looked at, by their artifacts' digests."""
        found: dict[Digest, PackageNeeds] = {}
        unknown: list[LockedPackage] = []
        for row in rows:
            known = self._remembered(row)
            if known is not None:
                found[row.artifact.digest] = known
            elif _can_be_read(row):
                unknown.append(row)
        if unknown:
            found |= self._read_new(unknown)
        return found

    def _read_new(self, rows: Sequence[LockedPackage]) -> dict[Digest, PackageNeeds]:
        urls = self._locate(rows)
        self._bring([row for row in rows if self._is_for_here(row)], urls)
        progress = self._workshop.progress
        progress.start("looking into packages", len(rows))
        found: dict[Digest, PackageNeeds] = {}
        try:
            for row, needs in self._each(rows, urls):
                if needs is not None:
                    found[row.artifact.digest] = needs
                progress.advance()
        finally:
            progress.finish()
        return found

    def _each(
        self, rows: Sequence[LockedPackage], urls: Mapping[Digest, Sequence[str]]
    ) -> Iterable[tuple[LockedPackage, PackageNeeds | None]]:
        """What rows need: of those at hand one after another, of the others several at a time."""
        artifacts = self._workshop.store.artifacts
        far: list[LockedPackage] = []
        for row in rows:
            if artifacts.has(row.artifact.digest):
                yield row, self._read_one(row)
            else:
                far.append(row)
        refused: list[LockedPackage] = []
        with ThreadPoolExecutor(_READERS) as pool:
            remote = pool.map(lambda row: self._read_remote(row, urls.get(row.artifact.digest, ())), far)
            for row, needs in zip(far, remote, strict=True):
                if needs is not None:
                    self._keep(row, needs)
                    yield row, needs
                else:
                    refused.append(row)
        self._bring(refused, urls)
        for row in refused:
            yield row, self._read_one(row) if artifacts.has(row.artifact.digest) else None

    def _is_for_here(self, row: LockedPackage) -> bool:
        return row.source == _NPM or System.current() in row.systems

    def _locate(self, rows: Sequence[LockedPackage]) -> Mapping[Digest, Sequence[str]]:
        urls: dict[Digest, Sequence[str]] = {}
        for name in sorted({row.source for row in rows}):
            group = [row for row in rows if row.source == name and not self._is_at_hand(row)]
            with contextlib.suppress(CapeError):
                urls |= self._sources[name].locate(group) if group else {}
        return urls

    def _is_at_hand(self, row: LockedPackage) -> bool:
        artifacts = self._workshop.store.artifacts
        if self._dry_run:
            return artifacts.has(row.artifact.digest)
        return artifacts.find_elsewhere(row.artifact.digest, size_bytes=row.artifact.size_bytes)

    def _bring(self, rows: Sequence[LockedPackage], urls: Mapping[Digest, Sequence[str]]) -> None:
        """Let those into the store that are not too large, as far as their registry gives them."""
        from cape.operations.fetching import fetch_what_comes

        wanted = [
            row for row in rows if row.artifact.digest in urls and row.artifact.size_bytes <= WHOLE_BYTES
        ]
        if wanted and not self._dry_run:
            fetch_what_comes(wanted, urls, self._workshop)

    def _read_one(self, row: LockedPackage) -> PackageNeeds | None:
        """What an artifact in the store says."""
        path = self._workshop.store.artifacts.path(row.artifact.digest)
        try:
            with open(path, "rb") as stream:
                needs = self._needs(row, stream)
        except (CapeError, OSError) as error:
            _log.debug("`%s` cannot be looked into: %s", row.name, error)
            return None
        self._keep(row, needs)
        return needs

    def _read_remote(self, row: LockedPackage, urls: Sequence[str]) -> PackageNeeds | None:
        """What parts of a wheel say, of a registry that gives parts; None where none does.

        They are not verified, and no more than looked at. What they say is kept under the digest of the
        whole: whoever installs it checks that.
        """
        import io

        from cape.operations.remote import RemoteFile

        if not urls or row.source != _PYPI:
            return None
        size_bytes = row.artifact.size_bytes
        stream = io.BufferedReader(RemoteFile(urls, size_bytes), 1 << 16)
        try:
            return self._needs(row, stream, is_large=size_bytes > WHOLE_BYTES)
        except CapeError as error:
            _log.debug("`%s` cannot be looked into: %s", row.name, error)
            return None

    def _needs(self, row: LockedPackage, stream: object, *, is_large: bool = False) -> PackageNeeds:
        from cape.analysis.wheels import LARGEST_MEMBER_BYTES, tarball_needs, wheel_needs

        opened = cast("IO[bytes]", stream)
        if row.source == _NPM:
            return tarball_needs(opened, row.placement, self._system)
        return wheel_needs(
            opened,
            _file_name(row),
            self._system,
            python=row.attributes.get("python", "3"),
            largest_bytes=_LARGE_MEMBER_BYTES if is_large else LARGEST_MEMBER_BYTES,
            scripts=self._scripts,
        )

    def _place(self, row: LockedPackage) -> str:
        parts = [row.artifact.digest.hex, str(self._system), row.attributes.get("python", ""), row.placement]
        return Digest.of_lines(parts).hex

    def _remembered(self, row: LockedPackage) -> PackageNeeds | None:
        from cape.analysis.needs import PackageNeeds

        try:
            return PackageNeeds.from_json(json.loads((self._kept / self._place(row)).read_bytes()))
        except (OSError, ValueError):
            return None

    def _keep(self, row: LockedPackage, needs: PackageNeeds) -> None:
        """Remember; a disk that has no room for it is told of by who needs it more."""
        with contextlib.suppress(OSError):
            self._kept.mkdir(parents=True, exist_ok=True)
            write_atomically(self._kept / self._place(row), json.dumps(needs.to_json()).encode())


def _file_name(row: LockedPackage) -> str:
    return row.artifact.location.rpartition("/")[2]


def _can_be_read(row: LockedPackage) -> bool:
    return row.source == _NPM or _file_name(row).endswith(".whl")


class VersionsRead:
    """The symbol versions that libraries of system packages define, each package read once."""

    def __init__(self, workshop: Workshop, sources: Mapping[str, Source], *, dry_run: bool) -> None:
        self._workshop = workshop
        self._sources = sources
        self._dry_run = dry_run
        self._kept = workshop.store.root / "indices" / "versions"

    def of(self, row: LockedPackage, library: str) -> frozenset[str]:
        """The versions of one library; empty when its package is not at hand."""
        place = self._kept / f"{row.artifact.digest.hex}.json"
        with contextlib.suppress(OSError, ValueError):
            return frozenset(json.loads(place.read_bytes()).get(library, ()))
        found = self._read(row)
        if found is None:
            return frozenset()
        with contextlib.suppress(OSError):
            self._kept.mkdir(parents=True, exist_ok=True)
            listed = {name: sorted(versions) for name, versions in sorted(found.items())}
            write_atomically(place, json.dumps(listed).encode())
        return found.get(library, frozenset())

    def _read(self, row: LockedPackage) -> dict[str, frozenset[str]] | None:
        from cape.analysis.symbols import defined_versions
        from cape.operations.fetching import fetch_what_comes
        from cape.sources.debian.deb import contents

        try:
            if not self._dry_run:
                fetch_what_comes([row], self._sources[_DEBIAN].locate([row]), self._workshop)
            found: dict[str, frozenset[str]] = {}
            for entry in contents(self._workshop.store.artifacts.path(row.artifact.digest)):
                name = entry.path.rpartition("/")[2]
                if entry.kind == "f" and ".so." in name:
                    versions = defined_versions(entry.read())
                    soname = re.sub(r"(\.so\.\d+)\..*", r"\1", name)
                    found[soname] = found.get(soname, frozenset()) | versions
            return found
        except (CapeError, OSError) as error:
            _log.debug("the versions of `%s` cannot be read: %s", row.name, error)
            return None
