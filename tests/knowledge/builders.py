"""Documents, embedders and indices for tests: small, real, and the same every time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cape.knowledge.access import OPEN_POLICY, AccessPolicy
from cape.knowledge.documents import Block, BlockKind, Cell, ExtractedDocument, Place
from cape.knowledge.index.writer import IndexWriter, Published, Wanted, write_index
from cape.knowledge.protocol import Embedder
from cape.knowledge.recipe import present_recipe
from cape.names import Digest

EXTRACTOR = "lines 1"


def block(text: str, kind: BlockKind = BlockKind.PARAGRAPH, *, line: int = 1, level: int = 0) -> Block:
    """A block on one line."""
    return Block(kind=kind, text=text, place=Place(lines=(line, line + text.count("\n"))), level=level)


def row(table: str, line: int, **values: str) -> Block:
    """A row of a table, as extraction gives it."""
    cells = tuple(
        Cell(column=column, text=text, place=Place(sheet="S", cells=f"{chr(65 + at)}{line}"))
        for at, (column, text) in enumerate(values.items())
    )
    text = "; ".join(f"{cell.column}: {cell.text}" for cell in cells)
    place = Place(sheet="S", cells=f"A{line}:{chr(64 + len(cells))}{line}")
    return Block(kind=BlockKind.ROW, text=text, place=place, cells=cells, table=table)


def document(path: str, blocks: Iterable[Block], *, title: str = "") -> ExtractedDocument:
    """A document of blocks, each with its span in the whole text."""
    placed, at = [], 0
    for one in blocks:
        place = Place(
            page=one.place.page,
            lines=one.place.lines,
            sheet=one.place.sheet,
            cells=one.place.cells,
            span=(at, at + len(one.text)),
        )
        placed.append(
            Block(
                kind=one.kind, text=one.text, place=place, level=one.level, cells=one.cells, table=one.table
            )
        )
        at += len(one.text) + 1
    text = "\n".join(one.text for one in placed)
    return ExtractedDocument(
        path=path,
        digest=Digest.of(text.encode()),
        size_bytes=len(text.encode()),
        title=title,
        blocks=tuple(placed),
        extractor=EXTRACTOR,
    )


def text_document(path: str, text: str) -> ExtractedDocument:
    """A document with a paragraph for each line."""
    lines = enumerate(text.splitlines(), start=1)
    return document(path, [block(line, line=number) for number, line in lines], title=path)


@dataclass(slots=True)
class HashEmbedder:
    """Vectors that depend on a text alone; it counts what it was asked."""

    name: str = "embedder"
    seed: str = ""
    dimensions: int = 16
    asked: list[str] = field(default_factory=list)

    @property
    def digest(self) -> Digest:
        return Digest.of(f"hash {self.seed} {self.dimensions}".encode())

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        vectors = np.array([self._vector(text) for text in texts], dtype=np.float32)
        return vectors.reshape(len(texts), self.dimensions)

    def _vector(self, text: str) -> NDArray[np.float64]:
        seed = int(Digest.of(f"{self.seed}{text}".encode("utf-8", "surrogatepass")).hex[:12], 16)
        vector = np.random.default_rng(seed).normal(size=self.dimensions)
        return np.asarray(vector / np.linalg.norm(vector))


def fill(writer: IndexWriter, texts: Mapping[str, str]) -> dict[str, Wanted]:
    """Add text documents that the index does not have, and embed; what a generation of them wants."""
    target = {}
    for path, text in texts.items():
        one = text_document(path, text)
        target[path] = Wanted(one.digest, one.extractor)
        if not writer.has(path, target[path]):
            writer.add(one)
    for _ in writer.embed(waiting) if (waiting := writer.to_embed(target)) else ():
        pass
    return target


def build(
    directory: Path,
    texts: Mapping[str, str],
    *,
    policy: AccessPolicy = OPEN_POLICY,
    embedder: Embedder | None = None,
    rebuild: bool = False,
) -> Published:
    """Bring an index of text documents up to date."""
    recipe = present_recipe(embedder.digest if embedder else None)
    with write_index(directory, "base", recipe, embedder=embedder, rebuild=rebuild) as writer:
        return writer.publish(fill(writer, texts), policy)
