"""What a machine has of memory, from trees of files that are laid out as kernels lay them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cape.operations.memory import free_memory, gpu_memories

GIB = 1 << 30


def machine(place: Path, files: dict[str, str]) -> Path:
    """A root with files."""
    for path, text in {"proc/meminfo": f"MemAvailable: {16 * GIB // 1024} kB\n", **files}.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return place


def test_free_memory_is_what_the_kernel_says_where_there_are_no_limits(tmp_path: Path) -> None:
    assert free_memory(machine(tmp_path, {})) == 16 * GIB


def test_the_narrowest_group_above_a_process_counts_without_what_can_be_freed(tmp_path: Path) -> None:
    groups = {
        "proc/self/cgroup": "0::/outer/inner\n",
        "sys/fs/cgroup/outer/inner/memory.max": "max\n",
        "sys/fs/cgroup/outer/inner/memory.current": f"{GIB}\n",
        "sys/fs/cgroup/outer/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/outer/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/outer/memory.stat": f"anon 1\ninactive_file {GIB}\n",
    }
    assert free_memory(machine(tmp_path, groups)) == 2 * GIB


def test_limits_of_the_older_kind_of_groups_count(tmp_path: Path) -> None:
    groups = {
        "proc/self/cgroup": "5:cpu:/\n4:memory:/job\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{GIB}\n",
    }
    assert free_memory(machine(tmp_path, groups)) == GIB


def test_a_group_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    groups = {"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "2000\n"}
    assert free_memory(machine(tmp_path, groups)) == 0


def test_memory_of_amd_gpus_is_read_from_the_kernel(tmp_path: Path) -> None:
    card = "sys/class/drm/card1/device"
    root = machine(
        tmp_path,
        {f"{card}/mem_info_vram_total": str(24 * GIB), f"{card}/mem_info_vram_used": str(GIB)},
    )
    (found,) = gpu_memories("rocm", root)
    assert (found.size_bytes, found.free_bytes) == (24 * GIB, 23 * GIB)
    assert gpu_memories("cpu", root) == ()


@pytest.mark.parametrize(
    ("said", "free"),
    [("NVIDIA A100-SXM4-40GB, 40960, 40000\n", 40000 << 20), ("No devices were found\n", None)],
)
def test_memory_of_nvidia_gpus_is_what_the_drivers_program_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, free: int | None
) -> None:
    """The driver's program has no stand-in but a stub: there is no such GPU here."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = gpu_memories("cuda")
    assert [gpu.free_bytes for gpu in found] == ([free] if free else [])
