"""Test collections of retrieval: documents, queries, and which answers which.

Owns reading `corpus.jsonl`, `queries.jsonl` and `qrels.jsonl`, with the fields that are in use for them.
A collection that is not entirely readable is refused with every bad row named: a score over part of one
is not comparable with anything. Scoring is `metrics`'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cape.errors import InputError

_IDS = ("id", "_id")
_QUERIES = ("query", "query-id", "query_id", "qid")
_DOCUMENTS = ("document", "corpus-id", "corpus_id", "doc_id", "docid")
_GRADES = ("relevance", "score", "rel")
_MOST_NAMED = 20


class BadCollection(InputError):
    """A test collection lacks a file, or a row of it is not what it should be."""

    slug = "bad-collection"


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionDocument:
    """A document of a collection; `title` is empty where it has none."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """A test collection.

    `queries` are texts by id, those that have a relevant document, in the file's order. `relevance` are
    grades above 0 by query, then document. `notes` are sentences about what does not count.
    """

    name: str
    documents: tuple[CollectionDocument, ...]
    queries: Mapping[str, str]
    relevance: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()


def read_collection(directory: Path) -> Collection:
    """The collection in a directory.

    `corpus.jsonl` has `id`, `title` (optional) and `text`, `queries.jsonl` has `id` and `text`, and
    `qrels.jsonl` has `query`, `document` and `relevance`; `_id`, `query-id`, `corpus-id` and `score` are
    understood too, and so is a tab-separated `qrels/test.tsv` with a head line. Ids may be numbers.

    Raises:
        BadCollection: a file is missing, a row is wrong (all are named, by file and line), or nothing in
            it can be measured.
    """
    faults: list[BadCollection] = []
    documents = _texts(directory / "corpus.jsonl", faults)
    queries = _texts(directory / "queries.jsonl", faults)
    relevance = _relevance(_qrels_of(directory), set(queries), faults)
    if faults:
        faults[0].also = tuple(faults[1:_MOST_NAMED])
        raise faults[0]
    asked = {one.id: one.text for one in queries.values() if relevance.get(one.id)}
    if not asked or not documents:
        raise BadCollection(
            "no query of this collection has a relevant document, so nothing can be measured",
            where=str(directory),
        )
    return Collection(
        name=directory.resolve().name,
        documents=tuple(documents.values()),
        queries=asked,
        relevance=relevance,
        notes=tuple(_notes(documents, queries, relevance)),
    )


def _notes(
    documents: Mapping[str, object],
    queries: Mapping[str, object],
    relevance: Mapping[str, Mapping[str, int]],
) -> Iterator[str]:
    unasked = sum(1 for query in queries if not relevance.get(query))
    if unasked:
        yield f"{unasked} of {len(queries)} queries have no relevant document and are not asked"
    absent = {document for grades in relevance.values() for document in grades} - documents.keys()
    if absent:
        yield f"{len(absent)} relevant documents are not in the corpus and count as not found"


def _texts(path: Path, faults: list[BadCollection]) -> dict[str, CollectionDocument]:
    """The rows of a file of texts by id; a query is one without a title."""
    found: dict[str, CollectionDocument] = {}

    def read(row: Mapping[str, object]) -> None:
        one = CollectionDocument(
            id=_identifier(row, _IDS), title=_text(row, "title", ""), text=_text(row, "text", None)
        )
        if one.id in found:
            raise ValueError(f"the id `{one.id}` is there twice")
        found[one.id] = one

    _each_row(path, _json_rows(path), read, faults)
    return found


def _qrels_of(directory: Path) -> Path:
    """The file of judgements: `qrels.jsonl`, or `qrels/test.tsv` where only that exists."""
    tabular = directory / "qrels" / "test.tsv"
    plain = directory / "qrels.jsonl"
    return tabular if tabular.is_file() and not plain.exists() else plain


def _relevance(path: Path, queries: set[str], faults: list[BadCollection]) -> dict[str, dict[str, int]]:
    """Grades above 0 by query, then document. Twice the same pair counts once, with its highest grade."""
    found: dict[str, dict[str, int]] = {}

    def read(row: Mapping[str, object]) -> None:
        query, document = _identifier(row, _QUERIES), _identifier(row, _DOCUMENTS)
        grade = _grade(row)
        if query not in queries:
            raise ValueError(f"there is no query `{query}`")
        if grade > 0:
            grades = found.setdefault(query, {})
            grades[document] = max(grade, grades.get(document, 0))

    _each_row(path, _tabular_rows(path) if path.suffix == ".tsv" else _json_rows(path), read, faults)
    return found


_Rows = Iterator[tuple[int, Callable[[], Mapping[str, object]]]]
"""Line numbers, and what parses the line (and raises `ValueError`)."""


def _json_rows(path: Path) -> _Rows:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield number, lambda line=line: _json_row(line)  # type: ignore[misc]


def _json_row(line: str) -> Mapping[str, object]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def _tabular_rows(path: Path) -> _Rows:
    lines = _lines(path)
    head = next(lines, "").rstrip("\n").split("\t")
    for number, line in enumerate(lines, start=2):
        if line.strip():
            row = dict(zip(head, line.rstrip("\n").split("\t"), strict=False))
            yield number, lambda row=row: row  # type: ignore[misc]


def _lines(path: Path) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8-sig") as stream:
            yield from stream
    except FileNotFoundError as error:
        raise BadCollection(
            f"there is no `{path.name}`",
            where=str(path.parent),
            hint="a collection is a directory with `corpus.jsonl`, `queries.jsonl` and `qrels.jsonl`",
        ) from error
    except UnicodeDecodeError as error:
        raise BadCollection("the file is not UTF-8", where=str(path)) from error
    except OSError as error:
        raise BadCollection(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _each_row(
    path: Path, rows: _Rows, read: Callable[[Mapping[str, object]], None], faults: list[BadCollection]
) -> None:
    for number, parse in rows:
        try:
            read(parse())
        except (ValueError, OverflowError, RecursionError) as error:
            said = f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
            faults.append(BadCollection(said, where=f"{path}:{number}"))


def _identifier(row: Mapping[str, object], names: tuple[str, ...]) -> str:
    name = next((name for name in names if name in row), None)
    value = row.get(name) if name else None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f"`{name or names[0]}` is missing or no id")
    identifier = str(value).strip()
    if any(character.isspace() for character in identifier):
        raise ValueError(f"the id `{identifier}` has white space in it, which a run file cannot hold")
    return identifier


def _text(row: Mapping[str, object], name: str, absent: str | None) -> str:
    value = row.get(name, absent)
    if value is None and absent is not None:
        return absent
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is missing or no text")
    return value


def _grade(row: Mapping[str, object]) -> int:
    name = next((name for name in _GRADES if name in row), None)
    value = row.get(name) if name else None
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"`{name or _GRADES[0]}` is missing or no whole number")
    return int(value)
