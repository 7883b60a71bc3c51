"""`cape evaluate retrieval`: the whole command on a small collection, outside a project and in one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from cape.cli.main import main
from tests.engines import tiny
from tests.evaluation.test_retrieval_collections import rows

TEXTS = {
    "d1": "The ferry leaves at nine.",
    "d2": "Quarterly revenue rose.",
    "d3": "Holiday: thirty days.",
    "d4": "Fares for bicycles.",
}
QUERIES = {"q1": "when does the ferry leave", "q2": "turnover", "q3": "vacation days", "q4": "nothing"}
ANSWERS = {"q1": "d1", "q2": "d2", "q3": "d3"}

Cape = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cape:
    """Runs cape in a directory that holds `small`, a collection; gives exit code, stdout and stderr."""
    home = tmp_path / "here"
    (home / "small").mkdir(parents=True)
    judged = [{"query": query, "document": one, "relevance": 1} for query, one in ANSWERS.items()]
    for name, values in (
        ("corpus", [{"id": one, "title": "", "text": text} for one, text in TEXTS.items()]),
        ("queries", [{"id": one, "text": text} for one, text in QUERIES.items()]),
        ("qrels", judged),
    ):
        (home / "small" / f"{name}.jsonl").write_text(rows(values))
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(home)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["evaluate", "retrieval", *words])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, ...]:
    files = tiny.write(tmp_path)
    return "--model", str(files[0]), "--tokenizer", str(files[1])


def test_outside_a_project_words_decide_and_the_command_says_so(cape: Cape) -> None:
    code, out, err = cape("small")
    assert code == 0
    assert re.sub(r" +\d+\.\d +\d+\.\d$", " [MS] [MS]", out, flags=re.MULTILINE).splitlines() == [
        "collection  queries  nDCG@10  recall@100  MRR@10  p50 ms  p95 ms",
        "small             3   0.6667      0.6667  0.6667 [MS] [MS]",
    ]
    assert err.splitlines() == [
        "small: 4 documents in 4 chunks, words only: there is no project here",
        "note: 1 of 4 queries have no relevant document and are not asked",
    ]


def test_vectors_find_what_shares_no_word_and_are_made_once(
    cape: Cape, model: tuple[str, ...], tmp_path: Path
) -> None:
    first = json.loads(cape("small", *model, "--json")[1])
    assert (first["ndcg_at_10"], first["embedder"], first["embedded"]) == (1.0, "tiny", 4)
    corpus = tmp_path / "here" / "small" / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + rows([{"id": "d5", "text": "New."}]))
    second = json.loads(cape("small", *model, "--json")[1])
    assert (second["ndcg_at_10"], second["embedded"], second["documents"]) == (1.0, 1, 5)


def test_a_damaged_cache_of_vectors_costs_time_and_nothing_else(
    cape: Cape, model: tuple[str, ...], tmp_path: Path
) -> None:
    cape("small", *model)
    (cache,) = (tmp_path / "store" / "indices" / "vectors").glob("*.sqlite")
    cache.write_bytes(b"\0" * 5000)
    for embedded in (4, 0):
        found = json.loads(cape("small", *model, "--json")[1])
        assert (found["ndcg_at_10"], found["embedded"]) == (1.0, embedded)


def test_a_store_that_cannot_be_written_costs_time_and_nothing_else(
    cape: Cape, model: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("a file where the store should be")
    code, out, _ = cape("small", *model, "--json")
    assert (code, json.loads(out)["ndcg_at_10"]) == (0, 1.0)


def test_json_has_each_query_and_the_schema_version_first(cape: Cape) -> None:
    found = json.loads(cape("small", "--words-only", "--json")[1])
    assert next(iter(found)) == "schema_version"
    assert set(found) == {
        "schema_version", "collection", "documents", "chunks", "embedder", "why_no_embedder", "embedded",
        "ndcg_at_10", "recall_at_100", "mrr_at_10", "query_p50_ms", "query_p95_ms", "notes", "queries",
    }  # fmt: skip
    assert [(one["id"], one["ndcg_at_10"]) for one in found["queries"]] == [("q1", 1), ("q2", 0), ("q3", 1)]
    assert found["why_no_embedder"] == "words only"


def test_a_run_file_holds_the_rankings_as_trec_has_them(
    cape: Cape, model: tuple[str, ...], tmp_path: Path
) -> None:
    assert cape("small", *model, "--run", "small.run")[0] == 0
    lines = [line.split(" ") for line in (tmp_path / "here" / "small.run").read_text().splitlines()]
    assert all(len(line) == 6 and line[1] == "Q0" and line[5] == "cape" for line in lines)
    for query, answer in ANSWERS.items():
        of_query = [line for line in lines if line[0] == query]
        assert [int(line[3]) for line in of_query] == list(range(1, len(of_query) + 1))
        scores = [float(line[4]) for line in of_query]
        assert all(one > next_one for one, next_one in pairwise(scores))
        assert of_query[0][2] == answer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("small", "--words-only", "--embedder", "x"), "`--words-only` goes with no embedder"),
        (("small", "--model", "x.onnx"), "`--model` and `--tokenizer` want each other"),
        (("small", "--embedder", "x"), "there is no project here"),
        (("elsewhere",), "there is no `corpus.jsonl`"),
        (("small", "--words-only", "--run", "no/where.run"), "cannot be written"),
        (("small", "--model", "x.onnx", "--tokenizer", "y.json"), "lacks its file `x.onnx`"),
    ],
)
def test_what_cannot_be_done_is_said(cape: Cape, words: tuple[str, ...], said: str) -> None:
    code, out, err = cape(*words)
    assert code in (1, 2)
    assert out == ""
    assert said in err
    assert "bug" not in err


def test_in_a_project_without_embedder_words_decide(cape: Cape, tmp_path: Path) -> None:
    (tmp_path / "here" / "cape.toml").write_text('schema = 1\n[environment]\nname = "x"\n')
    code, _, err = cape("small")
    assert code == 0
    assert "words only: the project has no lock yet" in err
    code, _, err = cape("small", "--embedder", "mini")
    assert code == 1
    assert "the project's lock has no embedder `mini`" in err
