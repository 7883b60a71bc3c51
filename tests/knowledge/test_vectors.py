"""Vectors: the scan against sums in float64, its laws, and how much the codes lose."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.knowledge.index.vectors import binary_codes, search_vectors
from cape.knowledge.protocol import Hit


def unit_rows(seed: int, count: int, dimensions: int = 64) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 8), st.integers(1, 3))
@settings(max_examples=60)
def test_scan_finds_the_nearest_allowed_rows(seed: int, count: int, k: int, blocks: int) -> None:
    rows, query = unit_rows(seed, count), unit_rows(seed + 1, 1)[0]
    seen = np.random.default_rng(seed).random(count) < 0.6
    cut = np.array_split(np.arange(count), blocks)
    hits = search_vectors([rows[at] for at in cut], [seen[at] for at in cut], query, k)
    exact = rows.astype(np.float64) @ query.astype(np.float64)
    expected = sorted(np.flatnonzero(seen), key=lambda at: (-exact[at], at))[:k]
    assert [hit.chunk for hit in hits] == expected


@given(st.integers(0, 10_000), st.integers(1, 300), st.booleans())
@settings(max_examples=60)
def test_a_hidden_row_changes_no_bit_of_any_score(seed: int, count: int, coded: bool) -> None:
    rows, query = unit_rows(seed, count), unit_rows(seed + 1, 1)[0]
    seen = np.random.default_rng(seed).random(count) < 0.5
    kept = np.flatnonzero(seen)

    def search(some: np.ndarray, mask: np.ndarray) -> list[Hit]:
        codes = [binary_codes(some)] if coded else None
        return search_vectors([some], [mask], query, 10, codes=codes, scan_all_below=5)

    alone = search(rows[kept], np.ones(len(kept), dtype=bool))
    assert search(rows, seen) == [Hit(int(kept[hit.chunk]), hit.score) for hit in alone]


def test_equal_rows_go_by_id() -> None:
    row = unit_rows(1, 1)
    rows = np.repeat(row, 5, axis=0)
    hits = search_vectors([rows], [np.ones(5, dtype=bool)], row[0], 3, ids=[np.array([7, 2, 9, 4, 1])])
    assert [hit.chunk for hit in hits] == [1, 2, 4]


def test_nothing_allowed_or_wanted_finds_nothing() -> None:
    rows = unit_rows(1, 3)
    assert search_vectors([rows], [np.zeros(3, dtype=bool)], rows[0], 3) == []
    assert search_vectors([rows], [np.ones(3, dtype=bool)], rows[0], 0) == []
    assert search_vectors([], [], rows[0], 3) == []


def test_codes_are_the_signs_bit_by_bit() -> None:
    vectors = np.zeros((1, 70), dtype=np.float32)
    vectors[0, [0, 63, 64, 69]] = 0.5
    assert binary_codes(vectors).tolist() == [[1 | 1 << 63, 1 | 1 << 5]]


def test_codes_lose_hardly_any_of_the_nearest_rows() -> None:
    random = np.random.default_rng(3)
    centres = random.normal(size=(300, 384))
    rows = (centres[random.integers(0, 300, 30_000)] + random.normal(size=(30_000, 384))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    everything, codes = np.ones(len(rows), dtype=bool), binary_codes(rows)
    kept = 0
    for at in range(0, 3000, 300):
        exact = search_vectors([rows], [everything], rows[at], 10)
        coded = search_vectors([rows], [everything], rows[at], 10, codes=[codes], scan_all_below=0)
        kept += len({hit.chunk for hit in exact} & {hit.chunk for hit in coded})
    assert kept >= 98
