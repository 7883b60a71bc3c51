"""The index on disk: what it answers, its digest, its generations, and what a change costs."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from cape.knowledge.access import parse_access
from cape.knowledge.index import segments as segment_files
from cape.knowledge.index.errors import EmbedderChanged, NotIndexed, UnknownIndexGeneration
from cape.knowledge.index.reader import open_index
from cape.knowledge.index.verification import verify
from cape.knowledge.index.words import build_words
from cape.knowledge.index.writer import Wanted, go_back, write_index
from cape.knowledge.recipe import present_recipe
from tests.knowledge.builders import HashEmbedder, build, fill, text_document

EVERYONE = frozenset({"everyone"})
TEXTS = {
    "a.md": "The anchor holds in sand.\nThe buoy drifts north.",
    "b.md": "A buoy is painted yellow.",
    "hr/pay.md": "The pay of the harbour master is secret.\nThe buoy keeper earns less.",
    "z.md": "Nothing here but weather.",
}
POLICY = parse_access(
    'default = "everyone"\n[users]\nastrid = ["hr"]\n[[rules]]\ndocuments = ["hr/**"]\ngroups = ["hr"]\n'
)


def found(
    directory: Path, question: str, groups: frozenset[str] = EVERYONE, k: int = 9
) -> list[tuple[str, float]]:
    with open_index(directory, "base") as index:
        hits = index.search_words(question, groups, k)
        chunks = index.chunks([hit.chunk for hit in hits])
        return [(chunks[hit.chunk].document, hit.score) for hit in hits]


def test_chunks_are_numbered_by_document_and_order(tmp_path: Path) -> None:
    build(tmp_path, dict(reversed(TEXTS.items())))
    with open_index(tmp_path, "base") as index:
        assert index.count(EVERYONE) == 4
        assert [chunk.document for chunk in index.chunks(range(4)).values()] == sorted(TEXTS)
        assert list(index.chunks_of("b.md", EVERYONE)) == [1]
        assert index.chunks([99, -1]) == {}
        assert index.chunks([0])[0] == next(iter(index.chunks([0]).values()))


def test_a_chunk_comes_back_as_it_was_cut(tmp_path: Path) -> None:
    from cape.knowledge.chunking import chunk

    build(tmp_path, TEXTS)
    with open_index(tmp_path, "base") as index:
        assert tuple(index.chunks([2]).values()) == chunk(text_document("hr/pay.md", TEXTS["hr/pay.md"]))


def test_what_an_asker_may_not_see_changes_no_score(tmp_path: Path) -> None:
    build(tmp_path / "all", TEXTS, policy=POLICY)
    open_texts = {path: text for path, text in TEXTS.items() if not path.startswith("hr/")}
    build(tmp_path / "open", open_texts, policy=POLICY)
    assert found(tmp_path / "all", "yellow buoy harbour") == found(tmp_path / "open", "yellow buoy harbour")
    assert [path for path, _ in found(tmp_path / "all", "harbour master", EVERYONE | {"hr"})] == ["hr/pay.md"]
    with open_index(tmp_path / "all", "base") as index:
        assert index.count(EVERYONE) == 3
        assert list(index.chunks_of("hr/pay.md", EVERYONE)) == []
        assert not index.may_see("hr/pay.md", EVERYONE)
        assert index.documents(EVERYONE) == ["a.md", "b.md", "z.md"]


def test_a_revocation_holds_at_once(tmp_path: Path) -> None:
    build(tmp_path, TEXTS, policy=POLICY)
    stricter = parse_access('[users]\nastrid = ["hr"]\n')
    with open_index(tmp_path, "base", policy=stricter) as index:
        assert index.count(POLICY.groups_of_user("astrid")) == 0
        assert index.search_words("buoy", EVERYONE | {"hr"}, 9) == []


def test_a_change_of_access_reads_and_embeds_nothing(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    first = build(tmp_path, TEXTS, embedder=embedder)
    asked = len(embedder.asked)
    second = build(tmp_path, TEXTS, embedder=embedder, policy=POLICY)
    assert second.is_new and second.generation.digest != first.generation.digest
    assert len(embedder.asked) == asked
    assert (second.added, second.changed, second.removed) == ((), (), ())


def test_the_nearest_vectors_are_found_among_what_is_allowed(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    build(tmp_path, TEXTS, embedder=embedder, policy=POLICY)
    with open_index(tmp_path, "base") as index:
        vector = embedder.embed([index.chunks([2])[2].searchable])[0]
        assert index.search_vector(vector, EVERYONE | {"hr"}, 1)[0].chunk == 2
        assert 2 not in [hit.chunk for hit in index.search_vector(vector, EVERYONE, 9)]
        assert np.allclose(index.vectors_of([2])[0], vector)


def test_without_an_embedder_there_are_no_vectors_and_words_work(tmp_path: Path) -> None:
    build(tmp_path, TEXTS)
    with open_index(tmp_path, "base") as index:
        assert not index.has_vectors
        assert index.search_vector(np.ones(16, dtype=np.float32), EVERYONE, 5) == []
        assert index.search_words("anchor", EVERYONE, 5)


def test_an_embedder_that_comes_later_is_added(tmp_path: Path) -> None:
    build(tmp_path, TEXTS)
    embedder = HashEmbedder()
    assert build(tmp_path, TEXTS, embedder=embedder).is_new
    assert len(embedder.asked) == 4
    with open_index(tmp_path, "base") as index:
        assert len(index.search_vector(embedder.embed(["x"])[0], EVERYONE, 9)) == 4
        assert verify(index, embedder=embedder, sample=9).problems == ()


def test_two_orders_of_the_files_and_two_histories_give_one_digest(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    straight = build(tmp_path / "one", TEXTS, embedder=embedder).generation
    build(tmp_path / "two", {"z.md": "Old text.", "gone.md": "Will go."}, embedder=embedder)
    build(tmp_path / "two", {**dict(reversed(TEXTS.items())), "b.md": "Other words."}, embedder=embedder)
    winding = build(tmp_path / "two", TEXTS, embedder=embedder).generation
    assert (winding.digest, winding.chunks) == (straight.digest, straight.chunks)
    question = "buoy drifts"
    assert found(tmp_path / "one", question) == found(tmp_path / "two", question)


@pytest.mark.parametrize("changed", ["text", "path", "access", "embedder"])
def test_the_digest_tells_what_differs(tmp_path: Path, changed: str) -> None:
    first = build(tmp_path / "one", TEXTS, embedder=HashEmbedder())
    texts = {**TEXTS, "b.md": "A buoy is painted red."} if changed == "text" else dict(TEXTS)
    if changed == "path":
        texts["c.md"] = texts.pop("b.md")
    policy = POLICY if changed == "access" else first.generation.access
    embedder = HashEmbedder(seed="other") if changed == "embedder" else HashEmbedder()
    assert (
        build(tmp_path / "two", texts, policy=policy, embedder=embedder).generation.digest
        != first.generation.digest
    )


def test_an_edit_costs_one_document(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    build(tmp_path, TEXTS, embedder=embedder)
    asked = len(embedder.asked)
    done = build(tmp_path, {**TEXTS, "b.md": "A buoy is painted red."}, embedder=embedder)
    assert (done.changed, done.added, done.removed) == (("b.md",), (), ())
    assert len(embedder.asked) == asked + 1


def test_adding_again_what_was_there_costs_nothing(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    build(tmp_path, TEXTS, embedder=embedder)
    without = {path: text for path, text in TEXTS.items() if path != "b.md"}
    build(tmp_path, without, embedder=embedder)
    asked = len(embedder.asked)
    assert build(tmp_path, TEXTS, embedder=embedder).added == ("b.md",)
    assert len(embedder.asked) == asked


def test_nothing_new_makes_no_generation(tmp_path: Path) -> None:
    first = build(tmp_path, TEXTS)
    again = build(tmp_path, TEXTS)
    assert first.is_new and not again.is_new
    assert again.generation == first.generation


def test_rollback_is_one_number_and_later_generations_start_from_it(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    first = build(tmp_path, TEXTS, embedder=embedder)
    build(tmp_path, {"a.md": "All is new."}, embedder=embedder)
    generation, contents = go_back(tmp_path, "base", 1)
    assert generation.digest == first.generation.digest and sorted(contents) == sorted(TEXTS)
    assert [path for path, _ in found(tmp_path, "anchor")] == ["a.md"]
    third = build(tmp_path, {**TEXTS, "new.md": "A fresh anchor."}, embedder=embedder)
    assert (third.generation.number, third.generation.parent, third.added) == (3, 1, ("new.md",))
    assert sorted(path for path, _ in found(tmp_path, "anchor")) == ["a.md", "new.md"]
    with open_index(tmp_path, "base", generation=2) as index:
        assert index.documents(EVERYONE) == ["a.md"] and index.search_words("anchor", EVERYONE, 5) == []


def test_an_unknown_generation_is_named(tmp_path: Path) -> None:
    build(tmp_path, TEXTS)
    with pytest.raises(UnknownIndexGeneration, match="has no generation 7"):
        open_index(tmp_path, "base", generation=7)
    with pytest.raises(UnknownIndexGeneration):
        go_back(tmp_path, "base", 7)


def test_no_index_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotIndexed) as caught:
        open_index(tmp_path, "base")
    assert caught.value.hint == "run `cape index base`"


def test_another_embedder_is_refused_with_the_command_that_rebuilds(tmp_path: Path) -> None:
    build(tmp_path, TEXTS, embedder=HashEmbedder())
    with pytest.raises(EmbedderChanged) as caught:
        build(tmp_path, TEXTS, embedder=HashEmbedder(seed="other"))
    assert "cape index base --rebuild" in (caught.value.hint or "")
    assert found(tmp_path, "anchor")


def test_a_rebuild_takes_nothing_over_and_forgets_what_was(tmp_path: Path) -> None:
    build(tmp_path, {"old.md": "Old."}, embedder=HashEmbedder())
    before = build(tmp_path, TEXTS, embedder=HashEmbedder())
    embedder = HashEmbedder(seed="other")
    after = build(tmp_path, TEXTS, embedder=embedder, rebuild=True)
    assert after.generation.number == before.generation.number + 1
    assert len(embedder.asked) == 4
    with open_index(tmp_path, "base") as index:
        assert [one.number for one in index.history()] == [after.generation.number]
        assert verify(index, embedder=embedder, sample=9).problems == ()


def test_an_empty_base_is_an_index_that_finds_nothing(tmp_path: Path) -> None:
    build(tmp_path, {})
    with open_index(tmp_path, "base") as index:
        assert index.count(EVERYONE) == 0
        assert index.search_words("anything", EVERYONE, 5) == []
        assert verify(index, embedder=None, sample=3).problems == ()


def test_a_reader_keeps_its_generation_while_another_is_made(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    build(tmp_path, TEXTS, embedder=embedder)
    with open_index(tmp_path, "base") as index:
        for number in range(6):
            build(tmp_path, {**TEXTS, "n.md": f"Number {number} of the anchor."}, embedder=embedder)
        assert index.documents(EVERYONE) == sorted(TEXTS)
        assert [
            index.chunks([hit.chunk])[hit.chunk].document for hit in index.search_words("anchor", EVERYONE, 9)
        ] == ["a.md"]
        assert len(index.search_vector(embedder.embed(["x"])[0], EVERYONE, 9)) == 4


def test_many_edits_leave_few_segments_and_the_answers_of_a_fresh_index(tmp_path: Path) -> None:
    """Segments are joined; words, vectors and ties are as if all had been indexed at once."""
    choose = random.Random(7)
    words = [f"word{number}" for number in range(40)]
    texts = {f"{n:02}.md": " ".join(choose.choices(words, k=30)) for n in range(20)}
    embedder = HashEmbedder()
    for _ in range(30):
        path = f"{choose.randrange(24):02}.md"
        if path in texts and choose.random() < 0.2:
            del texts[path]
        else:
            texts[path] = " ".join(choose.choices(words, k=choose.randrange(1, 60)))
        build(tmp_path / "edited", texts, embedder=embedder)
    build(tmp_path / "fresh", texts, embedder=embedder)
    vector = embedder.embed(["question"])[0]
    with open_index(tmp_path / "edited", "base") as edited, open_index(tmp_path / "fresh", "base") as fresh:
        assert edited.generation.digest == fresh.generation.digest
        assert len(edited.segments) <= 6
        for word in words:
            assert edited.search_words(f"{word} word1", EVERYONE, 9) == fresh.search_words(
                f"{word} word1", EVERYONE, 9
            )
        assert edited.search_vector(vector, EVERYONE, 9) == fresh.search_vector(vector, EVERYONE, 9)
        assert verify(edited, embedder=embedder, sample=9).problems == ()


def test_joined_words_are_those_of_the_texts_at_once() -> None:
    texts = ["buoy anchor", "", "anchor anchor chain", "the sea", "buoy"]
    joined = segment_files.join_words([build_words(texts[:2]), build_words(texts[2:])], [0, 2], 5)
    assert joined.to_bytes() == build_words(texts).to_bytes()


def test_what_an_unfinished_change_added_is_invisible_and_taken_up(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    first = build(tmp_path, {"a.md": TEXTS["a.md"]}, embedder=embedder)
    recipe = present_recipe(embedder.digest)
    with write_index(tmp_path, "base", recipe, embedder=embedder) as writer:
        target = fill(writer, TEXTS)
        writer.commit()
    asked = len(embedder.asked)
    with open_index(tmp_path, "base") as index:
        assert index.generation == first.generation and index.documents(EVERYONE) == ["a.md"]
    with write_index(tmp_path, "base", recipe, embedder=embedder) as writer:
        assert all(writer.has(path, wanted) for path, wanted in target.items())
        assert writer.to_embed(target) == []
        writer.publish(target, first.generation.access)
    assert len(embedder.asked) == asked


def test_what_an_unfinished_change_added_and_nobody_wants_is_dropped(tmp_path: Path) -> None:
    recipe = present_recipe(None)
    with write_index(tmp_path, "base", recipe) as writer:
        fill(writer, {"draft.md": "A secret draft."})
        writer.commit()
    build(tmp_path, TEXTS)
    assert build(tmp_path / "fresh", TEXTS).generation.digest == build(tmp_path, TEXTS).generation.digest
    with write_index(tmp_path, "base", recipe) as writer:
        draft = text_document("draft.md", "A secret draft.")
        assert not writer.has("draft.md", Wanted(draft.digest, draft.extractor))


def test_a_generation_whose_vectors_were_replaced_is_searched_by_words(tmp_path: Path) -> None:
    """One embedder, then none, then another: only the last one's vectors are there."""
    build(tmp_path, TEXTS, embedder=HashEmbedder())
    build(tmp_path, TEXTS)
    build(tmp_path, TEXTS, embedder=HashEmbedder(seed="other"))
    with open_index(tmp_path, "base") as index:
        assert index.has_vectors
        assert verify(index, embedder=HashEmbedder(seed="other"), sample=9).problems == ()
    go_back(tmp_path, "base", 1)
    with open_index(tmp_path, "base") as index:
        assert not index.has_vectors
        assert index.search_vector(HashEmbedder().embed(["x"])[0], EVERYONE, 5) == []
        assert index.search_words("anchor", EVERYONE, 5)
        assert verify(index, embedder=HashEmbedder(), sample=9).problems == ()
