"""`cape gpu`: which accelerator this machine has, by files alone."""

from __future__ import annotations

from cape.accelerators import Accelerator, Machine, find_accelerator
from cape.environment.drivers import driver_libraries


def this_accelerator(*, fresh: bool = False) -> Accelerator:
    """The accelerator that packages may use here. Raises `BadAccelerator` for a wrong `CAPE_GPU`."""
    machine = Machine()

    def has_library() -> bool:
        return "libcuda.so.1" in driver_libraries(machine.root, machine.system)

    return find_accelerator(machine, has_library, fresh=fresh)
