"""What adoption gives: wishes with their places, variables, hooks, and what could not be mapped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A package that a file asks for. `constraint` is in the language of its source.

    A wish is not `certain` when its name is another ecosystem's, taken over as it is: a source must
    confirm that it has such a package.
    """

    source: str
    package: str
    where: str
    constraint: str = "*"
    extras: tuple[str, ...] = ()
    certain: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmapped:
    """Something that a file says and cape's manifest cannot: its place, its text, and why."""

    where: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: `{self.text}`: {self.reason}"


@dataclass(slots=True)
class Reading:
    """What one file, or all, gave; readers add to it."""

    wishes: list[Wish] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)
    followed: dict[str, str] = field(default_factory=dict)
    """Files that the manifest may name instead of repeating them, by its section: `python`, `npm`."""
    files: list[str] = field(default_factory=list)

    def leave(self, where: str, text: str, reason: str) -> None:
        """Note something that is not mapped; a long text is cut."""
        line = " ".join(text.split())
        self.unmapped.append(
            Unmapped(where=where, text=line if len(line) <= 80 else line[:79] + "…", reason=reason)
        )

    def leave_all(self, where: str, texts: Iterable[str], reason: str) -> None:
        for text in texts:
            self.leave(where, text, reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Adoption:
    """What a directory's files come to: one wish per package and source, in the files' order."""

    files: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    hooks: tuple[str, ...] = ()
    followed: tuple[tuple[str, str], ...] = ()
    """Section of the manifest, and the file that it names as the project's."""
    unmapped: tuple[Unmapped, ...] = ()
