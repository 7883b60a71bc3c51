"""`make bench`: measures what docs/benchmarks.md lists, on this machine, and prints it as a table.

Everything runs through the real command in a fresh directory below a temporary one. Rivals run in the
same run, and are compared as ratios. `--write` replaces the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
PYTHON = TOP / ".venv" / "bin" / "python"
EXAMPLE = TOP / "examples" / "handbook"

# Names parted by spaces, by source.
FIFTY_TEXT = {
    "debian": """ripgrep jq sqlite3 git curl tree less file make gawk sed tmux htop rsync zip unzip bzip2
        xz-utils patch diffutils findutils openssl vim-tiny nano socat strace lsof bc time libatomic1""",
    "pypi": "pandas requests flask httpx rich click pydantic jinja2 pytest attrs",
    "npm": "typescript prettier eslint esbuild lodash express commander chalk semver node",
}
FIFTY = {source: names.split() for source, names in FIFTY_TEXT.items()}
LARGE_TEXT = """git vim python3 perl ruby php-cli imagemagick postgresql nodejs poppler-utils ghostscript gdb
    cmake gcc make"""
LARGE = LARGE_TEXT.split()
BUDGETS = {
    "warm `cape run -- true`, p95": ("20 ms", 0.020),
    "in-shell activation, warm, p50": ("5 ms", 0.005),
    "`cape --help`, p50": ("100 ms", 0.100),
    "`cape list`, p50": ("100 ms", 0.100),
    "lock 50 packages of 3 sources, one row changed, warm index": ("1 s", 1.0),
    "rollback among 1,000 generations": ("100 ms", 0.100),
    "`cape run --with tree -- true`, again, p50": ("100 ms", 0.100),
    "sync of the large set, objects warm": ("1 s", 1.0),
    "sync of the large set, objects cold, over download and decompress": ("1.5 x", 1.5),
    "sync of the large set, objects cold, downloads there, over `dpkg-deb -x`": ("1.5 x", 1.5),
    "Python part, cold, over `uv pip sync`": ("1.15 x", 1.15),
    "Python part, warm, over `uv pip sync`": ("1.15 x", 1.15),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what, the value as text, the number for the budget, and a note."""

    what: str
    text: str
    number: float | None = None
    note: str = ""

    def verdict(self) -> str:
        if self.what not in BUDGETS or self.number is None:
            return ""
        text, limit = BUDGETS[self.what]
        return f"{text}: {'within' if self.number <= limit else 'OVER'}"


class Bench:
    """A temporary directory with stores and projects, and the rows measured so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rows: list[Row] = []

    def add(self, what: str, text: str, number: float | None = None, note: str = "") -> None:
        self.rows.append(Row(what, text, number, note))
        print(f"{what}: {text}  {self.rows[-1].verdict()}  {note}", flush=True)

    def project(self, name: str, manifest: str) -> Path:
        project = self.directory / name
        project.mkdir(exist_ok=True)
        (project / "cape.toml").write_text(manifest)
        return project

    def cape(self, project: Path, *words: str, store: str = "store") -> tuple[str, float]:
        environment = {**os.environ, "CAPE_STORE": str(self.directory / store)}
        started = time.perf_counter()
        done = subprocess.run(
            [CAPE, *words], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"`cape {' '.join(words)}` gave {done.returncode}\n{done.stderr}")
        return done.stdout, seconds

    def forget(self, project: Path, store: str, *rooms: str) -> None:
        """Remove rooms of a store, and the project's generations, so that they are made anew."""
        for room in rooms:
            subprocess.run(["chmod", "-R", "u+w", self.directory / store / room], check=True)
            shutil.rmtree(self.directory / store / room)
        shutil.rmtree(project / ".cape", ignore_errors=True)

    def times(self, project: Path, words: list[str], count: int, store: str = "store") -> list[float]:
        return sorted(self.cape(project, *words, store=store)[1] for _ in range(count))


def manifest(packages: dict[str, list[str]], *, systems: str = '"x86_64-linux", "aarch64-linux"') -> str:
    lines = [
        "schema = 1",
        "[environment]",
        'name = "bench"',
        f"systems = [{systems}]",
        'debian = "trixie"',
        "[packages]",
    ]
    for source, names in packages.items():
        lines += [
            f'"{name}" = "*"' if source == "debian" else f'"{name}" = {{ {source} = "*" }}' for name in names
        ]
    return "\n".join(lines) + "\n"


def extent(synced: dict[str, int]) -> str:
    megabytes = synced["downloaded_bytes"] / 1e6
    return f"{synced['packages']} packages, {synced['files']} files, {megabytes:.0f} MB"


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def measure_handbook(bench: Bench) -> None:
    project = bench.project("handbook", (EXAMPLE / "cape.toml").read_text())
    _, seconds = bench.cape(project, "lock")
    bench.add(
        "lock of the example, empty store",
        f"{seconds:.2f} s",
        seconds,
        "two systems; indices, npm tarballs and the model are downloaded",
    )
    _, seconds = bench.cape(project, "lock")
    bench.add("lock of the example, nothing changed", ms(seconds), seconds)
    output, seconds = bench.cape(project, "sync", "--json")
    synced = json.loads(output)
    bench.add(
        "sync of the example, cold objects",
        f"{seconds:.2f} s",
        seconds,
        f"{extent(synced)} downloaded",
    )
    _, seconds = bench.cape(project, "sync")
    bench.add("sync of the example, nothing changed", ms(seconds), seconds)
    bench.forget(project, "store", "environments")
    _, seconds = bench.cape(project, "sync")
    bench.add("sync of the example, warm objects", f"{seconds:.2f} s", seconds, "environment removed before")
    runs = bench.times(project, ["run", "--", "true"], 200)
    bench.add(
        "warm `cape run -- true`, p50",
        ms(statistics.median(runs)),
        statistics.median(runs),
        "200 runs, started from Python's subprocess",
    )
    bench.add("warm `cape run -- true`, p95", ms(quantile(runs, 0.95)), quantile(runs, 0.95))
    bare = sorted(timed(lambda: subprocess.run(["/bin/true"], check=True)) for _ in range(200))
    bench.add("`true` alone, p50", ms(statistics.median(bare)), note="the same way of starting it")
    measure_activation(bench, project)
    for words in (["--help"], ["list"]):
        runs = bench.times(project, words, 30)
        bench.add(
            f"`cape {words[0]}`, p50",
            ms(statistics.median(runs)),
            statistics.median(runs),
            f"p95 {ms(quantile(runs, 0.95))}",
        )
    second_environment(bench, project)


ACTIVATIONS = """
for i in {1..100}; do
    before=$EPOCHREALTIME
    eval "$("$CAPE" activate --shell bash)"
    after=$EPOCHREALTIME
    cape deactivate
    echo $((${after/./} - ${before/./}))
done
"""


def measure_activation(bench: Bench, project: Path) -> None:
    environment = {**os.environ, "CAPE_STORE": str(bench.directory / "store"), "CAPE": str(CAPE)}
    output = subprocess.check_output(
        ["bash", "--norc", "-c", ACTIVATIONS], cwd=project, env=environment, text=True
    )
    times = sorted(int(line) / 1e6 for line in output.split())
    bench.add(
        "in-shell activation, warm, p50",
        ms(statistics.median(times)),
        statistics.median(times),
        f"100 times in one bash; p95 {ms(quantile(times, 0.95))}",
    )


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def disk_bytes(directory: Path) -> int:
    return int(subprocess.check_output(["du", "-s", "--block-size=1", directory]).split()[0])


def second_environment(bench: Bench, project: Path) -> None:
    store = bench.directory / "store"
    whole = disk_bytes(store / "environments")
    before = disk_bytes(store)
    second = bench.project("second", (project / "cape.toml").read_text().replace('jq      = "*"\n', ""))
    shutil.copy(project / "cape.lock", second / "cape.lock")
    _, seconds = bench.cape(second, "sync")
    grown = disk_bytes(store) - before
    bench.add(
        "disk use of a second, similar environment",
        f"{grown / 1e6:.1f} MB",
        note=f"the first one's files: {whole / 1e6:.0f} MB; made in {seconds:.2f} s",
    )


def measure_lock_of_fifty(bench: Bench) -> None:
    project = bench.project("fifty", manifest(FIFTY))
    count = sum(len(names) for names in FIFTY.values())
    _, seconds = bench.cape(project, "lock")
    bench.add(
        f"lock {count} packages of 3 sources, first time",
        f"{seconds:.2f} s",
        seconds,
        "warm Debian index; npm tarballs are downloaded",
    )
    text = manifest({**FIFTY, "debian": [*FIFTY["debian"], "pv"]})
    (project / "cape.toml").write_text(text)
    _, seconds = bench.cape(project, "lock")
    bench.add("lock 50 packages of 3 sources, one row changed, warm index", f"{seconds:.2f} s", seconds)
    (project / "cape.lock").unlink()
    _, seconds = bench.cape(project, "lock")
    bench.add("lock 50 packages of 3 sources, no lock, everything warm", f"{seconds:.2f} s", seconds)


def measure_large_set(bench: Bench) -> None:
    project = bench.project("large", manifest({"debian": LARGE}, systems=f'"{this_system()}"'))
    bench.cape(project, "lock")
    vendor = bench.directory / "vendor"
    download = timed(lambda: bench.cape(project, "vendor", str(vendor), store="download-store"))
    decompress = timed(lambda: with_dpkg_deb(vendor, 'dpkg-deb --fsys-tarfile "$deb" > /dev/null'))
    extracted = bench.directory / "extracted"
    extract = timed(
        lambda: with_dpkg_deb(vendor, f'dpkg-deb -x "$deb" "{extracted}/${{deb##*/}}"', extracted)
    )
    shutil.rmtree(extracted)
    output, cold = bench.cape(project, "sync", "--json", store="large-store")
    synced = json.loads(output)
    bench.add("sync of the large set, objects cold", f"{cold:.1f} s", cold, extent(synced))
    bench.add(
        "sync of the large set, objects cold, over download and decompress",
        f"{cold / (download + decompress):.2f} x",
        cold / (download + decompress),
        f"download {download:.1f} s; decompression by dpkg-deb, two at a time, {decompress:.1f} s",
    )
    measure_large_warm(bench, project, synced["files"])
    bench.forget(project, "large-store", "objects", "environments")
    _, cached = bench.cape(project, "sync", store="large-store")
    bench.add(
        "sync of the large set, objects cold, downloads there, over `dpkg-deb -x`",
        f"{cached / extract:.2f} x",
        cached / extract,
        f"{cached:.1f} s; `dpkg-deb -x` of the same files, two at a time, {extract:.1f} s",
    )
    measure_mmdebstrap(bench, cold)


def measure_large_warm(bench: Bench, project: Path, files: int) -> None:
    bench.forget(project, "large-store", "environments")
    _, warm = bench.cape(project, "sync", store="large-store")
    note = f"{files / warm:,.0f} files linked a second, with everything else that a sync does"
    bench.add("sync of the large set, objects warm", f"{warm:.2f} s", warm, note)


def measure_mmdebstrap(bench: Bench, cold: float) -> None:
    """The same packages, fetched and extracted by mmdebstrap, where the machine has it."""
    if not shutil.which("mmdebstrap") or os.geteuid() != 0:
        bench.add("the same set by `mmdebstrap --variant=extract`", "not on this machine")
        return
    finder = (
        "from cape.configuration import Configuration as C; from cape.sources.debian.registry import places"
    )
    mirror = subprocess.check_output(
        [PYTHON, "-c", f"{finder}; print(places('trixie', C.read())[0].base)"], text=True
    ).strip()
    target = bench.directory / "mmdebstrap"
    words = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(LARGE)}", "trixie", target]
    seconds = timed(lambda: subprocess.run([*words, mirror], check=True, stderr=subprocess.DEVNULL))
    bench.add(
        "the same set by `mmdebstrap --variant=extract`",
        f"{seconds:.1f} s",
        note=f"indices, download and extraction; `cape sync` from the lock took {cold / seconds:.2f} of it",
    )


def this_system() -> str:
    words = [PYTHON, "-c", "from cape.names import System; print(System.current())"]
    return subprocess.check_output(words, text=True).strip()


def with_dpkg_deb(vendor: Path, command: str, target: Path | None = None) -> None:
    """Run a shell command for each vendored deb, `$deb`, two at a time."""
    if target:
        target.mkdir()
    files = [str(path) for path in vendor.rglob("*") if path.is_file()]
    script = f"for deb; do {command}; done"
    running = [
        subprocess.Popen(["sh", "-c", script, "sh", *half], stderr=subprocess.DEVNULL)
        for half in (files[0::2], files[1::2])
    ]
    for process in running:
        if process.wait():
            raise SystemExit("dpkg-deb failed")


PYTHON_SET = ("pandas", "scipy", "matplotlib", "requests", "flask", "sqlalchemy")


def measure_python_part(bench: Bench) -> None:
    """What wheels add to a `cape sync`, beside `uv pip sync` of the same wheels, cold and warm.

    The part is the difference to a sync of the same system packages without the wheels, whose environment
    is made anew as well. Medians of several rounds, in turns; what is dirty is written out before each.
    """
    system = ("python3", "libstdc++6")
    base = bench.project("python-base", manifest({"debian": [*system]}))
    full = bench.project("python-full", manifest({"debian": [*system], "pypi": [*PYTHON_SET]}))
    rival = UvRival(bench, full)
    cold = []
    for number in range(3):
        store = f"python-store-{number}"
        bench.cape(base, "sync", store=store)
        timings = [python_sync(bench, project, store) for project in (full, base)]
        cold.append((*timings, rival.sync(cache=f"uv-cache-{number}")))
    add_python_row(bench, "cold", rival, *(list(column) for column in zip(*cold, strict=True)))
    warm = [
        (*(python_sync(bench, project, store) for project in (full, base)), rival.sync(cache="uv-cache-2"))
        for _ in range(5)
    ]
    add_python_row(bench, "warm", rival, *(list(column) for column in zip(*warm, strict=True)))


def python_sync(bench: Bench, project: Path, store: str) -> float:
    """A sync of a project whose environment is not there."""
    bench.forget(project, store, "environments")
    os.sync()
    return bench.cape(project, "sync", store=store)[1]


def add_python_row(
    bench: Bench, kind: str, rival: UvRival, full: list[float], base: list[float], uv: list[float]
) -> None:
    full_s, base_s, uv_s = statistics.median(full), statistics.median(base), statistics.median(uv)
    share = (full_s - base_s) / uv_s
    bench.add(
        f"Python part, {kind}, over `uv pip sync`",
        f"{share:.2f} x",
        share,
        f"{rival.wheels} wheels; a sync with them {full_s:.2f} s, without {base_s:.2f} s; uv {uv_s:.2f} s",
    )


class UvRival:
    """uv with caches of its own, for the wheels that a project locks."""

    def __init__(self, bench: Bench, project: Path) -> None:
        bench.cape(project, "lock")
        lock = [json.loads(line) for line in (project / "cape.lock").read_text().splitlines()]
        wheels = [row for row in lock if row.get("source") == "pypi" and "version" in row]
        pins = {f"{row['name']}=={row['version']}" for row in wheels}
        self.wheels = len(pins)
        self._bench = bench
        self._pins = bench.directory / "requirements.txt"
        self._pins.write_text("\n".join(sorted(pins)) + "\n")
        finder = "import uv; print(uv.find_uv_bin())"
        self._uv = subprocess.check_output([PYTHON, "-c", finder], text=True).strip()

    def sync(self, *, cache: str) -> float:
        """`uv pip sync` into a new virtual environment; with a new cache it downloads."""
        venv = self._bench.directory / "uv-venv"
        shutil.rmtree(venv, ignore_errors=True)
        variables = {**os.environ, "UV_CACHE_DIR": str(self._bench.directory / cache)}
        subprocess.run([self._uv, "venv", "-q", "--python", PYTHON, venv], env=variables, check=True)
        os.sync()
        words = [
            "pip",
            "sync",
            "-q",
            "--no-config",
            "--python-version",
            "3.13",
            "--python",
            venv / "bin/python",
        ]
        return timed(lambda: subprocess.run([self._uv, *words, self._pins], env=variables, check=True))


def measure_rollback(bench: Bench) -> None:
    project = bench.directory / "handbook"
    done = subprocess.run([PYTHON, TOP / "benchmarks" / "generations.py", project, "1000"], check=False)
    if done.returncode:
        raise SystemExit("making generations failed")
    bench.cape(project, "rollback")
    times = [bench.cape(project, "rollback")[1] for _ in range(10)]
    bench.add(
        "rollback among 1,000 generations",
        ms(statistics.median(times)),
        statistics.median(times),
        "whole command, median of 10",
    )


def measure_once(bench: Bench) -> None:
    """A program that the project has not got, for one command: resolved and made, then remembered."""
    project = bench.directory / "handbook"
    words = ("run", "--with", "tree", "--", "true")
    first = bench.cape(project, *words)[1]
    bench.add("`cape run --with tree -- true`, first", ms(first), first, "resolved, fetched, made, run")
    times = bench.times(project, list(words), 20)
    again = statistics.median(times)
    bench.add(
        "`cape run --with tree -- true`, again, p50", ms(again), again, "20 runs, on top of the project"
    )


STAGES: dict[str, Callable[[Bench], None]] = {
    "handbook": measure_handbook,
    "fifty": measure_lock_of_fifty,
    "rollback": measure_rollback,
    "once": measure_once,
    "python": measure_python_part,
    "large": measure_large_set,
}


@contextmanager
def workplace(where: str | None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="cape-bench-", dir=where))
    try:
        yield directory
    finally:
        subprocess.run(["chmod", "-R", "u+w", directory], check=False)
        shutil.rmtree(directory, ignore_errors=True)


def as_markdown(rows: list[Row]) -> str:
    lines = ["| what | measured | budget | how |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.text} | {row.verdict()} | {row.note} |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores ({model}), Linux {kernel}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="all when none is named")
    parser.add_argument("--where", help="directory for the stores (the same file system matters)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    with workplace(arguments.where) as directory:
        bench = Bench(directory)
        for name in arguments.stages or STAGES:
            STAGES[name](bench)
    text = f"Machine: {machine()}.\n\n{as_markdown(bench.rows)}\n"
    print("\n" + text)
    if arguments.write:
        page = TOP / "docs" / "benchmarks.md"
        head, _, rest = page.read_text().partition("<!-- measured -->\n")
        _, _, tail = rest.partition("<!-- end -->")
        page.write_text(f"{head}<!-- measured -->\n{text}<!-- end -->{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
