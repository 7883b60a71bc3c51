"""Conditions that a machine's accelerator meets or not: `cuda>=12`, `rocm`, `metal`, `cpu`, `avx512`.

Owns their words, which hold on a machine and why not, and the machines that conditions can tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from cape.accelerators.decision import CPU, CUDA, METAL, ROCM, Accelerator
from cape.accelerators.processor import FEATURES, features_of, has_feature
from cape.errors import InputError
from cape.names import System, nearest

_CAPABILITY = "capability"
_VERSIONED = (CUDA, ROCM, _CAPABILITY)
_ALIASES = {"avx512": "avx512f"}
WORDS = (CUDA, ROCM, METAL, CPU, _CAPABILITY, *_ALIASES, *FEATURES)
"""The words that a condition may use."""

_TERM = re.compile(r"([a-z][a-z0-9_-]*)?\s*(?:(>=|<=|==|>|<)\s*(\d+(?:\.\d+){0,2}))?\Z")
_NEWEST = 10**6
_PARTS = 4
_MOST_FEATURES = 4

KINDS: dict[System, tuple[str, ...]] = {
    System.X86_64_LINUX: (CUDA, ROCM, CPU),
    System.AARCH64_LINUX: (CUDA, CPU),
    System.AARCH64_DARWIN: (METAL,),
    System.X86_64_DARWIN: (CPU,),
}
"""What machines of a system may have."""


class BadCondition(InputError):
    """A text that is no condition."""

    slug = "bad-condition"


@dataclass(frozen=True, slots=True)
class Term:
    """One word, with what its version must be; `relation` is empty where any will do."""

    word: str
    relation: str = ""
    version: str = ""

    @property
    def text(self) -> str:
        return f"{self.word}{self.relation}{self.version}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Terms that hold together; written with commas (`cuda>=12,<13`)."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition that a text says. Raises `BadCondition`.

        >>> Condition.parse("cuda >= 12, <13, avx512").text
        'cuda>=12,cuda<13,avx512'
        """
        terms: list[Term] = []
        for part in text.split(","):
            terms.append(_term(part.strip().lower(), terms[-1] if terms else None, text))
        return cls(tuple(terms))

    @property
    def text(self) -> str:
        return ",".join(term.text for term in self.terms)

    def failing(self, accelerator: Accelerator) -> tuple[str, ...]:
        """Why it does not hold, a sentence for each term; empty where it holds."""
        return tuple(said for term in self.terms if (said := _fault(term, accelerator)))

    def holds(self, accelerator: Accelerator) -> bool:
        """Whether it holds on a machine."""
        return not self.failing(accelerator)


def _term(part: str, before: Term | None, whole: str) -> Term:
    found = _TERM.match(part)
    word = (found[1] or (before.word if before else None)) if found and part else None
    if found is None or word is None:
        raise BadCondition(f"`{whole}` is no condition", hint="for example `cuda>=12`, `rocm` or `cpu`")
    if word not in WORDS:
        close = nearest(word, WORDS)
        known = "`cuda>=12`, `rocm>=6`, `metal`, `cpu`, `capability>=8.0` or a feature such as `avx512`"
        raise BadCondition(
            f"`{word}` is no word of a condition", hint=f"did you mean `{close[0]}`?" if close else known
        )
    if found[2] and word not in _VERSIONED:
        raise BadCondition(f"`{word}` has no version", hint=f"write `{word}`")
    if word == _CAPABILITY and not found[2]:
        raise BadCondition("`capability` wants a version", hint="for example `capability>=8.0`")
    return Term(word, found[2] or "", found[3] or "")


def _fault(term: Term, accelerator: Accelerator) -> str | None:
    if term.word == CPU:
        return None
    if term.word not in (CUDA, ROCM, METAL, _CAPABILITY):
        wanted = _ALIASES.get(term.word, term.word)
        return None if has_feature(accelerator.features, wanted) else f"the processor has no `{wanted}`"
    kind = CUDA if term.word == _CAPABILITY else term.word
    if accelerator.kind != kind:
        return f"the machine has `{accelerator.kind}`, not `{kind}`"
    there = accelerator.capability if term.word == _CAPABILITY else accelerator.version
    if not term.relation or there is None:
        return None
    if _compare(_numbers(there, open_ended=accelerator.is_asked), term.relation, _numbers(term.version)):
        return None
    called = "the GPU's compute capability" if term.word == _CAPABILITY else f"its {kind.upper()} level"
    return f"{called} is {there}"


def _numbers(text: str, *, open_ended: bool = False) -> tuple[int, ...]:
    """The version, so that tuples compare. Of `cuda12`, asked for, the newest 12 is meant."""
    parts = tuple(int(part) for part in text.split("."))
    return (*parts, *([_NEWEST if open_ended else 0] * (_PARTS - len(parts))))


def _compare(one: tuple[int, ...], relation: str, other: tuple[int, ...]) -> bool:
    if relation == "==":
        return one == other or one[: _meant(other)] == other[: _meant(other)]
    return {">=": one >= other, "<=": one <= other, ">": one > other, "<": one < other}[relation]


def _meant(version: tuple[int, ...]) -> int:
    """How many parts of a version count: `12` means any 12."""
    return max((index + 1 for index, part in enumerate(version) if part), default=1)


def distinguishable(conditions: Sequence[Condition], system: System) -> Iterator[Accelerator]:
    """One machine of a system for each way in which these conditions can hold together.

    The plainest machine comes first.
    """
    terms = [term for condition in conditions for term in condition.terms]
    features = sorted({_ALIASES.get(term.word, term.word) for term in terms} & features_of(system))
    kinds = sorted(KINDS[system], key=lambda kind: (kind != CPU, kind))
    for kind in kinds:
        versions = _points(terms, kind) if kind in (CUDA, ROCM) else [None]
        capabilities = _points(terms, _CAPABILITY) if kind == CUDA else [None]
        for version, capability, having in product(versions, capabilities, _subsets(features)):
            yield Accelerator(
                kind=kind, version=version, capability=capability, features=having, reason="possible"
            )


def _points(terms: Sequence[Term], word: str) -> list[str | None]:
    """Versions on, and on both sides of, every one that terms of a word name."""
    named = sorted({_numbers(term.version) for term in terms if term.word == word and term.relation})
    points: list[tuple[int, ...]] = [(0,) * _PARTS] if named else []
    for version in named:
        points += [version, (*version[:-1], 1), (*version[: _meant(version)], *[_NEWEST] * 3)[:_PARTS]]
    return [".".join(map(str, point)) for point in sorted(set(points))] or [None]


def _subsets(features: Sequence[str]) -> list[tuple[str, ...]]:
    """Which features a machine may have: all ways, or of many none, each alone and all."""
    sizes = range(len(features) + 1)
    if len(features) > _MOST_FEATURES:
        sizes = [0, 1, len(features)]  # type: ignore[assignment]
    return [subset for size in sizes for subset in combinations(features, size)]
