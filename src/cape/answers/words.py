"""Words of questions and passages: where they stand, their stems, how much each tells, what means the same.

Owns lists of English words that are constants: nothing here counts documents, so that what a word weighs
never depends on a document that the asker may not see. Nothing that knows a chunk belongs here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_WORD = re.compile(r"\d+(?:[.,:]\d+)*(?:st|nd|rd|th)?\b|[^\W_]+(?:['’][^\W_]+)*", re.UNICODE)
_POSSESSIVE = re.compile(r"['’]s?$")


def listed(text: str) -> frozenset[str]:
    """The words of a list that is written as running text."""
    return frozenset(text.split())


STOP_WORDS = listed(
    """
    a about above after again against all also although am an and another any anybody anyone are as
    at be became because been before being below between both but by came can cannot com could did
    didn do does doesn doing don done down during each either else ever every for from further get
    gets getting give given gives go goes going got had has hasn have haven having he hence her here
    hers herself him himself his how however i if in into is isn it its itself just let ll may me
    might mine more most much must my myself near neither no nor not now of off often on once one
    ones only onto or other others ought our ours ourselves out over own per please quite re really
    s same shall she should so some someone something somewhere still such t take tell than that the
    their theirs them themselves then there these they this those though through thus to too toward
    towards under until up upon us ve very via was wasn we well were weren what whatever when where
    whether which while who whom whose why will with within without won would yes yet you your yours
    yourself nt 'm 're 've 'll show find describe explain list name identify know want need called
    mean means kind sort type happen happens happened exactly actually currently many long far old
    often
    """
)
"""Words that say how a question is put, or nothing; none of them has to stand in an answer."""

COMMON_WORDS = listed(
    """
    able act add age allow amount apply area ask available back bad base begin best better big book
    bring build business buy call car care carry case cause certain change check child city class
    clear close come common company complete consider contain continue control copy cost country
    course create date day deal decide different difference difficult document early easy effect
    employee end enough enter event example expect fact fall feel few file final first follow food
    form found free full function game general good great group grow half hand happy hard head hear
    help high hold home hour house idea important include increase information issue item job join
    keep kind know large last late lead learn leave left less letter level life light line little
    live local look lose lot love low main make man manager mark matter maximum measure meet meeting
    member method minute money month morning move movie need new next night note number offer office
    often old open option order origin original page paper part party pay people person place plan
    play point policy possible present price problem process produce product program project provide
    public purpose put question quick rate reach read real reason receive record report require rest
    result return right role rule run sale save say school season second see sell send series
    service set several short show side similar simple single site size small song sort south
    special staff stand start state stay step stop story student study subject support sure system
    table team term thing think third time today top total town travel try turn two use used user
    usually value visit wait walk war watch water way week weekend white whole win woman word work
    worker world write wrong year young
    """
)
"""Words that many passages have: they tell less than a rare one."""

_SAME = """
    cost price fee charge pay expense rate tariff expensive dear
    limit maximum cap ceiling most highest upper allowed threshold
    whole total entire together overall sum altogether
    inquiry inquiries ticket case request question
    reply answer response respond
    bicycle bike cycle ride pedal cyclist
    wind breeze gale
    train rail railway
    wife husband spouse companion partner
    firm company business enterprise employer
    fix repair mend
    undo revert rollback restore
    dark darkness light sun
    weekly week
    yearly annually annual year
    monthly month
    daily day
    quarterly quarter
    seat class
    vanish lose disappear
    store keep retain hold save
    takeover acquire acquisition buy purchase
    rival competitor competing
    boss head lead
    extension telephone phone number
    reduce reduction discount rebate
    candidate applicant application apply
    relocate relocation move moving
    premises building office
    cell battery
    parked parking park
    minimum least lowest floor
    vacation holiday leave pto absence
    sick ill illness sickness unwell
    boss manager supervisor superior
    employee staff worker colleague personnel team-member
    salary wage pay payroll remuneration compensation earnings
    laptop computer notebook machine device
    hotel accommodation lodging room overnight night
    trip travel journey
    car vehicle automobile
    flight plane fly aircraft air
    train rail railway
    reimburse refund repay claim expense
    buy purchase procure order acquire
    start begin commence launch onset
    end finish stop cease terminate expire
    quit resign leave termination notice
    hire recruit employ onboard
    fire dismiss terminate
    phone telephone mobile call
    email e-mail mail message
    password passphrase credential
    lost stolen missing loss theft
    forbid prohibit ban disallow
    allow permit may approve authorise authorize
    approve sign authorise authorize approval signature
    meeting appointment session conference
    client customer buyer
    supplier vendor contractor
    contract agreement
    invoice bill
    revenue sales turnover income
    profit margin earnings
    headcount employees staff fte
    boss chief head director lead
    kid child children parental parent
    birth born baby maternity paternity parental
    found establish create start founded
    invent create originate discover
    film shoot movie picture
    sing song singer perform record
    act play portray star cast actor
    author write wrote written writer
    locate situate lie location place where
    originate origin come derive stem
    purpose function role goal aim
    reason cause why because
    die death died dead
    kill murder
    big large size
    fast quick rapid speed
    broken faulty defect repair damage
    keep retain store retention
    delete erase remove destroy dispose
    meal food lunch dinner breakfast eat
    remote home telework
    desk workplace office
    train course training learn
    deadline due date latest until
    guest visitor
    badge card pass
    emergency urgent fire
    help support assistance helpdesk
    probation trial
    bonus premium reward
    tenure service seniority
    percent percentage share
    weekday monday tuesday wednesday thursday friday
    weekend saturday sunday
    mileage kilometre kilometer km mile
"""


@dataclass(frozen=True, slots=True)
class Word:
    """A word where it stands: `text[start:end]`, and its stem in lower case."""

    text: str
    start: int
    end: int
    stem: str

    @property
    def is_capitalised(self) -> bool:
        return self.text[:1].isupper()


class _Stemmers(threading.local):
    """Snowball's stemmer keeps state while it works, so each thread has its own."""

    def __init__(self) -> None:
        import Stemmer

        self.english: Any = Stemmer.Stemmer("english")


@lru_cache(maxsize=1)
def _stemmers() -> _Stemmers:
    return _Stemmers()


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The stem of a word, in lower case, without a possessive ending: `hotels` and `Hotel's` give `hotel`.

    What would be a stop word but is written in capitals (`IT`) stays as it is.
    """
    if word.isupper() and word.casefold() in STOP_WORDS and len(word) > 1:
        return word
    plain = _POSSESSIVE.sub("", word.casefold()).replace("’", "'")
    return str(_stemmers().english.stemWord(plain)) if plain else ""


def words_of(text: str) -> tuple[Word, ...]:
    """The words of a text in order, with their places."""
    return tuple(
        Word(match.group(), match.start(), match.end(), stem(match.group())) for match in _WORD.finditer(text)
    )


def plain_words(text: str) -> list[str]:
    """The words of a text in lower case; what token scores count."""
    return [match.group().casefold() for match in _WORD.finditer(text)]


def is_number(word: str) -> bool:
    return word[:1].isdigit()


@lru_cache(maxsize=1)
def _stop_stems() -> frozenset[str]:
    return frozenset(STOP_WORDS)


@lru_cache(maxsize=1)
def _common_stems() -> frozenset[str]:
    return frozenset(stem(word) for word in COMMON_WORDS)


def is_stop(word: str) -> bool:
    """Whether a word tells nothing; one in capitals (`IT`) is a name."""
    if word.isupper() and len(word) > 1:
        return False
    return word.casefold().replace("’", "'") in _stop_stems() or (len(word) == 1 and not word.isdigit())


def weight(word: str) -> float:
    """How much it tells that a passage has this word, in (0, 2.5].

    A code (`E10`) tells most, a number or a name more than a word, `make` little.
    """
    if is_stop(word):
        return 0.05
    if any(one.isdigit() for one in word) and any(one.isalpha() for one in word):
        return 2.5
    if is_number(word):
        return 1.6
    if stem(word) in _common_stems():
        return 0.7
    return 1.0 + min(0.4, 0.05 * max(0, len(word) - 4)) + (0.2 if word[:1].isupper() else 0.0)


@lru_cache(maxsize=1)
def _classes() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in _SAME.strip().splitlines():
        stems = {stem(word) for word in line.split()}
        for one in stems:
            found.setdefault(one, set()).update(stems)
    return {one: frozenset(others - {one}) for one, others in found.items()}


def same_meaning(one: str) -> frozenset[str]:
    """Stems that an office's documents use for the same thing, without the stem itself."""
    return _classes().get(one, frozenset())


def likeness(wanted: str, found: str) -> float:
    """How far one stem stands for another, in [0, 1]: equal 1, a longer form of the same word .8, else 0."""
    if wanted == found:
        return 1.0
    short, long = sorted((wanted, found), key=len)
    if len(short) >= 4 and long.startswith(short) and len(long) - len(short) <= 4 and not is_number(short):
        return 0.8
    if len(short) >= 6 and long[:5] == short[:5] and not is_number(short):
        return 0.6
    return 0.0


def best_likeness(wanted: str, stems: Collection[str]) -> float:
    """The likeness of the nearest of some stems; a word of the same meaning counts .6."""
    if wanted in stems:
        return 1.0
    best = 0.0 if same_meaning(wanted).isdisjoint(stems) else 0.6
    head = wanted[:4]
    for one in stems:
        if one[:4] == head:  # nothing else is like it
            best = max(best, likeness(wanted, one))
    return best


def pairs(stems: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Neighbouring stems, two by two."""
    before: str | None = None
    for one in stems:
        if before is not None:
            yield before, one
        before = one
