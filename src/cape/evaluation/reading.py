"""Reading tests: questions that come with their passage, half of them without an answer in it.

Owns the shape of such a file, the token scores, and the curve of right against wrong answers. A row:
`{"id", "input", "passages": [{"title", "text", "sentences"}], "output": [{"answer", "selected_sentences"}]}`;
a row without any answer text is one that its passage does not answer. What answers comes in as a function.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.answers.answer import Answer
from cape.answers.selection import Passage
from cape.answers.words import plain_words, words_of
from cape.errors import InputError
from cape.knowledge.documents import BlockKind, Chunk, Part, Place

RIGHT_F1 = 0.3
"""Token F1 from which an answer that quotes a sentence which annotators chose counts as right."""

_ARTICLES = frozenset(("a", "an", "the"))


class BadReadingTest(InputError):
    """A row of a reading test is not one."""

    slug = "bad-reading-test"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingRow:
    """One question with its passages.

    `answers` are the reference answers, empty when the passages have none. `chosen` are the sentences that
    annotators chose for them.
    """

    id: str
    question: str
    passages: tuple[Passage, ...]
    sentences: tuple[str, ...]
    answers: tuple[str, ...]
    chosen: tuple[str, ...]

    @property
    def is_answerable(self) -> bool:
        return bool(self.answers)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingResult:
    """What an answer to a row is worth, had it been let through.

    `f1` and `recall` are the best over the reference answers, `baseline_f1` is of the sentence that BM25 puts
    first; all are 0 for a row that has no answer. `right`: a chosen sentence is quoted and `f1` is at least
    `RIGHT_F1`. `found`: the confidence reaches the bar that the answer was given with.
    """

    id: str
    question: str
    is_answerable: bool
    confidence: float
    found: bool
    text: str
    f1: float
    recall: float
    right: bool
    baseline_f1: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What a bar lets through: shares of the answerable, right or wrong, and of the unanswerable."""

    bar: float
    right: float
    wrong: float
    answered_without: float


def read_rows(path: Path) -> list[ReadingRow]:
    """The rows of a file, or of all `*.jsonl` of a directory in the order of their names.

    Raises `BadReadingTest`.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise BadReadingTest("the directory has no `*.jsonl`", where=str(path))
    rows = [row for file in files for row in _rows_of(file)]
    if not rows:
        raise BadReadingTest("the file has no rows", where=str(path))
    return rows


def _rows_of(file: Path) -> Iterator[ReadingRow]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadReadingTest("the file cannot be read as text", where=str(file)) from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(line, f"{file}:{number}")


def _row(line: str, where: str) -> ReadingRow:
    try:
        fields = json.loads(line)
        return ReadingRow(
            id=str(fields["id"]),
            question=_text(fields["input"]),
            passages=tuple(_passage(number, one) for number, one in enumerate(fields["passages"])),
            sentences=tuple(
                _text(sentence) for one in fields["passages"] for sentence in one.get("sentences", ())
            ),
            answers=tuple(_text(one["answer"]) for one in fields["output"] if one["answer"]),
            chosen=tuple(
                _text(sentence)
                for one in fields["output"]
                if one["answer"]
                for sentence in one.get("selected_sentences", ())
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadReadingTest(
            "the row is not a question with passages and outputs",
            where=where,
            hint='a row is {"id", "input", "passages": [{"title", "text", "sentences"}], '
            '"output": [{"answer", "selected_sentences"}]}',
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _passage(number: int, fields: Mapping[str, object]) -> Passage:
    title, text = _text(fields.get("title", "")), _text(fields["text"])
    whole = Place(span=(0, len(text)))
    chunk = Chunk(
        document=title or f"passage {number + 1}",
        ordinal=number,
        title_path=(title,) if title else (),
        text=text,
        place=whole,
        parts=(Part(start=0, end=len(text), kind=BlockKind.PARAGRAPH, place=whole),),
    )
    return Passage(id=number, chunk=chunk)


def content_words(text: str) -> list[str]:
    """The words that token scores count: in lower case, without articles."""
    return [word for word in plain_words(text) if word not in _ARTICLES]


def token_scores(given: str, wanted: str) -> tuple[float, float]:
    """F1 and recall of the words of an answer against a reference, as bags of words; both in [0, 1].

    >>> token_scores("the cap is 165 EUR", "A cap of 165 EUR")
    (0.75, 0.75)
    """
    one, other = Counter(content_words(given)), Counter(content_words(wanted))
    shared = sum((one & other).values())
    if not shared:
        return 0.0, 0.0
    precision, recall = shared / sum(one.values()), shared / sum(other.values())
    return 2 * precision * recall / (precision + recall), recall


def bm25_sentence(question: str, sentences: Sequence[str], *, k1: float = 0.9, b: float = 0.4) -> str:
    """The sentence that BM25 puts first among a passage's own, by stems; the first one on a tie.

    Source: Robertson and Zaragoza 2009, with k1 and b as in Anserini's defaults.
    """
    bags = [[word.stem for word in words_of(sentence)] for sentence in sentences]
    mean = sum(map(len, bags)) / max(1, len(bags)) or 1.0
    wanted = {word.stem for word in words_of(question)}

    def score(bag: Sequence[str]) -> float:
        total = 0.0
        for stem in wanted & set(bag):
            having = sum(stem in other for other in bags)
            rarity = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
            count = bag.count(stem)
            total += rarity * count * (k1 + 1) / (count + k1 * (1 - b + b * len(bag) / mean))
        return total

    return max(zip(sentences, bags, strict=True), key=lambda pair: score(pair[1]), default=("", []))[0]


def measured(rows: Sequence[ReadingRow], answer: Callable[[ReadingRow], Answer]) -> list[ReadingResult]:
    """Each row's result. `answer` gives one whatever its confidence, so that every bar can be tried."""
    return [result_of(row, answer(row)) for row in rows]


def result_of(row: ReadingRow, answer: Answer) -> ReadingResult:
    """What an answer to a row is worth."""
    text = " ".join(citation.quote for citation in answer.citations)
    scores = [token_scores(text, wanted) for wanted in row.answers] or [(0.0, 0.0)]
    baseline = bm25_sentence(row.question, row.sentences) if row.answers else ""
    f1 = max(score[0] for score in scores)
    folded = " ".join(text.split())
    quotes_chosen = any(" ".join(sentence.split()) in folded for sentence in row.chosen)
    return ReadingResult(
        id=row.id,
        question=row.question,
        is_answerable=row.is_answerable,
        confidence=answer.confidence,
        found=answer.confidence >= answer.explanation.bar,
        text=text,
        f1=f1,
        recall=max(score[1] for score in scores),
        right=f1 >= RIGHT_F1 and (quotes_chosen or _touches(row.chosen, answer)),
        baseline_f1=max((token_scores(baseline, wanted)[0] for wanted in row.answers), default=0.0),
    )


def _touches(chosen: Sequence[str], answer: Answer) -> bool:
    """Whether a quote stands within a chosen sentence, which annotators may have cut otherwise."""
    quotes = [" ".join(citation.quote.split()) for citation in answer.citations]
    return any(
        len(quote) >= 20 and (quote in " ".join(sentence.split())) for quote in quotes for sentence in chosen
    )


def curve(results: Sequence[ReadingResult]) -> list[Point]:
    """What each possible bar would let through, from the strictest down."""
    bars = sorted({result.confidence for result in results}, reverse=True)
    return [point_at(results, bar) for bar in bars]


def point_at(results: Sequence[ReadingResult], bar: float) -> Point:
    """What one bar lets through. A half without rows gives 0."""
    having = [one for one in results if one.is_answerable]
    lacking = [one for one in results if not one.is_answerable]
    through = [one for one in having if one.confidence >= bar]
    return Point(
        bar=bar,
        right=sum(one.right for one in through) / max(1, len(having)),
        wrong=sum(not one.right for one in through) / max(1, len(having)),
        answered_without=sum(one.confidence >= bar for one in lacking) / max(1, len(lacking)),
    )


def best_within(points: Sequence[Point], answered_without: float) -> Point | None:
    """The point with most right answers among those that answer at most that share of the unanswerable."""
    allowed = [point for point in points if point.answered_without <= answered_without]
    return max(allowed, key=lambda point: (point.right, point.bar), default=None)


def auroc(results: Sequence[ReadingResult]) -> float:
    """How often an answerable row is more confident than an unanswerable one; ties count half."""
    having = [one.confidence for one in results if one.is_answerable]
    lacking = [one.confidence for one in results if not one.is_answerable]
    if not having or not lacking:
        return 0.0
    wins = sum((one > other) + 0.5 * (one == other) for one in having for other in lacking)
    return wins / (len(having) * len(lacking))
