"""Which format a file has, by its first bytes and its name.

Owns the table of formats. What a format's header says is its own module's.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from cape.models.errors import BadModelFile, HeaderEndsEarly
from cape.models.formats import gguf, onnx, safetensors
from cape.models.header import Header

_MOST_SAFETENSORS_HEADER = 100_000_000
_PICKLE_SUFFIXES = frozenset(
    (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npz", ".npy", ".mar", ".p")
)
_ZIP, _SEVEN_ZIP, _NUMPY = b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"\x93NUMPY"
_FIRST_BYTES = 16


class Kind(StrEnum):
    """What a file of a model is."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    PICKLE = "pickle"
    """A pickle, or an archive or array file that may hold one."""
    OTHER = "other"
    """Text, a tokenizer, a picture: nothing that is weights."""


def kind_of(path: Path, name: str | None = None) -> Kind:
    """What a file is; `name` is its published name, where `path` has another.

    A name that loaders unpickle makes it a `PICKLE`, whatever its bytes: a file can begin as two formats do.
    Raises `OSError`.
    """
    with open(path, "rb") as stream:
        return kind_of_bytes(stream.read(_FIRST_BYTES), name or path.name)


def kind_of_bytes(first: bytes, name: str) -> Kind:
    """What a file with these first bytes (16 are enough) and this name is."""
    suffix = Path(name.lower()).suffix
    if suffix in _PICKLE_SUFFIXES:
        return Kind.PICKLE
    if first.startswith(gguf.MAGIC):
        return Kind.GGUF
    if suffix == ".safetensors" or _looks_like_safetensors(first):
        return Kind.SAFETENSORS
    if _may_unpickle(first):
        return Kind.PICKLE
    return Kind.ONNX if suffix == ".onnx" else Kind.OTHER


def _may_unpickle(first: bytes) -> bool:
    binary_pickle = first[:1] == b"\x80" and len(first) > 1 and first[1] <= 5
    return binary_pickle or first.startswith((_ZIP, _SEVEN_ZIP, _NUMPY))


def _looks_like_safetensors(first: bytes) -> bool:
    length = int.from_bytes(first[:8], "little")
    return len(first) > 9 and 2 <= length <= _MOST_SAFETENSORS_HEADER and first[8:9] == b"{"


def kind_without_suffix(path: Path) -> Kind:
    """What a file is that has a name as of pickles, and holds none. Raises `OSError`."""
    with open(path, "rb") as stream:
        kind = kind_of_bytes(stream.read(_FIRST_BYTES), "")
    return Kind.OTHER if kind is Kind.PICKLE else kind


def read_header(path: Path, name: str | None = None) -> Header:
    """The header of a GGUF, safetensors or ONNX file; the file's size must be what its header tells.

    Raises `BadModelFile`, `HeaderEndsEarly`, `OSError`.
    """
    kind = kind_of(path, name)
    kind = kind_without_suffix(path) if kind is Kind.PICKLE else kind
    with open(path, "rb") as stream:
        return _read(kind, stream, path.stat().st_size)


def _read(kind: Kind, stream: BinaryIO, size_bytes: int) -> Header:
    readers = {Kind.GGUF: gguf.read, Kind.SAFETENSORS: safetensors.read, Kind.ONNX: onnx.read}
    if kind not in readers:
        raise BadModelFile(f"this is no GGUF, safetensors or ONNX file, but of kind `{kind}`")
    try:
        return readers[kind](stream, size_bytes=size_bytes)
    except HeaderEndsEarly as error:
        raise BadModelFile(f"the file is cut off: {error.fact}") from error
