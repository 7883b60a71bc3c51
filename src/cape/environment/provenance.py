"""Where each part of a variable's value comes from.

Owns following an activation's operations with the origin of every piece. Pure: what is outside comes in as
a mapping. The value of a secret has no text here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cape.environment.activation import Activation, Operation, Prepend, Reference, Set, Unset

OUTSIDE = "from outside"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a value and what set it. `text` is None for what may not be shown."""

    text: str | None
    origin: str
    variable: str


Pieces = tuple[Piece, ...]


def pieces_inside(
    activation: Activation, later: Iterable[Operation], outside: Mapping[str, str]
) -> dict[str, Pieces]:
    """Every variable inside, in pieces; `later` is what the hook did. Taken away variables are not there."""
    inside: dict[str, Pieces] = {name: (_outside(name, value),) for name, value in outside.items()}
    for secret in activation.secrets:
        inside[secret.name] = (Piece(text=None, origin=secret.origin, variable=secret.name),)
    for operation in (*activation.operations, *later):
        _follow(operation, inside)
    return inside


def _outside(name: str, value: str) -> Piece:
    return Piece(text=value, origin=OUTSIDE, variable=name)


def _follow(operation: Operation, inside: dict[str, Pieces]) -> None:
    name = operation.name
    if isinstance(operation, Unset):
        inside.pop(name, None)
    elif isinstance(operation, Prepend):
        front = Piece(text=operation.value, origin=operation.origin, variable=name)
        present = inside.get(name, ())
        if not text_of(present):
            inside[name] = (replace(front, text=operation.value + operation.otherwise),)
        elif (text_of(present) or "").split(operation.separator)[0] != operation.value:
            inside[name] = (replace(front, text=operation.value + operation.separator), *present)
    elif not (operation.unless_host_has and name in inside):
        inside[name] = _set(operation, inside)


def _set(operation: Set, inside: Mapping[str, Pieces]) -> Pieces:
    found: list[Piece] = []
    for part in operation.value:
        if isinstance(part, Reference):
            found += inside.get(part.name, ())
        else:
            found.append(Piece(text=part, origin=operation.origin, variable=operation.name))
    return tuple(found) or (Piece(text="", origin=operation.origin, variable=operation.name),)


def text_of(pieces: Pieces) -> str | None:
    """The whole value; None where a part may not be shown."""
    texts = [piece.text for piece in pieces]
    return None if None in texts else "".join(text for text in texts if text is not None)


def entries(pieces: Pieces, separator: str = ":") -> list[Pieces]:
    """The entries of a list, each in its pieces."""
    found: list[list[Piece]] = [[]]
    for piece in pieces:
        first, *rest = (piece.text or "").split(separator) if piece.text is not None else [None]
        if first or first is None:
            found[-1].append(replace(piece, text=first))
        for text in rest:
            found.append([replace(piece, text=text)] if text else [])
    return [tuple(entry) for entry in found if entry]


def without_own(present: str, own: Iterable[str], separator: str = ":") -> str:
    """A list as it is inside, without the entries that the environment brought: what was there outside."""
    brought = set(own)
    return separator.join(entry for entry in present.split(separator) if entry not in brought)
