"""NVIDIA's GPUs: the kernel's module, the devices, the libraries, and what they can do.

The numbers are public: which CUDA a driver's branch brings (CUDA's release notes), and which compute
capability the devices of a chip have (their identifiers on the bus).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cape.accelerators.machine import Machine

VENDOR = "0x10de"
_DISPLAY = ("0x0300", "0x0302")

_CUDA_OF_BRANCH: tuple[tuple[int, str], ...] = (
    (590, "13.1"), (580, "13.0"), (575, "12.9"), (570, "12.8"), (565, "12.7"), (560, "12.6"), (555, "12.5"),
    (550, "12.4"), (545, "12.3"), (535, "12.2"), (530, "12.1"), (525, "12.0"), (520, "11.8"), (515, "11.7"),
    (510, "11.6"), (495, "11.5"), (470, "11.4"), (465, "11.3"), (460, "11.2"), (455, "11.1"), (450, "11.0"),
    (440, "10.2"), (418, "10.1"), (410, "10.0"), (396, "9.2"), (390, "9.1"), (384, "9.0"), (375, "8.0"),
)  # fmt: skip
"""The newest CUDA that drivers from a branch on bring, newest first."""

_CHIPS: tuple[tuple[int, int, str, str], ...] = (
    (0x0FC0, 0x103F, "3.0", "Kepler"),
    (0x1180, 0x12BF, "3.0", "Kepler"),
    (0x1020, 0x102F, "3.5", "Kepler"),
    (0x1340, 0x13BF, "5.0", "Maxwell"),
    (0x13C0, 0x143F, "5.2", "Maxwell"),
    (0x1600, 0x17FF, "5.2", "Maxwell"),
    (0x15F0, 0x15FF, "6.0", "Pascal"),
    (0x1B00, 0x1D7F, "6.1", "Pascal"),
    (0x1D80, 0x1DFF, "7.0", "Volta"),
    (0x1E00, 0x1FFF, "7.5", "Turing"),
    (0x2180, 0x21FF, "7.5", "Turing"),
    (0x2080, 0x20FF, "8.0", "Ampere"),
    (0x2300, 0x234F, "9.0", "Hopper"),
    (0x2200, 0x25FF, "8.6", "Ampere"),
    (0x2680, 0x28FF, "8.9", "Ada"),
    (0x2900, 0x29FF, "10.0", "Blackwell"),
    (0x3180, 0x31FF, "10.3", "Blackwell"),
    (0x2B80, 0x2DFF, "12.0", "Blackwell"),
    (0x2F00, 0x2FFF, "12.0", "Blackwell"),
    (0x2E00, 0x2E7F, "12.1", "Blackwell"),
)
"""Identifiers on the bus (first, last), the compute capability, and the chip's family; the first counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU: its place on the bus, what it is called, and what it can do where that is known."""

    bus: str
    name: str
    capability: str | None
    family: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Nvidia:
    """What is there of NVIDIA's. `driver` is the version of the kernel's module, `devices` are nodes that
    this user may open, `instances` counts slices of a GPU that is split (MIG)."""

    driver: str | None
    gpus: tuple[Gpu, ...]
    nodes: tuple[str, ...]
    devices: tuple[str, ...]
    instances: int
    library: bool
    is_subsystem: bool

    @property
    def cuda(self) -> str | None:
        """The newest CUDA that the driver brings; None where its version is not known."""
        return cuda_of(self.driver) if self.driver else None


def cuda_of(driver: str) -> str | None:
    """The newest CUDA of a driver's version.

    >>> cuda_of("550.54.14"), cuda_of("340.108"), cuda_of("600.1")
    ('12.4', None, '13.1')
    """
    found = re.match(r"(\d+)", driver)
    branch = int(found[1]) if found else 0
    return next((cuda for first, cuda in _CUDA_OF_BRANCH if branch >= first), None)


def capability_of(device: str) -> tuple[str | None, str | None]:
    """Compute capability and family of a device's identifier, such as `0x20b2`."""
    try:
        number = int(device, 16)
    except ValueError:
        return None, None
    return next(
        ((one, family) for first, last, one, family in _CHIPS if first <= number <= last), (None, None)
    )


def look(machine: Machine, *, library: bool) -> Nvidia | None:
    """What is there of NVIDIA's; None where nothing is. `library`: whether a `libcuda.so.1` was found."""
    subsystem = machine.has("dev/dxg")
    nodes = tuple(name for name in machine.names("dev") if re.fullmatch(r"nvidia\d+", name))
    gpus = _gpus(machine)
    driver = _driver(machine)
    if not (gpus or nodes or driver or (subsystem and library)):
        return None
    return Nvidia(
        driver=driver,
        gpus=gpus,
        nodes=nodes,
        devices=tuple(name for name in nodes if machine.can_open(f"dev/{name}")),
        instances=_instances(machine),
        library=library,
        is_subsystem=subsystem,
    )


def _driver(machine: Machine) -> str | None:
    told = machine.text("proc/driver/nvidia/version") or ""
    found = re.search(r"(?:Kernel Module(?: for \S+)?|NVRM version:.*?)\s+(\d+\.\d+(?:\.\d+)?)\s", told + " ")
    return found[1] if found else machine.text("sys/module/nvidia/version")


def _gpus(machine: Machine) -> tuple[Gpu, ...]:
    found = []
    for bus in machine.names("sys/bus/pci/devices"):
        place = f"sys/bus/pci/devices/{bus}"
        is_gpu = (machine.text(f"{place}/class") or "").startswith(_DISPLAY)
        if is_gpu and (machine.text(f"{place}/vendor") or "").lower() == VENDOR:
            capability, family = capability_of(machine.text(f"{place}/device") or "")
            name = _model(machine, bus) or f"NVIDIA {machine.text(f'{place}/device')}"
            found.append(Gpu(bus=bus, name=name, capability=capability, family=family))
    if found:
        return tuple(found)
    told = {bus: _model(machine, bus) for bus in machine.names("proc/driver/nvidia/gpus")}
    return tuple(Gpu(bus=bus, name=model, capability=None) for bus, model in told.items() if model)


def _model(machine: Machine, bus: str) -> str | None:
    told = machine.text(f"proc/driver/nvidia/gpus/{bus}/information") or ""
    found = re.search(r"^Model:\s*(.+?)\s*$", told, re.MULTILINE)
    return found[1] if found and "Unknown" not in found[1] else None


def _instances(machine: Machine) -> int:
    count = 0
    for gpu in machine.names("proc/driver/nvidia/capabilities"):
        if gpu.startswith("gpu"):
            slices = machine.names(f"proc/driver/nvidia/capabilities/{gpu}/mig")
            count += sum(1 for one in slices if re.fullmatch(r"gi\d+", one))
    return count
