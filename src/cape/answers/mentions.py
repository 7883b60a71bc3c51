"""What a sentence mentions that could be an answer: dates, durations, amounts, people, places, reasons.

Owns the patterns. A mention that the question itself has is none: `mentions_of` leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cape.answers.question import Asked
from cape.answers.words import listed

_MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAYS = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_COUNT = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|"
    r"sixty|ninety|hundred|thousand|million|billion|half|once|twice|dozen|a single|an?)"
)
_NUMBER = r"\d[\d.,\u202f ]*\d|\d"
_TIMES = (
    r"(?:working |business |calendar |full |consecutive )?"
    r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|quarters?|years?|decades?|centur(?:y|ies))"
)

_DATE = re.compile(
    rf"\b\d{{4}}-\d{{2}}(?:-\d{{2}})?\b|\b\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}\b|\b(?:1[0-9]{{3}}|"
    rf"20[0-9]{{2}})s?\b|"
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTHS}\b|\b(?!may\b){_MONTHS}\b(?:\.? \d{{1,2}}(?:st|nd|rd|"
    rf"th)?)?|"
    rf"\bmay \d{{1,4}}\b|\b{_DAYS}\b|\bq[1-4]\b|\b\d{{1,2}}(?::\d{{2}})? ?(?:a\.?m\.?|p\.?m\.?|o'clock)\b|"
    rf"\b\d{{1,2}}:\d{{2}}\b|\b(?:\d{{1,2}}(?:st|nd|rd|th)|\w+(?:teenth|tieth|th)) century\b|"
    rf"\b(?:within|after|before|until|by|at least|no later than) (?:the )?(?:{_NUMBER}|"
    rf"{_COUNT}) {_TIMES}\b|"
    r"\b(?:first|last|second|third|next|previous|end|beginning|start)(?: (?:day|of|working|week|\w+day))* "
    r"(?:the |each |every )?(?:month|quarter|year|week|season)\b|\bnoon\b|\bmidnight\b|\bdaily\b|"
    r"\b(?:each|every) (?:\w+ )?(?:day|week|month|quarter|year|spring|summer|autumn|fall|winter)\b",
    re.IGNORECASE,
)
_DURATION = re.compile(
    rf"\b(?:{_NUMBER}|{_COUNT})[ -](?:to|or|and|–|-)?[ -]?(?:(?:{_NUMBER}|{_COUNT})[ -])?{_TIMES}\b|"
    r"\b(?:daily|weekly|monthly|quarterly|yearly|annually|hourly|always|never|twice|once|immediately|"
    r"at once|permanently|indefinitely)\b|\b(?:each|every) (?:\w+ )?(?:day|week|month|quarter|year|hour|"
    r"time)\b",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    rf"(?<![\w-])(?:[€$£] ?)?(?:{_NUMBER})(?:st|nd|rd|th)?(?: ?(?:%|€|\$|£|[a-z]+))?|"
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|"
    r"fifty|"
    r"sixty|ninety|hundreds?|thousands?|millions?|billions?|half|twice|dozen|unlimited|unanimous|none|"
    r"no limit|free of charge|several)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?<![.!?] )(?<!^)\b(?:[A-ZÀ-ÖØ-Þ][\w'’.-]*)(?: (?:of|de|van|von|der|la|the|and|&) (?=[A-Z]))?"
    r"(?: [A-ZÀ-ÖØ-Þ][\w'’-]*)*"
)
_FULL_NAME = re.compile(
    r"\b[A-ZÀ-ÖØ-Þ][\w'’-]+(?: [A-Z]\.?)?(?: (?:de|van|von|der|la))?(?: [A-ZÀ-ÖØ-Þ][\w'’-]+)+"
)
_ROLE = re.compile(
    r"\b(?:managers?|director|officer|team|lead(?:er)?|head|department|desk|office|board|council|"
    r"supervisor|"
    r"accountant|assistant|secretary|engineer|employees?|colleagues?|staff|reception|controller|"
    r"administrator|"
    r"president|minister|king|queen|emperor|actor|actress|singer|author|writer|company|committee|owner|"
    r"founder|people|players?|members?|artists?|support|security|finance|legal|he|she|they|CEO|CFO|CTO|"
    r"COO|HR|IT)\b"
)
_PLACE = re.compile(
    r"\b(?:in|at|from|to|near|on|of|via|outside|inside|under|below|between|within) (?:the |a |an |our |"
    r"its )?"
    r"(?:\w+ ){0,2}?[A-ZÀ-ÖØ-Þ][\w'’-]+|"
    r"\b(?:north|south|east|west)(?:ern|ward)?\b|\b(?:room|floor|building|street|city|town|country|state|"
    r"region|"
    r"folder|drive|intranet|portal|cabinet|cupboard|entrance|lobby|kitchen|basement|garage|desk|warehouse|"
    r"corner|reception|page|website|centre|center|island|river|coast|mountain|cell|pancreas)s?\b"
)
_REASON = re.compile(
    r"\b(?:because|due to|since|so that|in order to|as a result|result(?:s|ed|ing)? (?:in|from)|caus\w+|"
    r"led to|"
    r"lead(?:s|ing)? to|therefore|reasons?|so as to|to (?:avoid|prevent|ensure|keep|protect|reduce|make|"
    r"allow|"
    r"help)|thus|hence|owing to|based on|in response|stem\w*|why|for this|believ\w+|meant to|intended)\b",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\b(?:by \w+ing|first|then|next|finally|must|should|need to|has to|have to|can|click|open|enter|send|"
    r"submit|"
    r"fill|choose|select|sign|write|call|use|using|through|via|ask|tell|report|hand|bring|log|book|upload|"
    r"process|method|when|after|once)\b",
    re.IGNORECASE,
)
_LISTING = re.compile(r"(?:[^,;]+[,;]){2,}.*\b(?:and|or)\b|(?:[^,;]+, ?(?:and|or) )|\b(?:include|includes|"
                      r"including|such as|"
                      r"consists? of|namely|are:|following|both|either)\b", re.IGNORECASE)  # fmt: skip
_DEFINING = re.compile(
    r"^(?:\S+ ){1,12}?(?:is|are|was|were|means|refers to|stands for|describes|denotes|consists)\b",
    re.IGNORECASE,
)
_PATTERNS: dict[Asked, tuple[re.Pattern[str], ...]] = {
    Asked.DATE: (_DATE,),
    Asked.DURATION: (_DURATION, _DATE),
    Asked.AMOUNT: (_AMOUNT,),
    Asked.PERSON: (_FULL_NAME, _NAME, _ROLE),
    Asked.PLACE: (_PLACE,),
    Asked.REASON: (_REASON,),
    Asked.HOW_TO: (_STEP,),
    Asked.LIST: (_LISTING,),
    Asked.DEFINITION: (_DEFINING,),
}


def mentions_of(asked: Asked, text: str, known: frozenset[str]) -> Iterator[re.Match[str]]:
    """The places in `text` where an answer of that kind could stand, but not those made of `known` words.

    `known` holds the question's words in lower case. A kind without a pattern gives nothing.
    """
    for pattern in _PATTERNS.get(asked, ()):
        for match in pattern.finditer(text):
            parts = set(re.findall(r"[^\W_]+", match.group().casefold()))
            if parts - known - _SMALL:
                yield match


_SMALL = listed(
    """
    in at from to near on of via the a an our its and within under by is are was were
    """
)
