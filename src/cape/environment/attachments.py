"""Attachments: who is inside a project's environment right now.

Owns `<project>/.cape/attached/`: a file per shell or command, named by its pid. The first line is the time
at which the kernel started that process, the second the key of what was entered, the number of its start
(`-`: entered from inside), and how. An entry counts while a process with that pid and time lives, so that
one which nobody took away is harmless. A shell that leaves empties its entry, without a process. The texts
by which shells write entries are `shells.attaching`'s; what happens when the first comes and the last leaves
is `shells.hooks`'.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

KEY_NAME = 16
"""How much of its environment's name in the store a key begins with; then comes a point, and a digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A living process that is inside. `start` is its time in clock ticks since boot, as the kernel says it.

    `key` names what was entered, `number` the start of it (None: entered from inside), `how` is `run` or a
    shell's name.
    """

    pid: int
    start: str
    key: str
    number: int | None
    how: str

    @property
    def environment(self) -> str | None:
        """What the name of its environment in the store begins with; None where the entry does not say."""
        name, point, _ = self.key.partition(".")
        return name if point and name else None


def directory_of(project: Path) -> Path:
    """Where a project's entries are."""
    return project / ".cape" / "attached"


def alive(project: Path) -> tuple[Attachment, ...]:
    """Everybody who is inside, by pid. Stale entries and files that are none are passed over."""
    try:
        names = os.listdir(directory_of(project))
    except OSError:
        return ()
    pids = sorted(int(name) for name in names if name.isascii() and name.isdigit())
    found = (_read(directory_of(project) / str(pid), pid) for pid in pids)
    return tuple(one for one in found if one is not None and start_of(one.pid) == one.start)


def _read(file: Path, pid: int) -> Attachment | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    key, number, how = [*(lines[1].split() if len(lines) > 1 else ()), "", "", ""][:3]
    return Attachment(
        pid=pid, start=lines[0], key=key, number=int(number) if number.isdecimal() else None, how=how
    )


def start_of(pid: int) -> str | None:
    """The time at which a living process was started; None where there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(") ")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None
