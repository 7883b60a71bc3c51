"""Random merges of two branches' locks by real git: `lock_merges.py [--merges 1000] [--write]`.

Each merge is made and checked as `tests/lock/merging.py` says; the first that ends badly ends the run with
its seed. `--write` puts the counts into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "benchmarks.md"


def measure(merges: int) -> str:
    """The sentence about that many merges. Raises what the first bad one raises."""
    from tests.lock.merging import check_merge, make_archives

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cape-merges-") as name:
        directory = Path(name)
        archives = make_archives(directory / "archives")
        marked = 0
        for seed in range(merges):
            marked += check_merge(directory / str(seed), archives, seed)
            shutil.rmtree(directory / str(seed))
    seconds = time.monotonic() - started
    return (
        f"{merges:,} random merges of two branches by real git, each with a manifest and a lock of three "
        f"sources: all ended in a valid lock ({marked:,} had conflict markers in `cape.lock`, the others "
        f"were merged by union); {seconds:.0f} s."
    )


def write(text: str) -> None:
    """Put the sentence where docs/benchmarks.md keeps it."""
    page = PAGE.read_text(encoding="utf-8")
    marks = r"(<!-- lock merges -->\n).*?(\n<!-- end of lock merges -->)"
    PAGE.write_text(
        re.sub(marks, lambda found: f"{found[1]}{text}{found[2]}", page, flags=re.DOTALL), "utf-8"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--merges", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="put the sentence into docs/benchmarks.md")
    arguments = parser.parse_args()
    text = measure(arguments.merges)
    print(text)
    if arguments.write:
        write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
