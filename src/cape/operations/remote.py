"""A file of a registry, read in pieces: what a look into a large artifact needs, and no more.

Nothing that is read here is verified, so nothing may be built of it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from cape.errors import CapeError
from cape.sources.protocol import RegistryUnreachable

_BLOCK_BYTES = 1 << 20
_MOST_BLOCKS = 64
_MOST_AHEAD = 8


class RemoteFile(io.RawIOBase):
    """A stream that can seek, over ranges of one of several URLs.

    Reading raises `RegistryUnreachable` where none of them gives a range.
    """

    def __init__(self, urls: Sequence[str], size_bytes: int) -> None:
        super().__init__()
        self._urls = tuple(urls)
        self._size = size_bytes
        self._at = 0
        self._ahead = 1
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        number, start = divmod(self._at, _BLOCK_BYTES)
        piece = self._block(number)[start : start + wanted]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._fetch(number)
        return self._blocks[number]

    def _fetch(self, number: int) -> None:
        """Bring a block; more of what follows, the longer reading goes on without a jump."""
        follows = number - 1 in self._blocks
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if follows else 1
        last = number + 1
        while last < number + self._ahead and last * _BLOCK_BYTES < self._size and last not in self._blocks:
            last += 1
        piece = self._fetched(number * _BLOCK_BYTES, min(last * _BLOCK_BYTES, self._size))
        while len(self._blocks) + last - number > _MOST_BLOCKS:
            self._blocks.pop(next(iter(self._blocks)))
        for at in range(number, last):
            start = (at - number) * _BLOCK_BYTES
            self._blocks[at] = piece[start : start + _BLOCK_BYTES]

    def _fetched(self, start: int, end: int) -> bytes:
        from cape.sources.download import Patience, fetch_bytes

        hasty = Patience(connect_s=3.0, silence_s=5.0, attempts=2)
        for url in self._urls:
            try:
                found = fetch_bytes(
                    url,
                    limit_bytes=end - start,
                    headers={"Range": f"bytes={start}-{end - 1}"},
                    patience=hasty,
                )
            except CapeError:
                continue
            if len(found) == end - start:
                return found
        raise RegistryUnreachable("the registry gives no part of the file")
