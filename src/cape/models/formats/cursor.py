"""Reading numbers and texts one after another, never more than a limit, never past the end."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, Literal

from cape.models.errors import BadModelFile, HeaderEndsEarly


class Cursor:
    """A place in a stream that moves on; `size_bytes` is the whole file's, where it is known."""

    def __init__(self, stream: BinaryIO, *, format: str, size_bytes: int | None = None) -> None:
        self.stream = stream
        self.format = format
        self.size_bytes = size_bytes
        self.order = "<"

    @property
    def position(self) -> int:
        return self.stream.tell()

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises `HeaderEndsEarly`."""
        self._has(count)
        data = self.stream.read(count)
        if len(data) != count:
            raise self.early()
        return data

    def skip(self, count: int) -> None:
        """Go on by `count` bytes. Raises `HeaderEndsEarly` where the size of the file is known."""
        self._has(count)
        self.stream.seek(count, io.SEEK_CUR)

    def number(self, code: str) -> int | float | bool:
        """The next number, as `struct` names its kind."""
        size = struct.calcsize(self.order + code)
        value: int | float | bool = struct.unpack(self.order + code, self.take(size))[0]
        return value

    def whole(self, code: str = "Q", *, limit: int, what: str) -> int:
        """The next whole number. Raises `BadModelFile` above `limit`."""
        value = int(self.number(code))
        if value > limit:
            raise self.bad(f"it tells of {value} {what}, more than {limit}")
        return value

    def text(self, *, limit: int, what: str) -> str:
        """The next text, after its length in 64 bits."""
        data = self.take(self.whole(limit=limit, what=f"bytes of {what}"))
        return data.decode("utf-8", "replace")

    def pass_texts(self, count: int, *, limit: int) -> None:
        """Go past `count` texts, fast: a vocabulary has a quarter of a million."""
        read = self.stream.read
        order: Literal["little", "big"] = "little" if self.order == "<" else "big"
        for _ in range(count):
            told = read(8)
            length = int.from_bytes(told, order)
            if length > limit:
                raise self.bad(f"it tells of {length} bytes of a value, more than {limit}")
            if len(told) != 8 or len(read(length)) != length:
                raise self.early()

    def bad(self, fact: str) -> BadModelFile:
        return BadModelFile(f"this is no {self.format} file that can be read: {fact}")

    def _has(self, count: int) -> None:
        if self.size_bytes is not None and self.position + count > self.size_bytes:
            raise self.early()

    def early(self) -> HeaderEndsEarly:
        return HeaderEndsEarly(f"the {self.format} header ends early")
