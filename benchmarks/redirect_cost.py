"""What the redirecting library costs: nanoseconds per call with and without it, best of several runs.

    python benchmarks/redirect_cost.py

Owns one table. It compiles a small loop, makes a tree of two files, and needs a C compiler (or `ziglang`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LOOP = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **arguments) {
    long times = atol(arguments[3]);
    struct timespec before, after;
    struct stat status;
    int wrong = 0;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (long i = 0; i < times; i++) {
        if (arguments[1][0] == 's') {
            wrong += stat(arguments[2], &status) != 0;
        } else {
            int flags = arguments[1][0] == 'o' ? O_RDONLY : O_WRONLY;
            flags |= arguments[1][0] == 'r' ? O_CREAT | O_TRUNC : 0;
            int file = open(arguments[2], flags, 0644);
            wrong += file < 0;
            close(file);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    double taken = (after.tv_sec - before.tv_sec) * 1e9 + (after.tv_nsec - before.tv_nsec);
    printf("%f %d\n", taken / times, wrong);
    return count < 4;
}
"""


def main() -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", PROJECT / "hatch_build.py")
    assert spec and spec.loader
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    machine = build.own_machine()
    with tempfile.TemporaryDirectory() as work:
        measure(Path(work), build.compiler(machine), build.library_path(machine))


def measure(work: Path, compiler: list[str], library: Path) -> None:
    """Print the table."""
    loop = work / "loop"
    (work / "loop.c").write_text(LOOP)
    subprocess.run([*compiler, "-O2", "-w", "-o", str(loop), str(work / "loop.c")], check=True)
    root = work / "env" / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/share").mkdir()
    (root / "usr/share/cape-cost").write_text("tree\n")
    (work / "project").mkdir()
    (work / "project/file").write_text("own\n")
    own = str(work / "project/file")
    inside = Path(shutil.copy2(library, root / "usr/lib"))
    rows = {
        "open+close, not redirected": ("open", own, own),
        "open+close for writing, not redirected": ("write", own, own),
        "open+close to replace, not redirected": ("replace", own, own),
        "open+close for writing, relative": ("write", "file", "file"),
        "open+close, file of the tree": ("open", str(root / "usr/share/cape-cost"), "/usr/share/cape-cost"),
        "open+close, file of the host": ("open", "/usr/bin/env", "/usr/bin/env"),
        "stat, not redirected": ("stat", own, own),
        "stat, file of the tree": ("stat", str(root / "usr/share/cape-cost"), "/usr/share/cape-cost"),
    }
    found = {}
    for name, (call, plain, redirected) in rows.items():
        pair = fastest(loop, call, plain, redirected, inside)
        found[name] = {"without_ns": round(pair[0]), "with_ns": round(pair[1])}
        print(f"{name:40} {pair[0]:8.0f} ns {pair[1]:8.0f} ns  {pair[1] - pair[0]:+6.0f}")
    if "--json" in sys.argv:
        print(json.dumps({"schema_version": 1, "redirect_cost": found}))


def fastest(loop: Path, call: str, plain: str, redirected: str, library: Path) -> tuple[float, float]:
    """The best of nine runs each, taken in turn so that both see the same machine."""
    without, inside = [], []
    for _ in range(9):
        without.append(once(loop, call, plain, None))
        inside.append(once(loop, call, redirected, library))
    return min(without), min(inside)


def once(loop: Path, call: str, path: str, library: Path | None) -> float:
    variables = dict(os.environ) | ({"LD_PRELOAD": str(library)} if library else {})
    done = subprocess.run(
        [loop, call, path, "20000"],
        env=variables,
        cwd=loop.parent / "project",
        capture_output=True,
        text=True,
        check=True,
    )
    nanoseconds, wrong = done.stdout.split()
    assert wrong == "0", f"{call} {path} failed"
    return float(nanoseconds)


if __name__ == "__main__":
    main()
