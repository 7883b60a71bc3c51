"""What sources keep of their registries: collected when nobody will ask for it again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cape.names import Digest
from cape.store import Store, collect
from cape.store.collection import INDEX_DAYS

DAY_S = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def kept(store: Store, *parts: str, data: bytes = b"x" * 5000) -> Path:
    file = store.root.joinpath("indices", *parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_old_states_of_registries_are_collected(store: Store) -> None:
    present = kept(store, "debian", "trixie-0123", "InRelease")
    old = kept(store, "debian", "dated", "trixie-4567", "main.table")
    foreseen = collect(store, dry_run=True)
    assert old.exists()
    assert collect(store).freed_bytes == foreseen.freed_bytes > 0
    assert not old.parent.exists()
    assert present.exists()


def test_what_is_known_of_an_artifact_goes_with_it(store: Store) -> None:
    known = kept(store, "debian", "contents", Digest.of(b"gone").hex)
    collect(store)
    assert not known.exists()
    assert known.parent.exists()


def test_an_index_that_nobody_uses_any_more_is_collected(store: Store) -> None:
    unused = kept(store, "debian", "trixie-0123", "InRelease")
    used = kept(store, "debian", "trixie-4567", "InRelease")
    single = kept(store, "npm", "packages.json")
    for path in (unused, unused.parent, used.parent, single):
        os.utime(path, (0, 0))
    collect(store)
    assert not unused.parent.exists()
    assert used.exists()
    assert single.exists()


def test_indices_wait_for_some_weeks(store: Store) -> None:
    file = kept(store, "debian", "trixie-0123", "InRelease")
    now = file.stat().st_mtime
    collect(store, now_s=now + (INDEX_DAYS - 1) * DAY_S)
    assert file.exists()
    collect(store, now_s=now + (INDEX_DAYS + 1) * DAY_S)
    assert not file.exists()
