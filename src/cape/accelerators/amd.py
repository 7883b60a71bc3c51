"""AMD's GPUs, as the kernel's compute driver (`amdkfd`) tells of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cape.accelerators.machine import Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Amd:
    """What is there of AMD's: targets such as `gfx942`, whether this user may open the device, and ROCm's
    version on the machine (None: not installed)."""

    targets: tuple[str, ...]
    has_node: bool
    may_open: bool
    rocm: str | None


def look(machine: Machine) -> Amd | None:
    """What is there of AMD's that can compute; None where nothing is."""
    targets = []
    nodes = "sys/class/kfd/kfd/topology/nodes"
    for node in machine.names(nodes):
        properties = dict(
            line.split(None, 1)
            for line in (machine.text(f"{nodes}/{node}/properties") or "").splitlines()
            if len(line.split(None, 1)) == 2
        )
        if int(properties.get("simd_count", "0")) and (
            target := target_of(properties.get("gfx_target_version", "0"))
        ):
            targets.append(target)
    if not targets:
        return None
    return Amd(
        targets=tuple(targets),
        has_node=machine.has("dev/kfd"),
        may_open=machine.can_open("dev/kfd"),
        rocm=_rocm(machine),
    )


def target_of(version: str) -> str | None:
    """The compiler's name of a target version.

    >>> target_of("90402"), target_of("110000"), target_of("90010"), target_of("0")
    ('gfx942', 'gfx1100', 'gfx90a', None)
    """
    number = int(version) if version.isdigit() else 0
    if not number:
        return None
    return f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}"


def _rocm(machine: Machine) -> str | None:
    told = machine.text("opt/rocm/.info/version") or machine.text("opt/rocm/.info/version-dev") or ""
    found = re.match(r"\d+\.\d+(\.\d+)?", told)
    return found[0] if found else None
