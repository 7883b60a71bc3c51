"""What finding the accelerator costs: `.venv/bin/python benchmarks/accelerators.py [--runs N]`.

A miss is the decision from files, with the search for the driver's libraries; a hit is the kept decision. On
this machine, and on each of the laid-out machines of the tests.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.accelerators.test_machines import CASES, machine

from cape.accelerators import Machine, find_accelerator
from cape.environment.drivers import driver_libraries

Times = list[tuple[float, float]]
"""Milliseconds that passed, and milliseconds of the processor, of each run."""


def timed(once: Callable[[], object], runs: int) -> Times:
    """The times of so many runs, one after another."""
    found = []
    for _ in range(runs):
        passed, worked = time.perf_counter(), time.thread_time()
        once()
        found.append(((time.perf_counter() - passed) * 1000, (time.thread_time() - worked) * 1000))
    return found


def measured(laid: Machine, library: Callable[[], bool], place: Path, runs: int) -> dict[str, Times]:
    """Misses and hits of one machine, with a cache of its own."""
    variables = {"XDG_CACHE_HOME": str(place)}
    find_accelerator(laid, library, environment=variables, fresh=True)
    return {
        "miss": timed(lambda: find_accelerator(laid, library, environment=variables, fresh=True), runs),
        "hit": timed(lambda: find_accelerator(laid, library, environment=variables), runs),
    }


def rows(name: str, found: dict[str, Times]) -> str:
    """A line for misses and one for hits."""
    lines = []
    for kind, times in found.items():
        passed, worked = zip(*times, strict=True)
        cells = [statistics.median(passed), min(passed), statistics.median(worked)]
        lines.append(f"| {kind}, {name} | " + " | ".join(f"{one:.2f}" for one in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    here = Machine()

    def has_library() -> bool:
        return "libcuda.so.1" in driver_libraries(here.root, here.system)

    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        own = measured(here, has_library, base / "here", runs)
        laid_out: dict[str, Times] = {"miss": [], "hit": []}
        for number, case in enumerate(CASES):
            laid = machine(base / f"root-{number}", case)
            found = measured(laid, lambda: True, base / f"cache-{number}", max(1, runs // 10))
            for kind, times in found.items():
                laid_out[kind] += times
    print("| ms | median | least | median of processor time |\n|---|---|---|---|")
    print(rows("this machine, with the search for libraries", own))
    print(rows(f"{len(CASES)} laid-out machines", laid_out))


if __name__ == "__main__":
    main()
