"""Documents as JSON, on their way from a worker process.

JSON, not pickle: a parser that a bad document has taken over must not reach the process that asked.
"""

from __future__ import annotations

import json
from typing import Any

from cape.knowledge.documents import Block, BlockKind, Cell, ExtractedDocument, Place, UnreadDocument
from cape.names import Digest


class BadReply(ValueError):
    """A worker's words are no document. It never leaves extraction."""


def to_bytes(document: ExtractedDocument | UnreadDocument) -> bytes:
    """A document as JSON in UTF-8."""
    return json.dumps(_values_of(document), ensure_ascii=False, separators=(",", ":")).encode(
        errors="surrogatepass"
    )


def _values_of(document: ExtractedDocument | UnreadDocument) -> dict[str, Any]:
    if isinstance(document, UnreadDocument):
        return {"path": document.path, "digest": _hex(document.digest), "reason": document.reason}
    return {
        "path": document.path,
        "digest": document.digest.hex,
        "size": document.size_bytes,
        "title": document.title,
        "extractor": document.extractor,
        "notes": document.notes,
        "blocks": [_block_values(block) for block in document.blocks],
    }


def _hex(digest: Digest | None) -> str | None:
    return digest.hex if digest else None


def _block_values(block: Block) -> list[Any]:
    cells = [[cell.column, cell.text, _place_values(cell.place)] for cell in block.cells]
    return [block.kind.value, block.text, _place_values(block.place), block.level, cells, block.table]


def _place_values(place: Place) -> list[Any]:
    return [place.page, place.lines, place.sheet, place.cells, place.span]


def from_bytes(data: bytes) -> ExtractedDocument | UnreadDocument:
    """The document in JSON. Raises `BadReply`."""
    try:
        return _document(json.loads(data))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise BadReply(str(error)) from error


def _document(values: dict[str, Any]) -> ExtractedDocument | UnreadDocument:
    if "reason" in values:
        digest = Digest(values["digest"]) if values["digest"] else None
        return UnreadDocument(path=str(values["path"]), digest=digest, reason=str(values["reason"]))
    return ExtractedDocument(
        path=str(values["path"]),
        digest=Digest(values["digest"]),
        size_bytes=int(values["size"]),
        title=str(values["title"]),
        blocks=tuple(_block(block) for block in values["blocks"]),
        extractor=str(values["extractor"]),
        notes=tuple(map(str, values["notes"])),
    )


def _block(values: list[Any]) -> Block:
    kind, text, place, level, cells, table = values
    return Block(
        kind=BlockKind(kind),
        text=str(text),
        place=_place(place),
        level=int(level),
        cells=tuple(Cell(column=str(c), text=str(t), place=_place(p)) for c, t, p in cells),
        table=str(table),
    )


def _place(values: list[Any]) -> Place:
    page, lines, sheet, cells, span = values
    return Place(page=page, lines=_pair(lines), sheet=sheet, cells=cells, span=_pair(span))


def _pair(values: list[int] | None) -> tuple[int, int] | None:
    if values is None:
        return None
    first, last = values
    return int(first), int(last)
