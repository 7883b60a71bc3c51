"""`cape services up` that fails, or whose command or supervisor is killed, at one step after the other.

`python -m tests.faults --all services` takes every step, with and without a PID namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import world_at
from tests.faults.serving import MODES, Serving, run_all, serving_at, some
from tests.faults.stepping import ERRORS, driver_at
from tests.services.conftest import has_namespaces


@pytest.fixture(scope="module", params=MODES)
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    if request.param == "on" and not has_namespaces():
        pytest.skip("this machine allows no PID namespaces")
    place: Path = tmp_path_factory.mktemp("serving")
    with (
        world_at(place) as world,
        driver_at(place) as driver,
        serving_at(world, driver, request.param) as one,
    ):
        yield one


def test_a_step_that_fails_leaves_nothing_and_the_next_start_is_clean(serving: Serving) -> None:
    assert run_all(serving, some(serving.steps(), 3), errors=ERRORS) == []


def test_a_kill_at_a_step_leaves_nothing_after_the_next_start(serving: Serving) -> None:
    assert run_all(serving, some(serving.steps(), 3), errors=(None,)) == []
