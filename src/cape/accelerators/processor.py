"""The processor's own features, which decide how quick it is without a GPU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cape.names import System

if TYPE_CHECKING:
    from cape.accelerators.machine import Machine

_LEVELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("x86-64-v4", frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})),
    ("x86-64-v3", frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"})),
    ("x86-64-v2", frozenset({"cx16", "popcnt", "sse4_1", "sse4_2", "ssse3"})),
)
_TOLD = ("amx_tile", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "sve2", "sve", "i8mm", "bf16", "asimd")

FEATURES = (*(name for name, _ in _LEVELS), *_TOLD)
"""Every feature that may be told, but the plain `x86-64`."""

_OF_ARM = frozenset({"sve2", "sve", "i8mm", "bf16", "asimd"})


def features_of(system: System) -> frozenset[str]:
    """The features that processors of a system may have and tell."""
    if not system.is_linux:
        return frozenset()
    return _OF_ARM if system is System.AARCH64_LINUX else frozenset(FEATURES) - _OF_ARM


def has_feature(told: tuple[str, ...], wanted: str) -> bool:
    """Whether a processor has a feature; a level brings those below it."""
    levels = [name for name, _ in _LEVELS]
    if wanted in levels:
        return any(level in told for level in levels[: levels.index(wanted) + 1])
    return wanted in told


def features(machine: Machine) -> tuple[str, ...]:
    """The level of an x86-64 processor, then what else matters for arithmetic; empty where none is told."""
    told = machine.text("proc/cpuinfo") or ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", told, re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    level = ""
    if machine.system in (System.X86_64_LINUX, System.X86_64_DARWIN) and flags:
        level = next((name for name, needed in _LEVELS if _all_below(name, flags)), "x86-64")
    return tuple(one for one in (level, *(name for name in _TOLD if name in flags)) if one)


def _all_below(level: str, flags: set[str]) -> bool:
    at = [name for name, _ in _LEVELS].index(level)
    return all(needed <= flags for _, needed in _LEVELS[at:])
