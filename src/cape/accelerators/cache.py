"""The last decision, kept for as long as boot, driver and devices are the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cape.accelerators.decision import Accelerator, Fact, decide
from cape.accelerators.machine import Machine

_SCHEMA = 1


def find_accelerator(
    machine: Machine,
    has_library: Callable[[], bool],
    *,
    environment: Mapping[str, str] = os.environ,
    fresh: bool = False,
) -> Accelerator:
    """The accelerator of a machine, from the cache where nothing changed.

    `has_library` tells whether the machine has a `libcuda.so.1`; it is asked on a miss alone. `CAPE_GPU`
    says what to take instead of what is there. A cache that cannot be written costs time only.
    """
    chosen = environment.get("CAPE_GPU") or None
    if chosen not in (None, "auto"):
        return decide(machine, library=False, chosen=chosen)
    key = _key(machine)
    file = _file(environment)
    found = None if fresh else _read(file, key)
    if found is None:
        found = decide(machine, library=has_library())
        _write(file, key, found)
    return found


def _key(machine: Machine) -> list[Any]:
    """What the decision stands on: boot, driver, and the devices with the time they were made."""
    devices = [name for name in machine.names("dev") if name.startswith(("nvidia", "kfd", "dxg"))]
    return [
        _SCHEMA,
        str(machine.root),
        str(machine.system),
        os.getuid(),
        machine.text("proc/sys/kernel/random/boot_id"),
        machine.text("sys/module/nvidia/version") or machine.text("proc/driver/nvidia/version"),
        devices,
        [_time(machine.root / "dev" / name) for name in devices],
    ]


def _time(path: Path) -> int:
    try:
        return path.stat().st_ctime_ns
    except OSError:
        return 0


def _file(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/")) / ".cache")
    return Path(base) / "cape" / "accelerator.json"


def _read(file: Path, key: list[Any]) -> Accelerator | None:
    try:
        fields = json.loads(file.read_bytes())
        if fields["key"] != key:
            return None
        told = fields["accelerator"]
        told["facts"] = tuple(Fact(**one) for one in told["facts"])
        for name in ("targets", "devices", "features"):
            told[name] = tuple(told[name])
        return Accelerator(**told)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, key: list[Any], found: Accelerator) -> None:
    from cape.names import write_atomically

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps({"key": key, "accelerator": asdict(found)}).encode(), mode=0o600)
    except OSError:
        return
