"""A sum of memory: parts with their names, and what could not be summed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of the sum. `on_gpu`: it lies in a GPU's memory, where there is one that is used."""

    name: str
    size_bytes: int
    on_gpu: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What is resident at the fullest. `unknown` names what could not be summed; empty where all was."""

    parts: tuple[Part, ...]
    unknown: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)

    def part(self, name: str) -> int:
        """The bytes of a part; 0 where there is none of that name."""
        return sum(part.size_bytes for part in self.parts if part.name == name)


def largest(fits: Callable[[int], bool], *, step: int, most: int) -> int | None:
    """The largest number, in steps, that fits; None where one step does not.

    What does not fit must not fit with a larger number either.

    >>> largest(lambda number: 10 * number <= 77, step=2, most=100)
    6
    """
    low, high = 0, most // step
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle - 1)
    return low * step or None
