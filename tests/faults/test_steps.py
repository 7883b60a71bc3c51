"""Commands that fail, or are killed, at one step after the other: always the old or the new, never between.

`python -m tests.faults --all` takes every step with every error, and `kill -9` at each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import State, world_at
from tests.faults.scenes import SCENES, scene_at
from tests.faults.stepping import ERRORS, Scene, Step, driver_at, new_state, run_all, some

HOW_MANY = {"sync": 7, "install": 6, "rollback": 6, "gc": 5, "index": 4}


@pytest.fixture(scope="module", params=list(SCENES))
def taken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Scene, list[Step], State]]:
    """A scene, some of its steps, and what is there after the whole command."""
    place: Path = tmp_path_factory.mktemp(request.param)
    with world_at(place) as world, driver_at(place) as driver:
        scene = scene_at(request.param, world, driver)
        new = new_state(scene)
        yield scene, some(scene.steps(), HOW_MANY[request.param]), new


def test_a_step_that_fails_leaves_the_old_or_the_new(taken: tuple[Scene, list[Step], State]) -> None:
    scene, steps, new = taken
    assert run_all(scene, steps, new, errors=ERRORS) == []


def test_a_kill_at_a_step_leaves_the_old_or_the_new(taken: tuple[Scene, list[Step], State]) -> None:
    scene, steps, new = taken
    assert run_all(scene, steps, new, errors=(None,)) == []
