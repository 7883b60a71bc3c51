"""Ending what a supervisor left that was killed, and its guardian with it.

Owns finding such processes: by the mark in their variables, and by the sessions that the supervisor started.
Both are this user's own, of this boot, and of that supervisor, or they are left alone.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cape.services import kernel
from cape.services.running import TOKEN
from cape.services.supervisor import RECORD, STATUS

_ROUNDS = 200


def sweep(home: Path) -> int:
    """Kill what the last supervisor of `home` left, until nothing is; the number of processes."""
    record, status = _read(home / RECORD), _read(home / STATUS)
    token = record.get("token") or status.get("token")
    if not token:
        return 0
    is_its_own = status.get("token") == token and status.get("boot") == kernel.boot()
    sessions = _sessions(status) if is_its_own else {}
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        left = _left(str(token), sessions)
        if not left:
            break
        for one in left:
            killed.add(one.pid)
            kernel.send(one.pid, signal.SIGKILL)
        time.sleep(0.01)
    return len(killed)


def _sessions(status: Mapping[str, Any]) -> dict[int, str]:
    """The sessions that were started, each with its leader's start."""
    try:
        return {int(session): str(start) for session, start in status["sessions"]}
    except (KeyError, TypeError, ValueError):
        return {}


def _left(token: str, sessions: Mapping[int, str]) -> list[kernel.Process]:
    table = kernel.processes()
    leaders = {one.pid: one.start for one in table}
    ours = {sid for sid, start in sessions.items() if leaders.get(sid, start) == start}
    entry = f"{TOKEN}={token}:".encode()
    found = [
        one
        for one in table
        if one.pid != os.getpid() and (one.session in ours or kernel.has_variable(one.pid, entry))
    ]
    roots = {one.pid for one in found}
    return [*found, *kernel.descendants(roots, table)]


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
