"""Bytes to text, honestly: by byte order mark, as UTF-8, else by the best guess, which is noted.

Also owns the hygiene of text: one form for each character, and none that a reader cannot see.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from cape.knowledge.extraction.reading import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 4096


def decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of some bytes with `\\n` line ends, and notes on what had to be guessed.

    Raises:
        Unreadable: the bytes are no text (a program, a picture).
    """
    text, notes = _decode(data)
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_marked(data[len(mark) :], encoding)
    if b"\0" in data:
        return _decode_with_nul(data)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        return _decode_guessed(data, error.start)


def _decode_marked(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        note = f"its byte order mark says {encoding.upper()}, but not all of it is: the rest is marked `�`"
        return data.decode(encoding, "replace"), (note,)


def _decode_with_nul(data: bytes) -> tuple[str, tuple[str, ...]]:
    """UTF-16 without a mark has its NUL bytes on one side; a few NUL bytes elsewhere are dropped."""
    sample = data[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    few = max(1, len(sample) // 50)
    for here, there, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if here > len(sample) // 8 and there < few:
            try:
                return data.decode(encoding), (f"it has no byte order mark; read as {encoding.upper()}",)
            except UnicodeDecodeError:
                break
    if data.count(0) > len(data) // 100:
        raise Unreadable("is not text: it is full of NUL bytes")
    text, notes = _decode(data.replace(b"\0", b""))
    return text, (*notes, "its NUL bytes were left out")


def _decode_guessed(data: bytes, first: int) -> tuple[str, tuple[str, ...]]:
    """Windows-1252, which ISO 8859-1 is part of; mixed files keep their UTF-8 lines."""
    if _looks_binary(data):
        raise Unreadable("is not text")
    line = data.count(b"\n", 0, first) + 1
    lines = data.split(b"\n")
    decoded = [_decode_line(item) for item in lines]
    mixed = any(good and not text.isascii() for text, good in decoded)
    how = "lines that are not UTF-8 were read as Windows-1252" if mixed else "it was read as Windows-1252"
    return "\n".join(text for text, _ in decoded), (f"it is not UTF-8 (first at line {line}); {how}",)


def _decode_line(line: bytes) -> tuple[str, bool]:
    try:
        return line.decode("utf-8"), True
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace"), False


def _looks_binary(data: bytes) -> bool:
    sample = data[:_SAMPLE]
    controls = sum(1 for byte in sample if byte < 32 and byte not in b"\t\n\r\f\x1b")
    return controls > len(sample) // 50


_INVISIBLE = (
    "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f"
)
_DROPPED = re.compile(f"[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f{_INVISIBLE}]")
_SPACES = re.compile("[\\x0b\\x0c\\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_BLANKS = re.compile(r"\s+")


def hygienic(text: str) -> str:
    """Text in Unicode's form NFC, with ordinary spaces, without control and invisible characters.

    Invisible ones hide words from a search, and instructions from a reader. Idempotent.
    """
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", _DROPPED.sub("", _SPACES.sub(" ", text)))


def one_line(text: str) -> str:
    """Hygienic text with each run of white space as one space, and none at its ends."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _BLANKS.sub(" ", hygienic(text)).strip()
