"""The graph's tables in an index: mentions and relations of chunks, brought up to date document by document.

Owns their rows and nothing that decides what an entity is. They are derived from chunks, and made when they
are first wanted: indexing does no work for them. A row lives as long as its content: a trigger
deletes it with that, so that no edge outlives the passage that says it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cape.knowledge.graph.entities import VERSION, Mention, Relation, entities_of
from cape.knowledge.index.encoding import decode_chunk
from cape.knowledge.index.errors import guarded
from cape.knowledge.index.tables import open_for_reading, open_for_writing
from cape.knowledge.index.writer import held_index

_SCHEMA = """
CREATE TABLE IF NOT EXISTS graph_content (content INTEGER PRIMARY KEY, version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS graph_mention (
    chunk INTEGER NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL, PRIMARY KEY (chunk, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS graph_mention_by_key ON graph_mention (key);
CREATE TABLE IF NOT EXISTS graph_relation (
    chunk INTEGER NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, says TEXT NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS graph_relation_by_source ON graph_relation (source);
CREATE INDEX IF NOT EXISTS graph_relation_by_target ON graph_relation (target);
CREATE INDEX IF NOT EXISTS graph_relation_by_chunk ON graph_relation (chunk);
CREATE TRIGGER IF NOT EXISTS graph_goes_with_content AFTER DELETE ON content BEGIN
    DELETE FROM graph_mention WHERE chunk >= OLD.first AND chunk < OLD.first + OLD.chunks;
    DELETE FROM graph_relation WHERE chunk >= OLD.first AND chunk < OLD.first + OLD.chunks;
    DELETE FROM graph_content WHERE content = OLD.id;
END;
"""
_MISSING = (
    "SELECT c.id, c.path, c.first, c.chunks FROM visible v JOIN content c ON c.id = v.content "
    "WHERE v.added <= ? AND (v.removed IS NULL OR v.removed > ?) AND c.id NOT IN "
    "(SELECT content FROM graph_content WHERE version = ?) ORDER BY c.id"
)
_CHUNKS_AT_ONCE = 2_000

Told = Callable[[int, int], None]
"""Called with the documents that were read, and all that are to be."""


def bring_graph(directory: Path, name: str, generation: int, *, told: Told | None = None) -> int:
    """Read what a generation's documents mention, as far as that was not done; how many were read.

    What is read is kept batch by batch, whatever ends the process. Raises `IndexNotWritable`, `IndexDamaged`,
    `NotIndexed`, `DiskFull`.
    """
    with guarded(directory, name):
        if not _missing_at(directory, name, generation):
            return 0
    with (
        held_index(directory, name),
        guarded(directory, name),
        contextlib.closing(open_for_writing(directory, name)) as connection,
    ):
        connection.executescript(_SCHEMA)
        missing = connection.execute(_MISSING, (generation, generation, VERSION)).fetchall()
        for done, batch in _batches(missing):
            connection.execute("BEGIN IMMEDIATE")
            for content, path, first, count in batch:
                _read(connection, content, path, first, count)
            connection.execute("COMMIT")
            if told is not None:
                told(done, len(missing))
    return len(missing)


def _missing_at(directory: Path, name: str, generation: int) -> bool:
    with contextlib.closing(open_for_reading(directory, name)) as connection:
        if not has_graph(connection):
            return True
        return connection.execute(_MISSING, (generation, generation, VERSION)).fetchone() is not None


def has_graph(connection: sqlite3.Connection) -> bool:
    """Whether an index has the graph's tables."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'graph_content'").fetchone()
    return found is not None


def _batches(
    rows: Sequence[tuple[int, str, int, int]],
) -> Iterator[tuple[int, list[tuple[int, str, int, int]]]]:
    batch: list[tuple[int, str, int, int]] = []
    size = 0
    for number, row in enumerate(rows, start=1):
        batch.append(row)
        size += row[3]
        if size >= _CHUNKS_AT_ONCE or number == len(rows):
            yield number, batch
            batch, size = [], 0


def _read(connection: sqlite3.Connection, content: int, path: str, first: int, count: int) -> None:
    bodies = connection.execute(
        "SELECT body FROM chunk WHERE id >= ? AND id < ? ORDER BY id", (first, first + count)
    ).fetchall()
    chunks = [decode_chunk(row[0], document=path, ordinal=at) for at, row in enumerate(bodies)]
    found = entities_of(chunks)
    for table in ("graph_mention", "graph_relation"):
        connection.execute(f"DELETE FROM {table} WHERE chunk >= ? AND chunk < ?", (first, first + count))
    connection.executemany(
        "INSERT INTO graph_mention (chunk, key, name, kind, start, stop) VALUES (?, ?, ?, ?, ?, ?)",
        [_mention_row(first, one) for one in found.mentions],
    )
    connection.executemany(
        "INSERT INTO graph_relation (chunk, source, target, says, start, stop) VALUES (?, ?, ?, ?, ?, ?)",
        [_relation_row(first, one) for one in found.relations],
    )
    connection.execute("INSERT OR REPLACE INTO graph_content VALUES (?, ?)", (content, VERSION))


def _mention_row(first: int, one: Mention) -> tuple[object, ...]:
    return first + one.chunk, one.key, one.name, str(one.kind), one.start, one.end


def _relation_row(first: int, one: Relation) -> tuple[object, ...]:
    return first + one.chunk, one.source, one.target, one.says, one.start, one.end
