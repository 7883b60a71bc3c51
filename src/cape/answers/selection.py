"""The choice of the sentence, item or row that answers: each candidate's features, and their weighted sum.

Owns what is measured of a candidate and how it is weighed. Whether the best one is good enough is
`decision`'s. Nothing here counts documents beyond those in the asker's own ranking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cape.answers.mentions import mentions_of
from cape.answers.question import Question, quarters_in
from cape.answers.sentences import Unit, units_of
from cape.answers.weights import FIELD, MISSING_KIND, MISSING_NAME, MISSING_TIME, SCRAP, Weighing
from cape.answers.words import Word, best_likeness, likeness, pairs, stem, words_of
from cape.knowledge.documents import BlockKind, Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cape.knowledge.protocol import Embedder

_PRONOUN = re.compile(
    r"^(?:[\"'(“]\s*)?(?:he|she|it|they|this|these|that|those|his|her|its|their|such|there|then|here|both|"
    r"the (?:former|latter|same)|in this|for this|at this|if so|otherwise|however|but|also|therefore)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A chunk of the asker's ranking: its id in the index, and how near it was found, in [0, 1]."""

    id: int
    chunk: Chunk
    nearness: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What is measured of a candidate, each in [0, 1] unless it says otherwise.

    `coverage`: weight of the question's words that it has; `context`: those that its headings, title or
    neighbours have and it lacks; `strict`: coverage by equal stems; `order`: neighbouring words of the
    question that are neighbours in it too; `similarity` and `alignment` as of its `Nearness`; `kind`: it
    mentions what is asked for; `near`: how close that stands to the question's words; `first`: it begins its
    passage; `leading`: its passage's place in the ranking;
    `passage`: how near that was found; `pronoun`: it begins with one; `length`: words, against 40.
    """

    coverage: float
    strict: float
    context: float
    order: float
    similarity: float
    alignment: float
    kind: float
    near: float
    first: float
    leading: float
    passage: float
    pronoun: float
    length: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A unit with its passage, its features and its score; higher is better."""

    passage: Passage
    rank: int
    unit: Unit
    features: Features
    covered: frozenset[str]
    score: float = 0.0


def features_of(
    question: Question, passage: Passage, rank: int, units: Sequence[Unit], number: int, nearness: Nearness
) -> tuple[Features, frozenset[str]]:
    """The features of one unit of a passage, and the question's stems that it covers itself."""
    unit = units[number]
    words = words_of(unit.text)
    stems = [word.stem for word in words]
    near = {term.stem: best_likeness(term.stem, stems) for term in question.terms}
    around = set(_context_stems(passage.chunk, units, number))
    coverage = sum(term.weight * near[term.stem] for term in question.terms)
    strict = sum(term.weight for term in question.terms if near[term.stem] == 1.0)
    context = sum(
        term.weight * max(0.0, best_likeness(term.stem, around) - near[term.stem]) for term in question.terms
    )
    found, closeness = _mention(question, unit, words)
    total = question.total_weight
    return Features(
        coverage=coverage / total,
        strict=strict / total,
        context=context / total,
        order=_order(question, stems),
        similarity=max(0.0, nearness.cosine),
        alignment=max(0.0, nearness.alignment),
        kind=found,
        near=closeness,
        first=1.0 if number == 0 else 0.0,
        leading=1.0 / (1 + rank),
        passage=min(1.0, max(0.0, passage.nearness)),
        pronoun=1.0 if _PRONOUN.match(unit.text) else 0.0,
        length=min(1.0, len(words) / 40),
    ), frozenset(one for one, value in near.items() if value >= 0.6)


def _context_stems(chunk: Chunk, units: Sequence[Unit], number: int) -> list[str]:
    before = units[number - 1].text if number else ""
    return [word.stem for word in words_of(" ".join([*chunk.title_path, units[number].heading, before]))]


def _order(question: Question, stems: Sequence[str]) -> float:
    wanted = set(pairs(term.stem for term in question.terms))
    return len(wanted & set(pairs(one for one in stems))) / len(wanted) if wanted else 0.0


def _mention(question: Question, unit: Unit, words: Sequence[Word]) -> tuple[float, float]:
    """Whether the unit mentions what is asked for, and how near to the question's words, from 0 to 1."""
    known = frozenset(word.text.casefold() for word in words_of(question.text))
    spots = [match.start() for match in mentions_of(question.asked, unit.text, known)]
    if not spots:
        return 0.0, 0.0
    anchors = [word.start for word in words if best_likeness(word.stem, question.stems) >= 0.6]
    if not anchors:
        return 1.0, 0.0
    gap = min(abs(spot - anchor) for spot in spots for anchor in anchors)
    return 1.0, 1.0 / (1.0 + gap / 30)


FEATURES = tuple(field.name for field in fields(Features))


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near a text is to a question.

    `cosine` of their vectors; `alignment`: how near the question's word pieces find one of the text's, on
    average. Both 0 where there is no embedder; without pieces `alignment` is the cosine.
    """

    cosine: float
    alignment: float


class Similarities(Protocol):
    """How near texts are to a question."""

    @property
    def has_vectors(self) -> bool: ...

    def of(self, question: str, texts: Sequence[str]) -> Sequence[Nearness]: ...


class WordsOnly:
    """Stands where there is no embedder."""

    has_vectors = False

    def of(self, question: str, texts: Sequence[str]) -> Sequence[Nearness]:
        return [Nearness(0.0, 0.0)] * len(texts)


@runtime_checkable
class PieceEmbedder(Protocol):
    """An embedder that also tells what it makes of each word piece, in reading order."""

    def embed_pieces(self, texts: Sequence[str]) -> Sequence[NDArray[np.float32]]: ...


class Vectors:
    """Nearness by an embedder; each text is embedded once."""

    has_vectors = True

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def of(self, question: str, texts: Sequence[str]) -> Sequence[Nearness]:
        import numpy as np

        self._learn([question, *texts])
        asked = self._known[question]
        mean = _normalised(asked.mean(axis=0))
        pieces = _normalised(asked[1:-1] if len(asked) > 2 else asked)
        found = []
        for text in texts:
            given = self._known[text]
            inner = _normalised(given[1:-1] if len(given) > 2 else given)
            found.append(
                Nearness(
                    cosine=float(mean @ _normalised(given.mean(axis=0))),
                    alignment=float(np.max(pieces @ inner.T, axis=1).mean()),
                )
            )
        return found

    def _learn(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not new:
            return
        if isinstance(self._embedder, PieceEmbedder):
            made: Sequence[NDArray[np.float32]] = self._embedder.embed_pieces(new)
        else:
            made = [vector[None, :] for vector in self._embedder.embed(new)]
        self._known.update(zip(new, made, strict=True))


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    length = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=-1, keepdims=True))
    scaled: NDArray[np.float32] = (rows / np.maximum(length, 1e-12)).astype(np.float32)
    return scaled


def candidates_of(
    question: Question, passages: Sequence[Passage], similarities: Similarities, weighing: Weighing
) -> tuple[Candidate, ...]:
    """Every unit of the passages that are worth reading, best first; ties in the order of the ranking."""
    found = [
        (rank, passage, units, number)
        for rank, passage in enumerate(passages)
        for units in (units_of(passage.chunk),)
        for number in range(len(units))
    ]
    kept = _worth_a_vector(question, found) if similarities.has_vectors else found
    nearnesses = similarities.of(
        question.text, [text_to_embed(passage.chunk, units[n]) for _, passage, units, n in kept]
    )
    scored = []
    for (rank, passage, units, number), near in zip(kept, nearnesses, strict=True):
        features, covered = features_of(question, passage, rank, units, number, near)
        scored.append(
            Candidate(
                passage=passage,
                rank=rank,
                unit=units[number],
                features=features,
                covered=covered,
                score=weighed(question, features, weighing)
                - (MISSING_TIME if missing_times(question, passage.chunk, units[number]) else 0.0)
                - (MISSING_NAME if missing_names(question, passage.chunk, units[number]) else 0.0)
                - (FIELD if is_unasked_field(question, units[number], features.coverage) else 0.0)
                - (SCRAP if _is_scrap(units[number]) else 0.0),
            )
        )
    return tuple(sorted(scored, key=lambda one: (-one.score, one.rank, one.unit.ordinal)))


_Place = tuple[int, Passage, tuple[Unit, ...], int]
MOST_VECTORS = 24
"""Units of one question that are embedded; reading more would cost more time than an answer may take."""


def _worth_a_vector(question: Question, found: list[_Place]) -> list[_Place]:
    """The units to embed: all of the first passages, then those that share most words with the question."""
    if len(found) <= MOST_VECTORS:
        return found

    def worth(place: _Place) -> tuple[float, int, int]:
        rank, _, units, number = place
        stems = [word.stem for word in words_of(units[number].text)]
        shared = sum(term.weight * best_likeness(term.stem, stems) for term in question.terms)
        return -shared / question.total_weight - 1.0 / (1 + rank), rank, number

    kept = sorted(found, key=worth)[:MOST_VECTORS]
    return sorted(kept, key=lambda place: (place[0], place[3]))


def text_to_embed(chunk: Chunk, unit: Unit) -> str:
    """A unit as it is embedded: a row, an item and a short sentence mean little without their heading."""
    if not unit.is_row and len(unit.text) >= SHORT_UNIT:
        return unit.text[:LONGEST_EMBEDDED]
    heading = unit.heading or (chunk.title_path[-1] if chunk.title_path else "")
    return (f"{heading}: {unit.text}" if heading else unit.text)[:LONGEST_EMBEDDED]


LONGEST_EMBEDDED = 500
"""Characters of a unit that are embedded: a long one costs time, and is rarely an answer."""

SHORT_UNIT = 60
"""Characters below which a unit is embedded with its heading."""


def _is_scrap(unit: Unit) -> bool:
    """Whether a unit is too short to say something: `Policy.`; an item or a row may be."""
    return unit.kind is BlockKind.PARAGRAPH and len(words_of(unit.text)) < 4


_FIELD = re.compile(
    r"^\W*(?P<name>(?:document )?(?:owner|author|status|subtitle|title|subject|version|classification|"
    r"category|tags?|keywords|audience|reviewers?|approvers?|approved by|contact|from|to|cc|"
    r"date|sent)(?=\W*: )|"
    r"valid (?:from|until|since)|last (?:revised|reviewed|changed|updated)|effective (?:from|since)|"
    r"replaces the|chapter \d+ of)\b",
    re.IGNORECASE,
)
_LONGEST_FIELD = 25
_FIELD_WORDS = {
    "owner": "own responsible accountable maintain belong",
    "author": "write wrote written",
    "approved": "approve approval sign",
    "from": "send sent sender",
    "to": "recipient receive addressed",
    "valid": "apply applies force effect effective current",
    "effective": "apply applies force valid",
    "last": "revision review change update recent",
    "replaces": "replace previous earlier old former",
}


def is_unasked_field(question: Question, unit: Unit, coverage: float) -> bool:
    """Whether a unit is a line about its document, `Owner: ...`, and the question asks for no such thing.

    A line that has all of the question's words is no such line.
    """
    match = _FIELD.match(unit.text)
    if match is None or unit.is_row or coverage >= 0.95 or len(words_of(unit.text)) > _LONGEST_FIELD:
        return False
    name = match["name"].casefold()
    asked = {stem(word) for word in f"{name} {_FIELD_WORDS.get(name.split()[0], '')}".split()}
    return not any(likeness(term.stem, one) >= 0.8 for term in question.terms for one in asked)


def missing_times(question: Question, chunk: Chunk, unit: Unit | None = None) -> frozenset[str]:
    """The years and quarters of the question that neither passage, headings nor file's name have.

    Of a row its own cells and columns count, not its neighbours'. A date in ISO form has its quarter.
    """
    wanted = question.years | question.quarters
    if not wanted:
        return wanted
    if unit is not None and unit.is_row:
        return frozenset(one for one in wanted if one not in _times_of_row(chunk, unit))
    columns = [cell.column for part in chunk.parts for cell in part.cells]
    return wanted - _times_in(" ".join([chunk.document, *chunk.title_path, chunk.text, *columns]))


_ISO_MONTH = re.compile(r"\b\d{4}-(\d{2})\b")
_YEARS = re.compile(r"(?<!\d)(?:1\d|20)\d\d(?!\d)")
_QUARTER_MARK = re.compile(r"(?<![a-z])q([1-4])(?!\d)", re.IGNORECASE)
_A_TIME = re.compile(
    r"^\W*(?:(?:q[1-4]|(?:fy ?)?(?:1\d|20)\d\d|\d{4}-\d{2}(?:-\d{2})?)[\s/,-]*){1,2}$", re.IGNORECASE
)


def _times_in(text: str) -> frozenset[str]:
    """The years and quarters of a text, by number or by word."""
    marked = {f"Q{number}" for number in _QUARTER_MARK.findall(text)}
    dated = {f"Q{(int(month) + 2) // 3}" for month in _ISO_MONTH.findall(text)}
    return frozenset({*_YEARS.findall(text), *marked, *dated, *quarters_in(text)})


def _times_of_row(chunk: Chunk, unit: Unit) -> frozenset[str]:
    """The times of a row; a cell that is a year outweighs a year in its headings, and so for quarters."""
    own = _times_in(" ".join(f"{cell.column} {cell.text}" for cell in unit.cells))
    said = _times_in(" ".join(cell.text for cell in unit.cells if _A_TIME.match(cell.text)))
    around = _times_in(" ".join([chunk.document, *chunk.title_path, unit.heading, unit.table]))
    has_year = any(one.isdigit() for one in said)
    has_quarter = any(not one.isdigit() for one in said)
    return own | {one for one in around if not (has_year if one.isdigit() else has_quarter)}


def missing_names(question: Question, chunk: Chunk, unit: Unit | None = None) -> frozenset[str]:
    """The question's names and model numbers that neither passage, headings nor file's name have.

    Of a row its own cells and columns count, not its neighbours'. A comparison's names may stand apart; of
    several names one is enough, but not of several numbers.
    """
    names = question.subjects
    if not names or question.is_comparison:
        return frozenset()
    if unit is not None and unit.is_row:
        text = " ".join([unit.text, unit.heading, unit.table, *(cell.column for cell in unit.cells)])
    else:
        text = chunk.text
    name = re.sub(r"[_\W]+", " ", chunk.document)
    around = " ".join([text, name, *chunk.title_path])
    stems = {word.stem for word in words_of(around)} | {one.casefold() for one in _times_in(around)}
    low = around.casefold()
    absent = {one for one in names if best_likeness(one, stems) < 0.6 and not _occurs(one, low)}
    codes = {one for one in absent if any(mark.isdigit() for mark in one)}
    return frozenset(absent if absent == names else codes)


def _occurs(name: str, text: str) -> bool:
    """Whether a name stands in a text as a part of a longer word, as `eur` in `kEUR`; a number never does."""
    if name[:1].isdigit():
        return re.search(rf"(?<!\d){re.escape(name)}(?!\d)", text) is not None
    return len(name) > 2 and name in text


def missing_from_row(question: Question, chunk: Chunk, unit: Unit) -> frozenset[str]:
    """The times and names of the question that a row is not about."""
    return missing_times(question, chunk, unit) | missing_names(question, chunk, unit)


def weighed(question: Question, features: Features, weighing: Weighing) -> float:
    """The score of a candidate, in log-odds; without the date or number asked for it loses some."""
    score = weighing.candidate_bias + sum(
        weight * float(getattr(features, name)) for name, weight in weighing.candidate.items()
    )
    return score - (MISSING_KIND.get(question.asked, 0.0) if features.kind == 0.0 else 0.0)
