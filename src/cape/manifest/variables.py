"""References among the variables of `[vars]`.

Owns finding them, ordering variables by them, and finding rings. No variable is expanded here: that is
the shell's, when the environment is activated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))")


class Ring(Exception):
    """Variables that refer to each other; `members` in the order of reference."""

    def __init__(self, members: tuple[str, ...]) -> None:
        super().__init__(" -> ".join(members))
        self.members = members


def references(value: str) -> tuple[str, ...]:
    """The variables that a value refers to, in order, each once."""
    return tuple(dict.fromkeys(braced or bare for braced, bare in _REFERENCE.findall(value)))


def in_order(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, each after those that it refers to, and otherwise in their own order.

    A variable that refers to itself means its value from outside, and makes no ring. Raises `Ring`.
    """
    edges = {
        name: [other for other in references(value) if other in variables and other != name]
        for name, value in variables.items()
    }
    done: dict[str, str] = {}
    for name in variables:
        _visit(name, edges, variables, done)
    return done


def _visit(
    first: str, edges: Mapping[str, list[str]], variables: Mapping[str, str], done: dict[str, str]
) -> None:
    trail = [first]
    while trail:
        name = trail[-1]
        waiting = next((other for other in edges[name] if other not in done), None)
        if waiting is None:
            done.setdefault(name, variables[name])
            trail.pop()
        elif waiting in trail:
            raise Ring(tuple(trail[trail.index(waiting) :]))
        else:
            trail.append(waiting)
