"""What a pickle would import and call, found without running it.

Owns the opcode reader: a machine that keeps names and leaves everything else symbolic, so that a name that
comes through the memo or a tuple is seen as the unpickler would see it. It reads in one pass, goes past large
blobs, and enters what pickles are kept in: zip archives (torch, npz), tar archives, compressed streams,
arrays of objects, and the raw arrays that joblib writes between opcodes. Which names do harm is `globals`'.

Source: the opcode table of the standard library's `pickletools`, and joblib's `numpy_pickle.py`.
"""

from __future__ import annotations

import io
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, cast

from cape.models.formats.globals import is_dangerous, is_harmless

UNREADABLE = "unreadable"
"""What stands for a part that could not be read to its end; it can hide anything."""

_LONGEST_NAME = 4096
_MOST_STACK = 1 << 21
_MOST_MEMO = 1 << 23
_MOST_MEMBERS = 1 << 17
_DEEPEST = 3
_KEPT_ITEMS = 64
_STEP = 1 << 20
_MOST_PICKLES = 1 << 20
_LONGEST_LINE = 1 << 20
_OLD_TORCH = 0x1950A86A20F9469CFC6C
"""The first pickle of torch's old format: four others follow, then raw weights."""
_OF_OLD_TORCH = 4
_ZIP, _NUMPY, _SEVEN_ZIP = b"PK\x03\x04", b"\x93NUMPY", b"7z\xbc\xaf\x27\x1c"
_ARRAYS = frozenset(("joblib.numpy_pickle.NumpyArrayWrapper",))

_OPCODES = {one.code.encode("latin-1")[0]: one for one in pickletools.opcodes}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What the pickles of a file name. `globals` are all names, sorted, as in `collections.OrderedDict`.

    `unreadable` are reasons why a part of the file could not be looked through. A file without a pickle has
    neither.
    """

    pickles: int = 0
    globals: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def dangerous(self) -> tuple[str, ...]:
        """The names that can run a command, read or write files, use the network or load code."""
        return tuple(name for name in self.globals if is_dangerous(name))

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names that are neither dangerous nor known to only build data."""
        return tuple(name for name in self.globals if not is_dangerous(name) and not is_harmless(name))


def scan(stream: IO[bytes]) -> Scan:
    """Look through a file from its first byte on; it must be seekable. Raises `OSError`."""
    found = _Found()
    _container(stream, found, 0)
    return Scan(
        pickles=found.pickles,
        globals=tuple(sorted(found.globals)),
        unreadable=tuple(dict.fromkeys(found.unreadable)),
    )


@dataclass(slots=True)
class _Found:
    pickles: int = 0
    globals: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)


# -- what pickles are kept in ---------------------------------------------------------------------------


def _container(stream: IO[bytes], found: _Found, depth: int) -> None:
    first = stream.read(512)
    stream.seek(0)
    if depth > _DEEPEST:
        found.unreadable.append("archives lie too deep in one another")
    elif first.startswith(_SEVEN_ZIP):
        found.unreadable.append("a 7z archive is not looked into")
    elif first.startswith(_NUMPY):
        _array(stream, found)
    elif opener := _decompressor(first):
        _decompressed(stream, opener, found, depth)
    elif first[257:262] == b"ustar":
        _tar(stream, found, depth)
    elif first.startswith(_ZIP):
        _zip(stream, found, depth)
    else:
        _pickles(stream, found)
        stream.seek(0)
        if zipfile.is_zipfile(stream):
            _zip(stream, found, depth)


def _zip(stream: IO[bytes], found: _Found, depth: int) -> None:
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                found.unreadable.append(f"an archive has {len(members)} members")
                return
            for member in members:
                if not member.is_dir():
                    _zip_member(archive, member, found, depth)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
        found.unreadable.append("an archive cannot be read")


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, found: _Found, depth: int) -> None:
    with archive.open(member) as stream:
        if _may_hold_pickles(stream.read(16), member.filename):
            stream.seek(0)
            _container(stream, found, depth + 1)


def _tar(stream: IO[bytes], found: _Found, depth: int) -> None:
    try:
        with tarfile.open(fileobj=stream) as archive:
            for member in archive:
                reading = archive.extractfile(member) if member.isfile() else None
                if reading is not None:
                    with reading:
                        _container(reading, found, depth + 1)
    except (tarfile.TarError, EOFError, ValueError):
        found.unreadable.append("an archive cannot be read")


def _may_hold_pickles(first: bytes, name: str) -> bool:
    """Whether a member of an archive is looked through: blobs of raw weights are not."""
    named = name.lower().endswith(
        (".pkl", ".pickle", ".joblib", ".p", ".dill", ".bin", ".pt", ".pth", ".npy")
    )
    return named or first.startswith((_ZIP, _NUMPY)) or (first[:1] == b"\x80" and first[1:2] <= b"\x05")


def _decompressor(first: bytes) -> Callable[[IO[bytes]], IO[bytes]] | None:
    import bz2
    import gzip
    import lzma

    if first.startswith(b"\x1f\x8b"):
        return lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if first.startswith(b"BZh"):
        return lambda stream: bz2.BZ2File(stream)
    if first.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        return lambda stream: lzma.LZMAFile(stream)
    if first[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return lambda stream: io.BufferedReader(_Inflated(stream))
    if first.startswith((b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")):
        return lambda stream: io.BufferedReader(_NoCodec())
    return None


def _decompressed(
    stream: IO[bytes], opener: Callable[[IO[bytes]], IO[bytes]], found: _Found, depth: int
) -> None:
    import lzma
    import zlib

    try:
        with opener(stream) as plain:
            _pickles(plain, found)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        found.unreadable.append("a compressed part cannot be read")


class _Inflated(io.RawIOBase):
    """A zlib stream, as joblib writes it, inflated as it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        import zlib

        self._stream = stream
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            data = self._inflate.unconsumed_tail or self._stream.read(1 << 16)
            plain = self._inflate.decompress(data, len(buffer))
            if plain or not data:
                buffer[: len(plain)] = plain
                return len(plain)


class _NoCodec(io.RawIOBase):
    """A stream in a compression that the standard library cannot read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise OSError("no codec")


def _array(stream: IO[bytes], found: _Found) -> None:
    """An array file of NumPy: with objects in it, a pickle follows its header."""
    import ast

    head = stream.read(8)
    width, code = (2, "<H") if head[6:7] == b"\x01" else (4, "<I")
    told = stream.read(width)
    length = struct.unpack(code, told)[0] if len(told) == width else 1 << 32
    if length > 1 << 20:
        found.unreadable.append("the header of an array is too long")
        return
    try:
        described = ast.literal_eval(stream.read(length).decode("latin-1").strip())
        holds_objects = "O" in str(described["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        found.unreadable.append("the header of an array cannot be read")
        return
    if holds_objects:
        _pickles(stream, found)


# -- pickles one after another --------------------------------------------------------------------------


def _pickles(stream: IO[bytes], found: _Found) -> None:
    """All pickles from here on. What follows one that ends in the middle no unpickler reaches either."""
    left = _MOST_PICKLES
    while left:
        machine = _Machine(stream)
        ended: _Ended | None = None
        try:
            machine.run()
        except _Ended as error:
            ended = error
        found.globals |= machine.globals
        if ended and not machine.globals and not ended.hides:
            return
        found.pickles += 1
        if ended:
            found.unreadable.append(f"a pickle {ended}")
            return
        left = _OF_OLD_TORCH if machine.stack[-1:] == [_OLD_TORCH] else left - 1


class _Ended(Exception):
    """The bytes are no pickle any more; the text says why, after `a pickle`.

    With `hides`, an unpickler would go on where we do not.
    """

    def __init__(self, reason: str, *, hides: bool = False) -> None:
        super().__init__(reason)
        self.hides = hides


class _Mark:
    """The stack's mark."""


@dataclass(slots=True)
class _Global:
    name: str


@dataclass(slots=True)
class _Made:
    """An object that a global was called for."""

    kind: object
    arguments: object = None


_MARK = _Mark()
_TEXTS = frozenset(
    ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
)
_NUMBERS = frozenset(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_LINES = {
    "INT": 1, "LONG": 1, "FLOAT": 1, "STRING": 1, "UNICODE": 1, "PERSID": 1, "GET": 1, "PUT": 1, "GLOBAL": 2,
    "INST": 2,
}  # fmt: skip
"""Opcodes whose argument is text, with its number of lines; the unpickler chooses how they are decoded."""
_COUNTED = {
    "BINBYTES": "<I", "BINBYTES8": "<Q", "BYTEARRAY8": "<Q", "BINUNICODE": "<I", "BINUNICODE8": "<Q",
    "BINSTRING": "<i", "LONG4": "<i",
}  # fmt: skip
"""Opcodes whose argument can be larger than memory, with how its length is told."""


class _Machine:
    """The unpickler's machine for one pickle, with names and nothing else evaluated."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.globals: set[str] = set()
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}

    def run(self) -> None:
        """Go on to the pickle's end. Raises `_Ended`."""
        read = self.stream.read
        while True:
            code = read(1)
            if not code:
                raise _Ended("ends early")
            opcode = _OPCODES.get(code[0])
            if opcode is None:
                raise _Ended("has an opcode that there is not")
            if opcode.name == "STOP":
                return
            self._do(opcode.name, self._argument(opcode) if opcode.arg else None)
            if len(self.stack) > _MOST_STACK or len(self.memo) > _MOST_MEMO:
                raise _Ended("holds too many objects", hides=True)

    def _argument(self, opcode: pickletools.OpcodeInfo) -> object:
        assert opcode.arg is not None
        if opcode.name in _COUNTED:
            return self._counted(opcode.name)
        if opcode.name in _LINES:
            lines = [self._line() for _ in range(_LINES[opcode.name])]
            return _plain(opcode.name, " ".join(lines))
        try:
            return opcode.arg.reader(self.stream)
        except (ValueError, UnicodeError, struct.error, IndexError, OverflowError) as error:
            raise _Ended("ends early") from error

    def _counted(self, name: str) -> object:
        code = _COUNTED[name]
        told = self.stream.read(struct.calcsize(code))
        if len(told) != struct.calcsize(code):
            raise _Ended("ends early")
        length = struct.unpack(code, told)[0]
        if length < 0:
            raise _Ended("tells of less than nothing")
        if name in _TEXTS and length <= _LONGEST_NAME:
            data = self.stream.read(length)
            if len(data) != length:
                raise _Ended("ends early")
            return data.decode("utf-8", "surrogatepass" if name != "BINSTRING" else "replace")
        self.skip(length)
        return None

    def _line(self) -> str:
        line = self.stream.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise _Ended("has a line without an end", hides=len(line) == _LONGEST_LINE)
        return line[:-1].decode("utf-8", "replace")

    def skip(self, length: int) -> None:
        """Go past bytes. Raises `_Ended` where there are fewer."""
        while length:
            data = self.stream.read(min(length, _STEP))
            if not data:
                raise _Ended("ends early")
            length -= len(data)

    # One opcode.

    def _do(self, name: str, argument: object) -> None:
        if name in _PUTS:
            self.memo[argument if isinstance(argument, int) else len(self.memo)] = self._top()
        elif name in _GETS:
            self.stack.append(self.memo.get(argument if isinstance(argument, int) else -1))
        elif name in _TEXTS or name in _NUMBERS:
            kept = argument if not isinstance(argument, str) or len(argument) <= _LONGEST_NAME else None
            self.stack.append(kept)
        elif name in _SPECIAL:
            _SPECIAL[name](self, argument)
        else:
            self._generic(name)

    def _generic(self, name: str) -> None:
        """An opcode of which only the effect on the stack matters."""
        has_mark, taken, given = _EFFECTS[name]
        if has_mark:
            self._to_mark()
        for _ in range(taken):
            self._pop()
        if given:
            self.stack.extend([None] * given)

    def _top(self) -> object:
        if not self.stack:
            raise _Ended("takes from an empty stack")
        return self.stack[-1]

    def _pop(self) -> object:
        top = self._top()
        self.stack.pop()
        return top

    def _to_mark(self) -> list[object]:
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                items = self.stack[at + 1 :]
                del self.stack[at:]
                return items
        raise _Ended("has no mark")

    def _name(self, module: object, name: object) -> None:
        known = isinstance(module, str) and isinstance(name, str)
        full = f"{module}.{name}" if known else f"{UNREADABLE}.name"
        self.globals.add(full)
        self.stack.append(_Global(full))

    def _do_mark(self, _: object) -> None:
        self.stack.append(_MARK)

    def _do_pop(self, _: object) -> None:
        self._pop()

    def _do_dup(self, _: object) -> None:
        self.stack.append(self._top())

    def _do_global(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._name(module, name)

    def _do_stack_global(self, _: object) -> None:
        name = self._pop()
        self._name(self._pop(), name)

    def _do_inst(self, argument: object) -> None:
        items = self._to_mark()
        self._do_global(argument)
        self.stack.append(_Made(self._pop(), tuple(items[:_KEPT_ITEMS])))

    def _do_obj(self, _: object) -> None:
        items = self._to_mark()
        self.stack.append(_Made(items[0] if items else None, tuple(items[1:_KEPT_ITEMS])))

    def _do_reduce(self, _: object) -> None:
        arguments = self._pop()
        self.stack.append(_Made(self._pop(), arguments))

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _: object) -> None:
        self._pop()
        self._do_reduce(None)

    def _do_ext1(self, argument: object) -> None:
        self._name(UNREADABLE, f"extension-{argument}")

    _do_ext2 = _do_ext4 = _do_ext1

    def _do_empty_tuple(self, _: object) -> None:
        self.stack.append(())

    def _do_tuple(self, _: object) -> None:
        self.stack.append(tuple(self._to_mark()[:_KEPT_ITEMS]))

    def _do_tuple1(self, _: object) -> None:
        self.stack.append((self._pop(),))

    def _do_tuple2(self, _: object) -> None:
        last = self._pop()
        self.stack.append((self._pop(), last))

    def _do_tuple3(self, _: object) -> None:
        last, middle = self._pop(), self._pop()
        self.stack.append((self._pop(), middle, last))

    def _do_empty_dict(self, _: object) -> None:
        self.stack.append({})

    def _do_setitem(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._into([key, value])

    def _do_setitems(self, _: object) -> None:
        self._into(self._to_mark())

    def _into(self, items: list[object]) -> None:
        table = self._top()
        if isinstance(table, dict) and len(table) < _KEPT_ITEMS:
            pairs = zip(items[::2], items[1::2], strict=False)
            table.update((key, value) for key, value in pairs if isinstance(key, str))

    def _do_newtrue(self, _: object) -> None:
        self.stack.append(True)

    def _do_newfalse(self, _: object) -> None:
        self.stack.append(False)

    def _do_build(self, _: object) -> None:
        state, made = self._pop(), self._top()
        if isinstance(made, _Made) and isinstance(made.kind, _Global):
            if made.kind.name in _ARRAYS and isinstance(state, dict):
                self._array(state)
            elif made.kind.name == "numpy.dtype" and isinstance(state, tuple):
                made.arguments = (*_as_tuple(made.arguments), state)

    def _array(self, state: dict[str, object]) -> None:
        """Go past the array that joblib writes after its wrapper, or into the pickle of its objects."""
        dtype, shape = state.get("dtype"), state.get("shape")
        width = _width(dtype)
        if width is None or not isinstance(shape, tuple):
            raise _Ended("has an array of a kind that is not known", hides=True)
        if width == 0:
            inner = _Machine(self.stream)
            try:
                inner.run()
            finally:
                self.globals |= inner.globals
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self.stream.read(1)
            self.skip(padding[0] if padding else 0)
        count = width
        for extent in shape:
            if not isinstance(extent, int) or extent < 0:
                raise _Ended("has an array of a kind that is not known", hides=True)
            count *= extent
        self.skip(count)


_SPECIAL: dict[str, Callable[[_Machine, object], None]] = {
    one.name: getattr(_Machine, f"_do_{one.name.lower()}")
    for one in pickletools.opcodes
    if hasattr(_Machine, f"_do_{one.name.lower()}")
}


def _effect(opcode: pickletools.OpcodeInfo) -> tuple[bool, int, int]:
    """Whether an opcode takes all to the mark, what it takes below that, and what it gives."""
    before = opcode.stack_before
    has_mark = pickletools.markobject in before
    taken = before.index(pickletools.markobject) if has_mark else len(before)
    return has_mark, taken, len(opcode.stack_after)


_EFFECTS = {one.name: _effect(one) for one in pickletools.opcodes}


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _plain(name: str, text: str) -> object:
    """The value of a textual argument."""
    if name in ("GLOBAL", "INST"):
        return text
    if name in ("STRING", "UNICODE"):
        return text.strip("'\"")
    try:
        return int(text.rstrip("L"))
    except ValueError:
        return None


def _width(dtype: object) -> int | None:
    """The bytes of one element of a symbolic `numpy.dtype`; 0 for objects, None where it is not told."""
    if not (isinstance(dtype, _Made) and isinstance(dtype.kind, _Global)) or dtype.kind.name != "numpy.dtype":
        return None
    text = next(iter(_as_tuple(dtype.arguments)), None)
    if not isinstance(text, str):
        return None
    kind, digits = text.lstrip("|<>=")[:1], text.lstrip("|<>=")[1:]
    if kind == "O":
        return 0
    if kind not in tuple("biufcSUmM") or not digits.isdecimal():
        return None  # `V` too: its fields may be objects
    return int(digits) * (4 if kind == "U" else 1)
