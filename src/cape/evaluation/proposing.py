"""Questions proposed from documents, by rules: for a person to accept, reword or throw away.

Owns the rules and the form in which proposals are written. No model writes them, so they ask plainly what a
cell or a sentence states; a good test set also has questions in other words, which only people know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from cape.evaluation.questions import HALVES
from cape.knowledge.documents import BlockKind, Cell, Chunk, Part
from cape.names import Digest

_STATED = re.compile(
    r"(?:^|(?<=[.!?] ))(?P<subject>(?:The|Our|An?|Each|Every) "
    r"(?:(?!who|that|which|may|and|from|on|in)[\w'-]+ ){1,5}?)"
    r"(?P<verb>is|are|was|were|costs?|lasts?|takes?|begins?|starts?|ends?|opens?|closes?|expires?) "
    r"(?P<rest>(?:[^.;:]|[.:](?=\d))*\d(?:[^.;:]|[.:](?=\d))*)[.;]"
)
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_UNITS = "per cent|%|EUR|euros?|days?|weeks?|months?|years?|hours?|minutes?|kilometres?|metres?"
_FIGURE = re.compile(rf"(?:EUR|USD|GBP|[€$£])?\s?\d[\d.,:]*(?:\s(?:{_UNITS}|{_MONTHS})\b)?(?:\s\d{{4}}\b)?")
_MONTH = re.compile(rf"(?:{_MONTHS})\b")
_TELLING = re.compile(r"[A-Za-z]{2}")
_LONGEST = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A question with what its answer must have; `quoted` is what the document says, for whoever decides."""

    id: str
    half: str
    kind: str
    question: str
    answer: tuple[str, ...]
    source: str | None
    place: str | None
    quoted: str
    asked_as: str | None = None

    @property
    def text(self) -> str:
        """The question as a block of `questions.toml`, with what it was made of as a comment."""
        lines = [f"# {line}" for line in self.quoted.splitlines() if line.strip()]
        lines += [
            "[[questions]]",
            f"id = {_quoted(self.id)}",
            f'half = "{self.half}"',
            f'kind = "{self.kind}"',
        ]
        lines.append(f"question = {_quoted(self.question)}")
        if self.asked_as:
            lines.append(f"as = {_quoted(self.asked_as)}")
        if self.answer:
            lines.append(f"answer = [{', '.join(_quoted(one) for one in self.answer)}]")
        if self.source:
            lines.append(f"sources = [{_quoted(self.source)}]")
        if self.place:
            lines.append(f"place = {_quoted(self.place)}")
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def propose(
    chunks: Sequence[Chunk], *, count: int, known: Set[str] = frozenset(), asked_as: str | None = None
) -> tuple[Proposal, ...]:
    """At most `count` proposals, from as many documents as possible; those of `known` wording are left out.

    About one in six wants "not found": it asks of a row what only another table tells. Equal input gives
    equal output.
    """
    told = [(one, made) for one in chunks for made in _of_chunk(one, asked_as)]
    absent = list(_absent(chunks, asked_as))
    by_document: dict[str, list[Proposal]] = {}
    for chunk, made in told:
        if made.question not in known:
            by_document.setdefault(chunk.document, []).append(made)
    found = _in_turn(by_document)
    wanted = [one for one in absent if one.question not in known][: count // 6]
    return (*found[: count - len(wanted)], *wanted)


def _in_turn(by_document: dict[str, list[Proposal]]) -> list[Proposal]:
    """One of each document after another, each document's by digest, so that neighbours are apart."""
    queues = [sorted(found, key=lambda one: one.id) for _, found in sorted(by_document.items())]
    taken: dict[str, Proposal] = {}
    for turn in range(max((len(queue) for queue in queues), default=0)):
        for queue in queues:
            if turn < len(queue):
                taken.setdefault(queue[turn].question, queue[turn])
    return list(taken.values())


def _of_chunk(chunk: Chunk, asked_as: str | None) -> Iterator[Proposal]:
    for part in chunk.parts:
        if part.kind is BlockKind.ROW:
            yield from _of_row(chunk, part, asked_as)
        elif part.kind in (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM):
            yield from _of_prose(chunk, part, asked_as)


def _of_row(chunk: Chunk, part: Part, asked_as: str | None) -> Iterator[Proposal]:
    cells = [one for one in part.cells if one.text.strip()]
    if not cells or not _names(cells[0]):
        return
    key, *others = cells
    for cell in others:
        if _asks(cell):
            yield _proposal(
                chunk,
                kind="cells",
                question=f"What is the {_lowered(cell.column)} of {key.text.strip()}{_of_what(chunk)}?",
                answer=(cell.text.strip(),),
                place=str(cell.place) or None,
                quoted=chunk.text[part.start : part.end],
                asked_as=asked_as,
            )


def _names(cell: Cell) -> bool:
    text = cell.text.strip()
    return bool(_TELLING.search(text)) and len(text) <= _LONGEST


def _asks(cell: Cell) -> bool:
    return bool(_TELLING.search(cell.column)) and 0 < len(cell.text.strip()) <= _LONGEST


def _lowered(words: str) -> str:
    first, *rest = words.strip().split(" ")
    return " ".join([first if first.isupper() and len(first) > 1 else first[:1].lower() + first[1:], *rest])


def _of_what(chunk: Chunk) -> str:
    title = chunk.title_path[0].strip() if chunk.title_path else ""
    return f" in {title}" if title and len(title) <= _LONGEST else ""


def _of_prose(chunk: Chunk, part: Part, asked_as: str | None) -> Iterator[Proposal]:
    text = " ".join(chunk.text[part.start : part.end].split())
    for found in _STATED.finditer(text):
        figure = _FIGURE.search(found["rest"])
        if figure is None:
            continue
        is_date = bool(_MONTH.search(figure[0]))
        yield _proposal(
            chunk,
            kind="date" if is_date else "amount",
            question=_asked(found["subject"].strip(), found["verb"], is_date=is_date)
            + _of_section(chunk)
            + "?",
            answer=(figure[0].strip(" .,:"),),
            place=None,
            quoted=found[0],
            asked_as=asked_as,
        )


def _asked(subject: str, verb: str, *, is_date: bool) -> str:
    subject = _lowered(subject)
    if verb in ("is", "are", "was", "were"):
        return f"{'When' if is_date else 'What'} {verb} {subject}"
    plain = verb.rstrip("s")
    helping = "does" if verb.endswith("s") else "do"
    words = {"cost": "How much", "last": "How long", "take": "How long"}
    asking = "When" if is_date else words.get(plain, "When")
    return f"{asking} {helping} {subject} {plain}"


def _of_section(chunk: Chunk) -> str:
    section = chunk.title_path[-1].strip() if chunk.title_path else ""
    return f" ({section})" if section and len(section) <= _LONGEST else ""


def _absent(chunks: Sequence[Chunk], asked_as: str | None) -> Iterator[Proposal]:
    """What a row of one table has not, though a table of another document has such a column."""
    tables: dict[str, tuple[dict[str, None], list[Cell]]] = {}
    for chunk in chunks:
        for part in chunk.parts:
            if part.kind is BlockKind.ROW and part.cells:
                columns, keys = tables.setdefault(chunk.document, ({}, []))
                columns.update(dict.fromkeys(cell.column for cell in part.cells))
                keys += [part.cells[0]] if _names(part.cells[0]) else []
    names = sorted(tables)
    for number, document in enumerate(names):
        other = names[(number + 1) % len(names)]
        foreign = [one for one in tables[other][0] if one not in tables[document][0] and _TELLING.search(one)]
        if other != document and foreign and tables[document][1]:
            key = tables[document][1][0].text.strip()
            question = f"What is the {_lowered(foreign[-1])} of {key}?"
            digest = Digest.of(question.encode()).short
            yield Proposal(
                id=f"proposed-{digest}",
                half=HALVES[int(digest, 16) % 2],
                kind="absent",
                question=question,
                answer=(),
                source=None,
                place=None,
                quoted=f"{document} has no {foreign[-1]}; look whether another document tells it",
                asked_as=asked_as,
            )


def _proposal(
    chunk: Chunk, *, kind: str, question: str, answer: tuple[str, ...], place: str | None, quoted: str,
    asked_as: str | None,
) -> Proposal:  # fmt: skip
    digest = Digest.of_lines([question, *answer, chunk.document]).short
    return Proposal(
        id=f"proposed-{digest}",
        half=HALVES[int(digest, 16) % 2],
        kind=kind,
        question=question,
        answer=answer,
        source=chunk.document,
        place=place,
        quoted=quoted,
        asked_as=asked_as,
    )
