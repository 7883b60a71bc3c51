"""Vectors: the nearest of the rows that an asker may see, found by an exact scan.

Owns the scan, the codes that narrow it down, and their exact rescoring. Pure: it reads no file and knows
no groups. A row's score is one float64 sum over that row alone, so a hidden row changes no bit of it,
whatever blocks, threads or vector units the scan went through.

Up to `SCAN_ALL_BELOW` allowed rows every one is compared. Above, one bit a dimension (its sign) picks
`RESCORED` rows by Hamming distance, and these are compared exactly; that needs `codes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cape.knowledge.protocol import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCAN_ALL_BELOW = 150_000
"""Allowed rows up to which every vector is compared."""

RESCORED = 3_000
"""Rows that the codes pass on to the exact comparison, at least."""

_BLOCK = 1_024
_COLLECTED_PART = 2
_CODE_BLOCK = 16_384
_THREADS = 2
# What a float32 sum of 384 products of unit vectors may differ from the exact one, with room to spare.
_SLACK = 2e-5


def binary_codes(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signs of vectors, (n, dimensions) to (n, ceil(dimensions / 64)) uint64, a bit per dimension."""
    import numpy as np

    bits = np.packbits(vectors > 0, axis=1, bitorder="little")
    padded = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view("<u8").astype(np.uint64, copy=False)


def search_vectors(
    blocks: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
    query: NDArray[np.float32],
    k: int,
    *,
    ids: Sequence[NDArray[np.int64]] | None = None,
    codes: Sequence[NDArray[np.uint64]] | None = None,
    scan_all_below: int = SCAN_ALL_BELOW,
) -> list[Hit]:
    """The `k` allowed rows nearest to a vector, best first by cosine, ties by id.

    `blocks[i]`, (n_i, dimensions) float32 with L2-normalised rows, may be a memory map; `masks[i]`, (n_i,),
    is true where a row exists for the asker. `ids[i]` are the chunk ids of its rows; without `ids`, rows
    are numbered through all blocks. `codes[i]` are the block's `binary_codes`: with them, and more than
    `scan_all_below` rows allowed, the result is approximate. Pure.
    """
    import numpy as np

    if k <= 0:
        return []
    wanted = query.astype(np.float32, copy=False)
    allowed = sum(int(np.count_nonzero(mask)) for mask in masks)
    if codes is not None and allowed > scan_all_below:
        picked = _by_codes(codes, masks, binary_codes(wanted[None])[0], max(RESCORED, 6 * k))
    else:
        picked = _by_scan(blocks, masks, wanted, k)
    return _rescored(blocks, picked, wanted, k, ids)


def _by_scan(
    blocks: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
    query: NDArray[np.float32],
    k: int,
) -> list[NDArray[np.int64]]:
    """For each block, the allowed rows that may be among the best `k` by an exact sum."""
    import numpy as np

    scores: list[NDArray[np.float32]] = []
    rows: list[NDArray[np.int64]] = []
    for block, mask in zip(blocks, masks, strict=True):
        allowed = np.flatnonzero(mask)
        rows.append(allowed)
        scores.append(_products(block, allowed, query))
    threshold = _kth(np.concatenate(scores), k) - _SLACK if scores else 0.0
    return [here[of >= threshold] for here, of in zip(rows, scores, strict=True)]


def _products(
    block: NDArray[np.float32], allowed: NDArray[np.int64], query: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The products of a block's allowed rows with a vector, to float32's precision.

    Rows are collected when few are allowed; to multiply all and drop the others costs less otherwise.
    """
    import numpy as np

    if len(allowed) * _COLLECTED_PART >= len(block):
        products = block @ query
        return products if len(allowed) == len(block) else products[allowed]
    scores = np.empty(len(allowed), dtype=np.float32)
    rows = np.empty((min(_BLOCK, len(allowed)), block.shape[1]), dtype=np.float32)
    for at in range(0, len(allowed), _BLOCK):
        some = allowed[at : at + _BLOCK]
        collected = np.take(block, some, axis=0, out=rows[: len(some)], mode="clip")
        np.dot(collected, query, out=scores[at : at + len(some)])
    return scores


def _kth(scores: NDArray[np.float32], k: int) -> float:
    """The `k`-th largest score; minus infinity when there are not so many."""
    import numpy as np

    if len(scores) <= k:
        return -np.inf
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _by_codes(
    codes: Sequence[NDArray[np.uint64]],
    masks: Sequence[NDArray[np.bool_]],
    query: NDArray[np.uint64],
    count: int,
) -> list[NDArray[np.int64]]:
    """For each block, the allowed rows with the smallest Hamming distances: `count` and all ties."""
    import numpy as np

    width = 64 * len(query)
    distances = [_distances(block, mask, query) for block, mask in zip(codes, masks, strict=True)]
    histogram = np.zeros(width + 1, dtype=np.int64)
    for found in distances:
        histogram += np.bincount(found, minlength=width + 2)[: width + 1]
    limit = min(width, int(np.searchsorted(np.cumsum(histogram), count)))
    return [np.flatnonzero(found <= limit) for found in distances]


def _distances(
    codes: NDArray[np.uint64], mask: NDArray[np.bool_], query: NDArray[np.uint64]
) -> NDArray[np.uint16]:
    """Hamming distances of every row, `width + 1` for a row that is not allowed. On two threads."""
    import numpy as np

    result = np.empty(len(codes), dtype=np.uint16)
    hidden = np.uint16(64 * len(query) + 1)

    def fill(start: int) -> None:
        part = codes[start : start + _CODE_BLOCK]
        total = np.zeros(len(part), dtype=np.uint16)
        for column, word in enumerate(query):
            total += np.bitwise_count(part[:, column] ^ word)
        total[~mask[start : start + _CODE_BLOCK]] = hidden
        result[start : start + _CODE_BLOCK] = total

    starts = range(0, len(codes), _CODE_BLOCK)
    if len(starts) <= 1:
        for start in starts:
            fill(start)
        return result
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(fill, starts):
            pass
    return result


def _rescored(
    blocks: Sequence[NDArray[np.float32]],
    picked: Sequence[NDArray[np.int64]],
    query: NDArray[np.float32],
    k: int,
    ids: Sequence[NDArray[np.int64]] | None,
) -> list[Hit]:
    """The best `k` of the picked rows by an exact sum, ties by id."""
    import numpy as np

    scores, numbers, base = [], [], 0
    exact = query.astype(np.float64)
    for number, (block, rows) in enumerate(zip(blocks, picked, strict=True)):
        scores.append((block[rows] * exact).sum(axis=1) if len(rows) else np.zeros(0))
        numbers.append(rows + base if ids is None else ids[number][rows])
        base += len(block)
    if not scores:
        return []
    score, chunk = np.concatenate(scores), np.concatenate(numbers)
    order = np.lexsort((chunk, -score))[:k]
    return [Hit(int(chunk[at]), float(score[at])) for at in order]
