"""An activation as bytes, for the static program that enters a carried environment.

Owns the form that `src/extractor/enter.c` reads: records of fields that a zero byte ends. In values, bytes
1 and 2 enclose a variable's name; 3, 4 and 5 stand for the environment, its state and the current directory.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from cape.environment.activation import Activation, Operation, Prepend, Reference, Set, Unset

_REFERENCE, _END, _ENVIRONMENT, _STATE, _PROJECT = "\1", "\2", "\3", "\4", "\5"


_UNLESS_SET = ":"
"""A list of files of which none is ever there: the variable is left alone only where it is set already."""


def render_activation(
    activation: Activation, *, system: str, command: Sequence[str] = (), yielding: Container[str] = ()
) -> bytes:
    """The records of an activation: variables in order, the hook, and the command with its words.

    Those in `yielding` are left alone where the process has them, unless they refer to themselves.
    """
    rows = [["n", activation.name], ["y", system]]
    rows += [row for operation in activation.operations for row in _record(operation, activation, yielding)]
    if activation.hook:
        rows.append(["h", activation.hook])
    rows += [["c", word] for word in command]
    return b"".join(field.encode(errors="surrogateescape") + b"\0" for row in rows for field in row)


def _record(operation: Operation, activation: Activation, yielding: Container[str]) -> list[list[str]]:
    name = operation.name
    if isinstance(operation, Unset):
        return [["u", name]]
    if isinstance(operation, Prepend):
        return [["p", name, _placed(operation.value, activation), operation.separator]]
    if name == "VIRTUAL_ENV":
        return [["s", name, _ENVIRONMENT, ""]]
    files = ":".join(operation.unless_host_has)
    if not files and name in yielding and Reference(name) not in operation.value:
        files = _UNLESS_SET
    return [["s", name, _value(operation, activation), files]]


def _value(operation: Set, activation: Activation) -> str:
    return "".join(
        _placed(part, activation) if isinstance(part, str) else f"{_REFERENCE}{part.name}{_END}"
        for part in operation.value
    )


def _placed(text: str, activation: Activation) -> str:
    """The text with bytes for places of this machine; no text of a manifest holds such bytes by itself."""
    for byte in (_REFERENCE, _END, _ENVIRONMENT, _STATE, _PROJECT):
        text = text.replace(byte, "")
    places = ((activation.environment, _ENVIRONMENT), (activation.state, _STATE))
    for place, byte in (*places, (activation.project, _PROJECT)):
        text = text.replace(str(place), byte)
    return text
