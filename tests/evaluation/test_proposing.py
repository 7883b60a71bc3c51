"""Questions proposed from documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cape.evaluation.proposing import propose
from cape.evaluation.questions import read_questions
from cape.knowledge.chunking import chunk
from cape.knowledge.documents import Chunk, ExtractedDocument
from cape.knowledge.extraction import extract

Chunks = Callable[..., list[Chunk]]
STAFF = "# Staff\n\n| Role | Name | Floor |\n|---|---|---|\n| Librarian | Ann Ode | |\n| Porter | Bo | 0 |\n"
HOURS = "# Hours\n\nThe reading room closes on 24 December at noon. The entrance costs 4.50 EUR.\n"
SHIPS = "# Ships\n\n| Ship | Length (m) |\n|---|---|\n| Merle | 22 |\n"


@pytest.fixture
def chunks(tmp_path: Path) -> Callable[..., list[Chunk]]:
    def made(**files: str) -> list[Chunk]:
        found: list[Chunk] = []
        for name, text in files.items():
            (tmp_path / f"{name}.md").write_text(text)
            document = extract(f"{name}.md", tmp_path / f"{name}.md")
            assert isinstance(document, ExtractedDocument)
            found += chunk(document)
        return found

    return made


def test_cells_and_sentences_become_questions_with_their_answers(chunks: Chunks) -> None:
    found = {one.question: one for one in propose(chunks(staff=STAFF, hours=HOURS), count=20)}
    assert found["What is the name of Librarian in Staff?"].answer == ("Ann Ode",)
    assert found["When does the reading room close (Hours)?"].answer == ("24 December",)
    assert found["How much does the entrance cost (Hours)?"].answer == ("4.50 EUR",)
    assert found["How much does the entrance cost (Hours)?"].quoted == "The entrance costs 4.50 EUR."


def test_some_want_not_found_and_are_about_a_row_of_another_table(chunks: Chunks) -> None:
    found = propose(chunks(staff=STAFF, ships=SHIPS), count=12)
    absent = [one for one in found if one.kind == "absent"]
    assert absent and all(one.answer == () and one.source is None for one in absent)
    assert "What is the length (m) of Librarian?" in {one.question for one in absent}


def test_proposals_are_a_test_set_as_they_are(tmp_path: Path, chunks: Chunks) -> None:
    found = propose(chunks(staff=STAFF, hours=HOURS, ships=SHIPS), count=12)
    (tmp_path / "questions.toml").write_text("\n".join(one.text for one in found))
    read = read_questions(tmp_path / "questions.toml")
    assert [(one.id, one.answer, one.half) for one in read] == [
        (one.id, one.answer, one.half) for one in found
    ]


def test_equal_documents_give_equal_proposals_without_those_that_are_known(chunks: Chunks) -> None:
    made = chunks(staff=STAFF, hours=HOURS)
    first = propose(made, count=4)
    assert first == propose(made, count=4)
    rest = propose(made, count=4, known={one.question for one in first})
    assert not {one.question for one in first} & {one.question for one in rest}
