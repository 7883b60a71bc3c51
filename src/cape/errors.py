"""The error tree of cape.

    CapeError
    ├── InputError        1   what was asked for is wrong (a manifest, an argument, a requirement)
    ├── StateError        1   what was asked for would work in another state
    ├── UsageError        2   the command line is wrong
    ├── IntegrityError    3   a digest or a signature is wrong
    └── SourceError       4   a registry, a tool or a service failed

Every class has a slug (kebab-case, stable, documented in `docs/reference/errors.md`), and every error
four parts: the fact, where it was found, its cause (`raise ... from ...`), and a hint that says what to
do now. Rooms define their own leaves below these five classes. Bugs are plain Python errors.
This module imports nothing of ours, and nothing that prints belongs here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol


class Explained(Protocol):
    """What an error may have beside its sentence: a longer explanation."""

    def lines(self) -> Sequence[str]:
        """The explanation for people."""

    def fields(self) -> Mapping[str, object]:
        """The explanation for machines, as JSON values."""


class CapeError(Exception):
    """An error that a user can act on.

    `fact` says what was found, `where` names the place (`cape.toml:14:1`, a path, a registry), `hint`
    what to do now. Literals stand in backticks; a one-sentence fact has no full stop. `also` holds other
    errors that were found in the same place (all that is wrong with a manifest); this one is the first.
    `explanation` is what a sentence cannot say; None for almost all errors.
    """

    slug: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, fact: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.where = where
        self.hint = hint
        self.also: tuple[CapeError, ...] = ()
        self.explanation: Explained | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.fact}" if self.where else self.fact

    def causes(self) -> Iterator[str]:
        """The chain of causes, nearest first, one line each, without what the one before says already."""
        said, cause = str(self), self.__cause__
        while cause is not None:
            text = str(cause) or type(cause).__name__
            if text not in said:
                yield text
            said, cause = text, cause.__cause__


class InputError(CapeError):
    """The request is wrong: a manifest, a requirement, an argument's value."""

    slug = "input-error"


class StateError(CapeError):
    """The request is right, but the project, the store or the machine is not in a state for it."""

    slug = "state-error"


class DiskFull(StateError):
    """A file system has no room, or the user's quota is used up."""

    slug = "disk-full"


class UsageError(CapeError):
    """The command line does not say a command."""

    slug = "usage-error"
    exit_code = 2


class IntegrityError(CapeError):
    """Bytes are not what a digest or a signature says that they are."""

    slug = "integrity-error"
    exit_code = 3


class SourceError(CapeError):
    """A registry, a tool or a service failed, was unreachable, or answered garbage."""

    slug = "source-error"
    exit_code = 4
