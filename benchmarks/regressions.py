"""How many faults the gate catches, and how often it cries without one.

    .venv/bin/python benchmarks/regressions.py [--faults N] [--clean N] [--place DIR] [--write]

Takes the example's documents, test set and locked embedder into a place of its own, evaluates them once, then
makes one fault after another, indexes and evaluates again, and compares. Clean runs change nothing that may
matter: another place, an index made anew, documents that were touched, an unrelated document more, a comment
in the policy. `--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from cape.evaluation.gate import Comparison, compare
from cape.operations.gating import evaluate_base, write_evaluation
from cape.operations.indexing import index_base
from cape.operations.knowledge import find_base
from cape.operations.project import Project, Workshop

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "handbook"
CAPE = EXAMPLE.parent.parent / ".venv" / "bin" / "cape"
PAGE = EXAMPLE.parent.parent / "docs" / "benchmarks.md"
MANIFEST = """\
schema = 1

[environment]
name = "handbook"
systems = ["x86_64-linux"]

[models]
{models}

[knowledge.handbook]
sources = ["documents/**"]
{embedder}access = "access.toml"
questions = "questions.toml"
answer-from = {bar}
"""
_DIGIT = re.compile(r"\d")
_TEXTS = (".md", ".csv", ".html", ".eml", ".txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that goes wrong: in the project's files, in the code that runs, or both.

    `rebuilds`: the index is made anew with the code as it is then.
    """

    kind: str
    name: str
    files: Callable[[Path], None] = lambda place: None
    code: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    rebuilds: bool = False


# -- documents --------------------------------------------------------------------------------------------


def needed_documents() -> list[str]:
    """The documents that questions need, sorted."""
    from cape.evaluation.questions import read_questions

    return sorted({path for one in read_questions(EXAMPLE / "questions.toml") for path in one.sources})


def without(path: str) -> Callable[[Path], None]:
    return lambda place: (place / path).unlink()


def without_folder(name: str) -> Callable[[Path], None]:
    return lambda place: shutil.rmtree(place / "documents" / name)


def rewritten(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Every document that is a text, changed."""

    def change_all(place: Path) -> None:
        for file in sorted((place / "documents").rglob("*")):
            if file.suffix in _TEXTS:
                file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")

    return change_all


def other_figures(seed: int) -> Callable[[str], str]:
    chosen = random.Random(seed)
    return lambda text: _DIGIT.sub(lambda found: str(chosen.randrange(10)), text)


def cut_to(share: float) -> Callable[[str], str]:
    return lambda text: text[: int(len(text) * share)]


def lines_shuffled(seed: int) -> Callable[[str], str]:
    def shuffled(text: str) -> str:
        lines = text.splitlines()
        random.Random(seed).shuffle(lines)
        return "\n".join(lines)

    return shuffled


def document_faults() -> Iterator[Fault]:
    needed = random.Random(1).sample(needed_documents(), 26)
    for path in needed:
        yield Fault(kind="documents", name=f"lost {path}", files=without(path))
    for folder in ("handbook", "products", "mail"):
        yield Fault(kind="documents", name=f"lost {folder}", files=without_folder(folder))
    for share in (0.2, 0.4, 0.6, 0.8):
        yield Fault(kind="documents", name=f"cut to {share:.0%}", files=rewritten(cut_to(share)))
    for seed in (1, 2, 3):
        yield Fault(kind="documents", name=f"other figures {seed}", files=rewritten(other_figures(seed)))
    for seed in (1, 2):
        yield Fault(kind="documents", name=f"lines shuffled {seed}", files=rewritten(lines_shuffled(seed)))
    yield Fault(
        kind="documents",
        name="decoded wrongly",
        files=rewritten(lambda text: text.encode("utf-8").decode("utf-16-le", "replace")),
    )
    plain = rewritten(lambda text: re.sub(r"(?m)^#+ ", "", text))
    yield Fault(kind="documents", name="headings lost", files=plain)


# -- access -----------------------------------------------------------------------------------------------


def access(change: Callable[[list[str]], str]) -> Callable[[Path], None]:
    """The policy's file, changed: its head first, then a piece for each rule."""

    def write(place: Path) -> None:
        file = place / "access.toml"
        file.write_text(change(file.read_text(encoding="utf-8").split("[[rules]]")), encoding="utf-8")

    return write


def rule_dropped(number: int) -> Callable[[list[str]], str]:
    return lambda parts: "[[rules]]".join(part for at, part in enumerate(parts) if at != number)


def rule_opened(number: int) -> Callable[[list[str]], str]:
    def opened(parts: list[str]) -> str:
        parts[number] = re.sub(r"groups = .*", 'groups = ["everyone"]', parts[number])
        return "[[rules]]".join(parts)

    return opened


def promoted(user: str, group: str) -> Callable[[list[str]], str]:
    return lambda parts: re.sub(rf"(?m)^{user}\s*= \[", f'{user} = ["{group}", ', "[[rules]]".join(parts))


def access_faults() -> Iterator[Fault]:
    rules = (EXAMPLE / "access.toml").read_text(encoding="utf-8").count("[[rules]]")
    for number in range(1, rules + 1):
        yield Fault(kind="access", name=f"rule {number} dropped", files=access(rule_dropped(number)))
    for number in range(2, rules):
        yield Fault(kind="access", name=f"rule {number} opened", files=access(rule_opened(number)))
    for user, group in (
        *(("jonas", "hr"), ("linnea", "board"), ("petra", "finance"), ("kasia", "engineering")),
        ("signe", "managers"),
    ):
        yield Fault(kind="access", name=f"{user} in {group}", files=access(promoted(user, group)))
    yield Fault(kind="access", name="the index ignores groups", code=everything_allowed)
    yield Fault(kind="access", name="everybody asks as hr", code=asked_as_hr)


def everything_allowed() -> contextlib.AbstractContextManager[Any]:
    from cape.knowledge.index.reader import IndexReader

    real = IndexReader._allowed
    return mock.patch.object(
        IndexReader, "_allowed", lambda self, groups: [np.ones_like(one) for one in real(self, groups)]
    )


def asked_as_hr() -> contextlib.AbstractContextManager[Any]:
    from cape.operations.asking import ask as real

    return mock.patch(
        "cape.operations.gating.ask", lambda *words, user=None, **more: real(*words, user="astrid", **more)
    )


# -- the code that retrieves and answers ------------------------------------------------------------------


def patched(place: str, value: Any) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    return lambda: mock.patch(place, value)


def other_weights(seed: int) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """The weights that choose a sentence, drawn anew."""
    from dataclasses import replace

    from cape.answers.weights import BY_VECTORS

    chosen = random.Random(seed)
    drawn = {name: chosen.uniform(-1, 1) for name in sorted(BY_VECTORS.candidate)}
    return patched("cape.answers.weights.BY_VECTORS", replace(BY_VECTORS, candidate=drawn))


def hits(
    change: Callable[[list[Any]], list[Any]], method: str
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    from cape.knowledge.index.reader import IndexReader

    real = getattr(IndexReader, method)
    return lambda: mock.patch.object(
        IndexReader, method, lambda self, *words: change(list(real(self, *words)))
    )


def vectors(
    change: Callable[[np.ndarray], np.ndarray],
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    from cape.engines.minilm import MiniLM

    real = MiniLM.embed

    def embed(self: MiniLM, texts: Any) -> Any:
        made = change(real(self, texts).astype(np.float64))
        return (made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)).astype(np.float32)

    return lambda: mock.patch.object(MiniLM, "embed", embed)


def turned(found: list[Any]) -> list[Any]:
    from dataclasses import replace

    return sorted((replace(one, score=-one.score) for one in found), key=lambda one: (-one.score, one.chunk))


def noisy(scale: float) -> Callable[[np.ndarray], np.ndarray]:
    drawn = np.random.default_rng(1)
    return lambda made: made + scale * drawn.normal(size=made.shape) / 20


def answers(change: Callable[[Any], Any]) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Every answer changed before it is judged."""
    from dataclasses import replace

    from cape.operations.asking import ask as real

    def ask(*words: Any, **more: Any) -> Any:
        result = real(*words, **more)
        return replace(result, answer=change(result.answer))

    return lambda: mock.patch("cape.operations.gating.ask", ask)


def citations(change: Callable[[Any], Any]) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    from dataclasses import replace

    return answers(lambda answer: replace(answer, citations=tuple(change(one) for one in answer.citations)))


def questions(change: Callable[[str], str]) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    from cape.operations.asking import ask as real

    return lambda: mock.patch(
        "cape.operations.gating.ask", lambda base, text, **more: real(base, change(text), **more)
    )


def _moved(citation: Any) -> Any:
    from dataclasses import replace

    place = citation.place
    lines = tuple(line + 1 for line in place.lines) if place.lines else place.lines
    page = place.page + 1 if place.page else place.page
    cells = re.sub(r"\d+", lambda row: str(int(row[0]) + 1), place.cells) if place.cells else place.cells
    return replace(citation, place=replace(place, page=page, lines=lines, cells=cells))


def code_faults() -> Iterator[Fault]:
    from dataclasses import replace

    for count in (1, 2):
        where = "cape.operations.gating.PASSAGES"
        yield Fault(kind="answers", name=f"{count} passages", code=patched(where, count))
    for seed in range(1, 6):
        yield Fault(kind="answers", name=f"other weights {seed}", code=other_weights(seed))
    yield Fault(kind="answers", name="places off by one", code=citations(_moved))
    yield Fault(
        kind="answers",
        name="figures of quotes altered",
        code=citations(lambda one: replace(one, quote=_DIGIT.sub("0", one.quote))),
    )
    yield Fault(
        kind="answers",
        name="a wrong document is cited",
        code=citations(lambda one: replace(one, document="documents/handbook/01-welcome.md")),
    )
    yield Fault(kind="answers", name="texts cut", code=answers(lambda one: replace(one, text=one.text[:30])))
    changes: dict[str, Callable[[str], str]] = {
        "first three words": lambda text: " ".join(text.split()[:3]),
        "words reversed": lambda text: " ".join(word[::-1] for word in text.split()),
        "last word alone": lambda text: text.split()[-1],
    }
    for name, change in changes.items():
        yield Fault(kind="answers", name=f"questions: {name}", code=questions(change))
    for method in ("search_words", "search_vector"):
        yield Fault(kind="retrieval", name=f"{method} finds nothing", code=hits(lambda found: [], method))
        yield Fault(kind="retrieval", name=f"{method} upside down", code=hits(turned, method))
    for scale in (1.0, 2.0, 4.0):
        yield Fault(kind="embedder", name=f"noise {scale:g}", code=vectors(noisy(scale)))
    yield Fault(kind="embedder", name="all alike", code=vectors(np.ones_like))
    yield Fault(kind="embedder", name="negated", code=vectors(np.negative))
    yield Fault(
        kind="embedder", name="dimensions turned round", code=vectors(lambda made: made[:, ::-1].copy())
    )


def index_faults() -> Iterator[Fault]:
    for limit in (4, 8, 16, 600, 1500, 6000):
        where = "cape.knowledge.chunking.LIMIT"
        yield Fault(kind="chunks", name=f"of {limit} pieces", code=patched(where, limit), rebuilds=True)
    for bar in (0, 10, 30, 85, 95, 100):
        yield Fault(kind="bar", name=f"answer-from = {bar}", files=with_bar(bar))
    yield Fault(
        kind="embedder", name="none", files=lambda place: manifest(place, embedder=False), rebuilds=True
    )


def all_faults() -> list[Fault]:
    """Every fault, each kind spread over the list."""
    found = [*document_faults(), *access_faults(), *code_faults(), *index_faults()]
    random.Random(7).shuffle(found)
    return found


# -- runs -------------------------------------------------------------------------------------------------


def manifest(place: Path, *, bar: int = 60, embedder: bool = True) -> None:
    models = re.search(r"(?m)^embedder = .*$", (EXAMPLE / "cape.toml").read_text(encoding="utf-8"))
    assert models is not None
    named = 'embedder = "embedder"\n' if embedder else ""
    (place / "cape.toml").write_text(MANIFEST.format(models=models[0], embedder=named, bar=bar))


def with_bar(bar: int) -> Callable[[Path], None]:
    return lambda place: manifest(place, bar=bar)


def copied(source: Path, into: Path) -> Path:
    shutil.copytree(source, into, symlinks=True)
    return into


def index(place: Path, *, rebuild: bool = False) -> None:
    from cape.lock import read_lock
    from cape.operations.including import project_manifest

    project = Project(place)
    base = find_base(project_manifest(project), None)
    index_base(project, Workshop.open(), base, read_lock(project.lock_path), rebuild=rebuild)


def compared(base: Path, fault: Fault, into: Path) -> Comparison:
    """What the gate says of a fault."""
    shutil.rmtree(into, ignore_errors=True)
    place = copied(base, into)
    fault.files(place)
    with fault.code():
        index(place, rebuild=fault.rebuilds)
        gate = evaluate_base(Project(place), None, Workshop.open(), base=base / "evaluation.jsonl")
    shutil.rmtree(place)
    assert gate.comparison is not None
    return gate.comparison


def clean_runs() -> list[Fault]:
    """What changes nothing that may matter."""
    unrelated = "# The keeper's cat\n\nThe cat of the lighthouse sleeps on the third shelf from the left.\n"
    return [
        Fault(kind="clean", name="another place"),
        Fault(kind="clean", name="made anew", rebuilds=True),
        Fault(kind="clean", name="touched", files=lambda place: _touch(place)),
        Fault(
            kind="clean",
            name="an unrelated document more",
            files=lambda place: _write(place / "documents/notes/cat.md", unrelated),
        ),
        Fault(
            kind="clean",
            name="a comment in the policy",
            files=access(lambda parts: "# x\n" + "[[rules]]".join(parts)),
        ),
    ]


def _touch(place: Path) -> None:
    for file in (place / "documents").rglob("*"):
        os.utime(file)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def prepare(top: Path) -> Path:
    """The example's base, indexed and evaluated once."""
    import subprocess

    base = top / "base"
    base.mkdir()
    shutil.copytree(EXAMPLE / "documents", base / "documents")
    for name in ("access.toml", "questions.toml"):
        shutil.copy(EXAMPLE / name, base / name)
    manifest(base)
    subprocess.run([CAPE, "-q", "lock"], cwd=base, check=True)
    subprocess.run([CAPE, "-q", "index"], cwd=base, check=True)
    gate = evaluate_base(Project(base), None, Workshop.open())
    write_evaluation(base / "evaluation.jsonl", gate.evaluation)
    assert compare(gate.evaluation, gate.evaluation).regressions == ()
    return base


_REMEMBERED = 40_000
"""Texts whose word pieces are kept: some 30 kB each."""


def remembered_embedding() -> contextlib.AbstractContextManager[Any]:
    """Each text goes through the embedder's graph once in all runs: equal texts give equal bits."""
    from cape.engines.minilm import MiniLM

    real = MiniLM._pieces
    known: dict[tuple[str, str], np.ndarray] = {}

    def pieces(self: MiniLM, text: str) -> Any:
        key = (self.digest.hex, text)
        if key not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = real(self, text)
        return known[key]

    return mock.patch.object(MiniLM, "_pieces", pieces)


class Record:
    """What each run gave, a line of JSON each, so that a run that was broken off goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.told: dict[str, dict[str, Any]] = {row["run"]: row for row in map(json.loads, lines)}

    def once(self, run: str, judge: Callable[[], Comparison]) -> dict[str, Any]:
        """What a run gave, made now where it is not known."""
        if run not in self.told:
            started = time.perf_counter()
            found = judge()
            self.told[run] = {
                "run": run,
                "worse": found.is_worse,
                "fell": [f"{one.metric} {one.difference:+.4f}" for one in found.regressions],
                "moved": [f"{one.metric} {one.difference:+.4f}" for one in found.changes if one.difference],
                "widened": len(found.widened),
                "seconds": round(time.perf_counter() - started, 1),
            }
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.told[run]) + "\n")
        return self.told[run]


def measured(top: Path, faults: int, clean: int) -> tuple[dict[str, list[bool]], list[bool]]:
    """Which faults were caught, by kind; and which clean runs were called worse."""
    base = top / "base" if (top / "base" / "evaluation.jsonl").exists() else prepare(top)
    record = Record(top / "runs.jsonl")
    caught: dict[str, list[bool]] = {}
    for number, fault in enumerate(all_faults()[:faults]):
        run = f"fault: {fault.kind}: {fault.name}"
        told = record.once(run, partial(compared, base, fault, top / f"run-{number}"))
        caught.setdefault(fault.kind, []).append(told["worse"])
        print(f"{'caught' if told['worse'] else 'MISSED'} {run} {told['fell'] or told['moved']}", flush=True)
    alarms = []
    runs = clean_runs()
    for number in range(clean):
        one = runs[number % len(runs)]
        run = f"clean {number}: {one.name}"
        told = record.once(run, partial(compared, base, one, top / f"run-{number}"))
        alarms.append(told["worse"])
        print(f"{'ALARM' if told['worse'] else 'quiet'} {run} {told['fell']}", flush=True)
    return caught, alarms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--place", type=Path, help="go on with the runs that were made here")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, remembered_embedding():
        top = arguments.place or Path(temporary)
        top.mkdir(parents=True, exist_ok=True)
        caught, alarms = measured(top, arguments.faults, arguments.clean)
    text = told_as_table(caught, alarms)
    print(text)
    if arguments.write:
        write(text)


def told_as_table(caught: dict[str, list[bool]], alarms: list[bool]) -> str:
    rows = [f"| {kind} | {len(found)} | {sum(found)} |" for kind, found in sorted(caught.items())]
    every = [one for found in caught.values() for one in found]
    rows.append(f"| **all faults** | **{len(every)}** | **{sum(every)}** |")
    rows.append(f"| clean runs | {len(alarms)} | {sum(alarms)} |")
    return "\n".join(["| what | runs | the gate failed |", "|---|---|---|", *rows])


def write(text: str) -> None:
    """Put the table between its marks in the page of benchmarks."""
    page = PAGE.read_text(encoding="utf-8")
    marks = re.compile(r"(<!-- gate -->\n).*?(\n<!-- end gate -->)", re.DOTALL)
    assert marks.search(page), f"{PAGE.name} has no place for the table"
    PAGE.write_text(marks.sub(lambda found: found[1] + text + found[2], page), encoding="utf-8")


if __name__ == "__main__":
    main()
