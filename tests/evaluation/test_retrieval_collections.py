"""Reading collections: the fields in use, and every bad row by its file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cape.evaluation.collections import BadCollection, read_collection

DOCUMENTS = [{"id": "d1", "title": "Ferry", "text": "It leaves at nine."}, {"id": "d2", "text": "Revenue."}]
QUERIES = [{"id": "q1", "text": "when does the boat leave"}, {"id": "q2", "text": "unanswered"}]
JUDGEMENTS = [{"query": "q1", "document": "d1", "relevance": 1}]


def rows(values: list[Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in values)


def write(directory: Path, **files: str) -> Path:
    plain = {"corpus": rows(DOCUMENTS), "queries": rows(QUERIES), "qrels": rows(JUDGEMENTS)} | files
    for name, text in plain.items():
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return directory


def test_a_collection_is_read_with_what_does_not_count(tmp_path: Path) -> None:
    collection = read_collection(write(tmp_path))
    assert [(one.id, one.title, one.text) for one in collection.documents] == [
        ("d1", "Ferry", "It leaves at nine."),
        ("d2", "", "Revenue."),
    ]
    assert collection.queries == {"q1": "when does the boat leave"}
    assert collection.relevance == {"q1": {"d1": 1}}
    assert collection.notes == ("1 of 2 queries have no relevant document and are not asked",)


def test_the_fields_of_other_collections_are_understood(tmp_path: Path) -> None:
    write(
        tmp_path,
        corpus=rows([{"_id": 1, "title": None, "text": "a", "metadata": {}}]),
        queries="\ufeff" + rows([{"_id": 7, "text": "b"}]) + "\n\n",
    )
    (tmp_path / "qrels.jsonl").unlink()
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\t1\t2\n7\t9\t1\n7\t3\t0\n")
    collection = read_collection(tmp_path)
    assert collection.relevance == {"7": {"1": 2, "9": 1}}
    assert collection.notes == ("1 relevant documents are not in the corpus and count as not found",)


@pytest.mark.parametrize(
    ("file", "row", "said"),
    [
        ("corpus", "{", "not JSON"),
        ("corpus", "[]", "not a JSON object"),
        ("corpus", '{"id": "", "text": "x"}', "`id` is missing or no id"),
        ("corpus", '{"id": "a b", "text": "x"}', "white space"),
        ("corpus", '{"id": "x"}', "`text` is missing or no text"),
        ("corpus", '{"id": "d1", "text": "x"}', "the id `d1` is there twice"),
        ("queries", '{"id": true, "text": "x"}', "`id` is missing or no id"),
        ("qrels", '{"query": "q9", "document": "d1", "relevance": 1}', "there is no query `q9`"),
        ("qrels", '{"query": "q1", "document": "d1", "relevance": "much"}', "`relevance` is missing or no"),
        ("qrels", '{"query": "q1", "document": "d1", "relevance": 1e999}', "relevance"),
        ("qrels", '{"query": "q1", "relevance": 1}', "`document` is missing"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, file: str, row: str, said: str) -> None:
    write(tmp_path)
    path = tmp_path / f"{file}.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, row]) + "\n")
    with pytest.raises(BadCollection) as caught:
        read_collection(tmp_path)
    assert said in caught.value.fact or "whole number" in caught.value.fact or "infinity" in caught.value.fact
    assert caught.value.where == f"{path}:{len(lines) + 1}"


def test_all_bad_rows_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, corpus=rows(DOCUMENTS) + "x\ny\n", queries=rows(QUERIES) + "z\n")
    with pytest.raises(BadCollection) as caught:
        read_collection(tmp_path)
    found = [caught.value, *caught.value.also]
    assert [str(one.where).rpartition("/")[2] for one in found] == [
        "corpus.jsonl:3",
        "corpus.jsonl:4",
        "queries.jsonl:3",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(BadCollection, match=r"there is no `queries\.jsonl`"):
        read_collection(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "corpus.jsonl").write_bytes(b'{"id": "1", "text": "\xff"}\n')
    with pytest.raises(BadCollection, match="not UTF-8"):
        read_collection(tmp_path)


def test_a_collection_without_anything_to_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCollection, match="nothing can be measured"):
        read_collection(write(tmp_path, qrels=""))
