"""What this machine has of memory: the processor's, within the limits of control groups, and the GPUs'.

Everything is read from small files of the kernel's, but for NVIDIA's memory, which only the driver's own
`nvidia-smi` tells: it is asked where a GPU of NVIDIA's can be used.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ASKING_S = 10
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuMemory:
    """A GPU's memory: all of it, and what nobody uses."""

    name: str
    size_bytes: int
    free_bytes: int


def free_memory(root: Path = Path("/")) -> int:
    """The bytes that are free or can be freed, and no more than the control groups at hand leave."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return max(0, min([free, *_left_by_groups(root)]))


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each control group that this process is in leaves: its limit without what cannot be freed."""
    for directory, limit, used in _groups(root):
        try:
            most = int((directory / limit).read_text())
            had = int((directory / used).read_text())
        except (OSError, ValueError):
            continue
        yield most - had + _reclaimable(directory)


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """The directories of control groups, from this process's own up to the outermost."""
    try:
        told = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        told = []
    for line in (*told, "0::/", "0:memory:/"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers
            else ("memory.max", "memory.current")
        )
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for length in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:length]), *names


def _reclaimable(directory: Path) -> int:
    """Pages of files that count in a group, and that the kernel drops when others are wanted."""
    try:
        told = (directory / "memory.stat").read_text()
    except OSError:
        return 0
    found = re.search(r"^(?:total_)?inactive_file (\d+)$", told, re.MULTILINE)
    return int(found[1]) if found else 0


def gpu_memories(kind: str, root: Path = Path("/")) -> tuple[GpuMemory, ...]:
    """The memory of each GPU of a kind (`cuda`, `rocm`); empty where it is not known."""
    if kind == "cuda":
        return _nvidia()
    return tuple(_amd(root)) if kind == "rocm" else ()


def _nvidia() -> tuple[GpuMemory, ...]:
    """As `nvidia-smi` tells it; of a GPU that is split, the whole GPU's."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    words = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=_ASKING_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = [re.fullmatch(r"(.+), *(\d+), *(\d+)", line.strip()) for line in told.splitlines()]
    return tuple(
        GpuMemory(name=one[1], size_bytes=int(one[2]) * _MIB, free_bytes=int(one[3]) * _MIB)
        for one in found
        if one
    )


def _amd(root: Path) -> Iterator[GpuMemory]:
    for device in sorted((root / "sys/class/drm").glob("card*/device")):
        try:
            size = int((device / "mem_info_vram_total").read_text())
            used = int((device / "mem_info_vram_used").read_text())
        except (OSError, ValueError):
            continue
        yield GpuMemory(name=f"AMD {device.parent.name}", size_bytes=size, free_bytes=size - used)
