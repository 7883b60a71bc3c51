"""What services cost: from `cape services up` to ready, and what an idle supervisor takes.

    .venv/bin/python benchmarks/services.py [--write]

A trivial service (`sleep`) without a readiness of its own, and one whose readiness is a command that succeeds
at once. `--write` replaces the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
TIMES = 10
IDLE_S = 10.0
MANIFEST = """schema = 1
[environment]
name = "services"
systems = ["x86_64-linux", "aarch64-linux"]
[services.plain]
command = "exec sleep 1000"
[services.asked]
command = "exec sleep 1000"
ready = { command = "true" }
"""


def cape(directory: Path, *words: str, mode: str = "on") -> str:
    variables = {**os.environ, "CAPE_STORE": str(directory / "store"), "CAPE_SERVICES_NAMESPACE": mode}
    done = subprocess.run(
        [CAPE, *words], cwd=directory, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"`cape {' '.join(words)}` gave {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def to_ready(directory: Path, name: str) -> list[float]:
    """Seconds of `up` with the start of the supervisor, each time anew."""
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        cape(directory, "services", "up", name)
        seconds.append(time.perf_counter() - started)
        cape(directory, "services", "down")
    return seconds


def start_to_ready(directory: Path, name: str) -> list[float]:
    """Seconds from the start of the process to its readiness, as the supervisor saw them."""
    from datetime import datetime

    seconds = []
    for _ in range(TIMES):
        cape(directory, "services", "restart", name)
        row = json.loads(cape(directory, "services", "status", name, "--json"))["services"][0]
        seconds.append(
            (datetime.fromisoformat(row["ready"]) - datetime.fromisoformat(row["started"])).total_seconds()
        )
    return seconds


def idle(directory: Path, mode: str) -> tuple[float, float, int, float]:
    """Of the supervisor and its companion: resident and proportional MB, wake-ups and CPU seconds, idle."""
    cape(directory, "services", "up", mode=mode)
    time.sleep(11)
    first = int((directory / ".cape/services/pid").read_text())
    pids = [first, companion(first, mode)]
    before = sum(map(wakeups, pids)), sum(map(ticks, pids))
    time.sleep(IDLE_S)
    woken, used = sum(map(wakeups, pids)) - before[0], sum(map(ticks, pids)) - before[1]
    resident, proportional = (sum(memory(pid, field) for pid in pids) for field in ("Rss", "Pss"))
    cape(directory, "services", "down", mode=mode)
    return resident, proportional, woken, used / os.sysconf("SC_CLK_TCK")


def companion(supervisor: int, mode: str) -> int:
    """The init of the namespace below the supervisor, or the guardian above it."""
    if mode == "off":
        return int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1])
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next(int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "cape-init\n")


def memory(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000


def wakeups(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(directory: Path) -> str:
    (directory / "cape.toml").write_text(MANIFEST)
    cape(directory, "sync")
    rows = []
    for name, told in (("plain", "no readiness of its own"), ("asked", 'ready = { command = "true" }')):
        seconds = to_ready(directory, name)
        rows.append(
            f"| `cape services up`, supervisor included, {told} "
            f"| {statistics.median(seconds) * 1000:.0f} ms (slowest {max(seconds) * 1000:.0f}) |"
        )
        seconds = start_to_ready(directory, name)
        rows.append(f"| its process started to ready | {statistics.median(seconds) * 1000:.0f} ms |")
        cape(directory, "services", "down")
    for mode, told in (("on", "a PID namespace and its init"), ("off", "a guardian")):
        resident, proportional, woken, used = idle(directory, mode)
        rows.append(
            f"| supervisor with {told}, two services, idle | {resident:.1f} MB resident, "
            f"{proportional:.1f} MB proportional; {woken} wake-ups "
            f"and {used:.2f} s of CPU in {IDLE_S:.0f} s |"
        )
    return "\n".join(["| what | measured |", "| --- | --- |", *rows]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        text = measure(Path(place))
    print(text)
    if arguments.write:
        page = TOP / "docs" / "benchmarks.md"
        head, _, rest = page.read_text().partition("<!-- services -->\n")
        _, _, tail = rest.partition("<!-- end of services -->")
        page.write_text(f"{head}<!-- services -->\n{text}<!-- end of services -->{tail}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
