"""A chunk as bytes, as the index keeps it: compact JSON, deflated.

Owns this form alone. The checksum that deflate ends with finds a changed byte.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from cape.knowledge.documents import BlockKind, Cell, Chunk, Part, Place

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_KINDS = {kind.value: kind for kind in BlockKind}


def encode_chunk(chunk: Chunk) -> bytes:
    """What of a chunk is not its document and ordinal."""
    parts = [_part(part) for part in chunk.parts]
    body = _encode([chunk.title_path, chunk.text, _place(chunk.place), parts])
    return zlib.compress(body.encode("utf-8", "surrogatepass"), 1)


def decode_chunk(body: bytes, *, document: str, ordinal: int) -> Chunk:
    """The chunk of `encode_chunk`'s bytes. Raises `ValueError` for any others."""
    try:
        title_path, text, place, parts = json.loads(zlib.decompress(body).decode("utf-8", "surrogatepass"))
        return Chunk(
            document=document,
            ordinal=ordinal,
            title_path=tuple(title_path),
            text=text,
            place=_place_of(place),
            parts=tuple(_part_of(part) for part in parts),
        )
    except (zlib.error, TypeError, KeyError, UnicodeError) as error:
        raise ValueError(f"not a chunk: {error}") from error


def searchable_text(body: bytes) -> str:
    """The chunk's `searchable`, without making its parts. Raises `ValueError`."""
    try:
        title_path, text, _, _ = json.loads(zlib.decompress(body).decode("utf-8", "surrogatepass"))
        return "\n".join([" > ".join(title_path), text]) if title_path else str(text)
    except (zlib.error, TypeError, UnicodeError) as error:
        raise ValueError(f"not a chunk: {error}") from error


def _place(place: Place) -> list[Any]:
    fields = [place.page, place.lines, place.sheet, place.cells, place.span]
    while fields and fields[-1] is None:
        fields.pop()
    return fields


def _place_of(fields: list[Any]) -> Place:
    page, lines, sheet, cells, span = fields + [None] * (5 - len(fields))
    return Place(
        page=page,
        lines=(lines[0], lines[1]) if lines else None,
        sheet=sheet,
        cells=cells,
        span=(span[0], span[1]) if span else None,
    )


def _part(part: Part) -> list[Any]:
    fields: list[Any] = [part.start, part.end, part.kind.value, _place(part.place)]
    if part.cells or part.table:
        fields += [part.table, [[cell.column, cell.text, _place(cell.place)] for cell in part.cells]]
    return fields


def _part_of(fields: list[Any]) -> Part:
    start, end, kind, place, table, cells = fields if len(fields) == 6 else [*fields, "", []]
    return Part(
        start=start,
        end=end,
        kind=_KINDS[kind],
        place=_place_of(place),
        cells=tuple(Cell(column=column, text=text, place=_place_of(at)) for column, text, at in cells),
        table=table,
    )
