"""Answers from two documents: the passage that names what a question describes, then what is said of that.

Joins retrieval, the rules for names and the answers' pure part. The second half is answered as any question
is, with the same bar; where that finds nothing, so does this. The graph's tables are not needed: names of a
few passages are read when asked, and an index finds words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cape.answers.answer import Answer, Citation
from cape.answers.hops import Described, cut, described, says
from cape.knowledge.graph.entities import Kind, entities_of, key_of

if TYPE_CHECKING:
    from cape.answers.retrieval import Retrieval
    from cape.answers.selection import Passage
    from cape.knowledge.protocol import ChunkIndex

PASSAGES = 8
"""Passages in which the thing that is described is looked for."""

TRIED = 3
"""Names that are tried, at most."""

HEAD_SAID = 0.75
"""The least share of what is asked, by weight, that the second passage's quote must have."""

FEWEST = 20
"""Passages below which a ranking is left as it is: others would push out what answers single questions."""


class FoundNames:
    """Names of passages and passages of names, by the index's own words; see `Names`."""

    def __init__(self, index: ChunkIndex, groups: frozenset[str]) -> None:
        self._index, self._groups = index, groups

    def mentioned(self, chunks: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
        """See `Names`."""
        contents = self._index.chunks(chunks)
        return {
            number: tuple(
                sorted({one.key for one in entities_of([chunk]).mentions if one.kind is not Kind.VALUE})
            )
            for number, chunk in contents.items()
        }

    def passages(self, keys: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
        """See `Names`; of a name that very many passages have, only that they are too many."""
        from cape.answers.bridging import CROWDED

        found = {}
        for key in keys:
            hits = [hit.chunk for hit in self._index.search_words(key, self._groups, 2 * CROWDED)]
            contents = self._index.chunks(hits)
            found[key] = tuple(
                sorted(at for at, chunk in contents.items() if key in key_of(chunk.searchable))
            )
        return found


def with_second_passages(
    index: ChunkIndex, text: str, retrieval: Retrieval, groups: frozenset[str], k: int
) -> Retrieval:
    """The ranking with passages that share a name with its first ones, where a question describes a thing."""
    from cape.answers.bridging import bridged, bridges
    from cape.answers.question import read_question

    if k < FEWEST or cut(text) is None:
        return retrieval
    found = bridges(index, FoundNames(index, groups), read_question(text), retrieval.chunks)
    return bridged(retrieval, found, index.chunks([one.chunk for one in found]), k)


def by_two_hops(
    text: str,
    direct: Answer,
    find: Callable[[str], Retrieval],
    answer: Callable[[str, Retrieval], Answer],
) -> Answer:
    """The answer to a question that describes a thing, with both passages; else the direct one.

    A direct answer that says the description itself stands.
    """
    hops = cut(text)
    if hops is None or (direct.is_found and says(hops.clause, direct.citations[0])):
        return direct
    from cape.operations.asking import passages_of

    passages = passages_of(find(hops.clause))[:PASSAGES]
    tried: dict[str, Described] = {}
    for one in described(hops, passages, [_names(passage) for passage in passages]):
        tried.setdefault(key_of(one.name), one)
    for one in list(tried.values())[:TRIED]:
        question = hops.about(one.name)
        made = answer(question, find(question))
        if made.is_found and _is_about(made, one) and says(hops.head, made.citations[0], most=HEAD_SAID):
            return _joined(made, direct, one)
    return direct


def _names(passage: Passage) -> list[tuple[str, int, int]]:
    """The names of a passage's text; of a row the cells of words."""
    found = entities_of([passage.chunk]).mentions
    return [(one.name, one.start, one.end) for one in found if one.start >= 0 and one.kind is not Kind.VALUE]


def _is_about(made: Answer, one: Described) -> bool:
    """Whether what is quoted first is of another document, and names the thing or stands below its name."""
    first = made.citations[0]
    said = key_of(" ".join([*first.title_path, first.quote]))
    return first.document != one.passage.chunk.document and key_of(one.name) in said


def _joined(made: Answer, direct: Answer, one: Described) -> Answer:
    """The second half's answer, and the sentence that led there behind it."""
    from cape.answers.sentences import narrowed

    chunk = one.passage.chunk
    place = chunk.place
    for part in chunk.parts:
        if part.start <= one.start < part.end:
            text = chunk.text[part.start : part.end]
            place = narrowed(part.place, text, one.start - part.start, min(one.end, part.end) - part.start)
    led = Citation(
        number=len(made.citations) + 1,
        document=chunk.document,
        place=place,
        quote=chunk.text[one.start : one.end],
        chunk=chunk.digest,
        title_path=chunk.title_path,
    )
    return replace(
        made,
        question=direct.question,
        text=f"{made.text}\n{led.quote} [{led.number}]",
        citations=(*made.citations, led),
        notes=(*made.notes, f"answered in two steps, by way of `{one.name}`"),
    )
