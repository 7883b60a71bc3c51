"""Included manifests and other environments in the lock: one form, freshness, merges, shared versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.lock import (
    BadLock,
    Lock,
    LockedInclude,
    all_packages,
    artifacts_of,
    compare_locks,
    parse_lock,
    render_lock,
    seed_for,
)
from cape.names import Digest
from tests.lock.values import digests, locks, names

PATH = Path("cape.lock")

includes = st.builds(
    LockedInclude,
    name=st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3})?", fullmatch=True),
    digest=digests,
    commit=st.just("c" * 40),
    wanted=digests,
) | st.builds(LockedInclude, name=st.from_regex(r"[A-Z]{1,3}", fullmatch=True), digest=digests)


@st.composite
def whole_locks(draw: st.DrawFn) -> Lock:
    """A lock with includes and other environments."""
    others = draw(st.dictionaries(names.filter(lambda name: name != "default"), locks(), max_size=2))
    return replace(
        draw(locks()),
        includes=tuple(draw(st.lists(includes, max_size=3, unique_by=lambda one: one.name))),
        environments={
            name: replace(one, knowledge=(), documents=(), includes=()) for name, one in others.items()
        },
    )


@settings(max_examples=80, deadline=None)
@given(whole_locks())
def test_parsing_what_was_rendered_gives_all_environments(lock: Lock) -> None:
    text = render_lock(lock)
    assert parse_lock(text, path=PATH) == lock
    lines = text.splitlines()[1:]
    assert lines == sorted(set(lines))
    assert "://" not in "".join(line for line in lines if line.startswith('{"row":"include"'))


@settings(max_examples=40, deadline=None)
@given(locks())
def test_environment_with_the_same_rows_adds_no_row(lock: Lock) -> None:
    twice = replace(lock, environments={"test": replace(lock, knowledge=(), documents=())})
    shared = [row for row in render_lock(twice).splitlines() if '"environments":["default","test"]' in row]
    own = replace(lock, knowledge=(), documents=())
    assert len(shared) == len(render_lock(own).splitlines()) - 1


@settings(max_examples=40, deadline=None)
@given(whole_locks())
def test_all_packages_are_those_of_every_environment(lock: Lock) -> None:
    everything = {row for one in (lock, *lock.environments.values()) for row in map(str, one.packages)}
    assert set(map(str, all_packages(lock))) == everything
    assert {row.artifact.digest for row in artifacts_of(lock)} == {
        row.artifact.digest for one in (lock, *lock.environments.values()) for row in one.packages
    }
    assert not compare_locks(lock, lock)


def lines_of(*rows: Mapping[str, object]) -> str:
    texts = sorted(json.dumps(row, separators=(",", ":")) for row in rows)
    return "\n".join(['{"cape-lock":1}', *texts, ""])


ENVIRONMENT = {"row": "environment", "systems": ["x86_64-linux"], "debian": None}
BASE = {"row": "include", "name": "base", "sha256": "a" * 64}


def test_two_commits_of_one_include_after_a_merge_are_dropped_and_asked_for_again() -> None:
    one = {**BASE, "commit": "1" * 40, "wanted": "b" * 64}
    other = {**BASE, "commit": "2" * 40, "wanted": "b" * 64}
    merged = parse_lock(lines_of(ENVIRONMENT, one, other), path=PATH)
    assert (merged.needs_relock, merged.includes) == (True, ())
    kept = parse_lock(lines_of(ENVIRONMENT, one), path=PATH)
    assert (kept.needs_relock, kept.includes[0].commit) == (False, "1" * 40)


def test_two_branches_that_gave_a_row_other_environments_need_a_new_lock() -> None:
    package = {
        "row": "package", "source": "debian", "name": "jq", "version": "1", "systems": ["x86_64-linux"],
        "registry": "debian", "location": "jq.deb", "sha256": "a" * 64, "size": 1,
    }  # fmt: skip
    shared = {"row": "package", "environments": ["default", "test"], **package}
    both = {"row": "environment", "environments": ["default", "test"], **ENVIRONMENT}
    merged = parse_lock(lines_of(both, package, shared), path=PATH)
    assert merged.needs_relock
    assert [row.name for row in merged.packages] == ["jq"]
    assert [row.name for row in merged.environments["test"].packages] == ["jq"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**BASE, "commit": "main", "wanted": "b" * 64}, "is no commit"),
        ({**BASE, "commit": "1" * 40}, "stand together"),
        ({**BASE, "sha256": "short"}, "sha256"),
        ({**BASE, "url": "x"}, "`url`"),
        ({"row": "environment", "environments": [], **ENVIRONMENT}, "no list of names"),
        ({"row": "environment", "environments": ["a", "a"], **ENVIRONMENT}, "no list of names"),
        ({"row": "environment", "environments": 3, **ENVIRONMENT}, "environments"),
    ],
)
def test_rows_that_are_none_are_refused_with_their_line(row: dict[str, object], said: str) -> None:
    with pytest.raises(BadLock, match=said) as caught:
        parse_lock(lines_of(row), path=PATH)
    assert str(caught.value).startswith("cape.lock:2: ")


@settings(max_examples=60, deadline=None)
@given(locks(), st.none() | locks(), st.booleans())
def test_an_environment_starts_from_the_versions_of_the_default_one(
    default: Lock, previous: Lock | None, inherits: bool
) -> None:
    seed = seed_for(default, previous, inherits=inherits)
    if previous is None:
        assert seed.packages == default.packages
    elif inherits:
        ours = {(row.source, row.name, row.placement): row.artifact for row in default.packages}
        theirs = {(row.source, row.name, row.placement): row.artifact for row in seed.packages}
        assert all(theirs[key] == ours[key] for key in theirs.keys() & ours.keys())
    else:
        assert seed is previous
    assert seed.requirements == (previous or default).requirements


def test_lock_repeats_nothing_of_an_address() -> None:
    row = LockedInclude(name="b", digest=Digest.of(b"x"), commit="1" * 40, wanted=Digest.of(b"y"))
    assert set(json.loads(render_lock(Lock(includes=(row,))).splitlines()[2])) == {
        "row", "name", "sha256", "commit", "wanted",
    }  # fmt: skip
