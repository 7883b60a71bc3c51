"""Questions with known answers about a knowledge base: their file, and whether an answer is right.

Owns the shape of `questions.toml` and the rules of judging. Nothing here asks anything: answers come in as
values. A question is in one of two halves, so that what is tuned on one is measured on the other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cape.answers.answer import Answer
from cape.errors import InputError
from cape.knowledge.documents import Place

HALVES = ("calibrate", "test")
REFUSED = ("absent", "hidden")
"""Kinds of questions that want "not found": nobody's documents answer, or none that the asker may see."""
KINDS = (
    "look-up", "cells", "yes-no", "two-documents", "absent", "hidden", "date", "amount", "person", "place",
    "list", "how-to",
)  # fmt: skip


class BadQuestions(InputError):
    """A file of questions is not what cape reads."""

    slug = "bad-questions"


class Outcome(StrEnum):
    """What became of a question: right, or in which way not."""

    RIGHT = "right"
    REFUSED = "refused"
    ANSWERED = "answered"
    WRONG_TEXT = "wrong-text"
    WRONG_SOURCE = "wrong-source"
    WRONG_PLACE = "wrong-place"


@dataclass(frozen=True, kw_only=True, slots=True)
class TestQuestion:
    """A question and what its answer must have.

    `asked_as` is a user, None for everyone. Every string of `answer` must occur in the answer (case and white
    space folded); it is empty where nothing may be found. At least one citation points into each of
    `sources`, and one says `place`, or has it within its range of cells; None: any place will do.
    """

    __test__ = False

    id: str
    half: str
    kind: str
    question: str
    asked_as: str | None = None
    answer: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    place: str | None = None

    @property
    def wants_refusal(self) -> bool:
        return self.kind in REFUSED


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What became of a question, with the answer's text and where it points, for whoever looks into it."""

    question: TestQuestion
    outcome: Outcome
    text: str
    cited: tuple[str, ...]
    confidence: float

    @property
    def is_right(self) -> bool:
        return self.outcome is Outcome.RIGHT


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many of some questions were right."""

    right: int
    of: int

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 0.0


def read_questions(path: Path) -> list[TestQuestion]:
    """The questions of a file, in its order. Raises `BadQuestions`, with the question's id or number."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuestions("the questions cannot be read", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise BadQuestions(f"the questions are no TOML: {error}", where=str(path)) from None
    rows = table.get("questions")
    if not isinstance(rows, list) or not rows or set(table) != {"questions"}:
        raise BadQuestions(
            "the file has no `[[questions]]`, or something besides them",
            where=str(path),
            hint="write `[[questions]]` with `id`, `half`, `kind`, `question`",
        )
    found = [_question(row, number, path) for number, row in enumerate(rows, start=1)]
    for number, one in enumerate(found):
        if any(one.id == other.id for other in found[:number]):
            raise BadQuestions(f"two questions have the id `{one.id}`", where=str(path))
    return found


_FIELDS: Mapping[str, type] = {
    "id": str, "half": str, "kind": str, "question": str, "as": str, "answer": list, "sources": list,
    "place": str,
}  # fmt: skip


def _question(row: Any, number: int, path: Path) -> TestQuestion:
    name = f"question {number}"
    if not isinstance(row, dict):
        raise BadQuestions(f"{name} is no table", where=str(path))
    name = f"question `{row.get('id', number)}`"
    for key, value in row.items():
        if key not in _FIELDS:
            raise BadQuestions(f"{name} has an unknown field `{key}`", where=str(path))
        if not isinstance(value, _FIELDS[key]) or not _is_text(value):
            raise BadQuestions(f"`{key}` of {name} is {_kind_of(key)}", where=str(path))
    if missing := [key for key in ("id", "half", "kind", "question") if not row.get(key)]:
        raise BadQuestions(f"{name} has no `{missing[0]}`", where=str(path))
    _check_words(row, name, path)
    return TestQuestion(
        id=row["id"],
        half=row["half"],
        kind=row["kind"],
        question=row["question"],
        asked_as=row.get("as"),
        answer=tuple(row.get("answer", ())),
        sources=tuple(row.get("sources", ())),
        place=row.get("place"),
    )


def _is_text(value: Any) -> bool:
    return all(isinstance(one, str) for one in value)


def _kind_of(key: str) -> str:
    return "not a list of texts" if _FIELDS[key] is list else "not a text"


def _check_words(row: Mapping[str, Any], name: str, path: Path) -> None:
    for key, known in (("half", HALVES), ("kind", KINDS)):
        if row[key] not in known:
            listed = ", ".join(f"`{one}`" for one in known)
            raise BadQuestions(f"`{key}` of {name} is `{row[key]}`", where=str(path), hint=f"one of {listed}")
    if (row["kind"] in REFUSED) == bool(row.get("answer")):
        said = "no" if row["kind"] in REFUSED else "an"
        raise BadQuestions(f"{name} is `{row['kind']}`, which wants {said} `answer`", where=str(path))


def folded(text: str) -> str:
    """A text for comparing: without case, and with one blank for any white space."""
    return " ".join(text.casefold().split())


def judge(question: TestQuestion, answer: Answer) -> Judgement:
    """What became of a question."""
    return Judgement(
        question=question,
        outcome=_outcome(question, answer),
        text=answer.text,
        cited=tuple(str(one) for one in answer.citations),
        confidence=answer.confidence,
    )


def _outcome(question: TestQuestion, answer: Answer) -> Outcome:
    if question.wants_refusal:
        return Outcome.ANSWERED if answer.is_found else Outcome.RIGHT
    if not answer.is_found:
        return Outcome.REFUSED
    text = folded(answer.text)
    if not all(folded(part) in text for part in question.answer):
        return Outcome.WRONG_TEXT
    if not set(question.sources) <= set(answer.documents):
        return Outcome.WRONG_SOURCE
    if question.place and not any(says(one.place, question.place) for one in answer.citations):
        return Outcome.WRONG_PLACE
    return Outcome.RIGHT


_RANGE = re.compile(r"^(?:(.*)!)?([A-Z]+)(\d+)(?::([A-Z]+)(\d+))?$")


def says(place: Place, wanted: str) -> bool:
    """Whether a citation's place says what is wanted: that text, or a range that holds that cell.

    >>> says(Place(sheet="Regions", cells="B7:E7"), "Regions!C7")
    True
    """
    told = str(place)
    if wanted in told:
        return True
    cell, cells = _RANGE.match(wanted), _RANGE.match(told)
    if not cell or not cells or cell[1] != cells[1] or not cells[4]:
        return False
    columns = (_column(cells[2]), _column(cells[4]))
    rows = (int(cells[3]), int(cells[5]))
    return columns[0] <= _column(cell[2]) <= columns[1] and rows[0] <= int(cell[3]) <= rows[1]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposedBar:
    """A bar in per cent, with what it makes of the questions that proposed it: right, wrong, and refused."""

    per_cent: int
    right: int
    wrong: int
    refused: int


ANSWERED_WITHOUT = 0.05
"""Share of the questions that want "not found" which a proposed bar may let through."""


def propose_bar(judgements: Sequence[Judgement]) -> ProposedBar | None:
    """The bar, in steps of 5 %, that serves best where `judgements` are of answers that were all let through.

    It answers at most `ANSWERED_WITHOUT` of the questions that want "not found", or as few of them as any bar
    does; among those bars it has the most right answers, then the fewest wrong ones, then it is the highest.
    None without judgements.
    """
    if not judgements:
        return None
    bars = range(0, 100, 5)
    leaked = {bar: _leaked(_through(judgements, bar)) for bar in bars}
    wanted = sum(one.question.wants_refusal for one in judgements)
    bound = max(ANSWERED_WITHOUT * wanted, min(leaked.values()))

    def worth(bar: int) -> tuple[int, int, int]:
        through = _through(judgements, bar)
        right = sum(one.is_right for one in through)
        return right, right - len(through), bar

    return _at_bar(judgements, max((bar for bar in bars if leaked[bar] <= bound), key=worth))


def _through(judgements: Sequence[Judgement], per_cent: int) -> list[Judgement]:
    """Those whose answers a bar lets through."""
    return [one for one in judgements if one.confidence >= per_cent / 100 and one.cited]


def _leaked(judgements: Sequence[Judgement]) -> int:
    return sum(one.question.wants_refusal for one in judgements)


def _at_bar(judgements: Sequence[Judgement], per_cent: int) -> ProposedBar:
    through = _through(judgements, per_cent)
    held = [one for one in judgements if one not in through]
    answered = sum(one.is_right for one in through)
    return ProposedBar(
        per_cent=per_cent,
        right=answered + sum(one.question.wants_refusal for one in held),
        wrong=len(through) - answered,
        refused=len(held),
    )


def score(judgements: Sequence[Judgement]) -> Score:
    """How many of some were right."""
    return Score(right=sum(one.is_right for one in judgements), of=len(judgements))


def scores_by_kind(judgements: Sequence[Judgement]) -> dict[str, Score]:
    """The score of each kind that there is, in the order of `KINDS`."""
    by_kind = {kind: [one for one in judgements if one.question.kind == kind] for kind in KINDS}
    return {kind: score(found) for kind, found in by_kind.items() if found}
