"""npm's part of a `cape sync` beside `npm ci`, of one `package.json` and its lock, in one run.

Both have all tarballs already: cape in its store, npm in its cache; both run no scripts. What the same sync
takes without the project's packages is taken off, since `npm ci` brings neither node nor libraries.
`--write` replaces the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
BUDGET = 1.0
TIMES = 5
"""Rounds, unless told otherwise."""

DEPENDENCIES = {
    "express": "^4.19.0",
    "react": "^18.3.0",
    "react-dom": "^18.3.0",
    "lodash": "^4.17.0",
    "axios": "^1.7.0",
    "zod": "^3.23.0",
}
DEV_DEPENDENCIES = {
    "typescript": "~5.4.0",
    "eslint": "^8.57.0",
    "prettier": "^3.2.0",
    "webpack": "^5.91.0",
    "jest": "^29.7.0",
    "@babel/preset-env": "^7.24.0",
}
MANIFEST = """schema = 1

[environment]
systems = ["{system}"]
debian = "trixie"

[packages]
node = {{ npm = "22" }}
{project}"""


def run(directory: Path, store: Path, *words: str | Path) -> float:
    environment = {**os.environ, "CAPE_STORE": str(store)}
    started = time.perf_counter()
    done = subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"`{' '.join(map(str, words))}` gave {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def forget(project: Path, store: Path, *rooms: str) -> None:
    """Remove rooms of the store and what the project has of them."""
    for room in rooms:
        subprocess.run(["chmod", "-R", "u+w", store / room], check=True)
        shutil.rmtree(store / room)
    for name in (".cape", "node_modules"):
        shutil.rmtree(project / name, ignore_errors=True)


def make_project(directory: Path, *, own: bool) -> Path:
    machine = os.uname().machine
    directory.mkdir()
    (directory / "cape.toml").write_text(
        MANIFEST.format(
            system=f"{machine}-linux", project='\n[npm]\nproject = "package.json"\n' if own else ""
        )
    )
    described = {"name": "measured", "version": "1.0.0", "private": True}
    described |= {"dependencies": DEPENDENCIES, "devDependencies": DEV_DEPENDENCIES}
    (directory / "package.json").write_text(json.dumps(described, indent=1))
    return directory


def sync(project: Path, store: Path, *rooms: str) -> float:
    forget(project, store, *rooms)
    return run(project, store, CAPE, "sync")


def install(project: Path, cache: Path) -> float:
    """`npm ci` with nothing to ask of anybody: its lock has addresses, its cache the files."""
    shutil.rmtree(project / "node_modules", ignore_errors=True)
    words = ("npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
    return run(project, cache, *words, "--cache", str(cache))


def measure(directory: Path, times: int) -> str:
    store, cache = directory / "store", directory / "npm-cache"
    bare = make_project(directory / "bare", own=False)
    own = make_project(directory / "own", own=True)
    rival = make_project(directory / "rival", own=True)
    words = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(cache))
    run(rival, store, *words, "--omit-lockfile-registry-resolved=false")
    shutil.copy(rival / "package-lock.json", own)
    for project in (bare, own):
        run(project, store, CAPE, "sync")
    install(rival, cache)
    packages = len(json.loads((rival / "package-lock.json").read_text())["packages"]) - 1
    lines = [
        "| what | cape | without the project | npm's part | `npm ci` | ratio | budget |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, rooms in (
        ("objects warm", ("environments",)),
        ("objects made anew, tarballs there", ("environments", "objects")),
    ):
        rounds = [
            (sync(own, store, *rooms), sync(bare, store, *rooms), install(rival, cache)) for _ in range(times)
        ]
        whole, without, npm = (statistics.median(values) for values in zip(*rounds, strict=True))
        part = statistics.median(one - other for one, other, _ in rounds)
        ratio = part / npm
        said = f"{whole:.2f} s | {without:.2f} s | {part:.2f} s | {npm:.2f} s | {ratio:.2f} x"
        verdict = "within" if ratio <= BUDGET else "OVER"
        lines.append(f"| {what} | {said} | {BUDGET:.1f} x: {verdict} |")
        print(lines[-1], flush=True)
    return (
        f"{packages} npm packages, medians of {times}, {os.cpu_count()} cores.\n\n" + "\n".join(lines) + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help="rounds to measure")
    parser.add_argument("--where", help="directory for the store (the same file system matters)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="cape-npm-", dir=arguments.where))
    try:
        text = measure(directory, arguments.times)
    finally:
        subprocess.run(["chmod", "-R", "u+w", directory], check=False)
        shutil.rmtree(directory, ignore_errors=True)
    print("\n" + text)
    if arguments.write:
        page = TOP / "docs" / "benchmarks.md"
        head, _, rest = page.read_text().partition("<!-- npm -->\n")
        _, _, tail = rest.partition("<!-- end of npm -->")
        page.write_text(f"{head}<!-- npm -->\n{text}<!-- end of npm -->{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
