"""The indices of a suite: fetched, verified, and kept as tables in a cache.

Owns the cache's layout, and when the network is asked. What it hands out has been checked down to the
signature: `Release` by the archive's keys, each index by the signed `Release`.

The cache has a directory per mirror and suite, with the signed text as it came and one table per
component and architecture, named by the digest of the index that it was made of. A table that is missing
or broken is made again; every file is written whole or not at all.
"""

from __future__ import annotations

import logging
import lzma
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cape.errors import IntegrityError, SourceError
from cape.names import Digest, write_atomically
from cape.sources.debian.errors import IndexAltered, IndexExpired, SignatureWrong, SuiteMissing
from cape.sources.debian.registry import Place
from cape.sources.debian.release import IndexFile, Release, verified_detached, verified_inline
from cape.sources.debian.table import BrokenTable, Table, build
from cape.sources.download import FileNotServed, disk_errors, fetch_bytes, shown_url, usual_patience
from cape.sources.protocol import RegistryGarbage, RegistryUnreachable
from cape.sources.reach import Offline

_log = logging.getLogger(__name__)

FRESH_S = 3600.0
"""How long a `Release` is used without asking its mirror again."""

_RELEASE_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A suite on a mirror, with its verified `Release`.

    `is_old` when the mirror could not be asked; `older` is the date of what the mirror has when that is
    older than what it had before, which is used.
    """

    place: Place
    release: Release
    directory: Path
    is_old: bool = False
    older: str | None = None

    @property
    def registry(self) -> str:
        return self.release.registry


class Indices:
    """All archives of one suite, and their tables."""

    def __init__(
        self, places: Sequence[Place], suite: str, cache: Path, *, now: datetime | None = None
    ) -> None:
        """With `now`, the moment that the age of a `Release` is judged at; else it is the present."""
        self._now = now
        self._places = tuple(places)
        self._suite = suite
        self._cache = cache
        self._archives: tuple[Archive, ...] | None = None
        self._asked_anew = False
        self._silent: dict[str, RegistryUnreachable] = {}
        self._without: dict[str, SourceError] = {}

    def refresh(self) -> None:
        """Ask the mirrors again at the next use, however fresh the cache is.

        Without any network the cache serves, with a note of its age; a mirror that is away is an error.
        """
        self._archives = None
        self._silent.clear()
        self._without.clear()
        self._asked_anew = True

    def archives(self) -> tuple[Archive, ...]:
        """The suite itself, then its updates and security fixes as far as mirrors have them.

        Raises `SuiteMissing` when no mirror has the suite; `SignatureWrong`, `IndexExpired`,
        `RegistryUnreachable`, `RegistryGarbage`.
        """
        if self._archives is None:
            found: list[Archive] = []
            for suite in dict.fromkeys(place.suite for place in self._places):
                if archive := self._first(suite):
                    found.append(archive)
            if not any(archive.place.suite == self._suite for archive in found):
                raise self._missing()
            self._archives = tuple(found)
            self._asked_anew = False
        return self._archives

    def _missing(self) -> SuiteMissing:
        asked = sorted({shown_url(place.base) for place in self._places})
        return SuiteMissing(
            f"no Debian archive of this machine has the suite `{self._suite}`",
            where=", ".join(asked) or None,
            hint="`cape config debian.mirror URL` names a mirror that has it"
            if self._now is None
            else "an archive of old states may not reach back to that date, or know the suite",
        )

    def _first(self, suite: str) -> Archive | None:
        """The suite from the first mirror that has it; None when none has it.

        A mirror that fails is passed over for another one. If no other has the suite, its failure is an
        error: security fixes must not be left out because their mirror is down. Only where another mirror
        answers, and says that it has no such updates or fixes, may the failing one be as poor: then the
        suite is among `without`.
        """
        troubles: list[SourceError] = []
        is_absent = False
        for place in self._places:
            if place.suite != suite:
                continue
            try:
                if archive := self._asked(place):
                    return archive
                is_absent = True
            except (RegistryUnreachable, RegistryGarbage, IndexExpired) as error:
                troubles.append(error)
        if troubles and is_absent and suite != self._suite:
            self._without[suite] = troubles[0]
        elif troubles:
            raise troubles[0]
        return None

    def _asked(self, place: Place) -> Archive | None:
        """The suite at one place. A mirror that was silent once is not waited for again."""
        try:
            if (known := self._silent.get(place.base)) is not None and not self._is_cached(place):
                raise known
            return self._open(place)
        except RegistryUnreachable as error:
            self._silent.setdefault(place.base, error)
            raise

    def _is_cached(self, place: Place) -> bool:
        directory = self._directory(place)
        return any((directory / name).exists() for name in ("InRelease", "Release", "absent"))

    def without(self) -> Mapping[str, SourceError]:
        """Suites that may be on a mirror that fails, and that no other has, with its failure."""
        self.archives()
        return dict(self._without)

    def is_silent(self, base: str) -> bool:
        """Whether the mirror did not answer when it was asked last."""
        return base in self._silent

    def _open(self, place: Place) -> Archive | None:
        """The suite at one place; None when the mirror does not have it, or is not Debian's."""
        directory = self._directory(place)
        where = shown_url(f"{place.base}/dists/{place.suite}")
        if not self._asked_anew and _is_fresh(directory / "absent"):
            return None
        cached = _cached_release(place, directory, where)
        if cached and not self._asked_anew and _is_fresh(directory / "InRelease", directory / "Release"):
            archive = Archive(place=place, release=cached, directory=directory)
        else:
            try:
                archive = self._newer(place, directory, where, cached)
            except FileNotServed:
                _note_absence(directory)
                return None
            except RegistryUnreachable as error:
                nobody_can_ask = isinstance(error, Offline)
                if nobody_can_ask and (directory / "absent").exists():
                    return None
                if cached is None or (self._asked_anew and not nobody_can_ask):
                    raise
                archive = Archive(place=place, release=cached, directory=directory, is_old=True)
        if place.from_apt and archive.release.fields.get("Origin") != "Debian":
            return None
        self._check_date(archive.release, where)
        return archive

    def _newer(self, place: Place, directory: Path, where: str, cached: Release | None) -> Archive:
        """The suite as the mirror has it, kept in the cache; as the cache has it where that is newer.

        A mirror that goes back in time is out of order, or someone replays what it once had, to keep
        fixes from this machine. What the cache has was the mirror's own word, and is used while it is valid.
        """
        signed, files = self._fetch(place, where)
        release = Release.parse(signed, where=where)
        if cached and cached.date > release.date and not cached.is_expired(self._moment()):
            return Archive(place=place, release=cached, directory=directory, older=release.iso_date)
        _keep(directory, files)
        return Archive(place=place, release=release, directory=directory)

    def _moment(self) -> datetime:
        return self._now or datetime.now(UTC)

    def _check_date(self, release: Release, where: str) -> None:
        """Raises `IndexExpired`, and `RegistryGarbage` when an old state was asked for and it is newer."""
        release.check_age(self._moment(), where=where)
        if self._now is not None and release.date > self._now:
            raise RegistryGarbage(
                f"the archive of old states gives a later state than was asked for, of {release.iso_date}",
                where=where,
                hint="`{date}` in `debian.dated-mirror` may be missing, or in the wrong place",
            )

    def _fetch(self, place: Place, where: str) -> tuple[bytes, dict[str, bytes]]:
        """The verified text from the mirror, and the files to keep of it.

        An archive in apt's sources that does not say to be Debian's counts as absent before its
        signature is looked at: it is signed by keys that are not Debian's.
        """
        base = f"{place.base}/dists/{place.suite}"
        try:
            document = _fetch_small(f"{base}/InRelease")
            files = {"InRelease": document}
        except FileNotServed:
            document = _fetch_small(f"{base}/Release")
            files = {"Release.gpg": _fetch_signature(base, where), "Release": document}
        if place.from_apt and b"\nOrigin: Debian\n" not in b"\n" + document:
            raise FileNotServed("the archive is not Debian's", where=where)
        return _verified(files, place, where), files

    def _directory(self, place: Place) -> Path:
        identity = sha256(f"{place.base} {place.suite} {place.keyring.identity}".encode()).hexdigest()
        return self._cache / f"{place.suite.replace('/', '-')}-{identity[:12]}"

    def tables(self, architecture: str) -> Iterator[tuple[Archive, Table]]:
        """The tables of all components of all archives, for one architecture."""
        for archive in self.archives():
            if archive.place.arch and architecture not in archive.place.arch:
                _log.debug("apt's sources limit %s to %s", archive.place.suite, archive.place.arch)
            for component in archive.place.components:
                if table := _table(archive, component, architecture):
                    yield archive, table


def _is_fresh(*files: Path) -> bool:
    for file in files:
        try:
            age_s = time.time() - file.stat().st_mtime
        except OSError:
            continue
        return -60 <= age_s < FRESH_S
    return False


def _fetch_small(url: str) -> bytes:
    usual = usual_patience()
    probing = replace(usual, connect_s=min(usual.connect_s, 10.0), attempts=min(usual.attempts, 2))
    return fetch_bytes(url, limit_bytes=_RELEASE_LIMIT_BYTES, patience=probing)


def _fetch_signature(base: str, where: str) -> bytes:
    try:
        return _fetch_small(f"{base}/Release.gpg")
    except FileNotServed as error:
        raise SignatureWrong("the suite's `Release` is not signed", where=where) from error


def _verified(files: Mapping[str, bytes], place: Place, where: str) -> bytes:
    if "InRelease" in files:
        return verified_inline(files["InRelease"], place.keyring, where=where)
    return verified_detached(files["Release"], files["Release.gpg"], place.keyring, where=where)


def _note_absence(directory: Path) -> None:
    _keep(directory, {"absent": b""})


def _keep(directory: Path, files: dict[str, bytes]) -> None:
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_atomically(directory / name, data)
        for stale in {"InRelease", "Release", "Release.gpg", "absent"} - files.keys():
            (directory / stale).unlink(missing_ok=True)


def _cached_release(place: Place, directory: Path, where: str) -> Release | None:
    """The `Release` in the cache, verified again: keys may have changed, and so may the file.

    None when there is none that can be used; it is fetched then.
    """
    names = ("InRelease",) if (directory / "InRelease").exists() else ("Release", "Release.gpg")
    try:
        files = {name: (directory / name).read_bytes() for name in names}
        return Release.parse(_verified(files, place, where), where=where)
    except (OSError, IntegrityError, RegistryGarbage) as error:
        _log.debug("no usable copy of %s: %s", where, error)
        return None


def _table(archive: Archive, component: str, architecture: str) -> Table | None:
    """The table of one component; None when the suite does not have the component or architecture."""
    for directory in (component, f"updates/{component}"):
        path = f"{directory}/binary-{architecture}/Packages"
        chosen = [suffix for suffix in _DECOMPRESS if archive.release.file(path + suffix)]
        if chosen:
            break
    else:
        return None
    wanted = archive.release.file(path + chosen[0])
    assert wanted is not None
    file = archive.directory / f"{component}-{architecture}-{wanted.digest.hex[:32]}.table"
    try:
        return Table(file)
    except FileNotFoundError:
        pass
    except BrokenTable as error:
        _log.debug("making %s again: %s", file.name, error)
    index = _fetch_index(archive, path, chosen, wanted)
    _keep_table(file, build(index), f"{component}-{architecture}-")
    return Table(file)


def _keep_table(file: Path, table: bytes, prefix: str) -> None:
    """Put the table into the cache, and remove those that it replaces."""
    with disk_errors(file):
        write_atomically(file, table)
        for old in file.parent.glob(f"{prefix}*.table"):
            if old != file:
                old.unlink(missing_ok=True)


def _fetch_index(archive: Archive, path: str, suffixes: Sequence[str], wanted: IndexFile) -> bytes:
    """An index as text, checked against the signed `Release`."""
    name = path + suffixes[0]
    base = f"{archive.place.base}/dists/{archive.place.suite}"
    where = shown_url(f"{base}/{name}")
    data = fetch_checked(archive, base, name, wanted, where)
    try:
        return _DECOMPRESS[suffixes[0]](data)
    except (lzma.LZMAError, zlib.error, EOFError) as error:
        raise RegistryGarbage("the index cannot be decompressed", where=where) from error


_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".gz": lambda data: zlib.decompress(data, wbits=31),
    "": lambda data: data,
}


def fetch_checked(archive: Archive, base: str, name: str, wanted: IndexFile, where: str) -> bytes:
    """The bytes of a file that a `Release` vouches for, from the archive's mirror.

    Raises `IndexAltered`, and the errors of the network.
    """
    addresses = [f"{base}/{name}"]
    if archive.release.has_by_hash:
        addresses.insert(0, f"{base}/{name.rpartition('/')[0]}/by-hash/SHA256/{wanted.digest.hex}")
    missing: SourceError | None = None
    for address in addresses:
        try:
            data = fetch_bytes(address, limit_bytes=max(wanted.size_bytes, 1))
        except FileNotServed as error:
            missing = error
            continue
        except RegistryGarbage as error:
            raise _altered(wanted, where) from error
        if len(data) != wanted.size_bytes or Digest.of(data) != wanted.digest:
            raise _altered(wanted, where)
        return data
    assert missing is not None
    raise missing


def _altered(wanted: IndexFile, where: str) -> IndexAltered:
    return IndexAltered(
        f"the index is not the one that the signed `Release` names: expected {wanted.digest}, "
        f"{wanted.size_bytes} bytes",
        where=where,
        hint="the mirror may be in the middle of an update: try again, or name another mirror "
        "with `cape config debian.mirror`",
    )
