"""Retrieval: what fusion promises, with an index in memory and an embedder of a few meanings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.retrieval import (
    LONGEST_QUESTION,
    POOL,
    SECOND_SHARE,
    bounded,
    fuse,
    question_vector,
    rank_documents,
    retrieve,
    standings,
)
from cape.engines.minilm import open_embedder
from cape.evaluation.memory import MemoryIndex
from cape.knowledge.access import parse_access
from cape.knowledge.documents import Chunk, Place
from cape.knowledge.index.reader import open_index
from cape.knowledge.protocol import EVERYONE, Embedder, Hit
from tests.engines import tiny
from tests.knowledge.builders import build

US = frozenset({EVERYONE})


def chunk(document: str, text: str, ordinal: int = 0) -> Chunk:
    return Chunk(document=document, ordinal=ordinal, title_path=(), text=text, place=Place(), parts=())


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    directory: Path = tmp_path_factory.mktemp("model")
    return open_embedder("tiny", *tiny.write(directory))


CHUNKS = (
    chunk("a.md", "The ferry leaves at nine."),
    chunk("a.md", "Tickets for the ferry are sold on board.", 1),
    chunk("b.md", "Quarterly revenue rose."),
    chunk("c.md", "Error ERR-4711 means that the boat is full."),
    chunk("d.md", "Holiday: thirty days."),
)


def index_of(chunks: Sequence[Chunk], embedder: Embedder | None) -> MemoryIndex:
    texts = [one.searchable for one in chunks]
    return MemoryIndex(chunks, embedder.embed(texts) if embedder else None)


def texts(index: MemoryIndex, embedder: Embedder | None, question: str, k: int = 3) -> list[str]:
    return [one.chunk.text for one in retrieve(index, embedder, question, US, k).chunks]


def test_without_an_embedder_words_decide_alone() -> None:
    found = retrieve(index_of(CHUNKS, None), None, "When does the ferry leave?", US, 5)
    assert [one.chunk.text for one in found.chunks] == [CHUNKS[0].text, CHUNKS[1].text]
    assert not found.by_vectors
    assert all(one.vectors is None and one.words is not None for one in found.chunks)


def test_an_index_without_vectors_is_searched_by_words(embedder: Embedder) -> None:
    assert texts(index_of(CHUNKS, None), embedder, "ferry leaves") == [CHUNKS[0].text, CHUNKS[1].text]


def test_other_words_for_the_same_thing_are_found(embedder: Embedder) -> None:
    assert texts(index_of(CHUNKS, embedder), embedder, "vacation", 1) == [CHUNKS[4].text]


def test_a_word_that_one_chunk_has_wins_over_meaning(embedder: Embedder) -> None:
    many = [*CHUNKS, *(chunk(f"{at}.md", f"boat ferry island {at}") for at in range(300))]
    assert texts(index_of(many, embedder), embedder, "ferry ERR-4711", 1) == [CHUNKS[3].text]


def test_each_chunk_says_where_it_stood_in_either_search(embedder: Embedder) -> None:
    found = retrieve(index_of(CHUNKS, embedder), embedder, "ferry leaves", US, 5)
    best = found.chunks[0]
    assert found.by_vectors
    assert best.words is not None
    assert best.vectors is not None
    assert (best.words.rank, best.vectors.rank) == (1, 1)
    assert -1 <= best.vectors.score <= 1.000001
    assert len(found.chunks) == len(CHUNKS)


def test_what_is_asked_for_does_not_change_scores(embedder: Embedder) -> None:
    index = index_of(CHUNKS, embedder)
    all_of_them = retrieve(index, embedder, "ferry revenue", US, 5).chunks
    assert retrieve(index, embedder, "ferry revenue", US, 2).chunks == all_of_them[:2]


@pytest.mark.parametrize("question", ["", "   \n", "???"])
def test_a_question_without_words_finds_nothing_by_words(question: str) -> None:
    found = retrieve(index_of(CHUNKS, None), None, question, US, 5)
    assert (found.chunks, found.documents) == ((), ())


@pytest.mark.parametrize("piece", ["ferry ", "x", " ", "\n"])
def test_a_question_of_100_000_characters_is_searched_by_its_beginning(
    piece: str, embedder: Embedder
) -> None:
    question = "leaves ferry " + (piece * 100_000)[:100_000]
    found = retrieve(index_of(CHUNKS, embedder), embedder, question, US, 1)
    assert len(found.searched) <= LONGEST_QUESTION
    assert found.question == question
    assert found.chunks[0].chunk.document == "a.md"


def test_a_long_question_is_cut_between_words() -> None:
    question = "island " * 2000
    assert bounded(question).split() == ["island"] * (LONGEST_QUESTION // 7)


def test_a_question_of_two_sentences_stands_between_both(embedder: Embedder) -> None:
    both = question_vector(embedder, "The ferry leaves. Revenue per cent.")
    parts = embedder.embed(["The ferry leaves.", "Revenue per cent."])
    assert float(np.linalg.norm(both)) == pytest.approx(1.0, abs=1e-6)
    assert min(float(both @ part) for part in parts) > float(parts[0] @ parts[1])
    assert np.array_equal(question_vector(embedder, "The ferry."), embedder.embed(["The ferry."])[0])


def test_documents_have_their_best_chunk_and_a_share_of_the_next() -> None:
    found = retrieve(index_of(CHUNKS, None), None, "ferry boat leaves", US, 5)
    by_path = {one.path: one for one in found.documents}
    scores = {one.id: one.score for one in found.chunks}
    assert by_path["a.md"].score == pytest.approx((1 - SECOND_SHARE) * scores[0] + SECOND_SHARE * scores[1])
    assert by_path["c.md"].score == pytest.approx(scores[3])
    assert by_path["a.md"].chunks == (0, 1)


def test_finding_more_of_a_document_never_lowers_it() -> None:
    """The last chunk is not found in the first index, and just about found in the second."""
    rest = (chunk("b.md", "Ferry, ferry, leaves."), chunk("c.md", "Leaves of a tree."))
    by_words = []
    for last in ("Nothing of it.", "One word of the many here is by chance ferry and no other is."):
        index = index_of((chunk("a.md", "The ferry leaves."), chunk("a.md", last, 1), *rest), None)
        found = retrieve(index, None, "ferry leaves", US, 9)
        end = min(one.score for one in found.chunks)
        score = next(one.score for one in found.documents if one.path == "a.md")
        best = next(one.score for one in found.chunks if one.id == 0)
        by_words.append((score - end) / (best - end))
    assert by_words[0] == pytest.approx(1 - SECOND_SHARE)
    assert by_words[1] >= by_words[0] - 1e-9


def test_documents_scores_do_not_depend_on_how_many_chunks_are_wanted(embedder: Embedder) -> None:
    index = index_of(CHUNKS, embedder)
    everything = {one.path: one.score for one in retrieve(index, embedder, "ferry fare", US, 9).documents}
    few = retrieve(index, embedder, "ferry fare", US, 2).documents
    assert all(one.score == everything[one.path] for one in few)
    assert rank_documents(index, US, (), {}) == ()


SCORES = st.lists(st.floats(0.01, 30), min_size=1, max_size=40)


@given(SCORES, st.integers(0, 60))
@settings(max_examples=60)
def test_a_filled_up_list_has_mean_0_and_deviation_1(scores: list[float], size: int) -> None:
    scores = sorted(scores, reverse=True)
    size = max(size, len(scores))
    found = standings([Hit(at, score) for at, score in enumerate(scores)], size)
    mean = math.fsum(scores) / size
    spread = math.sqrt(sum((one - mean) ** 2 for one in [*scores, *[0.0] * (size - len(scores))]) / size)
    values = [one.standard for one in found.values()]
    if spread > 1e-6:
        filled = [*values, *[-mean / spread] * (size - len(scores))]
        assert math.fsum(filled) == pytest.approx(0, abs=1e-6)
        assert math.fsum(one * one for one in filled) == pytest.approx(size, rel=1e-6)
    assert values == sorted(values, reverse=True)


@given(SCORES, SCORES, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_fusion_does_not_depend_on_the_order_of_what_it_is_given(
    words: list[float], vectors: list[float], random: object
) -> None:
    by_words = standings([Hit(at, score) for at, score in enumerate(sorted(words, reverse=True))], 50)
    by_vectors = standings([Hit(2 * at, one) for at, one in enumerate(sorted(vectors, reverse=True))], 0)
    shuffled = dict(sorted(by_words.items(), key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert fuse(by_words, by_vectors, 50) == fuse(shuffled, by_vectors, 50)


@given(st.floats(0.1, 9), SCORES, SCORES)
@settings(max_examples=40)
def test_fusion_does_not_depend_on_the_scale_of_either_search(
    factor: float, words: list[float], vectors: list[float]
) -> None:
    hits = [Hit(at, score) for at, score in enumerate(sorted(words, reverse=True))]
    scaled = [Hit(hit.chunk, hit.score * factor) for hit in hits]
    by_vectors = standings([Hit(at, one) for at, one in enumerate(sorted(vectors, reverse=True))], 0)
    one, other = (fuse(standings(some, POOL), by_vectors, POOL) for some in (hits, scaled))
    assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_hidden_document_changes_no_byte_of_what_is_retrieved(
    seed: int, tmp_path: Path, embedder: Embedder
) -> None:
    """The same question of an index with hidden documents, and of one that never had them."""
    random = np.random.default_rng(seed)
    vocabulary = [word for of in tiny.MEANINGS for word in of] + ["the", "Nine.", "ERR-4711"]
    texts = {
        f"{'hr' if at % 3 == 0 else 'open'}/{at:02}.md": "\n".join(
            " ".join(random.choice(vocabulary, size=random.integers(3, 60))) for _ in range(4)
        )
        for at in range(40)
    }
    policy = parse_access('default = "everyone"\n[[rules]]\ndocuments = ["hr/**"]\ngroups = ["hr"]\n')
    visible = {path: text for path, text in texts.items() if path.startswith("open/")}
    answers = []
    for name, some in (("all", texts), ("open", visible)):
        build(tmp_path / name, some, policy=policy, embedder=embedder)
        with open_index(tmp_path / name, "base") as index:
            found = retrieve(index, embedder, "When does the ferry leave? ERR-4711 revenue", US, 30)
        chunks = [(one.chunk, one.score, one.words, one.vectors) for one in found.chunks]
        answers.append((chunks, [(one.path, one.score) for one in found.documents]))
    assert answers[0] == answers[1]
    assert answers[0][0]
