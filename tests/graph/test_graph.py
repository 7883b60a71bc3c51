"""The graph in an index: what is found, who sees it, and that it goes with its documents."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.knowledge.access import OPEN_POLICY, AccessPolicy, parse_access
from cape.knowledge.chunking import chunk
from cape.knowledge.graph.entities import Kind, entities_of, key_of
from cape.knowledge.graph.reading import Edge, Entity, Graph
from cape.knowledge.graph.walking import by_heap, shortest
from cape.knowledge.index.graph import bring_graph
from cape.knowledge.index.reader import open_index
from cape.knowledge.index.writer import go_back, write_index
from cape.knowledge.recipe import present_recipe
from tests.knowledge.builders import build, document, fill, row, text_document

EVERYONE = frozenset({"everyone"})
HR = EVERYONE | {"hr"}
TEXTS = {
    "a.md": "Damaged buoys are mended in Porto by our yard.",
    "b.md": "The office in Porto is led by Duarte Salvaterro.\nWrite to porto@example.org, please.",
    "hr/c.md": "Between us, Duarte Salvaterro earns more than Ilvi Kettunmaa.",
}
POLICY = parse_access(
    'default = "everyone"\n[users]\nastrid = ["hr"]\n[[rules]]\ndocuments = ["hr/**"]\ngroups = ["hr"]\n'
)


def names(graph: Graph, name: str) -> set[str]:
    return {edge.other(key_of(name)) for edge in graph.edges([key_of(name)])}


def made(directory: Path, texts: dict[str, str] = TEXTS, policy: AccessPolicy = POLICY) -> int:
    published = build(directory, texts, policy=policy)
    return bring_graph(directory, "base", published.generation.number)


def test_a_sentence_relates_its_names_by_the_phrase_between_them() -> None:
    found = entities_of(chunk(text_document("b.md", TEXTS["b.md"])))
    assert ("porto", "is led by", "duarte salvaterro") in {
        (one.source, one.says, one.target) for one in found.relations
    }
    assert (Kind.MAIL, "porto@example.org") in {(one.kind, one.name) for one in found.mentions}


def test_a_row_relates_its_first_words_by_columns() -> None:
    rows = [row("Suppliers", 2, Part="Hull", Maker="Varzila Lda", Weeks="14")]
    found = entities_of(chunk(document("s.xlsx", rows)))
    assert {(one.source, one.says, one.target) for one in found.relations} == {
        ("hull", "Maker", "varzila lda"),
        ("hull", "Weeks", "14"),
    }


@pytest.mark.parametrize(
    ("text", "name", "is_one"),
    [
        ("Boats leave at noon. All boats return.", "boats", False),
        ("Skerry drifts. We like Skerry a lot.", "skerry", True),
        ("On Monday we met Ewa Nowak.", "monday", False),
        ("On Monday we met Ewa Nowak.", "ewa nowak", True),
        ("The display reads E10 then.", "e10", True),
        ("Since 2024 it rains.", "2024", False),
    ],
)
def test_what_is_a_name_is_told_by_the_document(text: str, name: str, is_one: bool) -> None:
    found = entities_of(chunk(text_document("x.md", text)))
    in_text = {one.key for one in found.mentions if one.start >= 0}
    assert (name in in_text) is is_one


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_mentions_that_stand_where_they_say(text: str) -> None:
    chunks = chunk(text_document("x.md", text))
    found = entities_of(chunks)
    for one in found.mentions:
        if one.start >= 0:
            assert chunks[one.chunk].text[one.start : one.end] == one.name
    assert found == entities_of(chunks)
    mentioned = {(one.chunk, one.key) for one in found.mentions}
    assert all({(one.chunk, one.source), (one.chunk, one.target)} <= mentioned for one in found.relations)


def test_only_what_is_new_is_read_again(tmp_path: Path) -> None:
    assert made(tmp_path) == 3
    assert made(tmp_path) == 0
    assert made(tmp_path, TEXTS | {"a.md": "Damaged buoys are mended in Bergen now."}) == 1


def test_what_an_asker_may_not_see_has_no_name_and_no_line(tmp_path: Path) -> None:
    made(tmp_path)
    with open_index(tmp_path, "base", policy=POLICY) as index:
        open_to_all, for_hr = Graph(index, EVERYONE), Graph(index, HR)
        assert for_hr.entity("Ilvi Kettunmaa") is not None
        assert open_to_all.entity("Ilvi Kettunmaa") is None
        assert open_to_all.near("Ilvi") == ()
        assert names(open_to_all, "Duarte Salvaterro") == {"porto"} | (
            names(open_to_all, "Duarte Salvaterro") - {"ilvi kettunmaa"}
        )
        assert "ilvi kettunmaa" in names(for_hr, "Duarte Salvaterro")
        seen, all_of_it = open_to_all.entity("Duarte Salvaterro"), for_hr.entity("Duarte Salvaterro")
        assert seen is not None and all_of_it is not None
        assert (len(seen.chunks), len(all_of_it.chunks)) == (1, 2)


def test_an_edit_and_a_way_back_change_the_graph_too(tmp_path: Path) -> None:
    made(tmp_path)
    made(tmp_path, TEXTS | {"b.md": "The office in Porto is led by Rui Mondelar."})
    with open_index(tmp_path, "base", policy=POLICY) as index:
        assert Graph(index, EVERYONE).entity("Duarte Salvaterro") is None
        assert "rui mondelar" in names(Graph(index, EVERYONE), "Porto")
    go_back(tmp_path, "base", 1)
    with open_index(tmp_path, "base", policy=POLICY) as index:
        assert Graph(index, EVERYONE).entity("Rui Mondelar") is None
        assert "duarte salvaterro" in names(Graph(index, EVERYONE), "Porto")


def test_a_forgotten_document_leaves_no_row(tmp_path: Path) -> None:
    made(tmp_path)
    rest = {path: text for path, text in TEXTS.items() if path != "b.md"}
    with write_index(tmp_path, "base", present_recipe(None), rebuild=True) as writer:
        writer.publish(fill(writer, rest), OPEN_POLICY)
    bring_graph(tmp_path, "base", 2)
    rows = sqlite3.connect(tmp_path / "index.sqlite")
    try:
        for table in ("graph_mention", "graph_relation"):
            chunks = {one[0] for one in rows.execute(f"SELECT chunk FROM {table}")}
            assert chunks <= {one[0] for one in rows.execute("SELECT id FROM chunk")}
        told = rows.execute("SELECT count(*) FROM graph_mention WHERE name LIKE '%@example.org'").fetchone()
        assert told == (0,)
    finally:
        rows.close()


def test_a_way_leads_over_documents_and_is_the_same_without_rustworkx(tmp_path: Path) -> None:
    made(tmp_path, TEXTS | {"d.md": "Our yard repairs what Hamburg sends to Porto."})
    with open_index(tmp_path, "base", policy=POLICY) as index:
        way = Graph(index, EVERYONE).way("hamburg", "duarte salvaterro")
        told = [next(iter(index.chunks([edge.chunk]).values())).document for edge in way]
    assert told == ["d.md", "b.md"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_both_ways_of_walking_cost_the_same(pairs: list[tuple[int, int]]) -> None:
    pytest.importorskip("rustworkx")
    edges = [Edge(f"n{one}", f"n{two}", "", 0, 0, 0) for one, two in pairs if one != two]
    entities = {f"n{at}": Entity(f"n{at}", f"n{at}", "name", tuple(range(at))) for at in range(9)}
    costs = dict.fromkeys(entities, 1.0)
    mine, theirs = by_heap(edges, costs, "n0", "n8"), shortest(edges, entities, "n0", "n8")
    assert bool(mine) == bool(theirs)
    if theirs:
        assert {"n0", "n8"} <= {end for edge in theirs for end in (edge.source, edge.target)}
