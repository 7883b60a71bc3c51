"""The example's knowledge: its questions can be answered, from where they say, by whom they say."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from cape.knowledge.access import AccessPolicy, read_access, sees
from tests.examples.reading import DOCUMENTS, HANDBOOK, fold, reading

KINDS = {"look-up": 40, "cells": 12, "yes-no": 10, "two-documents": 10, "absent": 10, "hidden": 8}
"""How many questions of each kind there are at least."""

ABSENT = {
    "silver-wedding": r"silver",
    "iberia-q2-2024": r"iberia \| 2024 \| q2",
    "nordics-2021": r"nordics \| 2021",
    "travel-insurer": r"insurer|insured (?:by|with) (?!the company)",
    "marketing-head": r"marketing",
    "lode-weight": r"lode[^.]*(?:weigh|gram|\bkg\b)",
    "crate-warranty": r"crate[^.]*(?:month|year)s? (?:of )?warranty|warranty[^.]*crate \d",
    "lisbon-office": r"lisbon office|office in lisbon|opened in lisbon",
    "guest-password": r"guest password is|password is `",
    "call-recordings": r"recordings of (?!tide)",
    "airport-bus": r"airport",
    "plant-deputy": r"deputy",
    "shed-code": r"shed[^.]*code (?:is|:)|code of the shed",
    "buried-tarn": r"bur(?:y|ied)|underground",
}
"""What a document would say if it did answer one of these."""

HIDDEN = {
    "takeover-hidden": ("documents/finance/board-minutes-2024-02.pdf", "Quellmark"),
    "pay-ceiling-hidden": ("documents/hr/salary-bands.docx", "81,000"),
    "staying-bonus": ("documents/hr/reorganisation-2024.md", "4,000 EUR"),
    "late-shift-end": ("documents/hr/reorganisation-2024.md", "30 September 2024"),
    "seller-discount": ("documents/sales/discounts.md", "every seller"),
    "assembly-q4": ("documents/finance/budget-2024.xlsx", "441"),
    "founder-hands-over": ("documents/finance/board-minutes-2024-02.pdf", "hand over at the end of 2026"),
    "tarn-400-hidden": ("documents/sales/price-list.csv", "4920"),
    "instrument-port": ("documents/engineering/harbour.toml", "8471"),
    "hull-settlement": ("documents/finance/board-minutes-2024-02.pdf", "offered 40,000 EUR"),
}
"""Where the answer to a hidden question is, and what it says."""

COMMON = frozenset(
    re.findall(
        r"\w+",
        """
    a about after all allowed am an and any are as at be been before being by can cannot could did do
    does during each for from get had has have how i if in into is it its like long many may me much
    must my need no not of off on one or our out over per shall should so than that the their them then
    there they this those through to up was we were what when where which while who whom will with would
    you your
""",
    )
)


@cache
def questions() -> list[dict[str, Any]]:
    found = tomllib.loads((HANDBOOK / "questions.toml").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = found["questions"]
    return rows


@cache
def policy() -> AccessPolicy:
    return read_access(HANDBOOK / "access.toml")


def documents() -> list[str]:
    return sorted(str(path.relative_to(HANDBOOK)) for path in DOCUMENTS.rglob("*") if path.is_file())


def visible_to(user: str | None) -> list[str]:
    groups = policy().groups_of_user(user)
    return [path for path in documents() if sees(groups, policy().groups_of_document(path))]


def content_words(text: str) -> frozenset[str]:
    """The words that carry meaning, without endings."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return frozenset(re.sub(r"(?:ing|ed|es|s|e)$", "", word) for word in words if word not in COMMON)


def overlap(question: dict[str, Any]) -> float:
    """The share of a question's content words that are in the closest sentence that holds an answer."""
    asked = content_words(question["question"])
    wanted = [fold(text) for text in question["answer"]]
    sentences = [
        sentence
        for path in question["sources"]
        for sentence in reading(path).sentences
        if any(text in sentence for text in wanted)
    ]
    return max(len(asked & content_words(sentence)) / len(asked) for sentence in sentences)


@pytest.mark.parametrize("question", questions(), ids=lambda question: question["id"])
def test_question_is_well_formed(question: dict[str, Any]) -> None:
    allowed = {"id", "half", "kind", "question", "as", "answer", "sources", "place"}
    assert question.keys() <= allowed
    assert question["half"] in ("calibrate", "test")
    assert question["kind"] in KINDS
    assert (question["kind"] in ("absent", "hidden")) == ("answer" not in question)
    assert ("answer" in question) == ("sources" in question)
    policy().groups_of_user(question.get("as"))


def test_questions_have_names_of_their_own() -> None:
    assert [name for name, count in Counter(q["id"] for q in questions()).items() if count > 1] == []


def test_there_are_enough_questions_of_each_kind() -> None:
    counts = Counter(question["kind"] for question in questions())
    assert {kind: counts[kind] for kind in KINDS if counts[kind] < KINDS[kind]} == {}


def test_halves_are_balanced_over_kinds() -> None:
    for kind in KINDS:
        halves = Counter(question["half"] for question in questions() if question["kind"] == kind)
        assert abs(halves["calibrate"] - halves["test"]) <= 1


@pytest.mark.parametrize(
    "question", [q for q in questions() if "answer" in q], ids=lambda question: question["id"]
)
def test_answer_stands_in_its_sources_which_the_asker_may_see(question: dict[str, Any]) -> None:
    texts = {path: reading(path).text for path in question["sources"]}
    for wanted in question["answer"]:
        assert any(fold(wanted) in text for text in texts.values()), wanted
    assert set(question["sources"]) <= set(visible_to(question.get("as")))
    sheet_place = re.fullmatch(r".+![A-Z]+\d+", question.get("place", ""))
    if sheet_place:
        assert question["answer"][0] in reading(question["sources"][0]).cells[question["place"]]


@pytest.mark.parametrize(
    "question", [q for q in questions() if q["kind"] == "two-documents"], ids=lambda question: question["id"]
)
def test_two_documents_are_needed(question: dict[str, Any]) -> None:
    """No visible document alone has all of the answer, unless the second one leads to it."""
    assert len(question["sources"]) == 2
    telling = [fold(wanted) for wanted in question["answer"] if len(wanted) > 2]
    if len(question["answer"]) > 1 and len(telling) == len(question["answer"]):
        for path in question["sources"]:
            assert not all(wanted in reading(path).text for wanted in telling)


def test_places_are_real() -> None:
    for question in questions():
        place = question.get("place", "")
        if page := re.fullmatch(r"page (\d+)", place):
            assert int(page[1]) <= reading(question["sources"][0]).pages


@pytest.mark.parametrize(
    "question", [q for q in questions() if q["kind"] == "absent"], ids=lambda question: question["id"]
)
def test_absent_answer_is_in_no_document(question: dict[str, Any]) -> None:
    said = re.compile(ABSENT[question["id"]])
    for path in documents():
        assert [sentence for sentence in reading(path).sentences if said.search(sentence)] == [], path


@pytest.mark.parametrize(
    "question", [q for q in questions() if q["kind"] == "hidden"], ids=lambda question: question["id"]
)
def test_hidden_answer_is_only_where_the_asker_may_not_look(question: dict[str, Any]) -> None:
    source, said = HIDDEN[question["id"]]
    assert fold(said) in reading(source).text
    visible = visible_to(question.get("as"))
    assert source not in visible
    assert [path for path in visible if fold(said) in reading(path).text and not said.isdigit()] == []


def test_questions_share_few_words_with_their_source_sentences() -> None:
    asked = [q for q in questions() if q["kind"] in ("look-up", "yes-no")]
    shares = {question["id"]: overlap(question) for question in asked}
    assert mean(shares.values()) <= 0.25
    assert len([share for share in shares.values() if share <= 0.35]) >= 0.85 * len(shares)
    assert {name: round(share, 2) for name, share in shares.items() if share > 0.6} == {}


def test_documents_are_some_forty_pages() -> None:
    """A page is counted as 330 words of text; a page of a PDF, and a sheet, as one."""
    pages = 0.0
    for path in documents():
        read = reading(path)
        pages += max(read.pages, len(read.text.split()) / 330 if not path.endswith(".pdf") else 0)
    assert pages >= 40
    assert sum((HANDBOOK / path).stat().st_size for path in documents()) < 1_500_000


def test_every_format_is_there() -> None:
    assert {Path(path).suffix for path in documents()} >= {
        *(".md", ".html", ".docx", ".pdf", ".xlsx", ".csv", ".eml", ".toml", ".py")
    }


def test_two_builds_of_the_binary_documents_are_equal(tmp_path: Path) -> None:
    missing = [name for name in ("docx", "reportlab", "openpyxl") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the build script needs {' and '.join(missing)}, which cape does not")
    builds = [tmp_path / "first", tmp_path / "second"]
    for build in builds:
        command = [sys.executable, HANDBOOK / "build_documents.py", "--into", build]
        subprocess.run(command, check=True, timeout=120)
    files = [{p.relative_to(build): p.read_bytes() for p in build.rglob("*.*")} for build in builds]
    assert files[0] == files[1]
    for path in files[0]:
        assert (DOCUMENTS / path).is_file()
