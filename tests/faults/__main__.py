"""Break commands at their steps: `python -m tests.faults [--all] [SCENE ...]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.end_to_end.harness import world_at
from tests.faults import serving
from tests.faults.scenes import SCENES, scene_at
from tests.faults.stepping import ERRORS, driver_at, new_state, one_of_each, run_all

SERVICES = "services"


def main(words: list[str]) -> int:
    every = "--all" in words
    names = [word for word in words if word != "--all"] or [*SCENES, SERVICES]
    failed = 0
    for name in names:
        if name == SERVICES:
            failed += _break_services(every)
            continue
        with (
            tempfile.TemporaryDirectory() as directory,
            world_at(Path(directory)) as world,
            driver_at(Path(directory)) as driver,
        ):
            started = time.monotonic()
            scene = scene_at(name, world, driver)
            new = new_state(scene)
            steps = scene.steps()
            chosen = steps if every else one_of_each(steps)
            wrong = []
            for errors in [*((one,) for one in ERRORS), (None,)] if every else [ERRORS, (None,)]:
                wrong += run_all(scene, chosen, new, errors=errors)
            took_s = time.monotonic() - started
            failed += _told(name, len(chosen), len(steps), wrong, took_s)
    return min(failed, 1)


def _break_services(every: bool) -> int:
    failed = 0
    for mode in serving.MODES:
        with (
            tempfile.TemporaryDirectory() as directory,
            world_at(Path(directory)) as world,
            driver_at(Path(directory)) as driver,
            serving.serving_at(world, driver, mode) as one,
        ):
            started = time.monotonic()
            steps = one.steps()
            chosen = steps if every else serving.some(steps, 20)
            wrong = []
            for errors in [*((code,) for code in ERRORS), (None,)] if every else [ERRORS, (None,)]:
                wrong += serving.run_all(one, chosen, errors=errors)
            name = f"{SERVICES}, namespace {mode}"
            failed += _told(name, len(chosen), len(steps), wrong, time.monotonic() - started)
    return failed


def _told(name: str, chosen: int, of: int, wrong: list[str], took_s: float) -> bool:
    print(f"{name}: {chosen} of {of} steps, {len(wrong)} wrong, {took_s:.0f} s", flush=True)
    for one in wrong:
        print("  ", one[:1500])
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
