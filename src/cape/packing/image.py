"""An OCI image layout, written without a daemon: one layer per source of packages, equal to the byte.

Owns layers, configuration, manifest and index (OCI image specification 1.1). In an image an environment lies
in `/cape/env`; `/usr` and its like lead there, and the entry point is the program that also enters packs.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.environment.realisation import objects_of
from cape.names import Digest, System
from cape.packing.carried import Carried, Entry
from cape.packing.errors import CannotWritePack
from cape.packing.extractor import extractor
from cape.packing.file import writing
from cape.sources.protocol import NO_PROGRESS, Progress
from cape.store import Store
from cape.store.files import remove_tree

PLACE = "cape"
STATE = f"/{PLACE}/state"
USER = 1000
TIME_S = 315532800
"""1 January 1980, the time of every file."""

SOURCES = ("debian", "uv", "pypi", "npm", "model", "build")
"""One layer each, in this order; what no package ships comes last."""

_GENERATED = "generated"
_LEVEL = 6
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MEDIA = "application/vnd.oci.image"
_LINKS = ("bin", "lib", "lib64", "sbin", "usr")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer: its packages' source, its digest packed and unpacked."""

    source: str
    digest: Digest
    unpacked: Digest
    size_bytes: int
    files: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image layout on disk. `digest` is the manifest's, by which registries name it.

    `outside` are variables that are not carried, and must be set where it runs.
    """

    path: Path
    digest: Digest
    layers: tuple[Layer, ...]
    size_bytes: int
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSettings:
    """What an image says of itself, and starts."""

    name: str
    system: System
    activation: bytes
    command: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    labels: Mapping[str, str]


def write_image(
    carried: Carried,
    environment: Path,
    store: Store,
    target: Path,
    settings: ImageSettings,
    *,
    archive: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Image:
    """Write a layout directory, or with `archive` a tar file of one; it is there whole or not at all.

    Raises `ExtractorMissing`, `DiskFull`, `CannotWritePack` (also for a directory that is no layout).
    """
    stub = extractor(settings.system)
    if not archive and target.exists() and not (target / "oci-layout").exists() and any(target.iterdir()):
        raise CannotWritePack("the directory is no image layout", where=str(target), hint="name another")
    building = target.with_name(f".{target.name}.{os.getpid()}")
    with writing(target):
        try:
            (building / "blobs" / "sha256").mkdir(parents=True)
            image = _Writing(building, carried, _owners(environment, store), settings, stub).write(progress)
            if archive:
                _archived(building, target)
            else:
                _replaced(building, target)
        finally:
            remove_tree(building)
    return Image(path=target, digest=image.digest, layers=image.layers, size_bytes=image.size_bytes)


def _owners(environment: Path, store: Store) -> Mapping[str, str]:
    """Which source a path comes from; paths that no object has are generated."""
    owners: dict[str, str] = {}
    for one in objects_of(environment, store):
        source = str(one.facts.get("package", {}).get("source", _GENERATED))
        for entry in one.listing():
            if entry.kind != "d":
                owners.setdefault(entry.path, source)
    return owners


def _replaced(building: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        os.rename(target, old)
    os.rename(building, target)
    remove_tree(old)


def _archived(building: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tar")
    try:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as stream:
            for file in sorted(path for path in building.rglob("*") if path.is_file()):
                member = _member(str(file.relative_to(building)), 0o644)
                member.size = file.stat().st_size
                with open(file, "rb") as content:
                    stream.addfile(member, content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _member(path: str, mode: int, kind: bytes = tarfile.REGTYPE, user: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.type, member.mtime = mode, kind, TIME_S
    member.uid = member.gid = user
    return member


class _Writing:
    """One writing of a layout: blobs, then the index that names them."""

    def __init__(
        self,
        building: Path,
        carried: Carried,
        owners: Mapping[str, str],
        settings: ImageSettings,
        stub: bytes,
    ) -> None:
        self._building = building
        self._carried = carried
        self._settings = settings
        self._stub = stub
        self._entries: dict[str, list[Entry]] = {source: [] for source in (*SOURCES, _GENERATED)}
        self._directories: list[str] = []
        self._sort(owners)

    def _sort(self, owners: Mapping[str, str]) -> None:
        for entry in self._carried.entries():
            if entry.kind == "d":
                self._directories.append(entry.path)
                continue
            source = owners.get(entry.path, _GENERATED)
            self._entries[source if source in self._entries else _GENERATED].append(entry)

    def write(self, progress: Progress) -> Image:
        progress.start("packing", 0)
        try:
            layers = tuple(self._layer(source) for source, entries in self._entries.items() if entries)
        finally:
            progress.finish()
        config = self._blob(_json(self._config(layers)))
        manifest = self._blob(_json(self._manifest(layers, config)))
        index = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.index.v1+json",
            "manifests": [
                self._described("manifest.v1+json", manifest)
                | {
                    "platform": self._platform(),
                    "annotations": {"org.opencontainers.image.ref.name": "latest"},
                }
            ],
        }
        (self._building / "index.json").write_bytes(_json(index))
        (self._building / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
        total = sum(layer.size_bytes for layer in layers)
        return Image(path=self._building, digest=manifest[0], layers=layers, size_bytes=total)

    def _layer(self, source: str) -> Layer:
        temporary = self._building / "layer"
        hashing = _Hashing()
        with open(temporary, "wb") as raw:
            with (
                gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
                tarfile.open(fileobj=hashing.into(packed), mode="w|", format=tarfile.PAX_FORMAT) as stream,
            ):
                self._fill(stream, source)
            raw.flush()
            os.fsync(raw.fileno())
        digest = Digest.of_file(temporary)
        size_bytes = temporary.stat().st_size
        os.rename(temporary, self._blob_path(digest))
        return Layer(
            source=source,
            digest=digest,
            unpacked=hashing.digest(),
            size_bytes=size_bytes,
            files=len(self._entries[source]),
        )

    def _fill(self, stream: tarfile.TarFile, source: str) -> None:
        for directory in self._parents(self._entries[source], all_of_them=source == _GENERATED):
            stream.addfile(_member(directory, 0o755, tarfile.DIRTYPE))
        if source == _GENERATED:
            self._add_own(stream)
        for entry in self._entries[source]:
            path = f"{PLACE}/env/{entry.path}"
            if entry.kind == "l":
                member = _member(path, 0o777, tarfile.SYMTYPE)
                member.linkname = entry.target
                stream.addfile(member)
                continue
            data = self._carried.content(entry).placed(f"/{PLACE}/env")
            _add(stream, path, data, entry.mode)

    def _parents(self, entries: Sequence[Entry], *, all_of_them: bool) -> Iterator[str]:
        yield PLACE
        yield f"{PLACE}/env"
        wanted = set(self._directories) if all_of_them else _directories_of(entries)
        for directory in self._directories:
            if directory in wanted:
                yield f"{PLACE}/env/{directory}"

    def _add_own(self, stream: tarfile.TarFile) -> None:
        """The program that enters, a user, a place to write to, and the usual directories."""
        for name, data, mode in (
            (f"{PLACE}/enter", self._stub, 0o755),
            (f"{PLACE}/activation", self._settings.activation, 0o444),
        ):
            _add(stream, name, data, mode)
        for directory in (f"{PLACE}/state", "tmp"):
            stream.addfile(_member(directory, 0o1777, tarfile.DIRTYPE))
        for directory in ("dev", "etc", "proc", "root", "run", "sys", "var"):
            stream.addfile(_member(directory, 0o755, tarfile.DIRTYPE))
        _add(stream, "etc/passwd", _PASSWD.encode(), 0o644)
        _add(stream, "etc/group", b"root:x:0:\ncape:x:1000:\n", 0o644)
        if "root/usr" in self._directories:
            for name in _LINKS:
                member = _member(name, 0o777, tarfile.SYMTYPE)
                member.linkname = f"{PLACE}/env/root/{name}"
                stream.addfile(member)

    def _config(self, layers: Sequence[Layer]) -> Mapping[str, Any]:
        settings = self._settings
        config: dict[str, Any] = {
            "User": str(USER),
            "Env": [
                f"PATH=/{PLACE}/env/bin:/usr/local/bin:/usr/bin:/bin",
                f"HOME={STATE}",
                f"CAPE_PACK_STATE={STATE}",
            ],
            "Entrypoint": [f"/{PLACE}/enter"],
            "Cmd": list(settings.command),
            "WorkingDir": STATE,
            "Labels": dict(sorted(settings.labels.items())),
        }
        if settings.ports:
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in settings.ports}
        created = "1980-01-01T00:00:00Z"
        return {
            "created": created,
            **self._platform(),
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [str(layer.unpacked) for layer in layers]},
            "history": [{"created": created, "created_by": f"cape image: {one.source}"} for one in layers],
        }

    def _platform(self) -> Mapping[str, str]:
        return {"architecture": _ARCHITECTURES[self._settings.system.machine], "os": "linux"}

    def _manifest(self, layers: Sequence[Layer], config: tuple[Digest, int]) -> Mapping[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": self._described("config.v1+json", config),
            "layers": [
                self._described("layer.v1.tar+gzip", (layer.digest, layer.size_bytes))
                | {"annotations": {"cape.source": layer.source}}
                for layer in layers
            ],
            "annotations": dict(sorted(self._settings.labels.items())),
        }

    def _described(self, kind: str, blob: tuple[Digest, int]) -> dict[str, Any]:
        return {"mediaType": f"{_MEDIA}.{kind}", "digest": str(blob[0]), "size": blob[1]}

    def _blob(self, data: bytes) -> tuple[Digest, int]:
        digest = Digest.of(data)
        self._blob_path(digest).write_bytes(data)
        return digest, len(data)

    def _blob_path(self, digest: Digest) -> Path:
        return self._building / "blobs" / "sha256" / digest.hex


_PASSWD = f"root:x:0:0:root:/root:/bin/sh\ncape:x:{USER}:{USER}:cape:{STATE}:/bin/sh\n"


def _directories_of(entries: Sequence[Entry]) -> set[str]:
    found: set[str] = set()
    for entry in entries:
        parent = os.path.dirname(entry.path)
        while parent and parent not in found:
            found.add(parent)
            parent = os.path.dirname(parent)
    return found


def _add(stream: tarfile.TarFile, path: str, data: bytes, mode: int) -> None:
    member = _member(path, mode)
    member.size = len(data)
    stream.addfile(member, io.BytesIO(data))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


class _Hashing(io.RawIOBase):
    """Hashes what passes through to another file."""

    def __init__(self) -> None:
        import hashlib

        self._total = hashlib.sha256()
        self._under: Any = None

    def into(self, under: Any) -> Any:
        self._under = under
        return self

    def write(self, data: Any) -> int:
        self._total.update(data)
        self._under.write(data)
        return len(data)

    def digest(self) -> Digest:
        return Digest(self._total.hexdigest())
