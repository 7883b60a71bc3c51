"""Constraints made looser, in the words of the source that they are for.

Owns the order in which looser constraints are worth trying, and the constraint to write for a version that
was found with one. Whether it resolves is asked elsewhere: what this gives is a proposal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CLAUSE = re.compile(r"(===|>=|<=|==|!=|~=|=|>|<|\^|~)?\s*v?([0-9][^\s,]*)")
_SEPARATORS = {"npm": " "}
ANY = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bounds:
    """A constraint in parts: lower and upper bounds, versions or prefixes that it is fixed to, the rest."""

    lower: tuple[tuple[str, str], ...]
    upper: tuple[tuple[str, str], ...]
    fixed: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]


def _bounds(constraint: str) -> _Bounds | None:
    """The parts of a constraint; None for one that is more than a list of bounds (`^1 || ^2`)."""
    text = constraint.strip()
    if "||" in text or " - " in text or re.sub(_CLAUSE, "", text).strip(" ,") != "":
        return None
    found = [(operator, version) for operator, version in _CLAUSE.findall(text)]
    return _Bounds(
        lower=tuple(one for one in found if one[0] in (">=", ">")),
        upper=tuple(one for one in found if one[0] in ("<=", "<")),
        fixed=tuple(one for one in found if one[0] in ("", "=", "==", "===", "^", "~", "~=")),
        others=tuple(one for one in found if one[0] == "!="),
    )


def _joined(source: str, *groups: tuple[tuple[str, str], ...]) -> str:
    parts = [operator + version for group in groups for operator, version in group]
    return _SEPARATORS.get(source, ",").join(parts) or ANY


def looser(source: str, constraint: str) -> tuple[str, ...]:
    """Constraints that allow what the given one does not, those that change less first; empty for `*`.

    >>> looser("pypi", ">=1,<2"), looser("npm", "^5.6")
    (('>=2,<3', '>=1', '<2', '*'), ('>=6 <7', '>=5.6', '<5.6', '*'))
    """
    if constraint.strip() in ("", ANY):
        return ()
    bounds = _bounds(constraint)
    found = [*_looser(source, bounds), ANY] if bounds else [ANY]
    return tuple(one for one in dict.fromkeys(found) if one != constraint)


def _looser(source: str, bounds: _Bounds) -> Iterator[str]:
    tops = bounds.upper or bounds.fixed
    if tops:
        major = int(_numbers(tops[0][1])[0]) + (0 if _starts_a_major(tops[0]) else 1)
        yield _joined(source, ((">=", str(major)), ("<", str(major + 1))), bounds.others)
        yield _joined(source, bounds.lower or _as((">="), bounds.fixed), bounds.others)
    if bounds.lower or bounds.fixed:
        yield _joined(source, bounds.upper or _as("<", bounds.fixed), bounds.others)


def _as(operator: str, fixed: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((operator, version.removesuffix(".*")) for _, version in fixed)


def _starts_a_major(bound: tuple[str, str]) -> bool:
    """Whether everything below a bound is of an earlier major version: `<2`, not `<2.1`."""
    operator, version = bound
    return operator == "<" and not any(int(number) for number in _numbers(version)[1:])


def _numbers(version: str) -> list[str]:
    """The numbers that a version begins with, without an epoch."""
    return re.findall(r"\d+", re.split(r"[^0-9.]", version.rpartition(":")[2])[0]) or ["0"]


def fitting(source: str, constraint: str, version: str) -> str:
    """The constraint that is most like the given one and lets a version in that it does not.

    >>> fitting("pypi", "<2", "3.0.1"), fitting("pypi", ">=2", "1.26.4"), fitting("npm", "^5.6", "6.1.2")
    ('>=2,<4', '>=1.26', '^6.1')
    """
    bounds = _bounds(constraint)
    numbers = _numbers(version)
    if bounds is None or not (bounds.lower or bounds.upper or bounds.fixed):
        return ANY
    if bounds.fixed:
        return _pinned(source, bounds.fixed[0], version, numbers)
    above = bounds.upper and _key(numbers) >= _key(_numbers(bounds.upper[0][1]))
    if above:
        lower = bounds.lower or ((">=", bounds.upper[0][1]),)
        return _joined(source, lower, (("<", str(int(numbers[0]) + 1)),), bounds.others)
    return _joined(source, ((">=", ".".join(numbers[:2])),), bounds.upper, bounds.others)


def _pinned(source: str, fixed: tuple[str, str], version: str, numbers: list[str]) -> str:
    operator, present = fixed
    star = ".*" if present.endswith(".*") else ""
    depth = len(_numbers(present.removesuffix(".*")))
    is_whole = operator in ("==", "===", "=") or (source == "pypi" and operator == "" and depth > 2)
    if is_whole and not star:
        return operator + version
    return operator + ".".join(numbers[:depth]) + star


def below(source: str, constraint: str, version: str) -> str:
    """The constraint, with only what is below a version let in.

    >>> below("pypi", ">=1,!=1.3", "2.0"), below("pypi", "*", "2.0")
    ('>=1,!=1.3,<2.0', '<2.0')
    """
    bounds = _bounds(constraint)
    if bounds is None or bounds.fixed:
        return f"<{version}"
    return _joined(source, bounds.lower, bounds.others, (("<", version),))


def distance(constraint: str, version: str) -> int:
    """How many major versions lie between a version and the nearest bound of a constraint."""
    bounds = _bounds(constraint)
    if bounds is None:
        return 0
    parts = (*bounds.lower, *bounds.upper, *bounds.fixed)
    major = int(_numbers(version)[0])
    return min((abs(major - int(_numbers(bound)[0])) for _, bound in parts), default=0)


def _key(numbers: list[str]) -> list[int]:
    return [int(number) for number in numbers]
