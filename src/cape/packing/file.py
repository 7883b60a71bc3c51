"""One self-extracting file: a head, the static program, deflated chunks, their index, and a trailer.

Owns the layout that `src/extractor/pack.c` reads. The digest is over activation and index, which holds the
digests of the chunks: equal for two packs of one lock, whatever stands in front.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cape.errors import DiskFull
from cape.names import Digest, System
from cape.packing.carried import Carried, Content
from cape.packing.errors import CannotWritePack
from cape.packing.extractor import HEAD_BYTES, extractor, shell_head
from cape.sources.protocol import NO_PROGRESS, Progress

CHUNK_BYTES = 1 << 22
_CHUNK = struct.Struct("<QQ32s")
_TRAILER = struct.Struct("<8s8Q32s")
_MAGIC = b"CAPEPAK1"
_LEVEL = 6
_WORKERS = 2
_NAME_LETTERS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A pack on disk. `digest` is over what it carries; `unpacked_bytes` is the size of all its files.

    `outside` are variables that are not carried, and must be set where it runs.
    """

    path: Path
    digest: Digest
    system: System
    files: int
    size_bytes: int
    unpacked_bytes: int
    outside: tuple[str, ...] = ()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the kernel's refusals into errors. Raises `DiskFull`, `CannotWritePack`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("there is no room left for the pack", where=str(path)) from error
        raise CannotWritePack(
            f"the pack cannot be written: {error.strerror}",
            where=str(path),
            hint="name another place with `-o`",
        ) from error


def write_pack(
    carried: Carried,
    target: Path,
    *,
    title: str,
    system: System,
    activation: bytes,
    shell: bool = True,
    progress: Progress = NO_PROGRESS,
) -> Packed:
    """Write the file; it appears whole or not at all.

    With `shell` it begins with shell text, which says on a machine of another kind what is wrong; without,
    it is a program itself, and needs no shell. Raises `ExtractorMissing`, `DiskFull`, `CannotWritePack`.
    """
    stub = extractor(system)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with writing(target):
        try:
            with open(temporary, "xb") as stream:
                packed = _Writing(stream, stub, HEAD_BYTES if shell else 0).write(
                    carried, activation, progress
                )
                if shell:
                    head = shell_head(
                        title=title,
                        system=system,
                        name=packed.digest.hex[:_NAME_LETTERS],
                        stub_bytes=len(stub),
                        total_bytes=packed.size_bytes,
                    )
                    stream.seek(0)
                    stream.write(head)
                stream.flush()
                os.fsync(stream.fileno())
                os.fchmod(stream.fileno(), 0o755)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return Packed(
        path=target,
        digest=packed.digest,
        system=system,
        files=packed.files,
        size_bytes=packed.size_bytes,
        unpacked_bytes=packed.unpacked_bytes,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Written:
    digest: Digest
    files: int
    size_bytes: int
    unpacked_bytes: int


class _Writing:
    """One writing of a pack: entries in, chunks out in order."""

    def __init__(self, stream: BinaryIO, stub: bytes, head_bytes: int) -> None:
        self._stream = stream
        self._stub = stub
        self._head_bytes = head_bytes
        self._chunks: list[bytes] = []
        self._entries: list[bytes] = []
        self._buffer = bytearray()
        self._pending: deque[Future[tuple[bytes, bytes]]] = deque()
        self._known: dict[tuple[str, int], str] = {}
        self._files = self._unpacked_bytes = 0

    def write(self, carried: Carried, activation: bytes, progress: Progress) -> _Written:
        self._stream.write(bytes(self._head_bytes) + self._stub)
        payload_at = self._stream.tell()
        progress.start("packing", 0)
        try:
            with ThreadPoolExecutor(_WORKERS) as pool:
                self._add_all(carried, pool)
        finally:
            progress.finish()
        index = struct.pack("<Q", len(self._chunks)) + b"".join(self._chunks) + b"".join(self._entries)
        digest = Digest.of(activation + index)
        packed_index = _deflated(index)
        index_at = self._stream.tell()
        trailer = _TRAILER.pack(
            _MAGIC,
            *(self._head_bytes, len(self._stub), payload_at, index_at, len(packed_index), len(index)),
            *(index_at + len(packed_index), len(activation)),
            bytes.fromhex(digest.hex),
        )
        self._stream.write(packed_index + activation + trailer)
        return _Written(
            digest=digest,
            files=self._files,
            size_bytes=self._stream.tell(),
            unpacked_bytes=self._unpacked_bytes,
        )

    def _add_all(self, carried: Carried, pool: ThreadPoolExecutor) -> None:
        self._entries.append(_fields("d", "env"))
        for entry in carried.entries():
            path = f"env/{entry.path}"
            if entry.kind == "d":
                self._entries.append(_fields("d", path))
            elif entry.kind == "l":
                self._entries.append(_fields("l", path, entry.target))
            else:
                self._files += 1
                self._add_file(path, entry.mode, carried.content(entry), pool)
        self._cut(pool, all_of_it=True)
        while self._pending:
            self._take()

    def _add_file(self, path: str, mode: int, content: Content, pool: ThreadPoolExecutor) -> None:
        """A file, or a hard link to the first one of the same bytes and mode."""
        key = (Digest.of(content.data).hex, mode)
        self._unpacked_bytes += len(content.data)
        if len(content.data) and key in self._known:
            self._entries.append(_fields("h", path, self._known[key]))
            return
        self._known[key] = path
        self._entries.append(_fields("f", path, f"{mode:o}", str(len(content.data)), _sites(content)))
        self._buffer += content.data
        self._cut(pool)

    def _cut(self, pool: ThreadPoolExecutor, *, all_of_it: bool = False) -> None:
        at = 0
        while len(self._buffer) - at >= CHUNK_BYTES or (all_of_it and at < len(self._buffer)):
            chunk = bytes(self._buffer[at : at + CHUNK_BYTES])
            at += len(chunk)
            self._pending.append(pool.submit(_compressed, chunk))
            if len(self._pending) > 2 * _WORKERS:
                self._take()
        del self._buffer[:at]

    def _take(self) -> None:
        row, data = self._pending.popleft().result()
        self._chunks.append(row)
        self._stream.write(data)


def _compressed(chunk: bytes) -> tuple[bytes, bytes]:
    """A chunk's row of the index, and its bytes in the file."""
    data = _deflated(chunk)
    return _CHUNK.pack(len(data), len(chunk), bytes.fromhex(Digest.of(data).hex)), data


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def _fields(*fields: str) -> bytes:
    return b"".join(os.fsencode(field) + b"\0" for field in fields)


def _sites(content: Content) -> str:
    if content.text:
        return "t"
    return "".join(f"{site.offset}:{site.room}{'!' if site.must else ','}" for site in content.sites)
