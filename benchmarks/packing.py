"""`python benchmarks/packing.py`: what it costs to pack a project's environment, and to start a pack.

`--project DIR` is the directory of a synced project; `--write` puts the numbers into `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAPE = Path(sys.prefix) / "bin" / "cape"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- packing -->", "<!-- /packing -->"
STARTS = 20


def processor_s() -> float:
    """Seconds of processor time that all commands took so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(command: list[str], *, directory: Path, **variables: str) -> tuple[float, str]:
    """Seconds that a command took, and its output."""
    started = time.perf_counter()
    ended = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - started, ended.stdout


def measured(project: Path, command: list[str]) -> list[tuple[str, str]]:
    """Rows: what was measured, and the number."""
    with tempfile.TemporaryDirectory(prefix="cape-packing-") as work:
        pack, image, cache = Path(work, "it.pack"), Path(work, "it.oci"), Path(work, "cache")
        packages = (project / "cape.lock").read_text().count('\n{"row":"package",')
        before = processor_s()
        seconds, told = timed([str(CAPE), "pack", "--json", "-o", str(pack)], directory=project)
        fields, used = json.loads(told), processor_s() - before
        rows = [
            ("packages", str(packages)),
            ("files, unpacked", f"{fields['files']}, {fields['unpacked_bytes'] / 1e6:.0f} MB"),
            (
                "`cape pack`",
                f"{seconds:.1f} s ({used:.1f} s of processor time), {fields['size_bytes'] / 1e6:.0f} MB",
            ),
        ]
        before = processor_s()
        seconds, told = timed([str(CAPE), "image", "--json", "-o", str(image)], directory=project)
        size, used = json.loads(told)["size_bytes"], processor_s() - before
        rows.append(
            ("`cape image`", f"{seconds:.1f} s ({used:.1f} s of processor time), {size / 1e6:.0f} MB")
        )
        start = [str(pack), *command]
        first, _ = timed(start, directory=project, XDG_CACHE_HOME=str(cache))
        warm = sorted(timed(start, directory=project, XDG_CACHE_HOME=str(cache))[0] for _ in range(STARTS))
        rows.append(("first start (unpacks)", f"{first:.1f} s"))
        rows.append(
            (f"later start of `{' '.join(command)}`, median (budget 30 ms)", f"{warm[10] * 1e3:.0f} ms")
        )
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("command", nargs="*", default=["rg", "--version"])
    arguments = parser.parse_args()
    rows = measured(arguments.project, arguments.command)
    table = "\n".join(["| packing | |", "|---|---|", *(f"| {name} | {number} |" for name, number in rows)])
    print(table)
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        block = f"{BEGIN}\n{table}\n{END}"
        if BEGIN in text:
            text = re.sub(re.escape(BEGIN) + r".*?" + re.escape(END), lambda _: block, text, flags=re.DOTALL)
        else:
            text = f"{text.rstrip()}\n\n## Packs and images\n\n{block}\n"
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
