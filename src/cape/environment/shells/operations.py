"""Operations as calls of a shell's own functions: one word order for all shells.

Owns the text `_cape_set NAME VALUE` and its like. What those functions do is the shells'; how a word is
quoted is passed in, since fish has other quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from cape.environment.activation import Operation, Prepend, Set, Unset, Value


def calls(
    operations: Iterable[Operation], quoted: Callable[[str], str], quoted_value: Callable[[Value], str]
) -> Iterator[str]:
    """One line for each operation."""
    for operation in operations:
        name = operation.name
        if isinstance(operation, Unset):
            yield f"_cape_unset {name}"
        elif isinstance(operation, Prepend):
            yield f"_cape_prepend {name} {quoted(operation.value)} {quoted(operation.separator)}"
        else:
            yield _guard(operation, quoted) + f"_cape_set {name} {quoted_value(operation.value)}"


def _guard(operation: Set, quoted: Callable[[str], str]) -> str:
    if not operation.unless_host_has:
        return ""
    return f"_cape_had {operation.name} {' '.join(map(quoted, operation.unless_host_has))} || "


def prompt_prefix(name: str) -> str:
    """The environment's name for the prompt, without what a prompt would expand."""
    return f"({re.sub(r'[^A-Za-z0-9._ @+-]', '_', name)}) "
