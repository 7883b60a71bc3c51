"""Measuring: how well retrieval does on a test collection, with a project's embedder or with given files."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import InputError, UsageError
from cape.names import System, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cape.evaluation.collections import Collection, CollectionDocument
    from cape.evaluation.memory import MemoryIndex
    from cape.evaluation.retrieval import RetrievalResult
    from cape.knowledge.documents import Chunk
    from cape.knowledge.protocol import Embedder
    from cape.lock.model import Lock
    from cape.operations.project import Project, Workshop
    from cape.sources.protocol import LockedPackage, Progress

_log = logging.getLogger(__name__)
_BATCH = 64
_PARTS = ("file", "tokenizer")


class NoSuchEmbedder(InputError):
    """The project has no model of that name that can embed, or none or several when no name is given."""

    slug = "no-such-embedder"


class RunNotWritten(InputError):
    """The file that rankings should go to cannot be written."""

    slug = "run-not-written"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedderChoice:
    """Which embedder to use: a model of the project by name, two files, or none.

    With nothing given it is the project's only embedder; outside a project, or in one without, there is
    none and words decide alone.
    """

    name: str | None = None
    model: Path | None = None
    tokenizer: Path | None = None
    words_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalReport:
    """What a collection's retrieval scored. `embedder` is None where words decided alone, `why` then says so.

    `embedded` chunks had no vector yet and were embedded now.
    """

    result: RetrievalResult
    documents: int
    chunks: int
    embedder: str | None
    why: str | None
    embedded: int
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedCollection:
    """A collection that can be asked: its index in memory, and the embedder that its vectors are of.

    `embedder` is None where words decide alone; `why` then says so. `embedded` chunks had no vector yet.
    """

    collection: Collection
    index: MemoryIndex
    chunks: int
    embedder: Embedder | None
    why: str | None
    embedded: int


def prepare_collection(
    directory: Path, choice: EmbedderChoice, *, project: Project | None, workshop: Workshop
) -> PreparedCollection:
    """Read a collection, cut it as any document is cut, and index it in memory.

    Vectors are kept in the store, by the digest of the text that they are of, so that a second run embeds
    nothing; an interrupted one goes on. Raises `BadCollection`, `NoSuchEmbedder`, and what opening an
    embedder raises.
    """
    from cape.evaluation.collections import read_collection
    from cape.evaluation.memory import MemoryIndex

    collection = read_collection(directory)
    embedder, why = embedder_for(choice, project, workshop)
    chunks = [chunk for document in collection.documents for chunk in _chunks_of(document)]
    vectors, embedded = None, 0
    if embedder is not None:
        texts = [chunk.searchable for chunk in chunks]
        cache = workshop.store.root / "indices" / "vectors" / f"{embedder.digest.hex}.sqlite"
        vectors, embedded = _cached_vectors(texts, embedder, cache, workshop.progress)
    return PreparedCollection(
        collection=collection,
        index=MemoryIndex(chunks, vectors),
        chunks=len(chunks),
        embedder=embedder,
        why=why,
        embedded=embedded,
    )


def evaluate_retrieval(
    directory: Path, choice: EmbedderChoice, *, project: Project | None, workshop: Workshop
) -> RetrievalReport:
    """Ask a collection's queries as any question is asked, and score the documents found.

    Raises what `prepare_collection` does.
    """
    from cape.answers.retrieval import POOL, retrieve
    from cape.evaluation.retrieval import evaluate_ranking
    from cape.knowledge.protocol import EVERYONE

    prepared = prepare_collection(directory, choice, project=project, workshop=workshop)
    collection = prepared.collection

    def rank(question: str) -> Sequence[tuple[str, float]]:
        groups = frozenset({EVERYONE})
        found = retrieve(prepared.index, prepared.embedder, question, groups, 2 * POOL)
        return [(document.path, document.score) for document in found.documents]

    rank(next(iter(collection.queries.values())))  # what is loaded at first use is no query's cost
    return RetrievalReport(
        result=evaluate_ranking(collection, rank),
        documents=len(collection.documents),
        chunks=prepared.chunks,
        embedder=prepared.embedder.name if prepared.embedder is not None else None,
        why=prepared.why,
        embedded=prepared.embedded,
        notes=collection.notes,
    )


def write_run(result: RetrievalResult, path: Path) -> None:
    """Write the rankings in TREC's form, whole or not at all. Raises `RunNotWritten`."""
    from cape.evaluation.retrieval import run_lines

    try:
        write_atomically(path, "".join(f"{line}\n" for line in run_lines(result)).encode())
    except OSError as error:
        raise RunNotWritten(f"cannot be written: {error.strerror}", where=str(path)) from error


def _chunks_of(document: CollectionDocument) -> tuple[Chunk, ...]:
    """A document of a collection cut as any other: its paragraphs are what empty lines part."""
    from cape.knowledge.chunking import chunk
    from cape.knowledge.documents import Block, BlockKind, ExtractedDocument, Place
    from cape.names import Digest

    title = " ".join(document.title.split())
    paragraphs = [part for part in document.text.split("\n\n") if part.strip()] or [title]
    blocks = tuple(Block(kind=BlockKind.PARAGRAPH, text=text, place=Place()) for text in paragraphs)
    return chunk(
        ExtractedDocument(
            path=document.id,
            digest=Digest.of(document.text.encode("utf-8", "surrogatepass")),
            size_bytes=len(document.text),
            title=title,
            blocks=blocks,
            extractor="collection",
        )
    )


# -- which embedder ----------------------------------------------------------------------------------


def embedder_for(
    choice: EmbedderChoice, project: Project | None, workshop: Workshop
) -> tuple[Embedder | None, str | None]:
    """The embedder to use; None, and a sentence, where there is none."""
    from cape.engines.minilm import open_embedder

    if choice.words_only:
        return None, "words only"
    if choice.model or choice.tokenizer:
        if not (choice.model and choice.tokenizer):
            raise UsageError("`--model` and `--tokenizer` want each other")
        return open_embedder(choice.model.stem, choice.model, choice.tokenizer), None
    if project is None:
        if choice.name:
            raise NoSuchEmbedder(
                f"there is no project here, so no embedder `{choice.name}`",
                hint="run it in a project, or name `--model` and `--tokenizer`",
            )
        return None, "words only: there is no project here"
    return _of_project(project, choice.name, workshop)


def _of_project(
    project: Project, wanted: str | None, workshop: Workshop
) -> tuple[Embedder | None, str | None]:
    """The lock's model of that name; the only one that can embed, if none is named."""
    from cape.lock.files import read_lock
    from cape.names import nearest
    from cape.operations.knowledge import LockedEmbedder

    lock = read_lock(project.lock_path)
    embedders = _embedders_of(lock)
    names = sorted(embedders)
    if wanted is None and not names:
        reason = "the project has no model with a tokenizer" if lock else "the project has no lock yet"
        return None, f"words only: {reason}"
    if wanted is None and len(names) > 1:
        listed = ", ".join(f"`{name}`" for name in names)
        raise NoSuchEmbedder(f"the project has several embedders: {listed}", hint="choose with `--embedder`")
    name = wanted or names[0]
    if name not in names:
        close = nearest(name, names)
        raise NoSuchEmbedder(
            f"the project's lock has no embedder `{name}`",
            where=str(project.lock_path),
            hint=f"did you mean `{close[0]}`?" if close else "`[models]` names one, with its `tokenizer`",
        )
    return LockedEmbedder(project, name, embedders[name], workshop, fetch=True), None


def _embedders_of(lock: Lock | None) -> dict[str, dict[str, LockedPackage]]:
    """The locked models of this system that have a tokenizer: for each, the row that gives each part."""
    models: dict[str, dict[str, LockedPackage]] = {}
    for row in lock.packages_of("model") if lock else ():
        if System.current() in row.systems:
            parts = models.setdefault(row.placement, {})
            parts |= {part: row for part in _PARTS if part in row.attributes}
    return {name: parts for name, parts in models.items() if len(parts) == len(_PARTS)}


# -- vectors -----------------------------------------------------------------------------------------


def _cached_vectors(
    texts: Sequence[str], embedder: Embedder, cache: Path, progress: Progress
) -> tuple[NDArray[np.float32], int]:
    """The vectors of texts, (len(texts), dimensions), and how many had to be made."""
    import numpy as np

    from cape.names import Digest

    keys = [Digest.of(text.encode("utf-8", "surrogatepass")).hex for text in texts]
    vectors = np.empty((len(texts), embedder.dimensions), dtype=np.float32)
    with closing(_open_cache(cache)) as connection:
        known = _known(connection, keys)
        missing = list(dict.fromkeys(key for key in keys if len(known.get(key, b"")) != vectors[:1].nbytes))
        places = {key: at for at, key in enumerate(keys)}
        progress.start("embedding", len(missing), unit="")
        # Long texts first: what remains is then never slower than it seems.
        missing.sort(key=lambda key: (-len(texts[places[key]]), key))
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            made = embedder.embed([texts[places[key]] for key in batch])
            rows = [(key, vector.astype("<f4").tobytes()) for key, vector in zip(batch, made, strict=True)]
            _keep(connection, rows)
            known.update(rows)
            progress.advance(len(batch))
        progress.finish()
    for at, key in enumerate(keys):
        vectors[at] = np.frombuffer(known[key], dtype="<f4")
    return vectors, len(missing)


def _known(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, bytes]:
    """The vectors that are kept of these texts; none where they cannot be read."""
    known: dict[str, bytes] = {}
    for start in range(0, len(keys), _BATCH):
        some = keys[start : start + _BATCH]
        marks = ", ".join("?" * len(some))
        try:
            known.update(
                connection.execute(f"SELECT text, vector FROM vectors WHERE text IN ({marks})", some)
            )
        except sqlite3.Error as error:
            _log.warning("kept vectors cannot be read: %s", error)
            return {}
    return known


def _keep(connection: sqlite3.Connection, rows: Sequence[tuple[str, bytes]]) -> None:
    """Keep vectors for another run; a cache that cannot be written is one that is not there."""
    try:
        with connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
    except sqlite3.Error as error:
        _log.warning("vectors are not kept: %s", error)


_TABLE = "CREATE TABLE IF NOT EXISTS vectors (text TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"


def _open_cache(path: Path) -> sqlite3.Connection:
    """The table of vectors by the digest of their text; one in memory where the file cannot be used.

    A damaged file is made anew: everything in it can be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _opened(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _log.info("the cache of vectors is made anew: %s", error)
            path.unlink()
            return _opened(path)
    except (OSError, sqlite3.Error) as error:
        _log.warning("vectors are not kept in `%s`: %s", path, error)
    return _opened(":memory:")


def _opened(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        with connection:
            connection.execute(_TABLE)
            connection.execute("SELECT count(*) FROM vectors").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
