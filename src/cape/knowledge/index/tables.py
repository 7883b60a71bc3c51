"""The SQLite file of an index: its tables, and opening it for reading or writing.

Owns the schema. `content` is a document as one recipe read it: its chunks are the rows of `chunk` from
`first` on, `chunks` of them. A content is part of the generations from `visible.added` on, before
`visible.removed`; one that is in none is being built, and no reader sees it. `segment` names the derived
files of a range of chunks. Every change of what readers see is one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from cape.knowledge.index.errors import IndexTooNew, NotIndexed, damaged
from cape.knowledge.recipe import INDEX_FORMAT

FILE = "index.sqlite"
_APPLICATION = 0x63617065  # "cape"
_SCHEMA = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE content (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, digest BLOB NOT NULL, reading BLOB NOT NULL,
    epoch INTEGER NOT NULL, size INTEGER NOT NULL, title TEXT NOT NULL, extractor TEXT NOT NULL,
    notes TEXT NOT NULL, first INTEGER NOT NULL, chunks INTEGER NOT NULL, chunks_digest BLOB NOT NULL,
    UNIQUE (path, digest, reading, epoch));
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, text_digest BLOB NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL);
CREATE INDEX chunk_by_text ON chunk (text_digest);
CREATE TABLE visible (content INTEGER NOT NULL, added INTEGER NOT NULL, removed INTEGER);
CREATE INDEX visible_by_end ON visible (removed, added, content);
CREATE TABLE generation (
    number INTEGER PRIMARY KEY, parent INTEGER, recipe TEXT NOT NULL, access TEXT NOT NULL,
    access_digest BLOB NOT NULL, digest BLOB NOT NULL, documents INTEGER NOT NULL, chunks INTEGER NOT NULL,
    made_at REAL NOT NULL);
CREATE TABLE unread (path TEXT PRIMARY KEY, digest BLOB, reading BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE seen (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, inode INTEGER NOT NULL,
    at INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE segment (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, words TEXT NOT NULL, vectors TEXT, codes TEXT,
    embedder BLOB, dimensions INTEGER);
CREATE TABLE fresh_vector (
    embedder BLOB NOT NULL, text_digest BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (embedder, text_digest)) WITHOUT ROWID;
"""


def open_for_reading(directory: Path, name: str) -> sqlite3.Connection:
    """The file, for reading. Raises `NotIndexed`, `IndexTooNew`, `IndexDamaged`."""
    file = directory / FILE
    if not file.exists():
        raise NotIndexed(
            f"the knowledge base `{name}` has no index", where=str(directory), hint=f"run `cape index {name}`"
        )
    connection = sqlite3.connect(_address(directory, file), uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only = 1")
        _check_format(connection, file, name)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_writing(directory: Path, name: str) -> sqlite3.Connection:
    """The file, made if it is not there. The caller holds the index.

    Raises `IndexTooNew`, `IndexDamaged`, `sqlite3.Error`.
    """
    file = directory / FILE
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            _make(connection)
        _check_format(connection, file, name)
        connection.execute("PRAGMA journal_mode = WAL")
        # A kill loses no commit so; a power failure the last ones of a change that no reader sees yet.
        # `publish` asks for more.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -32000")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; "
        f"PRAGMA user_version = {INDEX_FORMAT}; COMMIT;"
    )


def _check_format(connection: sqlite3.Connection, file: Path, name: str) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and application == 0:
        raise NotIndexed(
            f"the knowledge base `{name}` has no index", where=str(file), hint=f"run `cape index {name}`"
        )
    if application != _APPLICATION:
        raise damaged(file, name, "the file is another program's database")
    if version > INDEX_FORMAT:
        raise IndexTooNew(
            f"the index of `{name}` has format {version}, and this cape reads format {INDEX_FORMAT}",
            where=str(file),
            hint="use a newer cape",
        )


def _address(directory: Path, file: Path) -> str:
    """How SQLite opens the file. Where it may not write, it cannot share the file with a writer either:
    it then takes the file as it stands, which is whole unless a log lies beside it."""
    address = f"file:{quote(str(file))}"
    if os.access(directory, os.W_OK) or file.with_name(f"{FILE}-wal").exists():
        return f"{address}?mode=rw"
    return f"{address}?mode=ro&immutable=1"
