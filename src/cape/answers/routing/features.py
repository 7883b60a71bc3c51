"""What is measured of a question, so that its difficulty shows whatever its subject is.

Owns the order and the meaning of the features. They count how a question is put (figures, negations, the
likeness of its choices), never what it is about: a router that learnt subjects would fail on the next one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations

from cape.answers.words import is_stop, words_of

FEATURES = (
    "letters", "question_words", "choices", "choice_words", "longest_choice", "shortest_choice",
    "choice_spread",
    "figures", "figures_in_choices", "numeric_choices", "signs", "formula", "negated", "all_none", "combined",
    "statements", "blank", "no_mark", "which_following", "best_most", "calculates", "why_how", "names",
    "word_length",
    "long_words", "choice_likeness", "choice_closeness", "question_in_choices", "quantifiers", "hedges",
    "story",
    "sentences", "quotes", "stop_share", "logic", "definition", "years", "conditions", "symbols_only",
    "units",
    "single_word_choices", "code",
)  # fmt: skip

_CHOICE = re.compile(r"(?m)^\s*\(?([A-J])[.):]\s*(.*(?:\n(?!\s*\(?[A-J][.):]).*)*)")
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_SIGN = re.compile(r"[=<>≤≥≈±×÷√∑∫∂πθλμΔ^/*+\\|{}\[\]$%°→∨∧¬∀∃⊃≡•]")
_FORMULA = re.compile(r"\b[a-zA-Z]\s?\(\s?[a-z]\s?\)|\b[a-z]\s?[=^]\s?|\\[a-z]+|\$[^$]+\$|[A-Z][a-z]?\d")
_NEGATED = re.compile(r"\b(?:NOT|EXCEPT|LEAST|not|except|false|incorrect|least likely|never|untrue|cannot)\b")
_ALL_NONE = re.compile(r"\b(?:all|none|both|neither|any) of (?:the |these|them)", re.IGNORECASE)
_COMBINED = re.compile(
    r"\b(?:I{1,3}|IV)(?:,| and| only)|\b\(?[abcd1-4ivx]+\)? (?:and|only)\b|\bonly\b", re.IGNORECASE
)
_STATEMENTS = re.compile(
    r"\bstatement\s?[12I]|\b(?:i{1,3}|iv)\)|\b[ivIV]{1,3}\.\s|\(\d\)|True, (?:True|False)"
)
_BEST = re.compile(
    r"\b(?:best|most|main|primary|strongest|likely|closest|greatest|key|chief)\b", re.IGNORECASE
)
_CALCULATES = re.compile(
    r"\b(?:how (?:many|much|long|far|fast)|calculate|find|compute|solve|evaluate|determine|what is the "
    r"(?:value|probability|number|sum|ratio|rate|order|degree|product|cost|price|total|average|magnitude|energy|force|"
    r"mass|speed|current|voltage|resistance|concentration|pH|percentage))\b",
    re.IGNORECASE,
)
_WHY = re.compile(r"\b(?:why|how|because|explain|reason|purpose|cause)\b", re.IGNORECASE)
_QUANTIFIER = re.compile(
    r"\b(?:all|every|each|some|any|no|only|always|none|at least|at most|exactly|if)\b", re.IGNORECASE
)
_HEDGE = re.compile(
    r"\b(?:may|might|could|would|should|probably|generally|usually|often|tend|typically)\b", re.IGNORECASE
)
_LOGIC = re.compile(
    r"\b(?:valid|argument|premise|conclusion|implies|logic|proposition|formula|fallacy|infer|assum)\w*",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"\b(?:refers? to|is (?:called|known|defined|termed)|known as|means|defin\w+|term|example of|what is an?|"
    r"who|when did|where)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|suppose|assume|given|let|when|unless|provided|then)\b", re.IGNORECASE)
_YEAR = re.compile(r"\b1[0-9]{3}s?\b|\b20[0-9]{2}\b")
_UNIT = re.compile(r"\d\s?(?:k?m|cm|mm|k?g|s|ms|Hz|V|A|W|J|N|K|mol|M|L|ml|years?|days?|percent|%|°C?)\b")
_CODE = re.compile(
    r"\b(?:def|return|for|while|print|int|array|list|algorithm|program|loop|binary|byte)s?\b|[;{}]\s*$|=="
)


def parts_of(question: str) -> tuple[str, tuple[str, ...]]:
    """A question and the choices below it; none where it lists none.

    >>> parts_of("Which one?\\nA. this\\nB. that\\nAnswer:")
    ('Which one?', ('this', 'that'))
    """
    text = question.strip().removesuffix("Answer:").rstrip()
    found = list(_CHOICE.finditer(text))
    while found and found[0][1] != "A":
        found.pop(0)
    if len(found) < 2:
        return text, ()
    return text[: found[0].start()].strip(), tuple(match[2].strip() for match in found)


def question_row(question: str) -> list[float]:
    """The `FEATURES` of a question."""
    text, choices = parts_of(question[:20_000])
    measured = {**_of_text(text), **_of_choices(text, choices)}
    return [measured[name] for name in FEATURES]


def _count(pattern: re.Pattern[str], text: str) -> float:
    return math.log1p(len(pattern.findall(text)))


def _has(pattern: re.Pattern[str], text: str) -> float:
    return float(pattern.search(text) is not None)


def _of_text(text: str) -> dict[str, float]:
    words = words_of(text)
    plain = [word.text for word in words if word.text.isalpha()]
    count = max(1, len(plain))
    return {
        "letters": math.log1p(len(text)),
        "question_words": math.log1p(len(words)),
        "figures": _count(_FIGURE, text),
        "signs": _count(_SIGN, text),
        "formula": _count(_FORMULA, text),
        "negated": _has(_NEGATED, text),
        "statements": _has(_STATEMENTS, text),
        "blank": float("__" in text or text.rstrip().endswith((":", "…", "..."))),
        "no_mark": float(not text.rstrip().endswith(("?", ":", "."))),
        "which_following": float("following" in text.casefold()),
        "best_most": _has(_BEST, text),
        "calculates": _has(_CALCULATES, text),
        "why_how": _has(_WHY, text),
        "names": sum(word.text[:1].isupper() for word in words[1:]) / count,
        "word_length": sum(map(len, plain)) / count,
        "long_words": sum(len(word) > 9 for word in plain) / count,
        "quantifiers": _count(_QUANTIFIER, text),
        "hedges": _count(_HEDGE, text),
        "story": float(len(words) > 60),
        "sentences": math.log1p(len(re.findall(r"[.?!](?:\s|$)", text))),
        "quotes": _has(re.compile(r"[\"“”]"), text),
        "stop_share": sum(is_stop(word) for word in plain) / count,
        "logic": _has(_LOGIC, text),
        "definition": _has(_DEFINITION, text),
        "years": _has(_YEAR, text),
        "conditions": _count(_CONDITION, text),
        "units": _count(_UNIT, text),
        "code": _count(_CODE, text),
    }


def _of_choices(text: str, choices: Sequence[str]) -> dict[str, float]:
    lengths = [len(choice.split()) for choice in choices] or [0]
    joined = "\n".join(choices)
    bags = [{word.stem for word in words_of(choice)} for choice in choices]
    asked = {word.stem for word in words_of(text) if not is_stop(word.text)}
    pairs = [_jaccard(one, other) for one, other in combinations(bags, 2)]
    count = max(1, len(choices))
    mean = sum(lengths) / len(lengths)
    return {
        "choices": float(len(choices)),
        "choice_words": math.log1p(mean),
        "longest_choice": math.log1p(max(lengths)),
        "shortest_choice": math.log1p(min(lengths)),
        "choice_spread": (max(lengths) - min(lengths)) / (mean + 1),
        "figures_in_choices": _count(_FIGURE, joined),
        "numeric_choices": sum(bool(re.match(r"^[^A-Za-z]*\d[^A-Za-z]*\w{0,4}\.?$", one)) for one in choices)
        / count,
        "all_none": _has(_ALL_NONE, joined),
        "combined": _has(_COMBINED, joined),
        "choice_likeness": sum(pairs) / max(1, len(pairs)),
        "choice_closeness": max(pairs, default=0.0),
        "question_in_choices": sum(bool(bag & asked) for bag in bags) / count,
        "symbols_only": sum(not re.search(r"[A-Za-z]{3}", one) for one in choices) / count,
        "single_word_choices": sum(length == 1 for length in lengths) / count,
    }


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(1, len(one | other))
