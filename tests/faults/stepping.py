"""Scenes (a project and a store as they are before a command), and a command broken at one of its steps.

Owns restoring a scene, breaking a command at a step, and the laws that hold afterwards: the old or the new
state, a message that helps, a next command that ends right by itself, and nothing left behind.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.end_to_end.harness import Done, Project, State

ERRORS = ("ENOSPC", "EIO", "EACCES")
KNOWN_CODES = frozenset({1, 3, 4})
_HALVES_OF_STORE = ("objects/.*", "environments/.*", "artifacts/.*", "checkouts/.*", "once/.*")
_HALVES_OF_PROJECT = (".cape/generations/.*", ".cape/switching", ".cape/.*.tmp", ".cape/.current.*", ".*.tmp")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a command: its number, what it is, and on which paths."""

    number: int
    event: str
    paths: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, ...]:
        """Steps of one kind stand for each other: same call, same place but for digests and numbers."""
        import re

        shown = [re.sub(r"[0-9a-f]{8,}|\d+|tmp\w+|\.[\w-]{6,}\.", "#", path) for path in self.paths]
        return (self.event, *(shown or [f"after {self.number // 4}"]))


@dataclass
class Driver:
    """The process that performs commands (see `driver`)."""

    place: Path
    process: subprocess.Popen[str]
    started: int = field(default=0)

    def run(self, project: Project, *words: str, **fault: Any) -> Done:
        out, err = self.place / "stdout", self.place / "stderr"
        job = {
            "directory": str(project.directory), "environment": dict(project.environment),
            "words": list(words), "stdout": str(out), "stderr": str(err), "place": str(self.place), **fault,
        }  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        told = [file.read_text() if file.exists() else "" for file in (out, err)]
        return Done(words=words, code=code, stdout=told[0], stderr=told[1])


@contextmanager
def driver_at(place: Path) -> Iterator[Driver]:
    """A driver, and its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Driver(place=place, process=process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A project before a command, its copy to go back to, the command, and what is true after it.

    `proves` is a command line inside the project and what it prints when the command was done.
    """

    driver: Driver
    project: Project
    words: tuple[str, ...]
    proves: tuple[tuple[str, ...], str] | None = None

    @property
    def kept(self) -> Path:
        return self.project.directory.parent / "kept"

    def keep(self) -> None:
        """Remember the project and the store as they are now."""
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir()
        for name, one in self._parts().items():
            if one.exists():
                _copy(one, self.kept / name)

    def restore(self) -> None:
        """Make project and store what they were."""
        for name, one in self._parts().items():
            _remove(one)
            if (self.kept / name).exists():
                _copy(self.kept / name, one)

    def _parts(self) -> dict[str, Path]:
        return {"project": self.project.directory, "store": self.project.store}

    def steps(self) -> list[Step]:
        """The steps of the whole command, in its own process."""
        log = self.driver.place / "steps"
        log.unlink(missing_ok=True)
        self.restore()
        self.driver.run(self.project, *self.words, log=str(log)).succeeded()
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        own = rows[0][3]
        return [Step(number=row[0], event=row[1], paths=tuple(row[2])) for row in rows if row[3] == own]

    def broken(self, step: Step, error: str | None) -> Done:
        """The command, broken at a step: by an error, or (None) by `kill -9`."""
        self.restore()
        log = self.driver.place / "broken-steps"
        fault = {"log": str(log), "step": step.number, "error": error}
        return self.driver.run(self.project, *self.words, **fault)


def _copy(one: Path, other: Path) -> None:
    subprocess.run(["cp", "-a", "--", one, other], check=True)


def _remove(one: Path) -> None:
    if one.exists():
        subprocess.run(["rm", "-rf", "--", one], check=True)


def one_of_each(steps: Sequence[Step]) -> list[Step]:
    """The first step of each kind."""
    found: dict[tuple[str, ...], Step] = {}
    for step in steps:
        found.setdefault(step.kind, step)
    return list(found.values())


def some(steps: Sequence[Step], count: int) -> list[Step]:
    """At most so many of the kinds, evenly spread, and all that rename something of the project's own."""
    kinds = one_of_each(steps)
    spread = kinds[:: max(1, len(kinds) // count)]
    decisive = [step for step in kinds if step.event == "os.rename" and "/p/cape." in " ".join(step.paths)]
    return sorted({*spread, *decisive}, key=lambda step: step.number)


def files(state: State) -> tuple[bytes | None, bytes | None, str | None]:
    return state.manifest, state.lock, state.current


def check_laws(scene: Scene, step: Step, error: str | None, old: State, new: State) -> None:
    """Break the command at a step, and look at everything that a user would.

    Raises `AssertionError` that names the step.
    """
    try:
        _check_laws(scene, step, error, old, new)
    except AssertionError as failure:
        told = " ".join((f"step {step.number}:", step.event, *step.paths))
        raise AssertionError(
            f"`{' '.join(scene.words)}`, {told}, {error or 'kill -9'}: {failure}"
        ) from failure


def _check_laws(scene: Scene, step: Step, error: str | None, old: State, new: State) -> None:
    done = scene.broken(step, error)
    if error is None:
        assert done.code in (0, -9) or "worker process died" in done.stderr, done
    elif done.code:
        assert done.code in KNOWN_CODES, done.stderr
        assert "Traceback" not in done.stderr and "This is a bug" not in done.stderr, done.stderr
        assert "error: " in done.stderr, done.stderr
    found = scene.project.state()
    switching = scene.project.directory / ".cape/switching"
    if not switching.exists():
        assert files(found) in (files(old), files(new)), "neither old nor new"
    assert found.manifest in (old.manifest, new.manifest), "manifest"
    assert found.lock in (old.lock, new.lock), "lock"
    assert found.current in (old.current, new.current), "current"
    if done.code == 0 and error is not None:
        assert files(found) == files(new), "it said that it was done"
    _check_next(scene, new)


def _check_next(scene: Scene, new: State) -> None:
    """The same command again needs no help; what it was for is there; nothing is left over."""
    again = scene.driver.run(scene.project, *scene.words)
    done_before = again.code == 1 and files(scene.project.state()) == files(new)
    assert again.code == 0 or done_before, again.stderr
    state = scene.project.state()
    assert (state.manifest, state.lock) == (new.manifest, new.lock), "again"
    if scene.proves:
        words, said = scene.proves
        told = scene.driver.run(scene.project, *words)
        assert told.stdout == said, told
    collected = scene.driver.run(scene.project, "gc")
    assert collected.code == 0, collected.stderr
    assert leftovers(scene.project) == []


def leftovers(project: Project) -> list[Path]:
    """Half-made things below the project and its store."""
    found = [one for pattern in _HALVES_OF_STORE for one in project.store.glob(pattern)]
    found += [one for pattern in _HALVES_OF_PROJECT for one in project.directory.glob(pattern)]
    return sorted(found)


def run_all(scene: Scene, steps: Sequence[Step], new: State, *, errors: Sequence[str | None]) -> list[str]:
    """What went wrong, a sentence each; empty when every law holds at every step."""
    old_state = _old(scene)
    wrong = []
    for number, step in enumerate(steps):
        error = errors[number % len(errors)]
        try:
            check_laws(scene, step, error, old_state, new)
        except AssertionError as failure:
            wrong.append(str(failure))
    return wrong


def _old(scene: Scene) -> State:
    scene.restore()
    return scene.project.state()


def new_state(scene: Scene) -> State:
    """What is there after the whole command."""
    scene.restore()
    scene.driver.run(scene.project, *scene.words).succeeded()
    return scene.project.state()
