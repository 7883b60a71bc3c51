"""Ways through a graph: by rustworkx where it is installed, else by the same steps in Python.

Owns the cost of a step. It reads no index.
"""

from __future__ import annotations

import heapq
import importlib.util
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cape.knowledge.graph.reading import Edge, Entity


def shortest(
    edges: Sequence[Edge], entities: Mapping[str, Entity], source: str, target: str
) -> tuple[Edge, ...]:
    """The relations of a cheapest way; empty where there is none. Steps to crowded entities cost more."""
    usable = [one for one in edges if _leads_on(one, entities, source, target)]
    costs = {key: 1.0 + math.log1p(len(entity.chunks)) / 4 for key, entity in entities.items()}
    find = _by_rustworkx if importlib.util.find_spec("rustworkx") else by_heap
    keys = find(usable, costs, source, target)
    first: dict[frozenset[str], Edge] = {}
    for edge in usable:
        first.setdefault(frozenset((edge.source, edge.target)), edge)
    return tuple(first[frozenset(pair)] for pair in pairwise(keys))


def _leads_on(edge: Edge, entities: Mapping[str, Entity], source: str, target: str) -> bool:
    """Whether both ends may be passed: two things of the same weight have nothing to do with each other."""
    ends = [entities.get(edge.source), entities.get(edge.target)]
    return all(one is not None and (one.kind != "value" or one.key in (source, target)) for one in ends)


def _by_rustworkx(edges: Sequence[Edge], costs: Mapping[str, float], source: str, target: str) -> list[str]:
    import rustworkx

    graph: Any = rustworkx.PyGraph(multigraph=False)
    keys = sorted({key for edge in edges for key in (edge.source, edge.target)})
    at = dict(zip(keys, graph.add_nodes_from(keys), strict=True))
    if source not in at or target not in at:
        return []
    for edge in edges:
        cost = (costs[edge.source] + costs[edge.target]) / 2
        graph.add_edge(at[edge.source], at[edge.target], cost)
    paths = rustworkx.dijkstra_shortest_paths(graph, at[source], target=at[target], weight_fn=float)
    return [graph[node] for node in paths[at[target]]] if at[target] in paths else []


def by_heap(edges: Sequence[Edge], costs: Mapping[str, float], source: str, target: str) -> list[str]:
    """The keys along a cheapest way, by Dijkstra's steps; of equal ones the first by name."""
    beside: dict[str, set[str]] = {}
    for edge in edges:
        beside.setdefault(edge.source, set()).add(edge.target)
        beside.setdefault(edge.target, set()).add(edge.source)
    waiting: list[tuple[float, tuple[str, ...]]] = [(0.0, (source,))]
    done: set[str] = set()
    while waiting:
        cost, way = heapq.heappop(waiting)
        here = way[-1]
        if here == target:
            return list(way)
        if here in done:
            continue
        done.add(here)
        for other in beside.get(here, ()):
            if other not in done:
                heapq.heappush(waiting, (cost + (costs[here] + costs[other]) / 2, (*way, other)))
    return []
