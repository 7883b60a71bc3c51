"""Words: text to terms, terms to an immutable segment, and BM25 over what an asker may see.

Owns the analyser, the segment's bytes, and the score. Pure: it reads no file and knows no groups; the
caller says by masks which rows exist for this asker. Document frequencies, the number of rows and their
average length are counted over the allowed rows alone, so that a hidden row changes no bit of a score.
"""

from __future__ import annotations

import math
import re
import struct
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cape.errors import IntegrityError
from cape.knowledge.protocol import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANALYSER_VERSION = 1
"""Part of an index's recipe: raised whenever some text gives other terms."""

LONGEST_TERM = 64
"""Characters of a term that count; what is longer is no word."""

_RAW = re.compile(r"\w+(?:(?:[-'’.·]|(?<=\d),(?=\d))\w+)*(?:\+\+|#(?!\w))?")
_GROUPED_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")
_DECIMAL = re.compile(r"\d+\.\d+\Z")
_POSSESSIVE = re.compile(r"['’]s\Z", re.IGNORECASE)
_APOSTROPHE = re.compile(r"['’]")
_JOINTS = re.compile(r"[-._·,]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_QUANTITY = re.compile(r"(\d+)([^\W\d]{1,5})\Z")
_ACCENTS = re.compile("[\u0300-\u036f]")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

_REPETITION = 0.75

_local = threading.local()

# What English questions are made of. Measured: leaving these out of the *question* alone is worth more than
# any other choice made here, and the index keeps them, so that a question of nothing else still finds.
_FUNCTION_WORDS = """
    a about above after again all also am an and any are as at be because been before being below between
    both but by can could did do does doing dont during each few for from further had has have having he
    her here hers him his how i if in into is it its itself just me might more most must my no nor not of
    off on once only or other our out over own same she should so some such than that the their them then
    there these they this those through to too under until up upon very was we were what when where which
    while who whom whose why will with would you your
"""


class DamagedWords(IntegrityError):
    """The bytes of a word segment are not what one wrote."""

    slug = "damaged-word-segment"


def analyse(text: str) -> list[str]:
    """The terms of a text in order: folded, split, stemmed; nothing is left out as too common.

    A hyphenated word gives its parts and the joined word, an identifier its parts and itself, a number
    with a unit the whole, the number and the unit; `1,234` is `1234`, `U.S.` is `us`; runs of a script
    without spaces give pairs of characters.

    >>> analyse("Data-bases of 5kg, user_id")
    ['data', 'base', 'databas', 'of', '5kg', '5', 'kg', 'user', 'id', 'user_id']
    """
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return [term for raw in _RAW.findall(text) for term in _terms(raw)]


@lru_cache(maxsize=1 << 17)
def _terms(raw: str) -> tuple[str, ...]:
    word = _APOSTROPHE.sub("", _POSSESSIVE.sub("", raw))
    folded = word.casefold()
    if folded.isalpha() and folded.isascii() and (word[1:].islower() or len(word) < 3 or word.isupper()):
        return (_stem(folded[:LONGEST_TERM]),)
    if _GROUPED_NUMBER.match(folded):
        return (folded.replace(",", ""),)
    if _DECIMAL.match(folded):
        return (folded,)
    return tuple(term[:LONGEST_TERM] for term in _compound(word, folded) if term)


def _compound(word: str, folded: str) -> list[str]:
    """The terms of a word that is not one plain word."""
    if _UNSPACED.search(folded):
        return [folded[at : at + 2] for at in range(max(1, len(folded) - 1))]
    pieces = [piece for joint in _JOINTS.split(word) if joint for piece in _CAMEL.split(joint)]
    if len(pieces) > 1 and all(len(piece) == 1 for piece in pieces):
        return ["".join(pieces).casefold()]
    parts = [piece.casefold() for piece in pieces]
    quantity = _QUANTITY.match(folded)
    if quantity:
        return [folded, quantity[1], _stem(quantity[2])]
    stems = [_stem(part) for part in parts]
    return stems if len(stems) == 1 else [*stems, _whole(folded)]


def _whole(folded: str) -> str:
    """A compound as one term: `e-mail` is `email`, while `user_id`, `1.2.3` and `2024-01-31` stay."""
    joined = _JOINTS.sub("", folded)
    return _stem(joined) if joined.isalpha() and "_" not in folded and "." not in folded else folded


def _stem(word: str) -> str:
    """Snowball's English stem. A stemmer is not safe to share between threads, so each has its own."""
    stemmer: Any = getattr(_local, "stemmer", None)
    if stemmer is None:
        import Stemmer

        stemmer = _local.stemmer = Stemmer.Stemmer("english", 0)
    stem: str = stemmer.stemWord(word)
    return stem


_MAGIC = b"capewrd\x01"
_HEAD = struct.Struct("<8sQQQQ")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WordSegment:
    """The words of some rows, read-only; row numbers count from 0 within the segment.

    `terms` are UTF-8, sorted by their bytes, one after the other: term `i` is
    `terms[term_ends[i - 1]:term_ends[i]]`, and its postings are `rows` and `counts` up to
    `posting_ends[i]`. Shapes: `term_ends`, `posting_ends` (n_terms,) uint32 and uint64; `rows` int32,
    ascending within a term; `counts` uint16, saturated; `lengths` (n_rows,) uint32, in terms.
    """

    terms: bytes
    term_ends: NDArray[np.uint32]
    posting_ends: NDArray[np.uint64]
    rows: NDArray[np.int32]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.uint32]

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self.lengths)

    def term(self, number: int) -> bytes:
        """The term with this number."""
        start = int(self.term_ends[number - 1]) if number else 0
        return self.terms[start : int(self.term_ends[number])]

    def postings(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """The rows that a term stands in, ascending, and how often in each; empty when in none."""
        wanted = term.encode("utf-8", "surrogatepass")
        number = bisect_left(range(len(self.term_ends)), wanted, key=self.term)
        if number == len(self.term_ends) or self.term(number) != wanted:
            return self.rows[:0], self.counts[:0]
        start = int(self.posting_ends[number - 1]) if number else 0
        end = int(self.posting_ends[number])
        return self.rows[start:end], self.counts[start:end]

    def to_bytes(self) -> bytes:
        """The segment as bytes, little-endian, equal for equal texts."""
        head = _HEAD.pack(_MAGIC, len(self.lengths), len(self.term_ends), len(self.rows), len(self.terms))
        arrays = ((self.posting_ends, "<u8"), (self.term_ends, "<u4"), (self.lengths, "<u4"))
        postings = ((self.rows, "<i4"), (self.counts, "<u2"))
        parts = [array.astype(kind, copy=False).tobytes() for array, kind in (*arrays, *postings)]
        return b"".join([head, *parts, self.terms])

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> WordSegment:
        """The segment whose bytes these are; arrays are views, so a memory map is not read through.

        Raises:
            DamagedWords: the bytes are cut short, or no word segment.
        """
        import numpy as np

        if len(data) < _HEAD.size:
            raise DamagedWords("a word segment of the index is cut short", hint="run `cape index` again")
        magic, n_rows, n_terms, n_postings, n_text = _HEAD.unpack_from(data)
        size = _HEAD.size + n_terms * 12 + n_rows * 4 + n_postings * 6 + n_text
        if magic != _MAGIC or len(data) != size:
            raise DamagedWords("a word segment of the index is damaged", hint="run `cape index` again")
        at = _HEAD.size

        def take(kind: str, count: int) -> Any:
            nonlocal at
            array = np.frombuffer(data, dtype=kind, count=count, offset=at)
            at += array.nbytes
            return array

        ends, term_ends = take("<u8", n_terms), take("<u4", n_terms)
        lengths, rows, counts = take("<u4", n_rows), take("<i4", n_postings), take("<u2", n_postings)
        if n_terms and (int(ends[-1]) != n_postings or int(term_ends[-1]) != n_text):
            raise DamagedWords("a word segment of the index is damaged", hint="run `cape index` again")
        terms = bytes(memoryview(data)[at:])
        return cls(
            terms=terms, term_ends=term_ends, posting_ends=ends, rows=rows, counts=counts, lengths=lengths
        )


@cache
def stop_terms() -> frozenset[str]:
    """The terms of words that say nothing about what a question is about."""
    return frozenset(analyse(_FUNCTION_WORDS))


def question_terms(text: str) -> dict[str, float]:
    """The terms that a question is searched by, in order; each weighs its count to the power of .75.

    Function words are left out, unless the question has no others. The power keeps a long question from
    being about its most repeated word alone; 1 and .5 are as good, on collections of short and long ones.

    >>> question_terms("What is the cost of the cost centre?")
    {'cost': 1.681792830507429, 'centr': 1.0}
    """
    counts: dict[str, int] = {}
    for term in analyse(text):
        counts[term] = counts.get(term, 0) + 1
    stops = stop_terms()
    weights = {term: float(count**_REPETITION) for term, count in counts.items()}
    return {term: weight for term, weight in weights.items() if term not in stops} or weights


def build_words(texts: Iterable[str]) -> WordSegment:
    """The segment of texts, one row each, in their order."""
    import numpy as np

    numbers: dict[str, int] = {}
    found: list[NDArray[np.int64]] = []
    lengths: list[int] = []
    for text in texts:
        terms = analyse(text)
        found.append(np.fromiter((numbers.setdefault(term, len(numbers)) for term in terms), np.int64))
        lengths.append(len(terms))
    sizes = np.array(lengths, dtype=np.uint32)
    encoded = [term.encode("utf-8", "surrogatepass") for term in numbers]
    by_bytes = sorted(range(len(encoded)), key=encoded.__getitem__)
    order = np.empty(len(encoded), dtype=np.int64)
    order[by_bytes] = np.arange(len(encoded))
    occurrences = order[np.concatenate(found)] if found else np.zeros(0, dtype=np.int64)
    # One number per occurrence, term above row: sorting them groups the postings as they are stored.
    keys = occurrences * max(1, len(sizes)) + np.repeat(np.arange(len(sizes)), sizes)
    postings, counts = np.unique(keys, return_counts=True)
    of_term, rows = np.divmod(postings, max(1, len(sizes)))
    return WordSegment(
        terms=b"".join(encoded[number] for number in by_bytes),
        term_ends=np.cumsum([len(encoded[number]) for number in by_bytes], dtype=np.uint32),
        posting_ends=np.cumsum(np.bincount(of_term, minlength=len(encoded)), dtype=np.uint64),
        rows=rows.astype(np.int32),
        counts=np.minimum(counts, 65535).astype(np.uint16),
        lengths=sizes,
    )


def search_words(
    segments: Sequence[WordSegment],
    masks: Sequence[NDArray[np.bool_]],
    text: str,
    k: int,
    *,
    ids: Sequence[NDArray[np.int64]] | None = None,
    k1: float = 0.9,
    b: float = 0.4,
) -> list[Hit]:
    """The `k` allowed rows that share words with a text, best first by BM25, ties by id.

    The text's terms are `question_terms`.

    `masks[i]`, (len(segments[i]),), is true where a row of segment `i` exists for the asker. `ids[i]` are
    the chunk ids of its rows; without `ids`, rows are numbered through all segments. Scores are
    `sum of weight * ln(1 + (N - df + .5) / (df + .5)) * tf / (tf + k1 * (1 - b + b * length / average))`,
    in float32, every number counted over allowed rows; a hidden row changes no bit of them. Pure.

    Source: Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, with Lucene's idf.
    """
    return search_terms(segments, masks, question_terms(text), k, ids=ids, k1=k1, b=b)


def search_terms(
    segments: Sequence[WordSegment],
    masks: Sequence[NDArray[np.bool_]],
    terms: Mapping[str, float],
    k: int,
    *,
    ids: Sequence[NDArray[np.int64]] | None = None,
    k1: float = 0.9,
    b: float = 0.4,
) -> list[Hit]:
    """As `search_words`, for terms that are analysed already, each with its weight above 0."""
    import numpy as np

    allowed = _Allowed.of(segments, masks)
    if k <= 0 or not allowed.count:
        return []
    average = max(1.0, allowed.total_length / allowed.count)
    pending = [found for term, weight in terms.items() if (found := _found(allowed, term, weight))]
    pending.sort(key=lambda found: (-found.ceiling, found.term))
    scores = np.zeros(allowed.size, dtype=np.float32)
    norms = (np.float32(k1 * (1 - b)), np.float32(k1 * b / average))
    candidates = _score(pending, allowed, scores, norms, k)
    return _best(candidates, scores[candidates], allowed.numbers(candidates, ids), k)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Allowed:
    """The segments side by side, and what an asker may see of them; `masks[i]` is None for everything."""

    segments: Sequence[WordSegment]
    masks: Sequence[NDArray[np.bool_] | None]
    bases: Sequence[int]
    size: int
    count: int
    total_length: int

    @classmethod
    def of(cls, segments: Sequence[WordSegment], masks: Sequence[NDArray[np.bool_]]) -> _Allowed:
        import numpy as np

        bases, size, count, total = [], 0, 0, 0
        seen: list[NDArray[np.bool_] | None] = []
        for segment, mask in zip(segments, masks, strict=True):
            bases.append(size)
            size += len(segment)
            visible = int(np.count_nonzero(mask))
            seen.append(None if visible == len(segment) else mask)
            count += visible
            lengths = segment.lengths if visible == len(segment) else segment.lengths[mask]
            total += int(lengths.sum(dtype=np.int64))
        return cls(segments=segments, masks=seen, bases=bases, size=size, count=count, total_length=total)

    def numbers(self, rows: NDArray[np.int64], ids: Sequence[NDArray[np.int64]] | None) -> NDArray[np.int64]:
        """The ids of rows that are numbered through all segments."""
        import numpy as np

        if ids is None:
            return rows
        numbers = np.empty(len(rows), dtype=np.int64)
        of_segment = np.searchsorted(np.array(self.bases), rows, side="right") - 1
        for number, base in enumerate(self.bases):
            here = of_segment == number
            numbers[here] = ids[number][rows[here] - base]
        return numbers


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Found:
    """A term's allowed postings by segment; no row scores `ceiling` or more by it."""

    term: str
    ceiling: float
    postings: Sequence[tuple[int, NDArray[np.int32], NDArray[np.uint16]]]


def _found(allowed: _Allowed, term: str, weight: float) -> _Found | None:
    """The allowed rows that a term stands in; None when there are none."""
    postings = []
    frequency = 0
    for number, (segment, mask) in enumerate(zip(allowed.segments, allowed.masks, strict=True)):
        rows, counts = segment.postings(term)
        if len(rows) and mask is not None:
            visible = mask[rows]
            rows, counts = rows[visible], counts[visible]
        if len(rows):
            frequency += len(rows)
            postings.append((number, rows, counts))
    if not frequency:
        return None
    ceiling = weight * math.log(1 + (allowed.count - frequency + 0.5) / (frequency + 0.5))
    return _Found(term=term, ceiling=ceiling, postings=postings)


def _score(
    pending: Sequence[_Found],
    allowed: _Allowed,
    scores: NDArray[np.float32],
    norms: tuple[np.float32, np.float32],
    k: int,
) -> NDArray[np.int64]:
    """Add up scores, weightiest term first; give the rows that may be among the best `k`.

    As soon as a row that has none of the terms seen cannot reach the `k`-th best any more, only rows
    already found are scored further: the frequent terms, whose postings are long, are then looked up
    instead of walked through. The sums are the same, added in the same order.
    """
    import numpy as np

    touched: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    remaining = list(accumulate((found.ceiling for found in reversed(pending)), initial=0.0))[:0:-1]
    closed, looked = False, 0
    for at, found in enumerate(pending):
        # Looking costs a pass over the rows found, so it is done ever more rarely.
        if len(touched) >= k and at - looked >= at // 8:
            looked = at
            threshold = float(np.partition(scores[touched], len(touched) - k)[len(touched) - k])
            closed = closed or remaining[at] < threshold * (1 - 1e-4)
            if closed:
                touched = touched[scores[touched] + np.float32(remaining[at] * (1 + 1e-4)) >= threshold]
        new = []
        for number, rows, counts in found.postings:
            base, segment = allowed.bases[number], allowed.segments[number]
            if closed:
                rows, counts = _only(rows, counts, touched, base, len(segment))
            places = rows.astype(np.int64)
            places += base
            if not closed:
                new.append(places[scores[places] == 0])
            scores[places] += _saturated(counts, segment.lengths[rows], norms, np.float32(found.ceiling))
        if new:
            touched = np.concatenate([touched, *new])
    touched.sort()
    return touched


def _saturated(
    counts: NDArray[np.uint16],
    lengths: NDArray[np.uint32],
    norms: tuple[np.float32, np.float32],
    ceiling: np.float32,
) -> NDArray[np.float32]:
    """What a term adds to rows: `ceiling * count / (count + norms[0] + norms[1] * length)`."""
    import numpy as np

    frequencies = counts.astype(np.float32)
    divisor = lengths.astype(np.float32)
    divisor *= norms[1]
    divisor += norms[0]
    divisor += frequencies
    frequencies /= divisor
    frequencies *= ceiling
    return frequencies


def _only(
    rows: NDArray[np.int32], counts: NDArray[np.uint16], touched: NDArray[np.int64], base: int, size: int
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """The postings whose rows are among those touched."""
    import numpy as np

    wanted = np.sort(touched[(touched >= base) & (touched < base + size)] - base).astype(np.int32)
    places = np.searchsorted(rows, wanted)
    places[places == len(rows)] = 0
    hit = places[rows[places] == wanted]
    return rows[hit], counts[hit]


def _best(
    candidates: NDArray[np.int64], scores: NDArray[np.float32], numbers: NDArray[np.int64], k: int
) -> list[Hit]:
    """The `k` best, best first, ties by id."""
    import numpy as np

    if len(candidates) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        keep = scores >= threshold
        scores, numbers = scores[keep], numbers[keep]
    order = np.lexsort((numbers, -scores))[:k]
    return [Hit(int(numbers[at]), float(scores[at])) for at in order]
