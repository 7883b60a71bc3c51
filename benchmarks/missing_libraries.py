"""The look for missing libraries: `python -m benchmarks.missing_libraries [--sets [--runs]] [--write]`.

Locks a set of language packages once, then measures what the look adds to a lock: with artifacts at hand and
nothing kept ("cold"), and with what an earlier look kept ("warm"), which every later lock pays. With `--sets`
both corpora of `tests.acceptance.libraries` are locked, too, for recall and precision, and with `--runs` each
program is run, on the machine and in a file system without its libraries; `--write` puts all of it into
`docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

PACKAGES = (
    "numpy",
    "pandas",
    "scipy",
    "pillow",
    "lxml",
    "cryptography",
    "pydantic",
    "orjson",
    "grpcio",
    "requests",
    "flask",
    "django",
    "sqlalchemy",
    "aiohttp",
    "httpx",
    "rich",
    "typer",
    "click",
    "jinja2",
    "pyyaml",
    "psutil",
    "matplotlib",
    "scikit-learn",
    "python-magic",
    "beautifulsoup4",
    "boto3",
    "celery",
    "redis",
    "pytest",
    "black",
)
ROUNDS = 7


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.missing_libraries")
    parser.add_argument("--sets", action="store_true", help="lock both corpora, for recall and precision")
    parser.add_argument("--runs", action="store_true", help="with --sets: run each program, too")
    parser.add_argument("--resume", action="store_true", help="with --sets: keep what was measured before")
    parser.add_argument("--where", help="directory for the store and projects of the corpora")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    found = list(sets(arguments)) if arguments.sets else []
    lines = [*cost(), *([""] if found else []), *found]
    print("\n".join(lines))
    if arguments.write:
        write("\n".join(lines))
    return 0


def sets(arguments: argparse.Namespace) -> Iterator[str]:
    """A table of what is found in both corpora, of what can be locked; a line per case goes to stderr."""
    from tests.acceptance.libraries import CORPUS, DEFAULT, HELD_OUT, Bench, line, load_needs, summary

    bench = Bench(Path(arguments.where) if arguments.where else DEFAULT)
    yield (
        "| set | cases | linked: recall, precision | by name: recall, precision | nothing needed |"
        " runs on the machine, and without its libraries |"
    )
    yield "|---|---|---|---|---|---|"
    for name, file in (("that rules were made on", CORPUS), ("held out at first", HELD_OUT)):
        reports = []
        for need in load_needs(file):
            if not need.blocked:
                known = bench.recalled(need, runs=arguments.runs) if arguments.resume else None
                reports.append(known or bench.measure(need, runs=arguments.runs))
                print(line(reports[-1]), file=sys.stderr, flush=True)
        told = [row.partition(": ")[2] for row in summary(reports)]
        locked = sum(report.locked for report in reports)
        linked, named, quiet, host, strict = (
            re.sub(r"recall |precision | without a false alarm| ran", "", one) for one in told
        )
        ran = f"{host}; {strict}" if any(report.host for report in reports) else "not run"
        yield f"| {name} | {locked} of {len(reports)} locked | {linked} | {named} | {quiet} | {ran} |"


def cost() -> Iterator[str]:
    """What a look takes, of a lock of many wheels."""
    from cape.lock import read_lock
    from cape.manifest import read_manifest
    from cape.names import System
    from cape.operations.locking import compute_lock, lock_project
    from cape.operations.mending import agree
    from cape.operations.missing import check_missing
    from cape.operations.project import Project, Workshop

    with tempfile.TemporaryDirectory() as place:
        project = Project(Path(place))
        rows = "".join(f'"{name}" = {{ pypi = "*" }}\n' for name in PACKAGES)
        project.manifest_path.write_text(
            f'schema = 1\n[environment]\nname = "m"\nsystems = ["{System.current()}"]\ndebian = "trixie"\n'
            f"[packages]\n{rows}"
        )
        project.state.mkdir()
        workshop = Workshop.open()
        lock_project(project, workshop, consent=agree)
        manifest, lock = read_manifest(project.manifest_path), read_lock(project.lock_path)
        assert lock is not None
        sources = workshop.sources("trixie")

        def look() -> float:
            started = time.perf_counter()
            check_missing(manifest, lock, workshop, sources)
            return time.perf_counter() - started

        def whole() -> float:
            started = time.perf_counter()
            compute_lock(manifest, None, workshop)
            return time.perf_counter() - started

        look()
        shutil.rmtree(workshop.store.root / "indices" / "needs", ignore_errors=True)
        cold = look()
        warm = statistics.median(look() for _ in range(ROUNDS))
        lock_s = statistics.median(whole() for _ in range(3))
    wheels = len(lock.packages_of("pypi"))
    yield f"| the look at {wheels} wheels of {len(PACKAGES)} packages | measured |"
    yield "|---|---|"
    yield f"| cold: all artifacts are read | {cold:.2f} s |"
    yield f"| warm: what was found is kept | {warm * 1000:.0f} ms |"
    without = f"{lock_s:.2f} s; {lock_s - warm:.2f} s"
    yield f"| the whole lock, no lockfile, everything warm; without the look | {without} |"


def write(text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    page = re.sub(
        r"(<!-- missing libraries -->\n).*?(\n<!-- end of missing libraries -->)",
        lambda match: match.group(1) + text + match.group(2),
        page,
        flags=re.DOTALL,
    )
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
