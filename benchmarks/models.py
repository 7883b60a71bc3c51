"""Models: how fast their bytes are verified, and what one of ten gigabytes costs to enter.

    .venv/bin/python benchmarks/models.py [--gigabytes N] [--write]

The large model is a sparse file: its size counts, and its content is zeros. The rates are over a file in the
page cache, per second and per second of processor time (on a busy machine the two differ).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

sys.path.insert(0, str(Path(__file__).parent.parent))

from cape.models.recognition import read_header
from cape.names import Digest, System
from cape.store.listing import ContentHasher

CAPE = Path(sys.prefix) / "bin" / "cape"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
GIGABYTE = 1_000_000_000
ROUNDS = 20
BLOCKS = 12
ENTER = """
now() { at=${EPOCHREALTIME/[.,]/}; }
for ((n = 0; n < ROUNDS + 3; n++)); do
    now; start=$at; eval "$(CAPE activate)"; now; echo $((at - start)) >&3
    [[ -n $CAPE_ENV ]] || exit 9
    cape deactivate
done
"""


def gguf_of(size_bytes: int, file: Path) -> None:
    """A sparse GGUF file with one tensor that fills it."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    numbers = size_bytes // 4 // 32 * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    head += text("general.license") + struct.pack("<I", 8) + text("mit")
    head += text("t") + struct.pack("<IQIQ", 1, numbers, 0, 0)
    head += b"\0" * (-len(head) % 32)
    with open(file, "wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + numbers * 4)


def rate(work: Callable[[], object], size_bytes: int) -> tuple[float, float]:
    """Gigabytes a second, and a second of processor time: the best of three."""
    found = []
    for _ in range(3):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return (size_bytes / GIGABYTE / min(one[0] for one in found),
            size_bytes / GIGABYTE / min(one[1] for one in found))  # fmt: skip


def rates(place: Path) -> list[tuple[str, str]]:
    file = place / "noise"
    with open(file, "wb") as stream:
        for _ in range(16):
            stream.write(os.urandom(64 << 20))
    size = file.stat().st_size

    def two() -> None:
        threads = [Thread(target=Digest.of_file, args=(file,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    rows = []
    for name, work, times in (
        ("sha256 of an artifact, one thread", lambda: Digest.of_file(file), 1),
        ("sha256 of two artifacts, two threads", two, 2),
        ("sealing of an object", lambda: ContentHasher(place).digests(str(file)), 1),
    ):
        wall, processor = rate(work, size * times)
        rows.append((name, f"{wall:.2f} GB/s; {processor:.2f} GB per second of processor time"))
    file.unlink()
    return rows


def environment(place: Path) -> dict[str, str]:
    home = place / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "CAPE_STORE": str(place / "store"), "CAPE_OFFLINE": "1"}


def project_of(place: Path, name: str, models: str) -> Path:
    project = place / name
    project.mkdir()
    head = f'schema = 1\n[environment]\nname = "{name}"\nsystems = ["{System.current()}"]\n'
    (project / "cape.toml").write_text(head + models)
    return project


def entering(project: Path, place: Path) -> float:
    """The median of entering in a running bash, in milliseconds."""
    script = ENTER.replace("ROUNDS", str(ROUNDS)).replace("CAPE activate", f"{CAPE} activate")
    told = place / "told"
    with open(told, "wb") as stream:
        subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", script],
            cwd=project, env=environment(place), check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=(3,), preexec_fn=lambda: os.dup2(stream.fileno(), 3),
        )  # fmt: skip
    return statistics.median(int(line) / 1000 for line in told.read_text().split()[3:])


def synced(project: Path, place: Path) -> None:
    words = [CAPE, "sync"]
    subprocess.run(words, cwd=project, env=environment(place), check=True, stderr=subprocess.DEVNULL)


def large(place: Path, gigabytes: int) -> list[tuple[str, str]]:
    file = place / "large.gguf"
    gguf_of(gigabytes * GIGABYTE, file)
    started = time.perf_counter()
    read_header(file)
    header_ms = (time.perf_counter() - started) * 1000
    digest = Digest.of_file(file)
    artifact = place / "store" / "artifacts" / digest.hex[:2] / digest.hex
    artifact.parent.mkdir(parents=True)
    file.chmod(0o444)
    file.rename(artifact)
    url = f'url = "http://127.0.0.1:9/large.gguf", sha256 = "{digest.hex}"'
    without = project_of(place, "without", "")
    having = project_of(place, "having", f"[models]\nlarge = {{ {url} }}\n")
    for project in (without, having):
        started = time.perf_counter()
        synced(project, place)
        sync_s = time.perf_counter() - started
    again = place / "again"
    shutil.copytree(having, again, ignore=shutil.ignore_patterns(".cape"))
    started = time.perf_counter()
    synced(again, place)
    second_ms = (time.perf_counter() - started) * 1000
    linked = next((place / "store" / "environments").glob("*/models/large/large.gguf")).stat().st_nlink
    return [
        (f"header of a GGUF file of {gigabytes} GB", f"{header_ms:.1f} ms"),
        (f"first `cape sync` of a model of {gigabytes} GB that is in the store", f"{sync_s:.1f} s"),
        ("`cape sync` of a second project with it", f"{second_ms:.0f} ms; {linked} hard links, one file"),
        *alternately(without, having, place, gigabytes),
    ]


def alternately(without: Path, having: Path, place: Path, gigabytes: int) -> list[tuple[str, str]]:
    """Entering one and the other by turns: the medians of blocks, the best of them, and their spread."""
    blocks = [(entering(without, place), entering(having, place)) for _ in range(BLOCKS)]
    names = ("entering in place, without a model", f"entering in place, with {gigabytes} GB (budget 5 ms)")
    rows = []
    for name, found in zip(names, zip(*blocks, strict=True), strict=True):
        told = f"{min(found):.1f} ms (medians of {BLOCKS} blocks by turns: up to {max(found):.1f} ms)"
        rows.append((name, told))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="put the table into the page of benchmarks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = rates(Path(directory)) + large(Path(directory), arguments.gigabytes)
    rows.append(
        (f"load of the machine meanwhile (of {os.cpu_count()} processors)", f"{os.getloadavg()[0]:.1f}")
    )
    table = "| models | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)
    print(table)
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        start, end = text.index("<!-- models -->\n"), text.index("<!-- /models -->")
        PAGE.write_text(f"{text[:start]}<!-- models -->\n{table}{text[end:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
