"""The demo: one project from nothing to working, asked, changed, rolled back, and handed to a newcomer.

Everything lies below `.demo` beside the repository's README; remove that directory to start anew. Every
step is the real `cape` command, and each figure of the table at the end was measured in this run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent
TOP = EXAMPLE.parent.parent
DEMO = TOP / ".demo"
CAPE = TOP / ".venv" / "bin" / "cape"

PROGRAMS: tuple[tuple[str, list[str], str], ...] = (
    ("ripgrep, a system package", ["rg", "--no-heading", "allowance", "notes"], "45 euros"),
    ("jq", ["jq", "-n", "-c", "{answer: (6 * 7)}"], '"answer":42'),
    ("sqlite3", ["sqlite3", "--version"], "3."),
    ("git", ["git", "--version"], "git version"),
    ("python3 with pandas from PyPI", ["python3", "programs/revenue.py"], "Nordics=867"),
    ("node from npm", ["node", "--version"], "v22."),
    ("typescript from npm", ["tsc", "--version"], "Version 5."),
    ("the model file", ["sh", "-c", 'cd "$CAPE_ENV/models" && wc -c */*.onnx'], ".onnx"),
)


ASKED: tuple[str, ...] = (
    "travel-hotel-limit",
    "nordics-q1-2023",
    "pressure-limit",
    "booth-morning",
    "staff-parking",
    "pension-share",
)
"""Questions of `questions.toml` that are shown: a table of a DOCX, cells of an XLSX, a page of a PDF, what is
attached to a mail, yes or no from a web page, a sentence."""
RIGHT_AT_LEAST = 4
SECRET = ("What is the most that a senior engineer can earn?", "81,000")
"""A question whose answer only the people team may see, and a piece of the answer."""
EDITED = "documents/hr/benefits.md"
EDIT = ("pays 7 per cent", "pays 8 per cent")
EDIT_ASKED = "What share of my pay goes into the pension plan?"
"""A document, an amount in it before and after an edit, and a question about it."""


class DemoFailed(Exception):
    """A step did not do what it should."""


@dataclass
class Demo:
    """The table that is printed at the end, filled step by step."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def step(self, what: str, seconds: float, note: str = "") -> None:
        self.rows.append((what, seconds, note))

    def print_table(self) -> None:
        width = max(len(what) for what, _, _ in self.rows)
        print(f"\n{'what was done':<{width}}  {'seconds':>8}  numbers")
        print(f"{'-' * width}  {'-' * 8}  {'-' * 40}")
        for what, seconds, note in self.rows:
            print(f"{what:<{width}}  {seconds:>8.2f}  {note}")


def cape(project: Path, *words: str, store: str = "store", quiet: bool = True) -> tuple[str, float]:
    """Run one `cape` command in `project`; its stdout and how long it took. Raises `DemoFailed`.

    Unless `quiet`, what it says is shown, indented, and is a part of what is returned.
    """
    print(f"$ cape {shlex.join(words)}", flush=True)
    environment = {**os.environ, "CAPE_STORE": str(DEMO / store)}
    started = time.perf_counter()
    done = subprocess.run(
        [CAPE, *words],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=None if quiet else subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise DemoFailed(f"`cape {' '.join(words)}` gave exit code {done.returncode}\n{done.stdout}")
    if not quiet:
        print("".join(f"  {line}\n" for line in done.stdout.splitlines()), end="")
    return done.stdout, seconds


def title(text: str) -> None:
    """A line before the commands of a step."""
    print(f"\n# {text}", flush=True)


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def copy_example(project: Path) -> None:
    """The example as a project of its own. One that an older example made is removed, with its clone."""
    manifest = project / "cape.toml"
    if manifest.exists() and manifest.read_bytes() != (EXAMPLE / "cape.toml").read_bytes():
        for stale in (project, DEMO / "newcomer"):
            shutil.rmtree(stale, ignore_errors=True)
    ignore = shutil.ignore_patterns(
        "demo", "demo.py", "build_documents.py", "originals", "cape.lock", ".cape"
    )
    shutil.copytree(EXAMPLE, project, ignore=ignore, dirs_exist_ok=True)


def run_programs(demo: Demo, project: Path, store: str = "store") -> None:
    title("one program of each kind, inside")
    for what, command, expected in PROGRAMS:
        output, seconds = cape(project, "run", "--", *command, store=store, quiet=False)
        if expected not in output:
            raise DemoFailed(f"{what}: expected `{expected}`, got `{output.strip()}`")
        told = next(line for line in output.splitlines() if expected in line)
        demo.step(f"run {what}", seconds, told[:60])


def compile_typescript(demo: Demo, project: Path) -> None:
    title("a TypeScript program, compiled and run")
    script = 'tsc --outDir "$CAPE_STATE" programs/greet.ts && node "$CAPE_STATE/greet.js"'
    output, seconds = cape(project, "run", "--", "sh", "-c", script, quiet=False)
    if "typed and compiled" not in output:
        raise DemoFailed(f"the compiled program printed `{output.strip()}`")
    demo.step("compile and run a TypeScript program", seconds)


def upgrade_and_roll_back(demo: Demo, project: Path) -> None:
    title("upgrade a package, look back, roll back")
    before, _ = cape(project, "run", "--", "tsc", "--version", quiet=False)
    output, seconds = cape(project, "install", "npm:typescript@~5.9", "--json")
    objects = json.loads(output)["objects_made"]
    after, _ = cape(project, "run", "--", "tsc", "--version", quiet=False)
    if before == after:
        raise DemoFailed("the upgrade changed nothing")
    demo.step(
        "upgrade typescript", seconds, f"{before.split()[-1]} -> {after.split()[-1]}, {objects} objects made"
    )
    cape(project, "history", quiet=False)
    _, seconds = cape(project, "rollback", quiet=False)
    back, _ = cape(project, "run", "--", "tsc", "--version", quiet=False)
    if back != before:
        raise DemoFailed(f"after the rollback tsc says `{back.strip()}`")
    demo.step("roll back", seconds, f"{after.split()[-1]} -> {back.split()[-1]}")


def index_documents(demo: Demo, project: Path) -> None:
    """Index the documents; a second run finds the index up to date."""
    title("index the documents of a made-up company")
    output, seconds = cape(project, "index", "handbook", "--json")
    (base,) = json.loads(output)["bases"]
    print(f"  {base['documents']} documents, {base['chunks']} passages; {base['digest']}")
    if base["unread"]:
        raise DemoFailed(f"documents could not be read: {base['unread']}")
    if not base["has_vectors"]:
        raise DemoFailed("the index has no vectors")
    work = f"read {base['read']}, embedded {base['embedded']}"
    demo.step(
        "index the documents", seconds, f"{base['documents']} documents, {base['chunks']} passages; {work}"
    )


def ask(project: Path, question: str, user: str | None) -> tuple[str, float]:
    as_user = ["--as", user] if user else []
    return cape(project, "ask", "handbook", question, *as_user, quiet=False)


def ask_questions(demo: Demo, project: Path) -> None:
    """Ask some questions with known answers, and show what came."""
    title("ask six questions")
    rows = tomllib.loads((project / "questions.toml").read_text(encoding="utf-8"))["questions"]
    known = {row["id"]: row for row in rows}
    right, took = 0, []
    for name in ASKED:
        row = known[name]
        output, seconds = ask(project, row["question"], row.get("as"))
        missing = [
            text for text in (*row["answer"], *row["sources"]) if text.casefold() not in output.casefold()
        ]
        print(f"  => {'right' if not missing else 'wrong, it lacks ' + ', '.join(missing)}\n", flush=True)
        right += not missing
        took.append(seconds)
    demo.step(
        "ask six questions", sum(took), f"{right} of {len(ASKED)} right; {min(took):.2f} s the quickest"
    )
    if right < RIGHT_AT_LEAST:
        raise DemoFailed(f"only {right} of {len(ASKED)} questions were answered right")


def ask_as_two(demo: Demo, project: Path) -> None:
    title("ask for a secret, as somebody who may know it and as somebody who may not")
    question, word = SECRET
    for user, sees in (("astrid", True), ("jonas", False)):
        output, seconds = ask(project, question, user)
        if (word in output) is not sees:
            raise DemoFailed(f"`{user}` {'lacks' if sees else 'sees'} `{word}`")
        demo.step(f"ask for a secret as {user}", seconds, "answered" if sees else "kept")


def score_answers(demo: Demo, project: Path) -> None:
    title("all questions with known answers, by kind and half")
    output, seconds = cape(project, "evaluate", "questions", "handbook")
    table = output[output.index("kind ") :] if "kind " in output else output
    print("".join(f"  {line}\n" for line in table.splitlines()), end="")
    (total,) = (line.split() for line in table.splitlines() if line.startswith("all "))
    demo.step("ask all questions", seconds, f"{total[-2]} right, {total[-1]}")
    title("what the answers cost, and what sending whole documents would have cost")
    cape(project, "usage", quiet=False)


def edit_a_document(demo: Demo, project: Path) -> None:
    """Change an amount in one document, index again, look at the difference, and go back."""
    title("edit one document, index again, roll the index back")
    document = project / EDITED
    before = document.read_text(encoding="utf-8")
    try:
        document.write_text(before.replace(*EDIT), encoding="utf-8")
        output, seconds = cape(project, "index", "handbook", "--json")
        (base,) = json.loads(output)["bases"]
        if base["changed"] != [EDITED] or base["read"] > 1:
            raise DemoFailed(f"one document was edited, and indexing says {output}")
        demo.step(
            "index one edited document", seconds, f"{base['read']} read, {base['embedded']} passages embedded"
        )
        cape(project, "index", "diff", "handbook", quiet=False)
        ask(project, EDIT_ASKED, None)
        _, seconds = cape(project, "index", "rollback", "handbook", quiet=False)
        demo.step("roll the index back", seconds)
        output, _ = ask(project, EDIT_ASKED, None)
        if EDIT[1] in output:
            raise DemoFailed("the index was rolled back, and the edited amount is still in the answer")
    finally:
        document.write_text(before, encoding="utf-8")


def welcome_newcomer(demo: Demo, project: Path) -> None:
    """A second person on a fresh machine: clones manifest and lock, has an empty store, runs a program."""
    title("a newcomer: clone manifest and lock, sync into an empty store, run a program, index the documents")
    clone = DEMO / "newcomer"
    started = time.perf_counter()
    if not clone.exists():
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "the project"]):
            identity = ["-c", "user.name=demo", "-c", "user.email=demo@localhost"]
            subprocess.run(["git", *identity, *words], cwd=project, check=True)
        subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
    cape(clone, "sync", "--locked", store="newcomer-store", quiet=False)
    output, _ = cape(
        clone, "run", "--", "python3", "programs/revenue.py", store="newcomer-store", quiet=False
    )
    seconds = time.perf_counter() - started
    if "Nordics=867" not in output:
        raise DemoFailed("the newcomer's program does not work")
    demo.step("newcomer: clone, sync into an empty store, run", seconds)
    output, seconds = cape(clone, "index", "handbook", "--locked", "--json", store="newcomer-store")
    (base,) = json.loads(output)["bases"]
    demo.step("newcomer: index the documents, as the lock says", seconds, f"{base['embedded']} embedded")
    first, second = digests(project, "store"), digests(clone, "newcomer-store")
    if first != second:
        raise DemoFailed(f"the newcomer's environment differs: {first} and {second}")


def digests(project: Path, store: str) -> dict[str, str]:
    output, _ = cape(project, "list", "--json", store=store)
    found = json.loads(output)
    return {name: found[name] for name in ("lock", "identity", "content")}


def play(demo: Demo) -> None:
    project = DEMO / "handbook"
    copy_example(project)
    title(f"lock and sync {project.relative_to(TOP)}")
    _, seconds = cape(project, "lock", quiet=False)
    output, _ = cape(project, "list", "--all", "--json")
    rows = json.loads(output)["packages"]
    sources = {
        source: sum(1 for row in rows if row["source"] == source)
        for source in ("debian", "pypi", "npm", "model")
    }
    demo.step("lock for two systems", seconds, ", ".join(f"{n} {source}" for source, n in sources.items()))
    output, seconds = cape(project, "sync", "--json")
    synced = json.loads(output)
    demo.step(
        "sync",
        seconds,
        f"{synced['packages']} packages, {synced['files']} files; "
        f"{megabytes(synced['downloaded_bytes'])} downloaded, {synced['objects_made']} objects made",
    )
    run_programs(demo, project)
    compile_typescript(demo, project)
    upgrade_and_roll_back(demo, project)
    index_documents(demo, project)
    ask_questions(demo, project)
    ask_as_two(demo, project)
    score_answers(demo, project)
    edit_a_document(demo, project)
    welcome_newcomer(demo, project)
    title("the digests, equal for the newcomer and for every run that locks the same")
    found = digests(project, "store")
    demo.print_table()
    print()
    for name, digest in found.items():
        print(f"{name:<9} {digest}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-ms", type=int, default=0)
    arguments = parser.parse_args()
    DEMO.mkdir(exist_ok=True)
    demo = Demo()
    demo.step("make the virtual environment, install cape", arguments.bootstrap_ms / 1000)
    try:
        play(demo)
    except DemoFailed as failure:
        print(f"demo failed: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
