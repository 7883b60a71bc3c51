"""Office files are archives: what they hold is weighed before anything of it is inflated.

Owns the checks against zip bombs, encrypted containers and documents that define XML entities.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Iterable
from functools import partial
from xml.parsers import expat

from cape.knowledge.extraction.limits import MIB, Limits
from cape.knowledge.extraction.reading import Unreadable, megabytes

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_SUSPICIOUS_RATIO = 300
_SUSPICIOUS_BYTES = 64 * MIB
# What reading a member raises when its bytes, its place or its method are not as they should be.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
_PIECE = 16 * 1024
_MOST_MEMBERS = 20_000
_WHOLE_MEMBER_BYTES = 256 * MIB


def open_office(data: bytes, limits: Limits) -> zipfile.ZipFile:
    """The archive that an Office document is. Raises `Unreadable`."""
    if data.startswith(_OLE):
        encrypted = _ENCRYPTED_STREAM in data
        raise Unreadable("is encrypted" if encrypted else "is of an old binary Office format: save it anew")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable("is broken: it is not a whole archive") from error
    _weigh(archive.infolist(), limits)
    return archive


def _weigh(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    total = sum(member.file_size for member in members)
    if len(members) > _MOST_MEMBERS or total > limits.inflated_bytes:
        raise Unreadable(f"is refused: it would inflate to {megabytes(total)} in {len(members):,} parts")
    for member in members:
        ratio = member.file_size / max(1, member.compress_size)
        if member.file_size > _SUSPICIOUS_BYTES and ratio > _SUSPICIOUS_RATIO:
            raise Unreadable(
                f"is refused: a part of it inflates {ratio:,.0f} times, to {megabytes(member.file_size)}"
            )
        if member.flag_bits & 1:
            raise Unreadable("is encrypted")


def member_bytes(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """A member's bytes; None when there is no such member. Raises `Unreadable`."""
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        return None
    if size > _WHOLE_MEMBER_BYTES:
        raise Unreadable(f"is refused: its part `{name}` inflates to {megabytes(size)}")
    try:
        return archive.read(name)
    except _BROKEN as error:
        raise Unreadable(f"is broken: its part `{name}` cannot be inflated") from error


def member_xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element | None:
    """A member as XML; None when there is no such member. Raises `Unreadable`."""
    data = member_bytes(archive, name)
    if data is None:
        return None
    refuse_document_type([data])
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise Unreadable(f"is broken: its part `{name}` is not XML ({error})") from error


class _Seen(Exception):
    """The first element was reached: what comes before it is known."""


def refuse_document_type(pieces: Iterable[bytes]) -> None:
    """Refuse XML that has a document type, the only place where entities can be defined.

    `pieces` are the XML from its start; they are taken as far as its first element.

    Raises:
        Unreadable: it has one.
    """
    parser = expat.ParserCreate()

    def document_type(*_: object) -> None:
        raise Unreadable("is refused: it defines a document type, which Office files never do")

    def element(*_: object) -> None:
        raise _Seen

    parser.StartDoctypeDeclHandler = document_type
    parser.StartElementHandler = element
    try:
        for piece in pieces:
            parser.Parse(piece, False)
    except (_Seen, expat.ExpatError):
        return


def refuse_document_types(archive: zipfile.ZipFile) -> None:
    """The same, for every XML member. Raises `Unreadable`."""
    for member in archive.infolist():
        if member.filename.endswith((".xml", ".rels")):
            try:
                with archive.open(member) as stream:
                    refuse_document_type(iter(partial(stream.read, _PIECE), b""))
            except _BROKEN as error:
                raise Unreadable(f"is broken: its part `{member.filename}` cannot be inflated") from error
