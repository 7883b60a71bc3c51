"""The graph of a knowledge base: brought up to date when it is wanted, and an entity's neighbourhood in it.

Joins a base, its access policy and the graph's room. Pictures and wording are not made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.operations.knowledge import KnowledgeBase, find_base, index_directory, open_base
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.knowledge.documents import Chunk, Place
    from cape.knowledge.graph.reading import Edge, Entity, Graph
    from cape.knowledge.index.reader import IndexReader

MOST_NEIGHBOURS = 24
"""Neighbours that are shown; those that most passages relate come first."""

MOST_SAID = 3
"""Relations that are shown of one neighbour."""


class UnknownEntity(InputError):
    """A name that no passage mentions which the asker may see."""

    slug = "unknown-entity"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One relation with where it stands: `source` and `target` are names, `quote` is the sentence or row."""

    source: str
    target: str
    says: str
    document: str
    place: Place
    quote: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """An entity beside another, how many passages relate them, and the first few of what they say."""

    name: str
    kind: str
    passages: int
    said: tuple[Said, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbourhood:
    """An entity as an asker sees it: how many passages of which documents mention it, and its neighbours.

    `more` counts neighbours that are not shown. `way` is set where a way to another entity was asked for: the
    relations along it, none where there is no way.
    """

    base: str
    user: str | None
    name: str
    kind: str
    passages: int
    documents: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    more: int
    way: tuple[Said, ...] | None = None


def show_entity(
    project: Project,
    words: Sequence[str],
    workshop: Workshop,
    *,
    user: str | None = None,
    to: str | None = None,
) -> Neighbourhood:
    """What the graph has of an entity; before its name the base's may stand.

    Documents that were not read for the graph are read first. Raises `UnknownEntity`, `UnknownUser`, and what
    `find_base` and `open_base` raise.
    """
    from cape.operations.including import project_manifest

    name, entity = (words[0], words[1]) if len(words) == 2 else (None, words[0])
    base = find_base(project_manifest(project), name)
    with open_base(project, base) as index:
        groups = index.policy.groups_of_user(user)
        graph = graph_of(project, base, index, groups, workshop)
        return _neighbourhood(base.name, user, index, graph, entity, to)


def graph_of(
    project: Project, base: KnowledgeBase, index: IndexReader, groups: frozenset[str], workshop: Workshop
) -> Graph:
    """The graph of an open index, for somebody in these groups; what it lacks is read now."""
    from cape.knowledge.graph.reading import Graph
    from cape.knowledge.index.graph import bring_graph

    directory = index_directory(project, base.name)
    bring_graph(directory, base.name, index.generation.number)
    return Graph(index, groups)


def _neighbourhood(
    base: str, user: str | None, index: IndexReader, graph: Graph, wanted: str, to: str | None
) -> Neighbourhood:
    entity = _known(graph, wanted)
    edges = graph.edges([entity.key])
    by_neighbour: dict[str, list[Edge]] = {}
    for edge in edges:
        by_neighbour.setdefault(edge.other(entity.key), []).append(edge)
    others = graph.entities(list(by_neighbour))
    ranked = sorted(
        (key for key in by_neighbour if key in others),
        key=lambda key: (others[key].kind == "value", -len({edge.chunk for edge in by_neighbour[key]}), key),
    )
    names = {key: other.name for key, other in others.items()} | {entity.key: entity.name}
    shown = ranked[:MOST_NEIGHBOURS]
    neighbours = tuple(
        Neighbour(
            name=others[key].name,
            kind=others[key].kind,
            passages=len({edge.chunk for edge in by_neighbour[key]}),
            said=_said(index, _telling(by_neighbour[key])[:MOST_SAID], names),
        )
        for key in shown
    )
    chunks = index.chunks(entity.chunks)
    return Neighbourhood(
        base=base,
        user=user,
        name=entity.name,
        kind=entity.kind,
        passages=len(entity.chunks),
        documents=tuple(dict.fromkeys(chunks[one].document for one in entity.chunks if one in chunks)),
        neighbours=neighbours,
        more=len(ranked) - len(shown),
        way=None if to is None else _way(index, graph, entity.key, to),
    )


def _telling(edges: Sequence[Edge]) -> list[Edge]:
    """Relations with a phrase or a column before those that only stand together; one of each passage."""
    vague = ("together with", "has in its section")
    ordered = sorted(edges, key=lambda edge: (edge.says in vague, edge.chunk, edge.start))
    found: dict[tuple[int, int], Edge] = {}
    for edge in ordered:
        found.setdefault((edge.chunk, edge.start), edge)
    return list(found.values())


def _known(graph: Graph, name: str) -> Entity:
    found = graph.entity(name)
    if found is not None:
        return found
    near = graph.near(name)
    hint = f"did you mean {' or '.join(f'`{one}`' for one in near)}?" if near else None
    raise UnknownEntity(f"nothing that you may see mentions `{name}`", hint=hint)


def _way(index: IndexReader, graph: Graph, key: str, to: str) -> tuple[Said, ...]:
    edges = graph.way(key, _known(graph, to).key)
    keys = [end for edge in edges for end in (edge.source, edge.target)]
    return _said(index, edges, {one: entity.name for one, entity in graph.entities(keys).items()})


def _said(index: IndexReader, edges: Sequence[Edge], names: dict[str, str]) -> tuple[Said, ...]:
    chunks = index.chunks(sorted({edge.chunk for edge in edges}))
    return tuple(
        Said(
            source=names.get(edge.source, edge.source),
            target=names.get(edge.target, edge.target),
            says=edge.says,
            document=chunks[edge.chunk].document,
            place=_place(chunks[edge.chunk], edge.start, edge.end),
            quote=chunks[edge.chunk].text[edge.start : edge.end],
        )
        for edge in edges
        if edge.chunk in chunks
    )


def _place(chunk: Chunk, start: int, end: int) -> Place:
    """Where a stretch of a chunk stands in its document."""
    from cape.answers.sentences import narrowed

    for part in chunk.parts:
        if part.start <= start < part.end:
            text = chunk.text[part.start : part.end]
            return narrowed(part.place, text, start - part.start, min(end, part.end) - part.start)
    return chunk.place
