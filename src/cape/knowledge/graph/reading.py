"""The graph as somebody may see it: entities, their relations and passages, and ways from one to another.

Owns what is asked of the graph's tables. An entity that only hidden passages mention is not there: not by
name, not in a count, not as a suggestion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cape.knowledge.graph.entities import key_of
from cape.knowledge.index.reader import IndexReader

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Edge:
    """A relation in a visible chunk, an id of the index, and the characters of its sentence there."""

    source: str
    target: str
    says: str
    chunk: int
    start: int
    end: int

    def other(self, key: str) -> str:
        """The entity at the other end."""
        return self.target if self.source == key else self.source


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity: its key, its name as most passages have it, its kind, and the chunks that mention it."""

    key: str
    name: str
    kind: str
    chunks: tuple[int, ...]


class Graph:
    """What an asker may see of one generation's graph."""

    def __init__(self, index: IndexReader, groups: frozenset[str]) -> None:
        self._index, self._groups = index, groups

    def entity(self, name: str) -> Entity | None:
        """The entity of that name; None where no visible passage mentions it."""
        return self.entities([key_of(name)]).get(key_of(name))

    def entities(self, keys: Sequence[str]) -> Mapping[str, Entity]:
        """The entities with these keys that a visible passage mentions."""
        rows = self._rows("SELECT key, name, kind, chunk FROM graph_mention WHERE key IN", sorted(set(keys)))
        found: dict[str, list[tuple[str, str, int]]] = {}
        for key, name, kind, chunk in rows:
            found.setdefault(key, []).append((name, kind, chunk))
        return {key: _entity(key, mentions) for key, mentions in found.items()}

    def mentioned(self, chunks: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
        """The keys of the entities, but for values, that chunks mention."""
        numbers = self._index.numbers_of(chunks)
        rows = self._rows("SELECT key, name, kind, chunk FROM graph_mention WHERE chunk IN", numbers)
        found: dict[int, list[str]] = {}
        for key, _, kind, chunk in rows:
            if kind != "value":
                found.setdefault(chunk, []).append(key)
        return {chunk: tuple(sorted(keys)) for chunk, keys in found.items()}

    def passages(self, keys: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
        """The visible chunks that mention each of some entities, in order."""
        return {key: entity.chunks for key, entity in self.entities(keys).items()}

    def edges(self, keys: Sequence[str]) -> tuple[Edge, ...]:
        """The relations of entities, in the order of their passages."""
        wanted = sorted(set(keys))
        columns = "SELECT source, target, says, start, stop, chunk FROM graph_relation WHERE "
        rows = {*self._rows(f"{columns} source IN", wanted), *self._rows(f"{columns} target IN", wanted)}
        made = [Edge(row[0], row[1], row[2], row[5], row[3], row[4]) for row in rows]
        return tuple(sorted(made, key=lambda one: (one.chunk, one.start, one.source, one.target, one.says)))

    def way(self, source: str, target: str) -> tuple[Edge, ...]:
        """A shortest way from one entity to another, as relations in order; empty where there is none.

        Entities that very many passages mention cost more, so that a way tells something. Of equal ways the
        same one is taken every time.
        """
        from cape.knowledge.graph.walking import shortest

        return shortest(self._everything, self._all, source, target)

    @cached_property
    def _everything(self) -> tuple[Edge, ...]:
        rows = self._index.select("SELECT source, target, says, start, stop, chunk FROM graph_relation")
        ids = self._index.visible_ids([row[-1] for row in rows], self._groups)
        made = [Edge(row[0], row[1], row[2], ids[row[5]], row[3], row[4]) for row in rows if row[5] in ids]
        return tuple(sorted(made, key=lambda one: (one.chunk, one.start, one.source, one.target, one.says)))

    def near(self, name: str, limit: int = 3) -> tuple[str, ...]:
        """Names of visible entities that are spelled like one, or have its words."""
        from cape.names import nearest

        key = key_of(name)
        names = {entity.key: entity.name for entity in self._all.values() if entity.kind != "value"}
        containing = [one for one in names if key and key in one]
        close = [*sorted(containing, key=lambda one: (len(one), one)), *nearest(key, names)]
        return tuple(names[one] for one in dict.fromkeys(close))[:limit]

    @cached_property
    def _all(self) -> Mapping[str, Entity]:
        keys = [row[0] for row in self._index.select("SELECT DISTINCT key FROM graph_mention")]
        return self.entities(keys)

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """Rows whose last column is a chunk's number, as its id; those that are hidden are left out."""
        rows: list[tuple[Any, ...]] = []
        for at in range(0, len(values), _AT_ONCE):
            some = values[at : at + _AT_ONCE]
            rows += self._index.select(f"{query} ({', '.join('?' for _ in some)})", some)
        ids = self._index.visible_ids([row[-1] for row in rows], self._groups)
        return [(*row[:-1], ids[row[-1]]) for row in rows if row[-1] in ids]


def _entity(key: str, mentions: Sequence[tuple[str, str, int]]) -> Entity:
    names = [name for name, _, _ in mentions]
    kinds = [kind for _, kind, _ in mentions]
    return Entity(
        key=key,
        name=max(sorted(set(names)), key=names.count),
        kind=max(sorted(set(kinds)), key=kinds.count),
        chunks=tuple(sorted({chunk for _, _, chunk in mentions})),
    )
