"""Digests of large files: one pass in pieces gives what the whole gives, also for a place on a border."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cape.store import ContentHasher

PIECE = 1 << 20


@pytest.mark.parametrize("at", [None, 0, PIECE - 1, PIECE - 7, PIECE, 2 * PIECE - 3, 3 * PIECE - 40])
def test_the_stores_place_is_found_wherever_it_stands(tmp_path: Path, at: int | None) -> None:
    store = tmp_path / "store"
    data = bytearray(b"x" * (3 * PIECE))
    place = f"{store}/file ".encode()
    if at is not None:
        data[at : at + len(place)] = place
    file = tmp_path / "large"
    file.write_bytes(data)
    hasher = ContentHasher(store)
    exact, content = hasher.digests(str(file))
    assert exact == hashlib.sha256(data).hexdigest()
    assert content == hashlib.sha256(hasher.normalised(bytes(data))).hexdigest()
    assert (exact == content) is (at is None)
