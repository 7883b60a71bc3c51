"""Conflicts: what cannot hold together, why, and what would.

Owns the one form of an explanation, whatever source it comes from, and the search for the smallest set of
members that cannot hold together. Whether some of them hold is asked of the caller: no source is known
here, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from cape.sources.protocol import Requirement

T = TypeVar("T")

SHOWN = 3
"""How many relaxations an explanation has at most."""


class Way(StrEnum):
    """What a relaxation changes, from the least to the most."""

    CONSTRAINT = "constraint"
    EXPOSE = "expose"
    AGE = "minimum-age"
    ADD = "add"
    SUITE = "suite"
    REMOVE = "remove"


@dataclass(frozen=True, kw_only=True, slots=True)
class Relaxation:
    """A change that resolves a conflict, and was tried.

    `lines` are what to write, `where` the place of what they replace (None: they are new). `steps` says how
    far it goes among those of its way: the fewer, the nearer. `gives` are the versions that it leads to.
    """

    way: Way
    lines: tuple[str, ...]
    sentence: str
    where: str | None = None
    steps: int = 0
    gives: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """Nearest first; of equal ones the one that was found first."""
        return (list(Way).index(self.way), self.steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why requirements cannot hold together.

    `written` has for each requirement the line that asks for it. `reasons` is the chain from the
    requirements to the clash, a sentence a step. `is_smallest` is false where time ended the search:
    then some of the requirements may have no part in it. `is_whole` is false where the manifest has
    another conflict besides: the relaxations resolve this one. `is_searched` is false where time ended the
    search for relaxations.
    """

    requirements: tuple[Requirement, ...]
    written: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    relaxations: tuple[Relaxation, ...] = ()
    is_smallest: bool = True
    is_whole: bool = True
    is_searched: bool = True

    def lines(self) -> tuple[str, ...]:
        """The explanation for people."""
        width = max((len(_place(one)) for one in self.requirements), default=0)
        shown = [
            f"  {_place(one).ljust(width)}  {line}"
            for one, line in zip(self.requirements, self.written, strict=True)
        ]
        if self.reasons:
            shown += ["because", *(f"  {reason}" for reason in self.reasons)]
        if not self.is_smallest:
            shown.append("note: time ended the search for the smallest set; some of these may be innocent")
        if self.relaxations:
            shown.append("each of these was tried, and resolves it:")
            for relaxation in self.relaxations:
                shown += _relaxation_lines(relaxation)
        if not self.is_whole:
            shown.append("note: the manifest has another conflict besides this one")
        if not self.is_searched:
            shown.append("note: time ended the search for ways out")
        return tuple(shown)

    def fields(self) -> Mapping[str, object]:
        """The explanation for machines."""
        return {
            "requirements": [
                {
                    "source": one.source,
                    "name": one.name,
                    "package": one.package,
                    "constraint": one.constraint,
                    "where": one.where,
                    "line": line,
                }
                for one, line in zip(self.requirements, self.written, strict=True)
            ],
            "reasons": list(self.reasons),
            "relaxations": [
                {
                    "way": str(one.way),
                    "sentence": one.sentence,
                    "where": one.where,
                    "lines": list(one.lines),
                    "gives": list(one.gives),
                }
                for one in self.relaxations
            ],
            "smallest": self.is_smallest,
            "whole": self.is_whole,
            "searched": self.is_searched,
        }


def _place(requirement: Requirement) -> str:
    return requirement.where or "(new)"


def _relaxation_lines(relaxation: Relaxation) -> list[str]:
    gives = f" ({', '.join(relaxation.gives)})" if relaxation.gives else ""
    return [f"  {relaxation.sentence}{gives}", *(f"      {line}" for line in relaxation.lines)]


def nearest_first(relaxations: Sequence[Relaxation]) -> tuple[Relaxation, ...]:
    """The relaxations to show: each once, those that change least."""
    return tuple(sorted(dict.fromkeys(relaxations), key=lambda one: one.order)[:SHOWN])


class OutOfTime(Exception):
    """A test was not made, because its time was over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Smallest(Generic[T]):
    """Members that cannot hold together; with `is_smallest`, without any one of them the others can."""

    members: tuple[T, ...]
    is_smallest: bool


def smallest_conflict(
    members: Sequence[T], hold: Callable[[tuple[T, ...]], bool], *, first: Sequence[T] = ()
) -> Smallest[T]:
    """The members of a set that cannot hold together from which none can be left out.

    `hold` says whether some of them hold; it is asked about each set once, and may raise `OutOfTime`, which
    ends the search with the fewest found so far. That all members together do not hold is taken for
    granted. `first` are members to look among first: what a tool's message names.

    Needs about k log2(n / k) tests for k of n members where leaving more out never makes it worse; what
    this gives is checked member by member, so it is right in any case.
    Source: Junker, QUICKXPLAIN, AAAI 2004.
    """
    search = _Search(tuple(members), hold)
    try:
        if 0 < len(first) < len(members) and not search.holds(_places_of(members, first)):
            search.quick(search.best)
        else:
            search.quick(tuple(range(len(members))))
        search.check_each()
    except OutOfTime:
        return Smallest(members=search.chosen(), is_smallest=False)
    return Smallest(members=search.chosen(), is_smallest=True)


def _places_of(members: Sequence[T], some: Sequence[T]) -> tuple[int, ...]:
    """Where some of the members stand, in order."""
    return tuple(at for at, member in enumerate(members) if any(member is one for one in some))


class _Search(Generic[T]):
    """One search: members by their index, and what was asked."""

    def __init__(self, members: tuple[T, ...], hold: Callable[[tuple[T, ...]], bool]) -> None:
        self._members = members
        self._hold = hold
        self._asked: dict[tuple[int, ...], bool] = {(): True}
        self.best = tuple(range(len(members)))

    def chosen(self) -> tuple[T, ...]:
        return tuple(self._members[at] for at in self.best)

    def holds(self, indices: Sequence[int]) -> bool:
        key = tuple(sorted(indices))
        if key not in self._asked:
            self._asked[key] = self._hold(tuple(self._members[at] for at in key))
        if not self._asked[key] and len(key) < len(self.best):
            self.best = key
        return self._asked[key]

    def quick(self, candidates: tuple[int, ...]) -> None:
        found = self._within((), candidates, is_larger=False)
        self.holds(found)

    def _within(
        self, base: tuple[int, ...], candidates: tuple[int, ...], *, is_larger: bool
    ) -> tuple[int, ...]:
        """Those of the candidates that are needed beside `base`; `is_larger`: than when last asked."""
        if is_larger and not self.holds(base):
            return ()
        if len(candidates) == 1:
            return candidates
        half = len(candidates) // 2
        former, latter = candidates[:half], candidates[half:]
        needed_after = self._within((*base, *former), latter, is_larger=bool(former))
        needed_before = self._within((*base, *needed_after), former, is_larger=bool(needed_after))
        return (*needed_before, *needed_after)

    def check_each(self) -> None:
        """Leave out what can be, one by one, until nothing can."""
        before: tuple[int, ...] = ()
        while before != self.best:
            before = self.best
            for at in before:
                self.holds([other for other in self.best if other != at])
