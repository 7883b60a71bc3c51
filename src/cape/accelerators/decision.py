"""The decision: what packages may use on this machine, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cape.errors import InputError
from cape.names import System

if TYPE_CHECKING:
    from cape.accelerators import nvidia
    from cape.accelerators.machine import Machine

CUDA, ROCM, METAL, CPU = "cuda", "rocm", "metal", "cpu"


class BadAccelerator(InputError):
    """A word that names no accelerator."""

    slug = "bad-accelerator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One thing that was seen, where, and whether it speaks for an accelerator (None: it only informs)."""

    what: str
    where: str
    speaks_for: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """What packages may use: `cuda`, `rocm`, `metal` or `cpu`.

    `version` is the newest CUDA or ROCm that works here, `capability` the lowest compute capability of the
    GPUs, `targets` AMD's; None or empty where not known. `reason` is one sentence. `is_asked`: the user said
    it, for a machine that may not be this one; its version then is the least precise that was meant.
    """

    kind: str
    reason: str
    version: str | None = None
    driver: str | None = None
    capability: str | None = None
    targets: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    is_asked: bool = False


def decide(machine: Machine, *, library: bool, chosen: str | None = None) -> Accelerator:
    """The accelerator of a machine. `library`: whether its `libcuda.so.1` was found; `chosen` is the user's
    word for it (`cpu`, `cuda`, `cuda12.4`, `rocm`), which counts more than what is there."""
    from cape.accelerators import processor  # Whoever only reads conditions looks at no machine.

    features = processor.features(machine)
    if chosen:
        return _chosen(chosen, features)
    facts: list[Fact] = []
    found = _nvidia(machine, library, facts) or _amd(machine, facts) or _apple(machine, facts)
    if found is None:
        reason = next(
            (one.what for one in facts if one.speaks_for is False), "no GPU that computes was found"
        )
        found = Accelerator(kind=CPU, reason=reason)
    return _with(found, features, facts)


def _with(found: Accelerator, features: tuple[str, ...], facts: Sequence[Fact]) -> Accelerator:
    return replace(found, features=features, facts=tuple(facts))


def _chosen(word: str, features: tuple[str, ...]) -> Accelerator:
    found = re.fullmatch(r"(cuda|rocm|metal|cpu)(\d+(?:\.\d+)?)?", CPU if word == "none" else word)
    if found is None or (found[1] in (METAL, CPU) and found[2]):
        raise BadAccelerator(
            f"`{word}` is no accelerator",
            hint="`cpu` (or `none`), `cuda`, `cuda12`, `cuda12.4`, `rocm`, `rocm6` or `metal`",
        )
    fact = Fact(what=f"`{word}` was asked for", where="the user", speaks_for=True)
    return Accelerator(
        kind=found[1],
        version=found[2],
        reason=f"`{word}` was asked for",
        features=features,
        facts=(fact,),
        is_asked=True,
    )


def _nvidia(machine: Machine, library: bool, facts: list[Fact]) -> Accelerator | None:
    from cape.accelerators import nvidia

    there = nvidia.look(machine, library=library)
    if there is None:
        return None
    for gpu in there.gpus:
        can = f", compute capability {gpu.capability}" if gpu.capability else ""
        facts.append(Fact(what=f"{gpu.name}{can}", where=f"/sys/bus/pci/devices/{gpu.bus}"))
    missing = _missing(there)
    if there.driver:
        facts.append(
            Fact(
                what=f"driver {there.driver}, with CUDA {there.cuda or 'unknown'}",
                where="/proc/driver/nvidia",
            )
        )
    if missing:
        facts.append(Fact(what=missing, where="/dev, /proc/driver/nvidia", speaks_for=False))
        return None
    if there.instances:
        facts.append(Fact(what=f"{there.instances} MIG instances", where="/proc/driver/nvidia/capabilities"))
    capabilities = [gpu.capability for gpu in there.gpus if gpu.capability]
    capability = min(capabilities, key=_numbers) if capabilities else None
    what = there.gpus[0].name if there.gpus else "an NVIDIA GPU"
    through = " through Windows' driver" if there.is_subsystem else ""
    facts.append(Fact(what=f"{what}{through} can be used", where="/dev", speaks_for=True))
    return Accelerator(
        kind=CUDA,
        version=there.cuda,
        driver=there.driver,
        capability=capability,
        devices=tuple(gpu.name for gpu in there.gpus) or there.devices,
        reason=f"{what}{through}, driver {there.driver or 'of unknown version'}",
    )


def _missing(there: nvidia.Nvidia) -> str | None:
    """What keeps NVIDIA's GPUs from being used; None: nothing."""
    if there.is_subsystem:
        return None if there.library else "Windows' GPU is there, and its libcuda.so.1 is not"
    if there.driver is None:
        return "an NVIDIA GPU is there, and no driver for it is loaded"
    if there.cuda is None:
        return f"NVIDIA's driver {there.driver} is older than any CUDA that packages want"
    if not there.nodes:
        return "NVIDIA's driver is loaded, and no device is here: in a container, it was not passed on"
    if not there.devices:
        return f"this user may not open /dev/{there.nodes[0]}"
    if not there.library:
        return "NVIDIA's driver is loaded, and its libcuda.so.1 is not on this machine"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _amd(machine: Machine, facts: list[Fact]) -> Accelerator | None:
    from cape.accelerators import amd

    there = amd.look(machine)
    if there is None:
        return None
    where = "/sys/class/kfd"
    facts.append(Fact(what=f"AMD {', '.join(there.targets)}", where=where))
    if not there.has_node:
        facts.append(
            Fact(what="an AMD GPU is there, and /dev/kfd is not here", where="/dev", speaks_for=False)
        )
        return None
    if not there.may_open:
        facts.append(
            Fact(
                what="this user may not open /dev/kfd: join the group `render`",
                where="/dev",
                speaks_for=False,
            )
        )
        return None
    facts.append(Fact(what="it can be used", where="/dev/kfd", speaks_for=True))
    return Accelerator(
        kind=ROCM,
        version=there.rocm,
        targets=there.targets,
        devices=there.targets,
        reason=f"AMD {there.targets[0]}, ROCm {there.rocm or 'of the packages'}",
    )


def _apple(machine: Machine, facts: list[Fact]) -> Accelerator | None:
    if machine.system is not System.AARCH64_DARWIN:
        return None
    facts.append(Fact(what="Apple's own processor", where="uname", speaks_for=True))
    return Accelerator(kind=METAL, reason="Apple's own processor has a GPU")
