"""What the look for missing libraries adds to a lock: `python -m benchmarks.missing_libraries`.

Locks a set of language packages once, then measures the look alone: with artifacts at hand and nothing
kept ("cold"), and with what an earlier look kept ("warm"), which every later lock pays.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

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
    from cape.lock import read_lock
    from cape.manifest import read_manifest
    from cape.names import System
    from cape.operations.locking import lock_project
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

        look()
        shutil.rmtree(workshop.store.root / "indices" / "needs", ignore_errors=True)
        cold = look()
        warm = [look() for _ in range(ROUNDS)]
    wheels = len(lock.packages_of("pypi"))
    print(f"{wheels} wheels: cold {cold:.2f} s, warm {statistics.median(warm) * 1000:.0f} ms (median)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
