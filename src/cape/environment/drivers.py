"""The one way in for libraries of the machine: those of its GPU drivers, by name.

A driver's libraries must be of the version of the kernel's module, so no lock can hold them. They are
linked into one directory of the store; each environment has a link to it, and each program looks there
after everything of its environment. Owns which names count as a driver's and where machines keep them;
which accelerator there is, and what to do with it, is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cape.environment.relocation.elf import MACHINES, machine_of
from cape.environment.relocation.loader import triplet
from cape.environment.relocation.tree import DRIVERS
from cape.names import System

_NAMES = re.compile(
    r"lib(cuda|cudadebugger|nvcuvid|nvoptix|nvidia-[\w.-]+?|dxcore|d3d12|d3d12core"
    r"|(GLX|EGL|GLESv1_CM|GLESv2|vdpau)_nvidia)\.so(\.\d+)?\Z"
)
"""Sonames of the user-space half of NVIDIA's driver, and of the one of Windows' Linux subsystem."""

_DIRECTORIES = (
    "usr/lib/{triplet}",
    "usr/lib/{triplet}/nvidia/current",
    "usr/lib64",
    "usr/lib64/nvidia",
    "usr/lib",
    "usr/lib/wsl/lib",
    "usr/local/nvidia/lib64",
    "run/opengl-driver/lib",
)
"""Where distributions, container runtimes and Windows' Linux subsystem put them; earlier ones win."""


def is_driver_library(name: str) -> bool:
    """Whether a library of that name comes from the machine, as a part of its GPU driver."""
    return _NAMES.match(name) is not None


def driver_libraries(machine_root: Path, system: System) -> Mapping[str, Path]:
    """The driver's libraries of a machine, by the name that programs ask for, sorted.

    `machine_root` is `/`, or a directory laid out like it. A file of another processor, or a dangling
    link, is no library. Reads directories only, and the head of each file found.
    """
    found: dict[str, Path] = {}
    for directory in _DIRECTORIES:
        place = machine_root / directory.format(triplet=triplet(system))
        for name in _named_like_drivers(place):
            if name not in found and _is_for(place / name, system):
                found[name] = place / name
    return dict(sorted(found.items()))


def _named_like_drivers(directory: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from filter(is_driver_library, os.listdir(directory))


def _is_for(file: Path, system: System) -> bool:
    try:
        with open(file, "rb") as stream:
            return machine_of(stream.read(64)) == MACHINES[system.machine]
    except OSError:
        return False


def link_drivers(store: Path, machine_root: Path, system: System) -> tuple[str, ...]:
    """Bring the store's directory of drivers up to date; the names that it holds.

    Each link is replaced by a rename, so a program that starts meanwhile sees the old or the new one. On a
    machine without such a driver the directory is there and empty. Raises `OSError`.
    """
    wanted = driver_libraries(machine_root, system)
    place = store / DRIVERS
    place.mkdir(exist_ok=True)
    for name in set(os.listdir(place)) - wanted.keys():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place / name)
    for name, target in wanted.items():
        if not _points_to(place / name, target):
            temporary = place / f".{name}.{os.getpid()}"
            os.symlink(target, temporary)
            os.replace(temporary, place / name)
    return tuple(wanted)


def _points_to(link: Path, target: Path) -> bool:
    try:
        return os.readlink(link) == str(target)
    except OSError:
        return False
