"""Bringing the artifacts of locked packages into the store: from near to far.

The store itself, the artifact directories of this machine (or of `--from`), then the registries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread

from cape.errors import CapeError, StateError
from cape.names import Digest
from cape.operations.project import Workshop
from cape.sources.protocol import ArtifactGone, LockedPackage, Snapshot, Source
from cape.store import ArtifactDamaged

_log = logging.getLogger(__name__)


class ArtifactsMissing(StateError):
    """A directory that should have every artifact of the lock does not."""

    slug = "artifacts-missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What fetching did: artifacts and bytes from directories, and from registries."""

    found: int = 0
    downloaded: int = 0
    downloaded_bytes: int = 0


def missing(packages: Iterable[LockedPackage], workshop: Workshop) -> list[LockedPackage]:
    """The packages whose artifact the store does not have; one per artifact, in the order given."""
    unique: dict[Digest, LockedPackage] = {}
    for package in packages:
        unique.setdefault(package.artifact.digest, package)
    return [package for digest, package in unique.items() if not workshop.store.artifacts.has(digest)]


def fetch(
    packages: Sequence[LockedPackage],
    workshop: Workshop,
    sources: Mapping[str, Source],
    *,
    snapshots: Sequence[Snapshot] = (),
    only_from: Path | None = None,
) -> Fetched:
    """Bring the artifacts of all packages into the store.

    With `only_from` no registry is asked. What was brought stays if a later artifact fails.
    Raises `ArtifactsMissing`, `ArtifactGone`, `RegistryUnreachable`, `IntegrityError`.
    """
    coming = Coming(packages, workshop, sources, snapshots=snapshots, only_from=only_from)
    coming.bring()
    return coming.fetched


class Coming:
    """Artifacts of packages on their way into the store.

    What is near is in the store when this is made; `expected` are those that a registry must give, all at
    once by `bring`, or by a thread, as `cape.environment.objects.make_objects` wants it of `arriving`.
    Raises `ArtifactsMissing`, `ArtifactGone`.
    """

    def __init__(
        self,
        packages: Sequence[LockedPackage],
        workshop: Workshop,
        sources: Mapping[str, Source],
        *,
        snapshots: Sequence[Snapshot] = (),
        only_from: Path | None = None,
    ) -> None:
        lacking = missing(packages, workshop)
        directories = [only_from] if only_from else None
        still = [package for package in lacking if not _found_near(package, workshop, directories)]
        if still and only_from is not None:
            _check_undamaged(still, only_from, workshop)
            raise _not_there(still, only_from)
        self._transfer = _Transfer(still, workshop, sources, snapshots)
        self.expected = frozenset(package.artifact.digest for package in still)
        self.fetched = Fetched(
            found=len(lacking) - len(still),
            downloaded=len(still),
            downloaded_bytes=sum(package.artifact.size_bytes for package in still),
        )
        from multiprocessing import Pipe

        self.connection, self._bell = Pipe(duplex=False)
        self._news: SimpleQueue[Digest | BaseException | None] = SimpleQueue()
        self._telling = Lock()
        self._stopped = False

    def bring(self) -> None:
        """Bring them all, and return when they are there. Raises what `fetch` does."""
        self._transfer.run(lambda digest: None)

    def start(self) -> None:
        """Let a thread bring them."""
        Thread(target=self._work, daemon=True).start()

    def take(self) -> Digest | None:
        """The next that came; None when no more does. Raises what `fetch` does."""
        self.connection.recv_bytes()
        news = self._news.get()
        if isinstance(news, BaseException):
            raise news
        return news

    def stop(self) -> None:
        """Let the thread end with the artifacts that it is at."""
        self._stopped = True

    def _work(self) -> None:
        try:
            self._transfer.run(self._arrived)
            self._tell(None)
        except BaseException as error:  # noqa: BLE001 - who takes raises it
            self._tell(error)

    def _arrived(self, digest: Digest) -> None:
        if self._stopped:
            raise _Unwanted
        self._tell(digest)

    def _tell(self, news: Digest | BaseException | None) -> None:
        with self._telling:
            self._news.put(news)
            self._bell.send_bytes(b"!")


class _Unwanted(Exception):
    """Nobody waits for what is being brought."""


def _not_there(lacking: Sequence[LockedPackage], place: Path) -> ArtifactsMissing:
    return ArtifactsMissing(
        f"{len(lacking)} artifacts of the lock are not there, the first is `{lacking[0].name}` "
        f"{lacking[0].version} ({lacking[0].artifact.digest})",
        where=str(place),
        hint="write the directory again: `cape vendor DIR` on a machine that has them",
    )


def fetch_what_comes(
    packages: Sequence[LockedPackage], urls: Mapping[Digest, Sequence[str]], workshop: Workshop
) -> bool:
    """Bring artifacts that are good to have early, and not needed: silence of a registry is no error.

    Nothing is told of it, and nobody is waited for long. False when a registry was silent: it is not worth
    asking for more.
    """
    from cape.sources.download import Download, Patience, download_all

    downloads = [
        Download(
            digest=package.artifact.digest,
            size_bytes=package.artifact.size_bytes,
            name=f"{package.name} {package.version}",
            urls=tuple(urls[package.artifact.digest]),
        )
        for package in missing(packages, workshop)
        if urls.get(package.artifact.digest)
    ]
    if not downloads:
        return True
    workshop.store.announce()
    hasty = Patience(connect_s=3.0, silence_s=5.0, attempts=1)
    try:
        download_all(downloads, workshop.store.artifacts, patience=hasty)
    except CapeError as error:
        _log.debug("not everything could be fetched early: %s", error)
        return isinstance(error, ArtifactGone)
    return True


def fetch_head(urls: Sequence[str], size_bytes: int) -> bytes | None:
    """The first bytes of an artifact, from the first registry that gives them; None: none does.

    They are not verified: nothing may be built of them.
    """
    from cape.sources.download import Patience, fetch_bytes

    hasty = Patience(connect_s=3.0, silence_s=5.0, attempts=1)
    for url in urls:
        try:
            headers = {"Range": f"bytes=0-{size_bytes - 1}"}
            return fetch_bytes(url, limit_bytes=size_bytes, headers=headers, patience=hasty)
        except CapeError as error:
            _log.debug("no beginning: %s", error)
    return None


def _check_undamaged(packages: Sequence[LockedPackage], place: Path, workshop: Workshop) -> None:
    """Raise `ArtifactDamaged` where a directory's file has the name of an artifact, and other bytes."""
    for package in packages:
        artifact = package.artifact
        found = workshop.store.artifacts.damage_in(place, artifact.digest, size_bytes=artifact.size_bytes)
        if found:
            raise ArtifactDamaged(
                f"`{package.name}` {package.version} is not what the lock says: {found[1]}",
                where=str(found[0]),
                hint="something changed the file; `cape vendor DIR` writes it again where it can be had",
            )


def _found_near(package: LockedPackage, workshop: Workshop, directories: list[Path] | None) -> bool:
    artifact = package.artifact
    artifacts = workshop.store.artifacts
    return artifacts.find_elsewhere(artifact.digest, size_bytes=artifact.size_bytes, places=directories)


class _Transfer:
    """The transfer of artifacts from registries, with every place known. Raises `ArtifactGone`."""

    def __init__(
        self,
        packages: Sequence[LockedPackage],
        workshop: Workshop,
        sources: Mapping[str, Source],
        snapshots: Sequence[Snapshot],
    ) -> None:
        self._packages = packages
        self._workshop = workshop
        self._urls = _locations(packages, sources, snapshots)
        self._gone = partial(_gone, sources=sources, snapshots=snapshots)
        for package in packages:
            if not self._urls.get(package.artifact.digest):
                raise self._gone(package)

    def run(self, arrived: Callable[[Digest], None]) -> None:
        """Bring all. Raises what `download_all` does."""
        from cape.sources.download import Download, download_all

        downloads = [
            Download(
                digest=package.artifact.digest,
                size_bytes=package.artifact.size_bytes,
                name=f"{package.name} {package.version}",
                urls=tuple(self._urls[package.artifact.digest]),
            )
            for package in self._packages
        ]
        workshop = self._workshop
        try:
            download_all(downloads, workshop.store.artifacts, progress=workshop.progress, arrived=arrived)
        except ArtifactGone as error:
            for package in self._packages:
                if f"`{package.name} {package.version}`" in error.fact:
                    raise self._gone(package) from error
            raise


def _locations(
    packages: Sequence[LockedPackage], sources: Mapping[str, Source], snapshots: Sequence[Snapshot]
) -> dict[Digest, Sequence[str]]:
    by_source: dict[str, list[LockedPackage]] = {}
    for package in packages:
        by_source.setdefault(package.source, []).append(package)
    urls: dict[Digest, Sequence[str]] = {}
    for name, group in by_source.items():
        own = [snapshot for snapshot in snapshots if snapshot.source == name]
        urls.update(sources[name].locate(group, snapshots=own))
    return urls


def _gone(
    package: LockedPackage, sources: Mapping[str, Source], snapshots: Sequence[Snapshot]
) -> ArtifactGone:
    """The error for an artifact that no registry serves: since when, what replaced it, and the ways out."""
    dates = [snapshot.date for snapshot in snapshots if snapshot.registry == package.artifact.registry]
    since = f"; the lock is of the archive's state of {max(dates)[:10]}" if dates else ""
    successor = _successor(package, sources[package.source])
    now = f"; it has `{successor}` now" if successor else ""
    ways = [
        "`cape upgrade` takes what replaced it, as far as the manifest allows",
        "`cape sync --from DIR` or `cape config artifacts DIR` takes it from a vendored tree",
    ]
    if package.source == "debian":
        ways.append("`cape config debian.dated-mirror URL` takes it from an archive of old states")
    return ArtifactGone(
        f"`{package.name}` {package.version} is no longer served by its registry{since}{now}",
        where=f"{package.artifact.registry}:{package.artifact.location}",
        hint="; ".join(ways),
    )


def _successor(package: LockedPackage, source: Source) -> str | None:
    """The version that the registry has now; None when it has no other, or cannot be asked."""
    try:
        found = source.find(package.name, limit=10)
    except CapeError as error:
        _log.debug("what replaced `%s` cannot be asked: %s", package.name, error)
        return None
    versions = [one.version for one in found if one.name == package.name and one.version]
    return versions[0] if versions and versions[0] != package.version else None
