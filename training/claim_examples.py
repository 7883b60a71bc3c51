"""Examples for the checker of claims: answers, their evidence, and which characters are not supported.

Owns how the research sets are read, and how supported text is rewritten (and stays supported) or spoiled
(and is then known to be unsupported there). Everything is drawn from a seeded generator, so that a run can
be repeated.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cape.answers.claims.quantities import quantities_of
from cape.answers.words import is_stop, words_of

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """An answer with its evidence. `bad` are the unsupported characters; `spans_known` is False where only
    the answer's label is known. `group` names the document, so that folds do not share one.
    """

    answer: str
    evidence: tuple[str, ...]
    bad: tuple[Span, ...]
    group: str
    source: str
    spans_known: bool = True
    weight: float = 1.0

    @property
    def is_bad(self) -> bool:
        return bool(self.bad)


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def group_of(evidence: Sequence[str]) -> str:
    return " ".join(evidence)[:200]


# -- the research sets -------------------------------------------------------------------------------


def wice_claims(directory: Path) -> Iterator[Example]:
    """Whole claims with their label; partly supported counts as unsupported."""
    for row in rows_of(directory / "wice_dev.jsonl"):
        bad = row["label"] != "supported"
        yield Example(
            answer=row["claim"],
            evidence=("\n".join(row["evidence"]),),
            bad=((0, len(row["claim"])),) if bad else (),
            group=group_of(row["evidence"]),
            source="wice",
            spans_known=not bad,
            weight=3.0,
        )


def wice_tokens(directory: Path, part: str) -> Iterator[Example]:
    """Claims with a flag per word, and what remains of them when the unsupported words are left out."""
    for row in rows_of(directory / f"wice_tokens_{part}.jsonl"):
        spans = list(token_spans(row["claim"], row["claim_tokens"]))
        flags = row["non_supported_spans"]
        evidence = ("\n".join(row["evidence"]),)
        bad = joined_spans([span for span, flag in zip(spans, flags, strict=True) if flag], row["claim"])
        group = group_of(row["evidence"])
        yield Example(
            answer=row["claim"],
            evidence=evidence,
            bad=tuple(bad),
            group=group,
            source="wice-tokens",
            weight=2.0,
        )
        kept = [token for token, flag in zip(row["claim_tokens"], flags, strict=True) if not flag]
        if len(kept) >= 5 and len(kept) >= 0.5 * len(flags):
            text = re.sub(r"\s+([.,;:!?])", r"\1", " ".join(kept)).replace(" - ", "-")
            yield Example(answer=text, evidence=evidence, bad=(), group=group, source="wice-kept", weight=1.0)


def token_spans(text: str, tokens: Sequence[str]) -> Iterator[Span]:
    at = 0
    for token in tokens:
        found = text.find(token, at)
        start = found if found >= 0 else at
        at = start + len(token) if found >= 0 else at
        yield start, at


def joined_spans(spans: Sequence[Span], text: str) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined and not text[joined[-1][1] : start].strip(" -,'\""):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [span for span in joined if span[1] > span[0]]


def clapnq(directory: Path) -> Iterator[Example]:
    """Long-form answers that people wrote from one passage."""
    for row in rows_of(directory.parent / "answers" / "clapnq_answerable.jsonl"):
        for output in row["output"][:1]:
            text = re.sub(r"\s+([.,;:!?')])", r"\1", output["answer"]).replace("( ", "(").strip()
            if len(text.split()) >= 6:
                passage = row["passages"][0]
                evidence = (f"{passage['title']}\n{passage['text']}",)
                yield Example(
                    answer=text,
                    evidence=evidence,
                    bad=(),
                    group=passage["text"][:200],
                    source="clapnq",
                    weight=2.0,
                )


WRITTEN = Path(__file__).with_name("written_answers.jsonl")


def written() -> Iterator[Example]:
    """Answers in the manner of chat models, true and false, that were made for this training.

    They are about made-up records, passages and news; the false ones have a few words that their evidence
    lacks or speaks against, which are marked.
    """
    for number, row in enumerate(rows_of(WRITTEN)):
        for answer in row["answers"]:
            yield Example(
                answer=answer["text"],
                evidence=tuple(row["evidence"]),
                bad=tuple((start, end) for start, end in answer["unsupported"]),
                group=f"written {number}",
                source=f"written-{row['kind']}",
                weight=3.0,
            )


def halueval(directory: Path) -> Iterator[Example]:
    """Right and made-up answers to questions; short ones tell nothing without their question."""
    for number, row in enumerate(rows_of(directory / "halueval_qa.jsonl")):
        for key in ("right_answer", "hallucinated_answer"):
            text = row[key]
            bad = key == "hallucinated_answer"
            yield Example(
                answer=text,
                evidence=(row["knowledge"],),
                bad=((0, len(text)),) if bad else (),
                group=f"halueval {number}",
                source="halueval",
                spans_known=not bad,
            )


# -- rewriting that keeps what is said ---------------------------------------------------------------

_SAME = dict(
    pair.split(">")
    for pair in [
        "said>stated",
        "big>large",
        "bought>purchased",
        "began>started",
        "ended>concluded",
        "help>assist",
        "helped>assisted",
        "children>kids",
        "show>demonstrate",
        "showed>demonstrated",
        "died>passed away",
        "killed>slain",
        "got>received",
        "told>informed",
        "asked>requested",
        "use>utilize",
        "used>utilized",
        "about>approximately",
        "near>close to",
        "many>numerous",
        "film>movie",
        "movie>film",
        "company>firm",
        "city>town",
        "car>vehicle",
        "home>house",
        "police>officers",
        "people>individuals",
        "job>position",
        "work>labor",
        "begin>start",
        "make>create",
        "made>created",
        "important>significant",
        "famous>well-known",
        "fast>quick",
        "smart>clever",
        "hard>difficult",
        "wrote>authored",
        "moved>relocated",
        "because>since",
        "although>while",
        "however>but",
        "also>additionally",
        "announced>revealed",
        "won>secured",
        "built>constructed",
        "children's>kids'",
        "students>pupils",
        "doctor>physician",
        "lawyer>attorney",
        "photo>picture",
        "wants>hopes",
        "wanted>hoped",
        "believes>thinks",
        "believed>thought",
        "working>serving",
        "located>situated",
        "created>established",
        "founded>established",
        "became>turned into",
        "attack>assault",
        "crash>accident",
        "woman>lady",
        "man>guy",
        "baby>infant",
        "expensive>costly",
        "cheap>inexpensive",
        "happy>pleased",
        "angry>upset",
        "official>authority",
        "officials>authorities",
        "entire>whole",
        "nearly>almost",
        "currently>presently",
        "received>was given",
        "found>discovered",
        "discovered>found",
        "given>granted",
        "taken>brought",
        "caused>led to",
        "released>issued",
        "played>performed",
        "opened>launched",
        "called>named",
        "named>called",
        "plans>intends",
    ]
)
_FRAMES = (
    "The article states that {}", "According to the passage, {}", "The report says that {}",
    "Additionally, {}", "Furthermore, {}", "The text mentions that {}", "It is also noted that {}",
    "However, {}", "Based on the given information, {}", "In summary, {}", "Overall, {}", "Meanwhile, {}",
)  # fmt: skip


def rewritten(text: str, chance: random.Random, rate: float = 0.5) -> str:
    """A sentence in other words of the same meaning, sometimes framed, sometimes shortened."""
    text = re.sub(r"\s*\([^()]*\)", "", text) if chance.random() < 0.6 else text
    if chance.random() < 0.25 and re.match(r"^[A-Z][^,]{3,40}, (?=[a-z])", text):
        text = re.sub(r"^[^,]+, ", "", text)
        text = text[:1].upper() + text[1:]

    def change(match: re.Match[str]) -> str:
        other = _SAME.get(match[0].casefold())
        if other is None or chance.random() > rate:
            return match[0]
        return other.capitalize() if match[0][0].isupper() else other

    text = re.sub(r"[A-Za-z']+", change, text)
    if chance.random() < 0.3:
        lower = text[:1].lower() + text[1:] if text.split()[0].casefold() in _LOWERED else text
        text = chance.choice(_FRAMES).format(lower)
    return text


_LOWERED = frozenset(
    [
        "the",
        "a",
        "an",
        "it",
        "he",
        "she",
        "they",
        "this",
        "these",
        "that",
        "in",
        "on",
        "at",
        "for",
        "after",
        "before",
        "when",
        "while",
        "his",
        "her",
        "their",
        "some",
        "many",
        "there",
    ]
)

# -- spoiling: each gives the new text and its unsupported characters, or None where it cannot --------

Spoiled = tuple[str, Span]
Spoiler = Callable[[str, "Pool", random.Random], "Spoiled | None"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """What is drawn from: the text of the evidence, and sentences of other documents."""

    evidence: str
    others: Sequence[str]


def put(text: str, start: int, end: int, new: str) -> Spoiled:
    return text[:start] + new + text[end:], (start, start + len(new))


def other_number(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    found = [one for one in quantities_of(text) if one.keys[0].startswith("n:")]
    if not found:
        return None
    one = chance.choice(found)
    old = text[one.start : one.end]
    rivals = [
        pool.evidence[other.start : other.end]
        for other in quantities_of(pool.evidence[:6000])
        if other.keys[0].startswith("n:") and not set(other.keys) & set(one.keys) and other.dated == one.dated
    ]
    if rivals and chance.random() < 0.5:
        new = chance.choice(rivals)
    elif one.dated:
        new = str(int(float(one.keys[0][2:])) + chance.choice((-9, -5, -3, -2, -1, 1, 2, 3, 4, 7)))
    else:
        value = float(one.keys[0][2:])
        new = f"{max(2.0, round(value * chance.choice((0.5, 0.8, 1.2, 1.5, 2.0, 3.0)) + chance.choice((0, 1, 2)))):,.0f}"
    return None if new == old else put(text, one.start, one.end, new)


def other_month(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    found = [one for one in quantities_of(text) if one.keys[0][:2] in ("m:", "w:")]
    if not found:
        return None
    one = chance.choice(found)
    names = (
        [
            "January",
            "February",
            "March",
            "April",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ]
        if one.keys[0].startswith("m:")
        else ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    )
    return put(
        text, one.start, one.end, chance.choice([name for name in names if name != text[one.start : one.end]])
    )


_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")


def other_name(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    found = [match for match in _NAME.finditer(text) if not is_stop(match[0])]
    if not found:
        return None
    match = chance.choice(found)
    source = pool.evidence[:8000] if chance.random() < 0.5 else " ".join(chance.sample(list(pool.others), 3))
    rivals = [
        one for one in _NAME.findall(source)
        if one not in text and match[0] not in one and len(one.split()) == len(match[0].split()) and not is_stop(one)
    ]  # fmt: skip
    return put(text, match.start(), match.end(), chance.choice(rivals)) if rivals else None


_AUXILIARY = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|may|must|did|does|do)\b(?! not)"
)
_NOT = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|should|may|must|did|does|do) not\b")


def negated(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    if match := _NOT.search(text):
        return put(text, match.start(), match.end(), match[1])
    found = list(_AUXILIARY.finditer(text))
    if not found:
        return None
    match = chance.choice(found)
    return put(
        text, match.start(), match.end(), f"{match[1]} {chance.choice(('not', 'not', 'never', 'no longer'))}"
    )


_OPPOSITES = dict(
    pair.split(">")
    for pair in [
        "first>last",
        "last>first",
        "more>less",
        "less>more",
        "before>after",
        "after>before",
        "increased>decreased",
        "decreased>increased",
        "rose>fell",
        "fell>rose",
        "won>lost",
        "lost>won",
        "north>south",
        "south>north",
        "east>west",
        "west>east",
        "older>younger",
        "younger>older",
        "largest>smallest",
        "highest>lowest",
        "best>worst",
        "early>late",
        "late>early",
        "accepted>rejected",
        "approved>rejected",
        "men>women",
        "women>men",
        "father>mother",
        "mother>father",
        "son>daughter",
        "husband>wife",
        "wife>husband",
        "brother>sister",
        "sister>brother",
        "above>below",
        "public>private",
        "private>public",
        "open>closed",
        "opened>closed",
        "began>ended",
        "started>ended",
        "positive>negative",
        "support>oppose",
        "guilty>innocent",
        "new>old",
        "old>new",
        "large>small",
        "small>large",
        "long>short",
        "short>long",
        "high>low",
        "low>high",
        "many>few",
        "always>never",
        "male>female",
        "female>male",
        "major>minor",
        "success>failure",
        "safe>dangerous",
        "bought>sold",
        "sold>bought",
        "most>least",
    ]
)


def opposite(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    found = [match for match in re.finditer(r"[A-Za-z]+", text) if match[0] in _OPPOSITES]
    if not found:
        return None
    match = chance.choice(found)
    return put(text, match.start(), match.end(), _OPPOSITES[match[0]])


_PHRASE = re.compile(
    r"\b(?:in|for|with|by|from|during|after|because|while|despite|through|including|where|who|which|as) [^,;.:()\"]{12,80}(?=[,;.]|$)"
)


def spliced(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    """A phrase of another document, added at the end or in the place of a phrase."""
    donors = [
        match for match in (_PHRASE.search(one) for one in chance.sample(list(pool.others), 8)) if match
    ]
    if not donors:
        return None
    phrase = chance.choice(donors)[0].strip()
    mine = list(_PHRASE.finditer(text))
    if mine and chance.random() < 0.5:
        return put(text, mine[-1].start(), mine[-1].end(), phrase)
    end = len(text.rstrip(" .!?"))
    new, (start, stop) = put(text, end, end, f" {phrase}")
    return new, (start + 1, stop)


_ADDED = (
    "making it a popular choice for families", "due to its affordable prices", "which experts have widely praised",
    "raising concerns among local residents", "and it is expected to grow further in the coming years",
    "highlighting the need for stricter rules", "as part of a wider effort to improve safety",
    "despite strong opposition from critics", "which has led to a public outcry", "after a long investigation",
    "and it remains one of the most successful of its kind", "with plans to expand to other countries",
    "because of a lack of funding", "and the cause is still unknown", "in front of a large crowd",
    "which helps to reduce stress and improve sleep", "and is known for its excellent customer service",
    "with a wide range of vegetarian options", "and should be avoided by pregnant women",
    "so it is recommended to consult a professional first", "using only locally sourced ingredients",
    "as it was the first of its kind in the region", "and he later apologized for his remarks",
    "while others remain skeptical about the decision", "although the exact figure was not released",
    "and both parties agreed to meet again", "to the delight of fans around the world",
    "which can take several weeks to complete", "and usually costs more than expected",
    "with ample free parking nearby", "and the atmosphere is lively and romantic",
    "making it ideal for large groups", "and the process should be repeated daily",
)  # fmt: skip


def embellished(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    end = len(text.rstrip(" .!?"))
    phrase = chance.choice(_ADDED)
    new, (start, stop) = put(text, end, end, f", {phrase}")
    return new, (start + 2, stop)


def other_word(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    """A telling word of another document in the place of one with the same ending."""
    words = [w for w in words_of(text)[1:] if not is_stop(w.text) and w.text.islower() and len(w.text) > 4]
    if not words:
        return None
    word = chance.choice(words)
    donors = [
        other.text
        for one in chance.sample(list(pool.others), 6)
        for other in words_of(one)[1:]
        if other.text.islower() and len(other.text) > 4 and other.text[-2:] == word.text[-2:] and other.stem != word.stem
        and not is_stop(other.text)
    ]  # fmt: skip
    return put(text, word.start, word.end, chance.choice(donors)) if donors else None


def foreign(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    """A sentence of another document, with a name of this one put into it."""
    donor = rewritten(chance.choice(pool.others), chance)
    names = _NAME.findall(text)
    place = _NAME.search(donor)
    if names and place and chance.random() < 0.8:
        donor = donor[: place.start()] + chance.choice(names) + donor[place.end() :]
    return donor, (0, len(donor))


SPOILERS: tuple[tuple[Spoiler, float], ...] = (
    (other_number, 1.4), (other_month, 0.6), (other_name, 1.2), (negated, 0.6), (opposite, 0.6), (spliced, 1.4),
    (embellished, 1.4), (other_word, 1.0), (foreign, 0.9),
)  # fmt: skip


def spoiled(text: str, pool: Pool, chance: random.Random) -> Spoiled | None:
    for _ in range(8):
        spoiler = chance.choices([one for one, _ in SPOILERS], [weight for _, weight in SPOILERS])[0]
        if made := spoiler(text, pool, chance):
            return made
    return None


# -- answers made of sentences -----------------------------------------------------------------------


def composed(
    sentences: Sequence[str], evidence: tuple[str, ...], others: Sequence[str], group: str, source: str,
    chance: random.Random, *, bad: int, weight: float = 1.0,
) -> Example:  # fmt: skip
    """An answer of these sentences, `bad` of which are spoiled."""
    pool = Pool(evidence="\n".join(evidence), others=others)
    worst = set(chance.sample(range(len(sentences)), min(bad, len(sentences))))
    text, spans = "", []
    for number, sentence in enumerate(sentences):
        made = spoiled(sentence, pool, chance) if number in worst else None
        start = len(text)
        text += made[0] if made else sentence
        if made:
            spans.append((start + made[1][0], start + made[1][1]))
        text += "\n" if chance.random() < 0.08 else " "
    return Example(
        answer=text.strip(), evidence=evidence, bad=tuple(spans), group=group, source=source, weight=weight
    )


def summaries(directory: Path, chance: random.Random, count: int) -> Iterator[Example]:
    """Sentences of an article, rewritten, and half of the time spoiled."""
    articles = list({
        group_of(row["evidence"]): row["evidence"]
        for name in ("wice_dev", "wice_tokens_train", "wice_tokens_dev")
        for row in rows_of(directory / f"{name}.jsonl")
    }.items())  # fmt: skip
    plain = [
        [one for one in lines if 8 <= len(one.split()) <= 34 and one[-1:] in ".!?"] for _, lines in articles
    ]
    for _ in range(count):
        at = chance.randrange(len(articles))
        if len(plain[at]) < 4:
            continue
        group, lines = articles[at]
        window = plain[at][:30]
        chosen = sorted(chance.sample(range(len(window)), chance.randint(1, min(5, len(window)))))
        sentences = [rewritten(window[one], chance) for one in chosen]
        others = [one for _ in range(12) for one in chance.choice([p for p in plain if len(p) > 3])[:8]]
        bad = chance.choice((0, 0, 0, 1, 1, 2)) if len(sentences) > 1 else chance.choice((0, 1))
        yield composed(sentences, ("\n".join(lines[:120]),), others, group, "summary", chance, bad=bad)


def reanswered(
    base: Sequence[Example], others: Sequence[str], chance: random.Random, times: int
) -> Iterator[Example]:
    """Natural supported answers again, spoiled."""
    from cape.answers.sentences import sentence_spans

    for example in base:
        for _ in range(times):
            parts = [example.answer[start:end] for start, end in sentence_spans(example.answer)]
            made = composed(
                parts, example.evidence, others, example.group, f"{example.source}-spoiled", chance,
                bad=chance.choice((1, 1, 2)), weight=example.weight / times,
            )  # fmt: skip
            if made.is_bad:
                yield made


def declining(base: Sequence[Example], chance: random.Random) -> Iterator[Example]:
    """Answers that say that the evidence does not tell: nothing in them is unsupported."""
    texts = (
        "Unable to answer based on the given passages.", "The passage does not mention this.",
        "I could not find this information in the provided passages.",
        "The provided text does not give enough information to answer the question.",
    )  # fmt: skip
    for example in base:
        yield replace(
            example, answer=chance.choice(texts), bad=(), source="declined", spans_known=True, weight=0.3
        )
