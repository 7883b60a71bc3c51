"""Operations as calls of a shell's own functions: one word order for all shells.

Owns the text `_cape_set NAME VALUE` and its like. What those functions do is the shells'; how a word is
quoted is passed in, since fish has other quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from cape.environment.activation import (
    LEADING_TO_THE_HOST,
    Activation,
    Operation,
    Prepend,
    Set,
    Unset,
    Value,
    pure_path,
)


def calls(
    operations: Iterable[Operation], quoted: Callable[[str], str], quoted_value: Callable[[Value], str]
) -> Iterator[str]:
    """One line for each operation."""
    for operation in operations:
        name = operation.name
        if isinstance(operation, Unset):
            yield f"_cape_unset {name}"
        elif isinstance(operation, Prepend):
            words = [operation.value, operation.separator, operation.otherwise]
            yield " ".join(["_cape_prepend", name, *(quoted(word) for word in words if word)])
        else:
            yield _guard(operation, quoted) + f"_cape_set {name} {quoted_value(operation.value)}"


def pure_operations(activation: Activation) -> Iterator[Operation]:
    """What `--pure` does before all others: what leads to the machine goes, PATH is the closure's."""
    for name in LEADING_TO_THE_HOST:
        yield Unset(name=name, origin="pure")
    yield Set(name="PATH", value=(":".join(pure_path(activation.environment)),), origin="pure")


def _guard(operation: Set, quoted: Callable[[str], str]) -> str:
    if not operation.unless_host_has:
        return ""
    return f"_cape_had {operation.name} {' '.join(map(quoted, operation.unless_host_has))} || "


def prompt_prefix(name: str) -> str:
    """The environment's name for the prompt, without what a prompt would expand."""
    return f"({re.sub(r'[^A-Za-z0-9._ @+-]', '_', name)}) "
