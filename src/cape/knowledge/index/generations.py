"""Generations of an index: which contents each one has, and what a generation records.

Owns reading and writing of the `generation` and `visible` tables. A generation is never changed; the
current one is a number. Going back to an earlier one changes that number alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import NamedTuple

from cape.knowledge.access import AccessPolicy
from cape.knowledge.index.errors import UnknownIndexGeneration
from cape.knowledge.recipe import Recipe
from cape.names import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexGeneration:
    """One state of an index.

    `digest` is logical: over the recipe, the access policy, and every document's path, digest, chunk texts
    and places. `access` is the policy that it was made with. `parent` is the generation that was current
    before it; None for the first. `made_at_s` counts from 1970.
    """

    number: int
    parent: int | None
    recipe: Recipe
    access: AccessPolicy
    digest: Digest
    documents: int
    chunks: int
    made_at_s: float


class Content(NamedTuple):
    """A document as one recipe read it: its chunks are numbered from `first` on.

    A row of the database as it is, for there are many: the digests are hexadecimal and bytes.
    """

    id: int
    path: str
    hex: str
    size_bytes: int
    reading: bytes
    extractor: str
    epoch: int
    first: int
    chunks: int
    chunks_digest: bytes

    @property
    def digest(self) -> Digest:
        """Of the document's bytes."""
        return Digest(self.hex)


_CONTENT = (
    "c.id, c.path, lower(hex(c.digest)), c.size, c.reading, c.extractor, c.epoch, c.first, c.chunks, "
    "c.chunks_digest"
)
_IN_GENERATION = "v.added <= :number AND (v.removed IS NULL OR v.removed > :number)"


def current_number(connection: sqlite3.Connection) -> int | None:
    """The number of the generation that is asked; None before the first."""
    row = connection.execute("SELECT value FROM fact WHERE name = 'current'").fetchone()
    return int(row[0]) if row else None


def read_generation(connection: sqlite3.Connection, number: int, name: str) -> IndexGeneration:
    """The generation of that number. Raises `UnknownIndexGeneration`."""
    row = connection.execute(
        "SELECT number, parent, recipe, access, digest, documents, chunks, made_at FROM generation "
        "WHERE number = ?",
        (number,),
    ).fetchone()
    if row is None:
        raise UnknownIndexGeneration(
            f"the index of `{name}` has no generation {number}",
            hint=f"`cape index status {name}` lists them",
        )
    return _generation(row)


def all_generations(connection: sqlite3.Connection) -> list[IndexGeneration]:
    """Every generation, newest first."""
    rows = connection.execute(
        "SELECT number, parent, recipe, access, digest, documents, chunks, made_at FROM generation "
        "ORDER BY number DESC"
    )
    return [_generation(row) for row in rows]


def _generation(row: tuple[int, int | None, str, str, bytes, int, int, float]) -> IndexGeneration:
    number, parent, recipe, access, digest, documents, chunks, made_at = row
    return IndexGeneration(
        number=number,
        parent=parent,
        recipe=Recipe.from_json(json.loads(recipe)),
        access=AccessPolicy.from_json(json.loads(access)),
        digest=Digest(digest.hex()),
        documents=documents,
        chunks=chunks,
        made_at_s=made_at,
    )


def contents_of(connection: sqlite3.Connection, number: int) -> dict[str, Content]:
    """The contents of a generation, by path, in order of path."""
    rows = connection.execute(
        f"SELECT {_CONTENT} FROM visible v JOIN content c ON c.id = v.content WHERE {_IN_GENERATION}",
        {"number": number},
    )
    return {content.path: content for content in sorted(map(Content._make, rows), key=attrgetter("path"))}


def ranges_of(connection: sqlite3.Connection, number: int) -> list[tuple[str, int, int]]:
    """Path, first chunk and number of chunks of each document of a generation, in order of path."""
    rows = connection.execute(
        f"SELECT c.path, c.first, c.chunks FROM visible v JOIN content c ON c.id = v.content "
        f"WHERE {_IN_GENERATION}",
        {"number": number},
    )
    return sorted(rows.fetchall())


def find_content(
    connection: sqlite3.Connection, path: str, digest: Digest, reading: bytes, epoch: int
) -> Content | None:
    """The content of a document that was read already, in whatever generation, or in none yet."""
    row = connection.execute(
        f"SELECT {_CONTENT} FROM content c WHERE path = ? AND digest = ? AND reading = ? AND epoch = ?",
        (path, bytes.fromhex(digest.hex), reading, epoch),
    ).fetchone()
    return Content._make(row) if row else None


def index_digest(recipe: Recipe, policy: AccessPolicy, contents: Iterable[Content]) -> Digest:
    """The logical digest: no order, place, machine or moment of building is in it."""
    lines = sorted(
        f"{one.hex} {one.chunks_digest.hex()} {encode_basestring_ascii(one.path)}\n" for one in contents
    )
    return Digest.of(f"{recipe.digest.hex}\n{policy.digest.hex}\n{''.join(lines)}".encode())


def write_generation(
    connection: sqlite3.Connection,
    *,
    recipe: Recipe,
    policy: AccessPolicy,
    contents: Mapping[str, Content],
    made_at_s: float,
) -> int:
    """Make a generation of these contents the current one; inside the caller's transaction."""
    latest = connection.execute("SELECT max(number) FROM generation").fetchone()[0] or 0
    number = int(latest) + 1
    wanted = {content.id for content in contents.values()}
    present = {row[0] for row in connection.execute("SELECT content FROM visible WHERE removed IS NULL")}
    connection.executemany(
        "UPDATE visible SET removed = ? WHERE removed IS NULL AND content = ?",
        [(number, gone) for gone in sorted(present - wanted)],
    )
    connection.executemany(
        "INSERT INTO visible (content, added) VALUES (?, ?)",
        [(new, number) for new in sorted(wanted - present)],
    )
    digest = index_digest(recipe, policy, contents.values())
    connection.execute(
        "INSERT INTO generation (number, parent, recipe, access, access_digest, digest, documents, chunks, "
        "made_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            current_number(connection),
            json.dumps(recipe.to_json()),
            json.dumps(policy.to_json()),
            bytes.fromhex(policy.digest.hex),
            bytes.fromhex(digest.hex),
            len(contents),
            sum(content.chunks for content in contents.values()),
            made_at_s,
        ),
    )
    set_current(connection, number)
    return number


def set_current(connection: sqlite3.Connection, number: int) -> None:
    """Make a generation the one that is asked."""
    connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('current', ?)", (number,))


def forget_before(connection: sqlite3.Connection, number: int) -> None:
    """Remove all older generations, and the contents and chunks that only they had."""
    connection.execute("DELETE FROM generation WHERE number < ?", (number,))
    connection.execute("UPDATE generation SET parent = NULL WHERE number = ?", (number,))
    connection.execute("DELETE FROM visible WHERE removed <= ?", (number,))
    forget_unused(connection)


def forget_unused(connection: sqlite3.Connection) -> None:
    """Remove the contents that are in no generation, with their chunks."""
    unused = "SELECT id, first, chunks FROM content WHERE id NOT IN (SELECT content FROM visible)"
    for number, first, chunks in connection.execute(unused).fetchall():
        connection.execute("DELETE FROM chunk WHERE id >= ? AND id < ?", (first, first + chunks))
        connection.execute("DELETE FROM content WHERE id = ?", (number,))
