"""Evidence prepared for checking: its sentences and the facts of its records, with their words and
quantities.

Owns how evidence is taken apart. A text that is a record (JSON, or Python's spelling of it) becomes facts,
one for each value below its keys; other text becomes lines and sentences. No claim is known here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from cape.answers.claims.quantities import WEEKDAYS, quantities_of
from cape.answers.sentences import sentence_spans
from cape.answers.words import Word, is_stop, stem, weight, words_of

LONGEST = 400_000
"""Characters of one answer's evidence that are read."""

_DEEPEST = 12
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-./]+")
NEGATION = re.compile(
    r"\b(?:not|no|never|cannot|nobody|none|neither|nor|without|nothing|unable|fail(?:s|ed)? to|"
    r"refus(?:es|ed) to|"
    r"den(?:y|ies|ied)|lacks?|lacking|unlike|rather than|instead of)\b|n['’]t\b",
    re.IGNORECASE,
)

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A value of a record: `path` are the words of its keys, outermost first; `value` None is unknown."""

    path: tuple[str, ...]
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """The least piece of evidence: a sentence, a line or a fact, with the stems of its words in order."""

    text: str
    words: tuple[Word, ...]
    stems: frozenset[str]
    keys: frozenset[str]
    negated: bool
    fact: Fact | None


class Evidence:
    """All evidence of an answer, with what is asked of it often: who has a stem, a pair of stems, a
    quantity.
    """

    def __init__(self, units: Sequence[Unit], facts: Sequence[Fact], characters: int) -> None:
        self.units = tuple(units)
        self.facts = tuple(facts)
        self.characters = characters
        self._around: dict[int, frozenset[str]] = {}
        self.holders: dict[str, list[int]] = {}
        self.pairs: set[tuple[str, str]] = set()
        self.triples: set[tuple[str, str, str]] = set()
        self.key_holders: dict[str, list[int]] = {}
        for number, unit in enumerate(self.units):
            for one in unit.stems:
                self.holders.setdefault(one, []).append(number)
            for key in unit.keys:
                self.key_holders.setdefault(key, []).append(number)
            ordered = [word.stem for word in unit.words]
            self.pairs.update(pairwise(ordered))
            self.triples.update(zip(ordered, ordered[1:], ordered[2:], strict=False))

    def around(self, number: int) -> frozenset[str]:
        """The stems of a unit and of its neighbours."""
        known = self._around.get(number)
        if known is None:
            near = self.units[max(0, number - 1) : number + 2]
            known = self._around[number] = frozenset().union(*(unit.stems for unit in near))
        return known

    @cached_property
    def heads(self) -> dict[str, list[str]]:
        """The stems by their first four letters."""
        found: dict[str, list[str]] = {}
        for one in self.holders:
            found.setdefault(one[:4], []).append(one)
        return found

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The numbers that stand in it, in order of size."""
        return tuple(sorted(float(key[2:]) for key in self.key_holders if key.startswith("n:")))

    @cached_property
    def names(self) -> frozenset[str]:
        """Words in capitals, in lower case."""
        return frozenset(
            word.text.casefold() for unit in self.units for word in unit.words if word.is_capitalised
        )

    @cached_property
    def units_of_measure(self) -> dict[str, frozenset[str]]:
        """For each number, the units that it has somewhere; the empty string where it has none."""
        found: dict[str, set[str]] = {}
        for unit in self.units:
            for quantity in quantities_of(unit.text):
                for key in quantity.keys:
                    found.setdefault(key, set()).add(quantity.unit or "")
        return {key: frozenset(units) for key, units in found.items()}

    @cached_property
    def has_timetable(self) -> bool:
        """Whether facts are named by weekdays."""
        return any(fact.path and fact.path[-1].casefold() in WEEKDAYS for fact in self.facts)

    @property
    def is_record(self) -> bool:
        """Whether most of it is values below keys."""
        return len(self.facts) >= 4 and 2 * sum(unit.fact is not None for unit in self.units) > len(
            self.units
        )


def read_evidence(texts: Iterable[str]) -> Evidence:
    """Take evidence apart; what is beyond `LONGEST` characters is not read."""
    units: list[Unit] = []
    facts: list[Fact] = []
    left = LONGEST
    for text in texts:
        text, left = text[:left], left - min(left, len(text))
        for unit in _units(text):
            units.append(unit)
            if unit.fact is not None:
                facts.append(unit.fact)
    return Evidence(units, facts, LONGEST - left)


def negated(text: str) -> bool:
    """Whether a text denies something."""
    return bool(NEGATION.search(text))


def _units(text: str) -> Iterator[Unit]:
    record = _record(text)
    if record is None:
        yield from _prose(text)
        return
    before, value, after = record
    yield from _prose(before)
    for fact in facts_of(value):
        yield from _of_fact(fact)
    yield from _prose(after)


def _prose(text: str) -> Iterator[Unit]:
    for line in text.split("\n"):
        for start, end in sentence_spans(line):
            yield _unit(line[start:end], None)


def _of_fact(fact: Fact) -> Iterator[Unit]:
    path = " ".join(fact.path)
    if isinstance(fact.value, str) and len(fact.value) > 120:
        for unit in _prose(fact.value):
            yield _unit(unit.text, fact)
        return
    yield _unit(f"{path}: {spoken(fact.value)}", fact)


def spoken(value: Value) -> str:
    """A record's value as it is said."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _unit(text: str, fact: Fact | None) -> Unit:
    words = words_of(text)
    # A key is also one word: `WiFi` and `TakeOut` are told as "WiFi" and "takeout".
    joined = {stem("".join(key.split())) for key in fact.path} if fact is not None else set()
    return Unit(
        text=text,
        words=words,
        stems=frozenset(word.stem for word in words) | joined,
        keys=frozenset(key for quantity in quantities_of(text) for key in quantity.keys),
        negated=negated(text) or (fact is not None and fact.value is False),
        fact=fact,
    )


# -- records -----------------------------------------------------------------------------------------


def _record(text: str) -> tuple[str, object, str] | None:
    """What stands before a record, the record, and what follows it; None where there is none."""
    start = min((at for at in (text.find("{"), text.find("[{")) if at >= 0), default=-1)
    end = max(text.rfind("}"), text.rfind("}]") + 1)
    if start < 0 or end <= start or end - start < 12:
        return None
    inner = text[start : end + 1]
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(inner)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, (dict, list)):
            return text[:start], value, text[end + 1 :]
    return None


def facts_of(value: object, path: tuple[str, ...] = ()) -> Iterator[Fact]:
    """The values of a record in reading order; a list's members are told apart by their number."""
    if len(path) > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from facts_of(inner, (*path, spaced(str(key))))
    elif isinstance(value, (list, tuple, set)):
        for inner in value:
            yield from facts_of(inner, path)
    elif isinstance(value, str):
        yield from _of_text(value, path)
    elif value is None or isinstance(value, (bool, int, float)):
        yield Fact(path=path, value=value)


_WORDS_OF_VALUES: dict[str, Value] = {
    "none": None,
    "null": None,
    "true": True,
    "false": False,
    "yes": True,
    "no": False,
}


def _of_text(value: str, path: tuple[str, ...]) -> Iterator[Fact]:
    """A text, or what it spells: a record within a text, a truth value, a quoted word."""
    plain = value.strip()
    if plain[:1] in "{[" and len(plain) > 2 and (inner := _record(plain)) is not None:
        yield from facts_of(inner[1], path)
        return
    if re.fullmatch(r"u?'[^']*'", plain):
        plain = plain.lstrip("u").strip("'")
    folded = plain.casefold()
    yield Fact(path=path, value=_WORDS_OF_VALUES.get(folded, plain))


def spaced(key: str) -> str:
    """A record's key as words.

    >>> spaced("OutdoorSeating"), spaced("review_date")
    ('Outdoor Seating', 'review date')
    """
    return " ".join(part for part in _CAMEL.split(key) if part)


def content_words(words: Iterable[Word]) -> list[Word]:
    """The words that tell something."""
    return [word for word in words if not is_stop(word.text)]


def telling(word: Word) -> float:
    """How much a word tells; see `weight`."""
    return weight(word.text)
