"""From a question and its ranked passages to an answer: clauses, rows, sentences, decision, citations.

Owns the order of these steps. It neither searches nor embeds: both come in as values or behind Protocols.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from cape.answers.answer import (
    NOT_FOUND,
    Answer,
    Citation,
    ConsideredUnit,
    Explanation,
    Verdict,
)
from cape.answers.decision import Decision, contributions, decide
from cape.answers.disagreement import date_of, otherwise
from cape.answers.extent import Span, others_for, spans_for
from cape.answers.issues import WholeDocument, newest
from cape.answers.polarity import polarity_of
from cape.answers.question import LONGEST_QUESTION, Asked, Question, read_question
from cape.answers.selection import Candidate, Passage, Similarities, candidates_of
from cape.answers.tables import RowAnswer, cells_in_row, rows_for
from cape.answers.weights import (
    BY_VECTORS,
    BY_WORDS,
    CONSIDERED,
    EXACT_TABLE_BAR,
    READ_PASSAGES,
    TABLE_BAR,
    Weighing,
)
from cape.answers.words import best_likeness, plain_words, words_of
from cape.knowledge.documents import Place
from cape.knowledge.instructions import instructions_in
from cape.names import Digest

_CLAUSES = re.compile(
    r",?\s+and\s+(?=(?:(?:for|by|until|since|at|in|to|on|of|from|with|after|up to)\s+)?"
    r"(?:who|whom|whose|what|when|where|which|why|how|is|are|does|do|can|may|must)\b)|\?\s+(?=\S)",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b(?:it|they|them|its|their|this|that|these|those|he|she|his|her|one|there)\b", re.IGNORECASE
)

Search = Callable[[str], Sequence[Passage]]
"""Finds the passages for a part of a question, best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A quote on its way into the answer's text."""

    document: str
    place: Place
    quote: str
    chunk: Digest
    title_path: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clause:
    """What one clause of the question got."""

    question: Question
    pieces: tuple[_Piece, ...]
    confidence: float
    candidates: tuple[Candidate, ...]
    decision: Decision | None
    contrary: tuple[tuple[str, _Piece], ...] = ()


def clauses_of(text: str) -> tuple[str, ...]:
    """The questions that a question asks at once; a later one that says `it` keeps the first one's words.

    >>> clauses_of("How long is the notice period, and who signs it?")
    ('How long is the notice period', 'who signs it (How long is the notice period)')
    """
    parts = [part.strip(" ?.,") for part in _CLAUSES.split(text)]
    parts = [part for part in parts if words_of(part)]
    if len(parts) < 2 or len(parts) > 3:
        return (text,)
    first = parts[0]
    return first, *(
        f"{part} ({first})" if _REFERS.search(part) or len(words_of(part)) < 4 else part for part in parts[1:]
    )


def answer_question(
    text: str,
    passages: Sequence[Passage],
    similarities: Similarities,
    *,
    whole: WholeDocument | None = None,
    weighing: Weighing | None = None,
    search: Search | None = None,
) -> Answer:
    """The answer that the passages give, best first; `weighing` stands in for the calibrated one.

    Of a question that asks several things at once, each is read from passages of its own where `search` finds
    some.

    Raises `EmptyQuestion`.
    """
    weighing = weighing or (BY_VECTORS if similarities.has_vectors else BY_WORDS)
    question = read_question(text)
    read = list(passages[:READ_PASSAGES])
    clauses = [
        _answer_clause(read_question(clause), list(own[:READ_PASSAGES]), similarities, whole, weighing)
        for clause, own in _passages_of(question, passages, search, whole)
    ]
    found = [clause for clause in clauses if clause.pieces]
    confidence = min((one.confidence for one in found), default=max(one.confidence for one in clauses))
    answer = Answer(
        question=question.text,
        asked=question.asked,
        verdict=Verdict.FOUND if found else Verdict.NOT_FOUND,
        text=NOT_FOUND,
        citations=(),
        confidence=confidence,
        passages=len(read),
        has_vectors=similarities.has_vectors,
        explanation=_explanation(clauses, weighing),
        notes=_notes(question),
    )
    return _with_pieces(answer, found) if found else answer


def _passages_of(
    question: Question, passages: Sequence[Passage], search: Search | None, whole: WholeDocument | None
) -> list[tuple[str, Sequence[Passage]]]:
    """The clauses of a question, each with the passages to read it from."""
    clauses = clauses_of(question.text)
    if len(clauses) == 1 or search is None:
        return [(clause, newest(question, passages, whole)) for clause in clauses]
    return [(clause, newest(question, search(clause) or passages, whole)) for clause in clauses]


def _notes(question: Question) -> tuple[str, ...]:
    if question.was_cut:
        return (f"only the first {LONGEST_QUESTION} characters of the question were read",)
    return ()


def _answer_clause(
    question: Question,
    passages: Sequence[Passage],
    similarities: Similarities,
    whole: WholeDocument | None,
    weighing: Weighing,
) -> _Clause:
    rows = rows_for(question, _with_tables(passages, whole))
    covered = max((row.coverage for row in rows), default=0.0)
    exact = bool(rows) and all(row.exact for row in rows)
    if exact and covered >= EXACT_TABLE_BAR:
        return _answered_by_rows(question, rows, covered, ())
    candidates = candidates_of(question, passages, similarities, weighing)
    usable = [one for one in candidates if not (question.is_aggregate and one.unit.is_row)]
    sentence = next((one for one in usable if not one.unit.is_row), None)
    if covered >= TABLE_BAR and not _says_more(sentence, rows, covered):
        return _answered_by_rows(question, rows, covered, candidates)
    if not usable:
        return _Clause(question=question, pieces=(), confidence=0.0, candidates=candidates, decision=None)
    decision = decide(question, usable[0], usable, weighing)
    if not decision.found:
        return _Clause(
            question=question,
            pieces=(),
            confidence=decision.confidence,
            candidates=candidates,
            decision=decision,
        )
    contrary = _contrary(question, usable, whole)
    told = {piece.quote for _, piece in contrary}
    return _Clause(
        question=question,
        pieces=tuple(piece for piece in _sentence_pieces(question, usable) if piece.quote not in told),
        confidence=decision.confidence,
        candidates=candidates,
        decision=decision,
        contrary=contrary,
    )


def _contrary(
    question: Question, candidates: Sequence[Candidate], whole: WholeDocument | None
) -> tuple[tuple[str, _Piece], ...]:
    """The sentences of other documents that say otherwise, each behind a word on when both are from."""
    best = candidates[0]
    mine = date_of(best.passage, whole)
    found = []
    for one in otherwise(question, best, candidates):
        theirs = date_of(one.passage, whole)
        dates = f"of {theirs or 'no date'}; the above is of {mine or 'no date'}"
        chunk = one.passage.chunk
        piece = _Piece(
            document=chunk.document,
            place=one.unit.place,
            quote=one.unit.text,
            chunk=chunk.digest,
            title_path=chunk.title_path,
        )
        found.append((f"Otherwise in another source ({dates}):", piece))
    return tuple(found)


def _answered_by_rows(
    question: Question, rows: Sequence[RowAnswer], covered: float, candidates: tuple[Candidate, ...]
) -> _Clause:
    pieces = tuple(_piece(row, row.text) for row in rows)
    return _Clause(question=question, pieces=pieces, confidence=covered, candidates=candidates, decision=None)


def _says_more(sentence: Candidate | None, rows: Sequence[RowAnswer], covered: float) -> bool:
    """Whether a sentence answers better than the rows: it has more of the question, or a better place."""
    if sentence is None:
        return False
    return sentence.features.coverage >= covered and sentence.rank <= min(row.rank for row in rows)


def _with_tables(passages: Sequence[Passage], whole: WholeDocument | None) -> list[Passage]:
    """The passages, and all others of the first documents whose rows are among them."""
    found = list(passages)
    if whole is None:
        return found
    documents = dict.fromkeys(
        one.chunk.document for one in passages if any(part.cells for part in one.chunk.parts)
    )
    known = {one.id for one in passages}
    for document in list(documents)[:2]:
        found += [one for one in whole(document) if one.id not in known]
    return found


def _piece(found: RowAnswer | Span, quote: str) -> _Piece:
    chunk = found.passage.chunk
    return _Piece(
        document=chunk.document,
        place=found.place,
        quote=quote,
        chunk=chunk.digest,
        title_path=chunk.title_path,
    )


def _sentence_pieces(question: Question, candidates: Sequence[Candidate]) -> tuple[_Piece, ...]:
    best = candidates[0]
    if best.unit.is_row and (row := cells_in_row(question, best.passage, best.rank, best.unit)):
        return (_piece(row, row.text),)
    spans = list(spans_for(question, best, candidates))
    other = _second(question, best, candidates)
    for one in (other,) if other else others_for(best, candidates):
        spans += spans_for(replace_kind(question), one, candidates[:1])
    return tuple(_piece(span, span.quote) for span in spans)


def replace_kind(question: Question) -> Question:
    """The same question for its second document: one sentence is enough there."""
    return replace(question, asked=Asked.AMOUNT, wants_all=False)


def _second(question: Question, best: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    """A candidate of another document that has most of what the best one's passage lacks; None mostly.

    Asked of questions that compare, or name two things.
    """
    chunk = best.passage.chunk
    inside = {word.stem for part in (*chunk.title_path, best.unit.text) for word in words_of(part)}
    rest = [term for term in question.terms if best_likeness(term.stem, inside) < 0.6]
    lacking = sum(term.weight for term in rest)
    if not rest or lacking < 0.25 * question.total_weight or not question.is_comparison:
        return None
    for one in candidates:
        if one.passage.chunk.document == chunk.document or one.score < 0.5 * best.score:
            continue
        having = sum(term.weight for term in rest if term.stem in one.covered)
        if having >= 0.5 * lacking:
            return one
    return None


def _with_pieces(answer: Answer, clauses: Sequence[_Clause]) -> Answer:
    """The answer with its text and citations; equal quotes are cited once."""
    citations: list[Citation] = []
    lines: list[str] = []
    seen: dict[str, int] = {}
    for clause in clauses:
        parts: list[str] = []
        for piece in clause.pieces:
            folded = f" {' '.join(plain_words(piece.quote))} "
            if any(folded in other for other in seen):
                continue
            seen[folded] = len(citations) + 1
            citations.append(_citation(piece, seen[folded]))
            parts.append(f"{piece.quote} [{seen[folded]}]")
        if parts:
            lines.append(_begun(clause, ("\n" if "\n" in "".join(parts) else " ").join(parts)))
        for said, piece in clause.contrary:
            citations.append(_citation(piece, len(citations) + 1))
            lines.append(f"{said} {piece.quote} [{len(citations)}]")
    notes = (*answer.notes, *_planted(citations))
    return replace(answer, text="\n".join(lines), citations=tuple(citations), notes=notes)


def _planted(citations: Sequence[Citation]) -> Iterator[str]:
    """A sentence for each quote that is put like an instruction to a machine; nothing follows it."""
    for citation in citations:
        if instructions_in(citation.quote):
            yield f"[{citation.number}] quotes what looks like an instruction to a machine"


def _begun(clause: _Clause, text: str) -> str:
    """The text with the word that a yes/no question wants, where its first quote decides."""
    if clause.question.asked is not Asked.YES_NO:
        return text
    quote = clause.pieces[0].quote
    stems = {word.stem for word in words_of(quote)}
    if any(best_likeness(name, stems) < 0.6 for name in clause.question.names):
        return text
    polarity = polarity_of(clause.question, quote)
    return f"{polarity}: {text}" if polarity else text


def _citation(piece: _Piece, number: int) -> Citation:
    return Citation(
        number=number,
        document=piece.document,
        place=piece.place,
        quote=piece.quote,
        chunk=piece.chunk,
        title_path=piece.title_path,
    )


def _explanation(clauses: Sequence[_Clause], weighing: Weighing) -> Explanation:
    """Of the clause that was hardest: the one with the lowest confidence."""
    hardest = min(clauses, key=lambda one: one.confidence)
    decision = hardest.decision
    return Explanation(
        clauses=tuple(clause.question.text for clause in clauses),
        considered=tuple(_considered(one) for one in hardest.candidates[:CONSIDERED]),
        evidence=asdict(decision.evidence) if decision else {},
        contributions=contributions(weighing, decision.evidence) if decision else {},
        bar=decision.bar if decision else TABLE_BAR,
        reasons=_reasons(hardest),
    )


def _reasons(clause: _Clause) -> tuple[str, ...]:
    if clause.pieces:
        return ()
    if clause.question.is_aggregate and clause.candidates:
        told = ("the question asks for something over several rows, which cape does not compute",)
        return told + (clause.decision.reasons if clause.decision else ())
    if clause.decision is None:
        return ("no passage that you may see shares anything with the question",)
    return clause.decision.reasons


def _considered(candidate: Candidate) -> ConsideredUnit:
    return ConsideredUnit(
        document=candidate.passage.chunk.document,
        place=candidate.unit.place,
        text=candidate.unit.text,
        rank=candidate.rank + 1,
        score=candidate.score,
        features=asdict(candidate.features),
    )
