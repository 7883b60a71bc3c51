"""Whether a program of the tree can be run here: an environment may be made for another kind of machine.

Owns the look at the program's file. Which programs are run, and what is told when one is not, belongs to
the modules beside this one.
"""

from __future__ import annotations

from pathlib import Path

from cape.names import System


class ForeignProgram(OSError):
    """A program for another processor than this machine's. It is not run, emulator or not."""

    def __init__(self, machine: str) -> None:
        super().__init__(f"its maker is a program for {machine}, and is not run on this machine")


def require_native(program: Path) -> None:
    """Raise `ForeignProgram` for an ELF file of another processor; scripts pass, and what is not there."""
    from cape.environment.relocation.elf import MACHINES, machine_of

    try:
        with open(program, "rb") as stream:
            number = machine_of(stream.read(20))
    except FileNotFoundError:
        return
    if number is not None and number != MACHINES.get(System.current().machine):
        names = {value: name for name, value in MACHINES.items()}
        raise ForeignProgram(names.get(number, f"processor {number}"))
