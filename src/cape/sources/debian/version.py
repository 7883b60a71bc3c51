"""Debian's version numbers: their order, their parts, and the constraints that manifests put on them.

Owns the comparison (that of `dpkg --compare-versions`) and the language of constraints. Which versions
exist is not known here.

Source: Debian Policy 5.6.12; `lib/dpkg/version.c`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cape.sources.tools import BadConstraint

_PIECE = re.compile(r"(\D*)(\d*)")
_END = "\x02"
_ORDER = {"~": "\x01"} | {
    chr(code): chr(code if chr(code).isalpha() else code + 256)
    for code in range(33, 127)
    if not chr(code).isdigit() and chr(code) != "~"
}
_TRANSLATION = str.maketrans(_ORDER)


@lru_cache(maxsize=1 << 16)
def sort_key(version: str) -> str:
    """A text whose plain order is the Debian order of versions; equal versions have equal keys.

    A part of a version is a row of (other characters, number). Characters keep their order with `~`
    first and letters before the rest; each run ends with a mark above `~` and below everything else; a
    number is its length, then its digits. So no key of a part is the beginning of another's, and the
    keys of the parts can stand one after the other.
    """
    epoch, upstream, revision = split(version)
    return _part(epoch) + _part(upstream) + _part(revision)


def _part(text: str) -> str:
    pieces = []
    for characters, digits in _PIECE.findall(text or "0"):
        if not characters and not digits:
            continue
        number = digits.lstrip("0")
        pieces.append(f"{characters.translate(_TRANSLATION)}{_END}{chr(len(number))}{number}")
    return "".join(pieces) + _END


def split(version: str) -> tuple[str, str, str]:
    """Epoch, upstream version and revision; absent ones are empty.

    >>> split("1:2.40-3+b1")
    ('1', '2.40', '3+b1')
    """
    head, colon, rest = version.partition(":")
    epoch, body = (head, rest) if colon else ("", version)
    upstream, dash, revision = body.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, body, "")


def compare(left: str, right: str) -> int:
    """Below zero, zero or above zero, as `left` is before, equal to or after `right`."""
    first, second = sort_key(left), sort_key(right)
    return (first > second) - (first < second)


_RELATIONS: dict[str, Callable[[str, str], bool]] = {
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    ">>": lambda left, right: left > right,
    "<<": lambda left, right: left < right,
    "=": lambda left, right: left == right,
    ">": lambda left, right: left >= right,
    "<": lambda left, right: left <= right,
}
"""Relations as package fields have them; the old `<` and `>` mean `<=` and `>=` there."""


def related(left: str, relation: str, right: str) -> bool:
    """Whether `left RELATION right` holds, with the relations of package fields."""
    return _RELATIONS[relation](sort_key(left), sort_key(right))


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """What a manifest allows of a package's versions: `17`, `>=2.2,<4`, `==1.2-3`, `^1.4`, `~1.4`, `*`.

    Parts of a Debian version that a bound does not name, epoch and revision, are not compared.
    """

    text: str
    clauses: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, *, where: str | None = None) -> Constraint:
        """The constraint in `text`. Raises `BadConstraint`."""
        clauses: list[tuple[str, str]] = []
        for piece in re.split(r"\s*,\s*", text.strip()):
            found = _CLAUSE.fullmatch(piece)
            if not found:
                raise BadConstraint(
                    f"`{text}` is not a constraint on Debian versions",
                    where=where,
                    hint="write `*`, `17`, `>=2.2,<4`, `==1.2-3`, `^1.4` or `~1.4`",
                )
            if piece != "*":
                clauses += _plain(found["relation"], found["version"].removesuffix(".*"))
        return cls(text=text, clauses=tuple(clauses))

    def allows(self, version: str) -> bool:
        """Whether a version may answer the requirement."""
        return all(_holds(version, relation, bound) for relation, bound in self.clauses)


_CLAUSE = re.compile(
    r"\*|(?P<relation>>=|<=|==|!=|~=|=|>|<|\^|~)?\s*(?P<version>(?:\d+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*(?:\.\*)?)"
)


def _plain(relation: str | None, version: str) -> list[tuple[str, str]]:
    """A clause in terms of prefixes and plain comparisons; `^` and `~` become a range."""
    if relation is None:
        return [("prefix", version)]
    if relation == "=":
        return [("==", version)]
    if relation not in ("^", "~", "~="):
        return [(relation, version)]
    numbers = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    if not numbers:
        return [(">=", version)]
    return [(">=", version), ("<", f"{_above(relation, numbers[1].split('.'))}~")]


def _above(relation: str, numbers: list[str]) -> str:
    """The first version that a range does not hold: the part that may not change, plus one."""
    if relation == "^":
        fixed = next((index for index, number in enumerate(numbers) if int(number)), len(numbers) - 1)
    elif relation == "~=":
        fixed = max(len(numbers) - 2, 0)
    else:
        fixed = min(1, len(numbers) - 1)
    return ".".join([*numbers[:fixed], str(int(numbers[fixed]) + 1)])


def _holds(version: str, relation: str, bound: str) -> bool:
    if relation == "prefix":
        return _has_prefix(version, bound)
    if relation in ("==", "!=") and version == bound:
        return relation == "=="
    difference = compare(_as_precise(version, bound), bound)
    return {
        ">=": difference >= 0,
        "<=": difference <= 0,
        ">": difference > 0,
        "<": difference < 0,
        "==": difference == 0,
        "!=": difference != 0,
    }[relation]


def _has_prefix(version: str, prefix: str) -> bool:
    """Whether the version starts with the prefix, and a number of it does not go on there."""
    whole = _as_precise(version, prefix)
    if "-" not in prefix:
        whole = split(whole)[1] if ":" not in prefix else whole
    rest = whole.removeprefix(prefix)
    return whole.startswith(prefix) and not (rest[:1].isdigit() and prefix[-1:].isdigit())


def _as_precise(version: str, bound: str) -> str:
    """The version without the epoch or the revision that `bound` does not have."""
    epoch, upstream, revision = split(version)
    text = f"{epoch or '0'}:{upstream}" if ":" in bound else upstream
    return f"{text}-{revision}" if "-" in bound and revision else text
