"""A sample of the acceptance cases, another for each commit; `make acceptance` runs all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cases import CAPE, FILES, TOP, USER, Case, Laboratory, in_turn, load_cases

SIZE = 5
BUDGET_BYTES = 80_000_000
"""What all cases of a sample may download together."""


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _chosen(laboratory: Laboratory) -> list[Case]:
    chosen: list[Case] = []
    artifacts: dict[str, int] = {}
    for case in in_turn([case for file in FILES for case in load_cases(file)], _commit()):
        together = artifacts | laboratory.weigh(case)
        if sum(together.values()) <= BUDGET_BYTES:
            chosen.append(case)
            artifacts = together
        if len(chosen) == SIZE:
            break
    return chosen


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    """A laboratory that the ordinary user can enter, which pytest's own directories are not."""
    directory = Path(tempfile.mkdtemp(prefix="cape-acceptance-"))
    try:
        yield Laboratory(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.network
@pytest.mark.slow
def test_a_sample_of_the_cases_passes(laboratory: Laboratory) -> None:
    is_root = os.geteuid() == 0
    if is_root and not _user_can_start_cape():
        pytest.skip("the ordinary user cannot reach this checkout")
    failed = []
    for case in _chosen(laboratory):
        prepared = laboratory.prepare(case)
        assert prepared.passed, f"{case.name}: {prepared.output}"
        runs = {"host": laboratory.run_on_host(case)}
        if is_root:
            runs["strict"] = laboratory.run_strict(case)
        failed += [
            f"{case.name}, {kind}: {outcome.output}" for kind, outcome in runs.items() if not outcome.passed
        ]
    assert not failed, "\n".join(failed)


def _user_can_start_cape() -> bool:
    """Whether the launcher, which runs a synced environment without Python, is in the user's reach."""
    done = subprocess.run(["test", "-x", CAPE], user=USER, group=USER, check=False)
    return done.returncode == 0
