"""Locks of two branches, merged by real git, end in a valid lock.

`CAPE_MERGES=1000` makes a thousand of them; `benchmarks/lock_merges.py` does, and writes what it measured.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lock.merging import Archives, check_merge, make_archives

BATCHES = 4
MERGES = int(os.environ.get("CAPE_MERGES", "40"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return make_archives(tmp_path_factory.mktemp("archives"))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_merges_of_two_branches_end_in_a_valid_lock(
    tmp_path: Path, archives: Archives, batch: int
) -> None:
    for seed in range(batch, MERGES, BATCHES):
        try:
            check_merge(tmp_path / str(seed), archives, seed)
        except Exception as error:
            raise AssertionError(f"merge {seed} ends badly: {error}") from error
