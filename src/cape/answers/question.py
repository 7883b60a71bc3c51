"""A question as a value: what kind of answer it asks for, and the words, names and times that matter in it.

Owns the rules by which a question is read. Nothing here looks at a document.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

from cape.answers.words import Word, is_number, is_stop, listed, weight, words_of
from cape.errors import InputError

LONGEST_QUESTION = 2_000
"""Characters of a question that are read; a longer one is cut there, and the answer says so."""


class EmptyQuestion(InputError):
    """A question without a word in it."""

    slug = "empty-question"


class Asked(StrEnum):
    """The kind of answer that a question asks for."""

    DATE = "date"
    DURATION = "duration"
    AMOUNT = "amount"
    PERSON = "person"
    PLACE = "place"
    YES_NO = "yes-no"
    LIST = "list"
    HOW_TO = "how-to"
    REASON = "reason"
    DEFINITION = "definition"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the question that an answer's surroundings should have, and how much it tells."""

    stem: str
    text: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question after reading. `text` is normalised; `was_cut` tells that only its beginning was read.

    `names` are stems of words that look like names (capitalised within the sentence, or with digits and
    letters); `subjects` those of them that one thing has, as no month, quarter or abbreviation does, and the
    numbers right after a name; `years` are as written, `quarters` like `Q1`;
    `numbers` are all others.
    """

    text: str
    asked: Asked
    terms: tuple[Term, ...]
    focus: tuple[str, ...]
    names: frozenset[str]
    subjects: frozenset[str]
    years: frozenset[str]
    quarters: frozenset[str]
    numbers: frozenset[str]
    is_comparison: bool
    is_aggregate: bool
    wants_all: bool
    was_cut: bool

    @cached_property
    def total_weight(self) -> float:
        return sum(term.weight for term in self.terms) or 1.0

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(term.stem for term in self.terms)


_YEAR = re.compile(r"\b(1[0-9]{3}|20[0-9]{2})\b")
_QUARTER = re.compile(
    r"\bq([1-4])\b|\b(first|second|third|fourth|1st|2nd|3rd|4th|last) quarter\b", re.IGNORECASE
)
QUARTERS = {"first": "Q1", "second": "Q2", "third": "Q3", "fourth": "Q4", "last": "Q4"} | {
    "1st": "Q1",
    "2nd": "Q2",
    "3rd": "Q3",
    "4th": "Q4",
}
"""The words before `quarter` that say which one."""
_CALENDAR = listed(
    """
    january february march april may june july august september october november december monday tuesday
    wednesday thursday friday saturday sunday
    """
)
_ABBREVIATION = re.compile(r"[A-Z]{2,3}s?|[qQ][1-4]")
_AGGREGATE = re.compile(
    r"\b(sum of|total of all|in total|altogether|average|mean of|median|combined|overall total|"
    r"across all|all (?:regions|quarters|months|countries)|how many (?:regions|quarters|rows|months|"
    r"countries))\b"
    r"|\b(?:which|what) (?:\w+ ){1,3}(?:had|has|have|with|made|earned|reported) the "
    r"(?:highest|lowest|most|least|largest|smallest|biggest|best|worst|fewest)\b"
    r"|\b(?:highest|lowest|largest|smallest|biggest|best|worst) (?:\w+ ){0,2}(?:region|quarter|month|"
    r"country|year)\b"
    r"|\b(?:grow|grew|growth|increase|decrease|change|rise|fall|drop)\w*\b.*\b(?:from|between)\b.*\b(?:to|"
    r"and)\b",
    re.IGNORECASE,
)
_COMPARISON = re.compile(
    r"\b(?:more|less|fewer|higher|lower|larger|smaller|longer|shorter|cheaper|dearer|earlier|later|better|"
    r"worse) (?:\w+ ){0,3}than\b|\bdifferences?\b|\bcompar\w+|\bversus\b|\bvs\b|\bor\b.*\bwhich\b|"
    r"\bboth\b|\bsame\b.*\bas\b",
    re.IGNORECASE,
)
_AUXILIARIES = (
    "is are was were am do does did can could may might must shall should will would has have had "
    "isn't aren't wasn't don't doesn't didn't can't won't"
)
_YES_NO = re.compile(
    rf"^(?:and |so |but |please |also )?(?:{'|'.join(_AUXILIARIES.split())})\s+(?!.*\bor not\b$)\w",
    re.IGNORECASE,
)
_RULES: tuple[tuple[Asked, re.Pattern[str]], ...] = tuple(
    (asked, re.compile(pattern, re.IGNORECASE))
    for asked, pattern in (
        (Asked.DURATION, r"\bhow (?:long|often|frequently|quickly|soon|fast)\b|\bhow many (?:working |"
                         r"business |"
                         r"calendar |full |whole )?(?:days?|weeks?|months?|years?|hours?|minutes?)\b|"
                         r"\bfor how many\b|\bnotice period\b"),
        (Asked.AMOUNT, r"\bhow (?:much|many|big|large|high|far|tall|old|deep|heavy|wide|strong|hot|cold)\b|"
                       r"\bwhat (?:is|are|was|were)? ?(?:the |our |my |a )?(?:\w+ ){0,3}"
                       r"(?:price|cost|amount|limit|rate|budget|salary|number|percentage|percent|share|fee|"
                       r"maximum|minimum|population|size|height|weight|temperature|allowance|revenue|"
                       r"headcount|"
                       r"turnover|margin|target|average|ceiling|quota|discount)\b|"
                       r"^what (?:do|does|did|will|would|can|could|must) .*\b(?:get|receive|pay|cost|charge|"
                       r"earn|spend)\b|\bwhat (?:sum|reduction|discount|raise|bonus)\b|"
                       r"\bat what (?:price|cost|rate|amount|value|age|temperature)\b|\bup to what\b"),
        (Asked.DATE, r"^(?:\w+ ){0,3}when\b|\b(?:what|which) (?:\w+ )?(?:date|day|year|month|time|"
                     r"deadline|week|"
                     r"quarter|century|weekday)\b|\bby when\b|\bsince when\b|\bdeadline\b|\bhow late\b|"
                     r"\bhow early\b"
                     r"|\band when\b"),
        (Asked.PERSON, r"\bwho(?:m|se)?\b|\b(?:which|what) (?:person|colleague|employee|manager|team|"
                       r"department|"
                       r"actor|actress|singer|author|president|king|queen|player|man|woman|people)\b|"
                       r"\bto whom\b|\bcontact person\b|\bwhat is the (?:real )?name of\b"),
        (Asked.PLACE, r"\bwhere\b|\b(?:which|what) (?:\w+ )?(?:place|city|country|town|building|room|"
                      r"office|floor|"
                      r"state|region|location|address|street|part of|island|river)\b"),
        (Asked.REASON, r"\bwhy\b|\bwhat (?:is |was |were |are )?(?:the )?(?:reasons?|causes?|caused|led)\b|"
                       r"\bhow come\b|\bfor what reason\b"),
        (Asked.LIST, r"\bwhat (?:are|were) the\b|\bwhich (?:\w+ )?(?:\w+s) (?:are|were|do|does|can|may|"
                     r"must|count|"
                     r"need)\b|\blist\b|\bname (?:all|the|two|three|four|five)\b|\b(?:two|three|four|five|"
                     r"six) "
                     r"(?:\w+ )?\w+s\b|\bwhat (?:documents|things|items|kinds|types|steps|benefits|metrics|"
                     r"figures|values|numbers|languages|tools)\b|\bwhat all\b"),
        (Asked.HOW_TO, r"\bhow (?:do|can|should|must|would|could|may) (?:i|we|you|one|an? \w+|employees|"
                       r"staff|"
                       r"someone|people|new \w+)\b|\bhow to\b|\bwhat (?:do|should|must) (?:i|we|you|"
                       r"one) (?:do|need|"
                       r"bring|have)\b|\bsteps\b|\bprocedure for\b|\bwhat happens (?:if|when)\b|"
                       r"\bhow (?:is|are|was|"
                       r"were|does|did|do)\b"),
        (Asked.DEFINITION, r"^(?:so )?what(?:'s|’s| is| are| was| were| does| do)\b.*|\bdefin\w+|"
                           r"\bmeaning of\b|"
                           r"\bstands? for\b"),
    )
)  # fmt: skip


def normalised(text: str) -> str:
    """A question without control characters and runs of blanks, in Unicode's composed form."""
    composed = unicodedata.normalize("NFC", text[: 4 * LONGEST_QUESTION])
    plain = "".join(" " if unicodedata.category(one).startswith("C") else one for one in composed)
    return " ".join(plain.split())


def asked_for(text: str) -> Asked:
    """The kind of answer that the words of a question ask for."""
    if _YES_NO.match(text):
        return Asked.YES_NO
    return next((asked for asked, pattern in _RULES if pattern.search(text)), Asked.OTHER)


def read_question(text: str) -> Question:
    """The question in a text, of which at most `LONGEST_QUESTION` characters are read.

    Raises `EmptyQuestion`.
    """
    plain = normalised(text)
    cut = plain[:LONGEST_QUESTION]
    words = words_of(cut)
    if not words:
        raise EmptyQuestion(
            "the question has no word in it", hint='ask as in `cape ask "Who pays the train?"`'
        )
    years = frozenset(_YEAR.findall(cut))
    return Question(
        text=cut,
        asked=asked_for(cut),
        terms=_terms(words),
        focus=_focus(words),
        names=frozenset(word.stem for word in words[1:] if _looks_like_name(word)),
        subjects=_subjects(words, years),
        years=years,
        quarters=quarters_in(cut),
        numbers=frozenset(word.text for word in words if is_number(word.text)) - years,
        is_comparison=bool(_COMPARISON.search(cut)),
        is_aggregate=bool(_AGGREGATE.search(cut)),
        wants_all=bool(
            re.search(r"\b(?:all|every|each|metrics|figures|values|numbers)\b", cut, re.IGNORECASE)
        ),
        was_cut=len(plain) > LONGEST_QUESTION or len(text) > 4 * LONGEST_QUESTION,
    )


def _looks_like_name(word: Word) -> bool:
    if is_stop(word.text) or word.text in ("I",):
        return False
    mixed = any(one.isdigit() for one in word.text) and any(one.isalpha() for one in word.text)
    return (word.is_capitalised and not is_number(word.text)) or mixed


def _subjects(words: tuple[Word, ...], years: frozenset[str]) -> frozenset[str]:
    """The names of single things, and the numbers that belong to them: the `400` of `Tarn 400`."""
    numbers = {
        number.stem
        for name, number in pairwise(words)
        if is_number(number.text)
        and number.text not in years
        and number.start == name.end + 1
        and _names_one_thing(name)
    }
    return frozenset(numbers | {word.stem for word in words[1:] if _names_one_thing(word)})


def _names_one_thing(word: Word) -> bool:
    if word.text.casefold() in _CALENDAR or _ABBREVIATION.fullmatch(word.text):
        return False
    return _looks_like_name(word)


def quarters_in(text: str) -> frozenset[str]:
    """The quarters that a text names, as `Q1` to `Q4`."""
    found = set()
    for match in _QUARTER.finditer(text):
        found.add(f"Q{match.group(1)}" if match.group(1) else QUARTERS[match.group(2).casefold()])
    return frozenset(found)


def _terms(words: tuple[Word, ...]) -> tuple[Term, ...]:
    """The words that tell something, each once, in order; all words when none does."""
    found: dict[str, Term] = {}
    for word in words:
        if not is_stop(word.text) and word.stem not in found:
            found[word.stem] = Term(word.stem, word.text, weight(word.text))
    if not found:
        return tuple(Term(word.stem, word.text, 1.0) for word in words)
    return tuple(found.values())


def _focus(words: tuple[Word, ...]) -> tuple[str, ...]:
    """The stems that follow the question's first word up to the next stop word: `which method of ...`."""
    found: list[str] = []
    for word in words[1:]:
        if is_stop(word.text):
            if found:
                break
            continue
        found.append(word.stem)
    return tuple(found)
