"""The page about the lockfile names every row and key; the public names of both rooms hold together."""

from __future__ import annotations

from pathlib import Path

import pytest

import cape.lock
import cape.manifest
from cape.lock import rows

PAGE = (Path(__file__).parents[2] / "docs" / "lock.md").read_text(encoding="utf-8")
KEYS = rows._PACKAGE_KEYS | rows._PACKAGE_OPTIONAL | rows._REQUIREMENT_KEYS | rows._REQUIREMENT_OPTIONAL
KEYS |= rows._SNAPSHOT_KEYS


@pytest.mark.parametrize("word", sorted({*rows.READERS, *KEYS}))
def test_page_names_every_row_and_key(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("room", [cape.lock, cape.manifest])
def test_every_public_name_has_a_home(room: object) -> None:
    names = room.__all__  # type: ignore[attr-defined]
    assert sorted(names) == sorted(room._HOME_OF)  # type: ignore[attr-defined]
    assert all(getattr(room, name) is not None for name in names)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        room.nothing  # type: ignore[attr-defined]  # noqa: B018
