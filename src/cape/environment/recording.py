"""What a hook did to the variables that it exported, as operations that every shell can take over.

Owns the text at the end of a hook's shell that finds it out (`shells/record.sh`), and reading what it wrote:
a file of calls for POSIX shells, and one for fish, both of mode 0600 in the start's directory. A start's
files are read only once its `claim` says that the hook is done, and go with the next start, so they are not
synced to disk. Values go there and nowhere else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cape.environment.activation import OWN_NAMES, Operation, Prepend, Reference, Set, Unset

ORIGIN = "hook.on-activate"
LISTS = ("PATH", "DIRS")
"""How names of variables end that are lists with `:` between."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PART = re.compile(rf"""'([^']*)'|\\(')|"\$\{{({_NAME})-\}}\"""")
_CALL = re.compile(
    rf"""_cape_(set|unset|prepend) ({_NAME})(?: ((?:'[^']*'|\\'|"\$\{{{_NAME}-\}}")+))?(?: ':')?\n"""
)


def recorder() -> str:
    """Functions of POSIX sh; `_cape_record BEFORE AFTER DIRECTORY` writes the files."""
    text = (Path(__file__).parent / "shells" / "record.sh").read_text(encoding="utf-8")
    lists = " | ".join(f"*{ending}" for ending in LISTS)
    return text.replace("@OWN@", " | ".join(OWN_NAMES)).replace("@LISTS@", lists)


def read_recorded(file: Path) -> tuple[Operation, ...]:
    """The operations in a file of calls for POSIX shells; none where it is not there, or damaged."""
    try:
        text = os.fsdecode(file.read_bytes())
    except OSError:
        return ()
    operations: list[Operation] = []
    at = 0
    while call := _CALL.match(text, at):
        operations.append(_operation(*call.groups(default="")))
        at = call.end()
    return tuple(operations) if at == len(text) else ()


def _operation(verb: str, name: str, word: str) -> Operation:
    if verb == "unset":
        return Unset(name=name, origin=ORIGIN)
    parts: list[str | Reference] = []
    for literal, quote, reference in _PART.findall(word):
        if reference:
            parts.append(Reference(reference))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += literal + quote
        else:
            parts.append(literal + quote)
    if verb == "prepend":
        return Prepend(
            name=name, value="".join(part for part in parts if isinstance(part, str)), origin=ORIGIN
        )
    return Set(name=name, value=tuple(parts), origin=ORIGIN)
