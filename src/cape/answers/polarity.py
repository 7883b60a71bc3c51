"""Yes or no: what a sentence says to a question that can be answered so, by its modal words and numbers.

Owns these rules. When they do not decide, there is no word: the sentence stands alone.
"""

from __future__ import annotations

import re
from enum import StrEnum

from cape.answers.question import Question


class Polarity(StrEnum):
    """How an answer begins."""

    YES = "Yes"
    NO = "No"


_NUMBER = r"(\d+(?:[.,]\d{3})*(?:[.,]\d+)?)"
_AT_MOST = re.compile(
    rf"\b(?:up to|at most|no more than|not more than|maximum(?: of)?|max\.?|not exceed(?:ing)?|limited to|"
    rf"below|under|less than|within|no later than|until|capped at|limit (?:is|of)|ceiling (?:is|"
    rf"of))\D{{0,20}}{_NUMBER}|"
    rf"{_NUMBER}\D{{0,20}}\b(?:at most|or less|or fewer|maximum)\b",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    rf"\b(?:at least|no less than|not less than|minimum(?: of)?|more than|over|above|exceed(?:s|ing)?|from|"
    rf"starting (?:at|from))\D{{0,20}}{_NUMBER}|{_NUMBER}\D{{0,20}}\b(?:or more|or above|or over|at least|"
    rf"minimum)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:not|no|never|cannot|can't|mustn't|isn't|aren't|don't|doesn't|won't|wasn't|weren't|without|"
    r"nobody|"
    r"none|neither|nor)\b|n't\b",
    re.IGNORECASE,
)
_FORBIDS = re.compile(
    r"\b(?:must|may|can|should|shall|is|are|will|do|does)(?:\s+\w+)? (?:not|never)\b|\bcannot\b|"
    r"\b(?:forbidden|prohibited|banned|not allowed|not permitted|excluded|disallowed|refused|ruled out)\b|"
    r"\bno (?:\w+ ){1,4}(?:is|are|may|can|will)\b|\bnever\b|\bnobody\b|\b(?:is|are) not\b|^no\b",
    re.IGNORECASE,
)
_ALLOWS = re.compile(
    r"\b(?:may|can|allowed|permitted|entitled|free to|welcome|possible|eligible|covers?|covered|reimbursed|"
    r"reimburses|paid|pays|includes?|included|available|provides?|provided|offers?|approved)\b",
    re.IGNORECASE,
)
_REQUIRES = re.compile(
    r"\b(?:must|required|requires?|need(?:s|ed)?(?: to)?|has to|have to|mandatory|obligatory|compulsory|"
    r"shall|necessary|always|only with|only after|before (?:any|each|every))\b",
    re.IGNORECASE,
)
_SPARES = re.compile(
    r"\b(?:optional|voluntary|not (?:required|needed|necessary|mandatory)|no need|need not|"
    r"without (?:an? )?\w+|"
    r"no (?:\w+ ){0,3}(?:is |are )?(?:required|needed|necessary)|exempt|(?:does|do) not (?:need|require|"
    r"have to))\b",
    re.IGNORECASE,
)
_ASKS_LEAVE = re.compile(
    r"^(?:may|can|could|am i allowed|are \w+ allowed|is it (?:allowed|ok|okay|possible|permitted|fine))|"
    r"\b(?:allowed|permitted|entitled|eligible)\b",
    re.IGNORECASE,
)
_ASKS_DUTY = re.compile(
    r"^(?:must|should|shall|do (?:i|we|you|employees|\w+) (?:need|have) to|does .* (?:need|have) to|"
    r"is .* (?:required|mandatory|necessary|needed|compulsory)|are .* (?:required|mandatory|obliged|"
    r"needed))|"
    r"\b(?:required|mandatory|obliged|necessary|compulsory)\b|\b(?:need|have) to\b",
    re.IGNORECASE,
)
_ONLY = re.compile(
    r"\b(?:only|unless|except|if|provided that|subject to|depends?|usually|normally)\b", re.IGNORECASE
)


def polarity_of(question: Question, sentence: str) -> Polarity | None:
    """What the sentence says to a yes/no question; None when these rules cannot tell."""
    by_number = _by_number(question, sentence)
    if by_number is not None:
        return by_number
    if _NEGATED.search(question.text):
        return None
    if _ASKS_DUTY.search(question.text):
        return _by_duty(sentence)
    if _ASKS_LEAVE.search(question.text):
        return _by_leave(sentence)
    return _by_statement(sentence)


def _by_duty(sentence: str) -> Polarity | None:
    if _SPARES.search(sentence):
        return Polarity.NO
    return Polarity.YES if _REQUIRES.search(sentence) else None


def _by_leave(sentence: str) -> Polarity | None:
    if _FORBIDS.search(sentence):
        return Polarity.NO
    if _ONLY.search(sentence):
        return None
    return Polarity.YES if _ALLOWS.search(sentence) else None


def _by_statement(sentence: str) -> Polarity | None:
    if _FORBIDS.search(sentence) or re.search(r"\b(?:no longer|does not|do not|did not)\b", sentence):
        return Polarity.NO
    if _ONLY.search(sentence) or _NEGATED.search(sentence):
        return None
    return Polarity.YES


def number_in(text: str) -> float:
    """The number that a text writes, with `,` between thousands or before decimals."""
    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", text):
        return float(re.sub(r"[.,]", "", text))
    head, dot, tail = text.replace(",", ".").rpartition(".")
    return float(head.replace(".", "") + dot + tail) if dot else float(text)


def _by_number(question: Question, sentence: str) -> Polarity | None:
    """A number of the question against a limit of the sentence, where each has exactly one."""
    if len(question.numbers) != 1 or _ASKS_DUTY.search(question.text):
        return None
    asked_text = re.match(_NUMBER, next(iter(question.numbers)))
    if asked_text is None:
        return None
    asked = number_in(asked_text.group(1))
    most = {number_in(next(filter(None, found))) for found in _AT_MOST.findall(sentence)}
    least = {number_in(next(filter(None, found))) for found in _AT_LEAST.findall(sentence)}
    if len(most) == 1 and not least:
        return Polarity.YES if asked <= next(iter(most)) else Polarity.NO
    if len(least) == 1 and not most:
        return Polarity.YES if asked >= next(iter(least)) else Polarity.NO
    return None
