"""Break commands at their steps: `python -m tests.faults [--all] [SCENE ...]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.end_to_end.harness import world_at
from tests.faults.scenes import SCENES, scene_at
from tests.faults.stepping import ERRORS, driver_at, new_state, one_of_each, run_all


def main(words: list[str]) -> int:
    every = "--all" in words
    names = [word for word in words if word != "--all"] or list(SCENES)
    failed = 0
    for name in names:
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
            print(
                f"{name}: {len(chosen)} of {len(steps)} steps, {len(wrong)} wrong, {took_s:.0f} s", flush=True
            )
            for one in wrong:
                print("  ", one[:1500])
            failed += bool(wrong)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
