"""`cape ask` for figures: computed with the asker's rows alone, and cited; refused where no table fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cape.cli.main import main

MANIFEST = """schema = 1
[environment]
name = "figures"
systems = ["x86_64-linux"]
[knowledge.books]
sources = ["books/*"]
access = "access.toml"
"""
ACCESS = """default = "everyone"
[users]
astrid = ["hr"]
[[rules]]
documents = ["books/pay.csv"]
groups = ["hr"]
"""
ORDERS = """Region,Date,Amount (EUR)
North,2024-01-05,10.50
South,2024-02-01,7
North,2024-03-09,2.25
Total,,19.75
"""
PAY = "Employee,Month,Salary (EUR)\nAnna Berg,2024-01,100\nAnna Berg,2024-02,120\nBo Lind,2024-01,90\n"


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPE_STORE", str(tmp_path / "store"))
    (tmp_path / "cape.toml").write_text(MANIFEST)
    (tmp_path / "access.toml").write_text(ACCESS)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "orders.csv").write_text(ORDERS)
    (tmp_path / "books" / "pay.csv").write_text(PAY)
    assert main(["index", "--quiet"]) == 0
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["ask", *words, "--json", "--explain"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_sum_is_computed_and_its_cells_are_cited(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = asked(capsys, "What is the total amount of the North region in 2024?")
    assert "12.75 EUR" in told["text"]
    assert [one["document"] for one in told["citations"]] == ["books/orders.csv"] * 2
    assert 'sum("Amount")' in told["explanation"]["query"]
    assert "computed over 2 rows of 3" in told["notes"]
    assert "1 row of totals left out" in told["notes"]


def test_hidden_rows_have_no_part_in_a_figure(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = "What is the total salary of Anna Berg?"
    assert asked(capsys, question)["verdict"] == "not-found"
    assert "220 EUR" in asked(capsys, question, "--as", "astrid")["text"]


def test_a_sum_that_no_table_has_is_not_answered_by_rows(
    books: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = asked(capsys, "What is the total discount of the North region?")
    assert told["verdict"] == "not-found"
    assert told["explanation"]["query"] is None


def test_without_duckdb_a_note_says_what_is_lacking(
    books: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cape.operations.figures.is_here", lambda: False)
    told = asked(capsys, "What is the total amount of the North region in 2024?")
    assert told["verdict"] == "not-found"
    assert any("cape[tables]" in one for one in told["notes"])
