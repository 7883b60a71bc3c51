"""A fifth of the acceptance cases, another for each commit, and what failed before; `make acceptance`
runs all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cases import (
    CAPE,
    FIFTHS,
    FILES,
    USER,
    Case,
    Laboratory,
    failed_before,
    fifth,
    load_cases,
    turn_of,
)


def sample() -> list[Case]:
    """A fifth of the system packages' cases, and all cases that failed before."""
    chosen = fifth(load_cases(FILES[0]), turn_of("HEAD"))
    again = set(failed_before()) - {case.name for case in chosen}
    return chosen + [case for case in load_cases() if case.name in again]


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    """One store for all cases, where the ordinary user can enter; pytest's own directories are not."""
    if os.geteuid() == 0 and not _user_can_start_cape():
        pytest.skip("the ordinary user cannot reach this checkout")
    directory = Path(tempfile.mkdtemp(prefix="cape-acceptance-"))
    try:
        yield Laboratory(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("case", sample(), ids=lambda case: case.name)
def test_case_passes_on_the_host_and_without_it(case: Case, laboratory: Laboratory) -> None:
    prepared = laboratory.prepare(case)
    assert prepared.passed, prepared.output
    on_host = laboratory.run_on_host(case)
    assert on_host.passed, f"on the host: {on_host.output}"
    if os.geteuid() == 0:
        strict = laboratory.run_strict(case)
        assert strict.passed, f"without the host: {strict.output}"


@pytest.mark.network
@pytest.mark.slow
def test_no_case_changed_the_store(laboratory: Laboratory) -> None:
    """It stands last: the cases above have run by then."""
    whole, found = laboratory.verify()
    assert whole, found


def test_five_turns_are_all_cases() -> None:
    cases = load_cases(FILES[0])
    turns = [fifth(cases, turn) for turn in range(7, 7 + FIFTHS)]
    assert sorted(case.name for chosen in turns for case in chosen) == sorted(case.name for case in cases)
    assert max(map(len, turns)) - min(map(len, turns)) <= 1


def test_every_case_has_a_name_of_its_own_and_remembered_ones_exist() -> None:
    names = [case.name for case in load_cases()]
    assert len(names) == len(set(names))
    assert set(failed_before()) <= set(names)


def _user_can_start_cape() -> bool:
    """Whether the launcher, which runs a synced environment without Python, is in the user's reach."""
    done = subprocess.run(["test", "-x", CAPE], user=USER, group=USER, check=False)
    return done.returncode == 0
