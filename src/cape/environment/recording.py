"""What a hook did to the variables that it exported, as operations that every shell can take over.

Started by the hook's shell at its end, if anything differs: what the kernel keeps of that shell's first
variables is the state before, this process's own variables are the state after. A value that only got
something in front or behind is told as that, so that it composes with the variables of whoever enters later.
Values go into files of mode 0600 of the start's directory and nowhere else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cape.environment.activation import NAME, SHELLS_OWN, Operation, Prepend, Reference, Set, Unset
from cape.environment.shells.operations import calls
from cape.environment.shells.quoting import fish_quoted, fish_value, quoted, quoted_value
from cape.names import write_atomically

ORIGIN = "hook.on-activate"
FILES = ("variables.sh", "variables.fish", "variables.json")
_LISTS = ("PATH", "DIRS")


def main() -> int:
    """`HOME`: write the files of the start's directory; none where nothing differs."""
    home = Path(sys.argv[1])
    try:
        before = _first_variables(os.getppid())
    except OSError:
        return 0
    found = tuple(changes(before, dict(os.environ)))
    if found:
        write(home, found)
    return 0


def _first_variables(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry)
    return {name: value for name, _, value in pairs}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Operation]:
    """What leads from the one to the other, by name."""
    for name in sorted({*before, *after}):
        if not NAME.match(name) or SHELLS_OWN.match(name) or before.get(name) == after.get(name):
            continue
        if name not in after:
            yield Unset(name=name, origin=ORIGIN)
        else:
            yield _change(name, before.get(name, ""), after[name])


def _change(name: str, old: str, new: str) -> Operation:
    if old and name.endswith(_LISTS):
        if new.endswith(f":{old}"):
            return Prepend(name=name, value=new.removesuffix(f":{old}"), origin=ORIGIN)
        if new.startswith(f"{old}:"):
            return Set(name=name, value=(Reference(name), new.removeprefix(old)), origin=ORIGIN)
        at = f":{new}:".find(f":{old}:")
        if at > 0:
            rest = new[at + len(old) :]
            return Set(name=name, value=(new[:at], Reference(name), rest), origin=ORIGIN)
    return Set(name=name, value=(new,), origin=ORIGIN)


def write(home: Path, operations: tuple[Operation, ...]) -> None:
    """Write the operations for each kind of shell, and for people; the one for most shells last."""
    from cape.environment.activation import recorded_operations

    texts = {
        "variables.json": json.dumps({"schema_version": 1, "operations": recorded_operations(operations)}),
        "variables.fish": "\n".join(calls(operations, fish_quoted, fish_value)),
        "variables.sh": "\n".join(calls(operations, quoted, quoted_value)),
    }
    for name, text in texts.items():
        write_atomically(home / name, os.fsencode(text + "\n"), mode=0o600)
