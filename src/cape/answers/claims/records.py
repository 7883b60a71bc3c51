"""Claims against records: a claim that speaks of a key is laid beside the key's value.

Owns the rules of records: a value that is unknown, a "no" told as a "yes", another number. The words of the
claim decide what it speaks of; nothing here is of one kind of record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cape.answers.claims.claim import Finding, record_finding
from cape.answers.claims.evidence import NEGATION, Evidence, Fact, spoken
from cape.answers.claims.quantities import quantities_of
from cape.answers.claims.timetables import timetable_findings
from cape.answers.words import is_stop, stem, words_of

_CLAUSE = re.compile(
    r"[,;:()]\s*|\s+[–—-]\s+|\s+(?:but|while|although|though|however|whereas|and also|yet)\s+|"
    r"\s+and\s+(?=(?:it\s+)?(?:is|has|offers?|provides?|accepts?|allows?|takes?|features?|serves?|does|doesn|isn|hasn|aren|don)\b)",
    re.IGNORECASE,
)
_PART = re.compile(r"[;:]\s*|\s+(?:but|while|although|though|however|whereas|yet)\s+", re.IGNORECASE)
"""What a denial of a list does not reach beyond."""
_DENIAL = re.compile(
    NEGATION.pattern
    + r"|\b(?:unsuit(?:able|ed)|unavailable|unfit|absent|missing|ill-suited|hardly|barely|declines?|"
    r"silent|nothing|unknown|unclear|unspecified|unlisted)\b",
    re.IGNORECASE,
)
_DIRECTLY_DENIED = re.compile(
    r"\b(?:no|without|lacks?|lacking|(?:not|n['’]t) (?:offer|have|provide)(?:ing)?)\s+(?:any\s+|a\s+)?$",
    re.IGNORECASE,
)
_GENERIC = frozenset(["has", "is", "business", "restaurants", "restaurant", "offers", "accepts", "good"])
"""First words of keys that a claim leaves out."""
_WEAK_KEYS = frozenset(
    stem(word)
    for word in [
        "name",
        "value",
        "id",
        "type",
        "info",
        "attribute",
        "text",
        "date",
        "key",
        "data",
        "title",
        "hour",
        "day",
    ]
)
_SCALE = re.compile(r"\b(?:out of|over|based on|from)\s*(?:a (?:total|possible) )?$|/\s*$", re.IGNORECASE)
"""What stands before the top of a scale, or a count of those who rated."""
_LINKED = re.compile(
    r"^\W*(?:(?:of|is|was|are|at|about|an?|the|overall|average|equals?|to|from|stands|remains|just|only|nearly|around)"
    r"\W+)*$",
    re.IGNORECASE,
)
"""What may stand between a key and the number that is told for it."""
_ALIASES = {"kid": frozenset({"child", "children"}), "tv": frozenset({"televis"})}
_RATED = re.compile(r"\b(?:rat(?:ed|ings?)|scor(?:ed?|es))\b", re.IGNORECASE)
_AHEAD_ONLY = frozenset(["without", "no", "unlike", "rather than", "instead of", "neither", "nor"])
"""Words that deny what follows them, never what is before."""


def record_findings(text: str, evidence: Evidence) -> Iterator[Finding]:
    """What records say otherwise, or do not know, of a claim's text."""
    if not evidence.facts:
        return
    clauses = list(_clauses(text))
    for fact in evidence.facts:
        for start, end in clauses:
            yield from _of_clause(text, start, end, fact, evidence)
    yield from timetable_findings(text, evidence.facts)


def _clauses(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _CLAUSE.finditer(text):
        if match.start() > start:
            yield start, match.start()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _of_clause(text: str, start: int, end: int, fact: Fact, evidence: Evidence) -> Iterator[Finding]:
    """What one fact says to one clause, if the clause has all words of the fact's last key."""
    place = _mention(text, start, end, fact, evidence)
    if place is None or not _names_the_set(text[start:end], fact, evidence):
        return
    denied = _denied(text, start, end, place)
    name = " ".join(fact.path)
    if fact.value is None and (_denies_nearby(text, place) or _known_elsewhere(fact, evidence)):
        return
    if fact.value is False and not denied and _denies_nearby(text, place):
        return
    if fact.value is None:
        yield record_finding(place, f"the record does not know `{name}`", contradicts=False)
    elif isinstance(fact.value, bool) and fact.value == denied and not _told_elsewhere(fact, evidence):
        yield record_finding(place, f"`{name}` is {spoken(fact.value)}", contradicts=True)
    elif (
        isinstance(fact.value, str)
        and _DIRECTLY_DENIED.search(text, 0, place[0])
        and _affirms(fact, evidence)
    ):
        yield record_finding(place, f"`{name}` is {fact.value}", contradicts=True)
    elif isinstance(fact.value, (int, float)) and not isinstance(fact.value, bool):
        yield from _other_numbers(text, start, end, fact, evidence)


def _affirms(fact: Fact, evidence: Evidence) -> bool:
    """Whether a text beside yes and no says that there is such a thing: `WiFi: free`."""
    beside = [other for other in evidence.facts if other.path[:-1] == fact.path[:-1]]
    return (
        isinstance(fact.value, str)
        and len(fact.value.split()) == 1
        and any(isinstance(other.value, bool) for other in beside)
    )


def _other_numbers(text: str, start: int, end: int, fact: Fact, evidence: Evidence) -> Iterator[Finding]:
    """Numbers that a clause tells for a fact, and that no fact of such a key has."""
    others = {key for other in evidence.facts if _last(other) == _last(fact) for key in _keys(other)}
    for one in quantities_of(text[start:end]):
        told = _last(fact) in (stem(one.unit or ""), stem(one.unit or "") + "s") or _follows_key(
            text, start, start + one.start, fact
        )
        if one.dated or one.unit not in (None, "star", "%") or not told or not others.isdisjoint(one.keys):
            continue
        if not _SCALE.search(text[: start + one.start]):
            place = (start + one.start, start + one.end)
            yield record_finding(place, f"`{' '.join(fact.path)}` is {spoken(fact.value)}", contradicts=True)


def _follows_key(text: str, start: int, at: int, fact: Fact) -> bool:
    """Whether a number follows the key's last word, or a word for a rating, with nothing told between."""
    wanted = {_last(fact), *(("rate", "score") if _last(fact) == "star" else ())}
    before = words_of(text[start:at])
    marks = [word for word in before if word.stem in wanted]
    return bool(marks) and bool(_LINKED.match(text[start + marks[-1].end : at]))


def _denies_nearby(text: str, place: tuple[int, int]) -> bool:
    """Whether the part of the sentence around a mention denies anything: then it may be denied in a list."""
    starts = [0, *(match.end() for match in _PART.finditer(text, 0, place[0]))]
    after = _PART.search(text, place[1])
    return bool(_DENIAL.search(text, starts[-1], after.start() if after else len(text)))


def _denied(text: str, start: int, end: int, place: tuple[int, int]) -> bool:
    """Whether a clause denies what it mentions at `place`: a few words before it, or right after."""
    for match in NEGATION.finditer(text, start, end):
        if match.end() <= place[0]:
            near = len(text[match.end() : place[0]].split()) <= 6 and not text.startswith(
                " only", match.end()
            )
        elif match.start() >= place[1]:
            ahead = match.group().casefold() in _AHEAD_ONLY
            near = not ahead and len(text[place[1] : match.start()].split()) <= 3
        else:
            near = True
        if near:
            return True
    return False


def _names_the_set(clause: str, fact: Fact, evidence: Evidence) -> bool:
    """Whether a clause has the last word of the key above a fact that is one of several yes and no.

    `Parking: {street: no}` is spoken of by "street parking", not by an address in a street.
    """
    if not isinstance(fact.value, bool) or len(fact.path) < 2 or not fact.path[-2].split():
        return True
    beside = [other for other in evidence.facts if other.path[:-1] == fact.path[:-1]]
    if not all(isinstance(other.value, bool) for other in beside) or len(fact.path[-1].split()) > 1:
        return True
    above = fact.path[-2].split()[-1]
    return above.casefold() == "attributes" or stem(above) in {word.stem for word in words_of(clause)}


def _last(fact: Fact) -> str:
    """The last word of the last key."""
    return stem(fact.path[-1].split()[-1]) if fact.path and fact.path[-1].split() else ""


def _keys(fact: Fact) -> set[str]:
    return {key for one in quantities_of(spoken(fact.value)) for key in one.keys}


def _mention(text: str, start: int, end: int, fact: Fact, evidence: Evidence) -> tuple[int, int] | None:
    """Where a clause speaks of the fact's last key, whole or without its first word; None where it does
    not.
    """
    if not fact.path:
        return None
    parts = fact.path[-1].split()
    for words in _spellings(parts, evidence):
        if words and (place := _stand(text, start, end, words)) is not None:
            return place
    if _last(fact) == "star" and (rated := _RATED.search(text, start, end)):
        return rated.span()
    if "For" in parts[1:-1]:
        return _meant_for(text, start, end, parts[parts.index("For") + 1 :])
    return None


def _spellings(parts: Sequence[str], evidence: Evidence) -> Iterator[Sequence[str]]:
    """A key's words, and without a first one that claims leave out, unless another key has those too."""
    yield parts
    rest = parts[1:]
    if rest and parts[0].casefold() in _GENERIC:
        others = {fact.path[-1] for fact in evidence.facts if fact.path} - {" ".join(parts)}
        if not any(other.split()[-len(rest) :] == rest for other in others):
            yield rest


def _meant_for(text: str, start: int, end: int, words: Sequence[str]) -> tuple[int, int] | None:
    """Where a clause says for whom something is: `Good For Groups` as "great for larger groups"."""
    wanted = [stem(word) for word in words]
    for match in re.finditer(r"\b(?:for|to|with)\s+", text[start:end], re.IGNORECASE):
        for word in words_of(text[start + match.end() : end])[:3]:
            if word.stem in wanted or any(word.stem in _ALIASES.get(one, ()) for one in wanted):
                return start + match.start(), start + match.end() + word.end
    return None


def _stand(text: str, start: int, end: int, words: Sequence[str]) -> tuple[int, int] | None:
    """Where all of some words stand in a clause, apart or written as one."""
    wanted = {stem(word) for word in words if not is_stop(word)} - {""}
    if wanted and wanted <= _WEAK_KEYS:
        return None
    if len(words) > 1 and (at := _joined(text[start:end], words)) is not None:
        return start + at[0], start + at[1]
    if not wanted:
        return None
    short = any(len(word) < 3 and not word.isupper() for word in words if not is_stop(word))
    if (len(wanted) < len(words) and len(wanted) < 2) or short:
        return None
    found = {word.stem: word for word in reversed(words_of(text[start:end])) if word.stem in wanted}
    if len(found) < len(wanted):
        return None
    return start + min(word.start for word in found.values()), start + max(
        word.end for word in found.values()
    )


def _joined(clause: str, words: Sequence[str]) -> tuple[int, int] | None:
    """Where the words stand side by side, with a hyphen, a blank or nothing between them."""
    pattern = r"[-\s]?".join(map(re.escape, words))
    match = re.search(rf"\b{pattern}s?\b", clause, re.IGNORECASE)
    return match.span() if match else None


def _known_elsewhere(fact: Fact, evidence: Evidence) -> bool:
    """Whether other text of the evidence has the key's words, so that the claim may come from there."""
    wanted = {stem(word) for word in fact.path[-1].split() if not is_stop(word)}
    return any(
        unit.fact is not None and unit.fact.path[-1:] != fact.path[-1:] and wanted <= unit.stems
        for unit in evidence.units
    )


def _told_elsewhere(fact: Fact, evidence: Evidence) -> bool:
    """Whether a fact of the same key says the opposite, or the evidence's prose speaks of it."""
    opposite = any(
        other.path[-1:] == fact.path[-1:] and isinstance(other.value, bool) and other.value != fact.value
        for other in evidence.facts
    )
    return opposite or _known_elsewhere(fact, evidence)
