from __future__ import annotations

import os
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.names import Digest
from cape.store import ArtifactDamaged, Store

DATA = b"an artifact"
DIGEST = Digest.of(DATA)


def test_an_admitted_artifact_is_read_only_in_its_place(tmp_path: Path) -> None:
    artifacts = Store(tmp_path).artifacts
    partial = artifacts.partial(DIGEST)
    partial.write_bytes(DATA)
    assert not artifacts.has(DIGEST)
    path = artifacts.admit(DIGEST, partial, size_bytes=len(DATA))
    assert (
        path
        == artifacts.path(DIGEST)
        == Path(os.path.realpath(tmp_path), "artifacts", DIGEST.hex[:2], DIGEST.hex)
    )
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o444
    assert artifacts.has(DIGEST)
    assert not partial.exists()
    assert list(artifacts.all()) == [DIGEST]


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA[:-1] + b"X"])
def test_an_artifact_with_wrong_bytes_is_refused_and_removed(tmp_path: Path, wrong: bytes) -> None:
    artifacts = Store(tmp_path).artifacts
    partial = artifacts.partial(DIGEST)
    partial.write_bytes(wrong)
    with pytest.raises(ArtifactDamaged, match="is not `sha256:"):
        artifacts.admit(DIGEST, partial, size_bytes=len(DATA))
    assert not partial.exists()
    assert not artifacts.has(DIGEST)


@pytest.mark.parametrize("layout", ["flat", "sharded", "store"])
def test_artifact_directories_are_searched_in_every_layout(tmp_path: Path, layout: str) -> None:
    place = tmp_path / "place"
    below = {"flat": "", "sharded": DIGEST.hex[:2], "store": f"artifacts/{DIGEST.hex[:2]}"}[layout]
    (place / below).mkdir(parents=True)
    (place / below / DIGEST.hex).write_bytes(DATA)
    artifacts = Store(tmp_path / "store", elsewhere=(place,)).artifacts
    assert artifacts.find_elsewhere(DIGEST, size_bytes=len(DATA))
    assert artifacts.path(DIGEST).read_bytes() == DATA
    assert (place / below / DIGEST.hex).stat().st_mode & 0o200, "the user's file is not touched"


def test_a_wrong_file_elsewhere_is_passed_over(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    for place, data in ((bad, b"other bytes"), (good, DATA)):
        place.mkdir()
        (place / DIGEST.hex).write_bytes(data)
    artifacts = Store(tmp_path / "store").artifacts
    assert not artifacts.find_elsewhere(DIGEST, size_bytes=len(DATA), places=[bad])
    assert artifacts.find_elsewhere(DIGEST, size_bytes=len(DATA), places=[bad, good])
    assert (bad / DIGEST.hex).read_bytes() == b"other bytes"


def test_a_link_into_another_store_costs_no_space(tmp_path: Path) -> None:
    first = Store(tmp_path / "first").artifacts
    partial = first.partial(DIGEST)
    partial.write_bytes(DATA)
    first.admit(DIGEST, partial, size_bytes=len(DATA))
    second = Store(tmp_path / "second", elsewhere=(tmp_path / "first",)).artifacts
    assert second.find_elsewhere(DIGEST, size_bytes=len(DATA))
    assert os.path.samefile(first.path(DIGEST), second.path(DIGEST))


def test_the_default_store_follows_the_settings(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert Store.default(Configuration(), home).root == Path(os.path.realpath(tmp_path)) / ".local/share/cape"
    data = {**home, "XDG_DATA_HOME": str(tmp_path / "data")}
    assert Store.default(Configuration(), data).root == Path(os.path.realpath(tmp_path)) / "data/cape"
    chosen = Configuration({"store": (str(tmp_path / "mine"),)})
    assert Store.default(chosen, data).root == Path(os.path.realpath(tmp_path)) / "mine"
