from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cape.environment import generations
from cape.environment.generations import (
    NoGeneration,
    UnknownGeneration,
    current_generation,
    forget,
    heal,
    history,
    is_up_to_date,
    new_generation,
    rollback,
    switches,
)
from cape.environment.realisation import RealisedEnvironment
from cape.errors import StateError
from cape.operations.collecting import forgettable
from cape.store import Store, collect
from tests.environment.builders import make, package, plan

MANIFEST = 'schema = 1\n[environment]\nname = "demo"\nsystems = ["x86_64-linux"]\n# {}\n'


def environment(store: Store, name: str) -> RealisedEnvironment:
    return make(store, plan(package(store, name, {f"root/usr/bin/{name}*": name}), roots=(name,)))


def add(project: Path, store: Store, name: str) -> generations.Generation:
    return new_generation(
        project,
        environment(store, name),
        manifest_text=MANIFEST.format(name),
        lock_text=f"lock {name}\n",
        argv=("cape", "install", name),
    )


def texts(project: Path) -> tuple[str, str]:
    return (project / "cape.toml").read_text(), (project / "cape.lock").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return Path(os.path.realpath(directory))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_generations_are_numbered_and_listed_newest_first(project: Path, store: Store) -> None:
    add(project, store, "one")
    second = add(project, store, "two")
    assert [one.number for one in history(project)] == [2, 1]
    assert current_generation(project) == second
    assert second.previous == 1
    assert second.argv == ("cape", "install", "two")
    assert texts(project) == (MANIFEST.format("two"), "lock two\n")


def test_the_same_again_makes_no_generation(project: Path, store: Store) -> None:
    first = add(project, store, "one")
    assert add(project, store, "one") == first
    assert len(history(project)) == 1


def test_state_is_private_and_kept_out_of_git(project: Path, store: Store) -> None:
    add(project, store, "one")
    for directory in (".cape", ".cape/state", ".cape/generations", ".cape/generations/1"):
        assert (project / directory).stat().st_mode & 0o777 == 0o700
    assert (project / ".cape/.gitignore").read_text() == "*\n"


def test_a_rollback_brings_back_environment_manifest_and_lock(project: Path, store: Store) -> None:
    first = add(project, store, "one")
    add(project, store, "two")
    assert rollback(project) == first
    assert current_generation(project) == first
    assert texts(project) == (MANIFEST.format("one"), "lock one\n")
    assert is_up_to_date(project, first)


def test_after_a_rollback_the_next_generation_goes_back_to_where_it_came_from(
    project: Path, store: Store
) -> None:
    for name in ("one", "two", "three"):
        add(project, store, name)
    rollback(project, 1)
    fourth = add(project, store, "four")
    assert (fourth.number, fourth.previous) == (4, 1)
    assert rollback(project).number == 1


def test_rollback_without_an_earlier_generation_is_an_error(project: Path, store: Store) -> None:
    with pytest.raises(NoGeneration, match="no environment yet"):
        rollback(project)
    add(project, store, "one")
    with pytest.raises(NoGeneration, match="no generation before 1"):
        rollback(project)
    with pytest.raises(UnknownGeneration, match="no generation 7"):
        rollback(project, 7)


def test_rollback_to_a_collected_environment_is_refused(project: Path, store: Store) -> None:
    first = add(project, store, "one")
    second = add(project, store, "two")
    (first.environment / "environment.json").unlink()
    with pytest.raises(StateError, match="not in the store any more"):
        rollback(project)
    assert current_generation(project) == second


def whole(project: Path, allowed: tuple[str, str]) -> str:
    """Which of two generations the project is at: environment, manifest and lock must agree."""
    present = current_generation(project)
    assert present is not None
    name = present.lock_text.split()[1]
    assert name in allowed
    assert texts(project) == (MANIFEST.format(name), f"lock {name}\n")
    assert (present.environment / "environment.json").exists()
    return name


STEPS = ("rename", "replace", "fsync", "symlink", "mkdir", "utime")


def test_a_switch_that_fails_at_any_step_ends_old_or_new(tmp_path: Path) -> None:
    """Steps fail one by one; afterwards `current` is one of the two, and the next command heals the rest."""
    outcomes, fsync = set(), os.fsync
    for step in range(1, 160):
        project = Path(os.path.realpath(tmp_path)) / f"project{step}"
        project.mkdir()
        store = Store(tmp_path / "store")
        add(project, store, "one")
        two = environment(store, "two")
        calls = 0

        def failing(real: Any, at: int = step) -> Any:
            def wrapped(*args: Any, **named: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls >= at:
                    raise OSError(5, "the disk failed")
                return None if real is fsync else real(*args, **named)

            return wrapped

        with pytest.MonkeyPatch.context() as patched, contextlib.suppress(OSError):
            for name in STEPS:
                patched.setattr(os, name, failing(getattr(os, name)))
            new_generation(project, two, manifest_text=MANIFEST.format("two"), lock_text="lock two\n")
        present = current_generation(project)
        assert present is not None and present.lock_text in ("lock one\n", "lock two\n")
        heal(project)
        outcomes.add(whole(project, ("one", "two")))
        if calls < step:
            assert outcomes == {"one", "two"}
            return
    raise AssertionError("there are more steps than this test tries")


def _rollback_until_killed(project: Path, at: int) -> None:
    calls = 0

    def killing(real: Any) -> Any:
        def wrapped(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return wrapped

    for name in ("rename", "replace", "fsync", "symlink", "unlink"):
        setattr(os, name, killing(getattr(os, name)))
    rollback(project)


def test_a_rollback_killed_anywhere_is_old_or_new_and_heals(project: Path, store: Store) -> None:
    add(project, store, "one")
    add(project, store, "two")
    for at in range(1, 60):
        process = multiprocessing.get_context("fork").Process(
            target=_rollback_until_killed, args=(project, at)
        )
        process.start()
        process.join(20)
        code = process.exitcode
        present = current_generation(project)
        assert present is not None and present.number in (1, 2)
        heal(project)
        name = whole(project, ("one", "two"))
        if code == 0:
            assert name == "one"
            return
        assert code == -signal.SIGKILL
        if name == "one":
            rollback(project, 2)
    raise AssertionError("a rollback has more steps than this test tries")


def test_healing_leaves_an_edited_manifest_alone(project: Path, store: Store) -> None:
    add(project, store, "one")
    add(project, store, "two")
    note = {"to": 1, "replaces": dict.fromkeys(("cape.toml", "cape.lock"), "0" * 64)}
    (project / ".cape/switching").write_text(json.dumps(note))
    (project / "cape.toml").write_text("mine")
    assert heal(project)
    assert (project / "cape.toml").read_text() == "mine"
    present = current_generation(project)
    assert present is not None and present.number == 1
    assert not heal(project)


def test_rollback_among_a_thousand_generations_is_quick(project: Path, store: Store) -> None:
    add(project, store, "one")
    last = add(project, store, "two")
    template = json.loads((last.directory / "generation.json").read_text())
    for number in range(3, 1001):
        directory = generations.directory_of(project, number)
        directory.mkdir()
        for name in ("cape.toml", "cape.lock"):
            (directory / name).write_text((last.directory / name).read_text() + f"# {number}\n")
        record = {**template, "previous": number - 1}
        (directory / "generation.json").write_text(json.dumps(record))
    rollback(project, 1000)
    started = time.perf_counter()
    assert rollback(project).number == 999
    assert time.perf_counter() - started < 1.0, "the budget of 100 ms is for the benchmark; this is a fence"


def test_forgetting_keeps_the_last_and_the_current(project: Path, store: Store) -> None:
    for name in ("one", "two", "three", "four"):
        add(project, store, name)
    rollback(project, 1)
    assert forgettable(project, (), keep=2, older_than_s=None) == (2,)
    forget(project, (1, 2))
    assert [one.number for one in history(project)] == [4, 3, 1]


def test_forgetting_heeds_age_use_and_number_together(project: Path, store: Store) -> None:
    made = [add(project, store, name) for name in ("one", "two", "three", "four")]
    now_s = made[0].created_s
    day = 86400.0
    assert forgettable(project, (), keep=None, older_than_s=day, now_s=now_s) == ()
    assert forgettable(project, (), keep=None, older_than_s=day, now_s=now_s + 2 * day) == (1, 2, 3)
    assert forgettable(project, (), keep=3, older_than_s=day, now_s=now_s + 2 * day) == (1,)
    used = {made[0].environment.name}
    assert forgettable(project, used, keep=1, older_than_s=None) == (2, 3)


def test_rollbacks_are_told_with_who_and_how(project: Path, store: Store) -> None:
    for name in ("one", "two"):
        add(project, store, name)
    rollback(project, argv=("rollback",))
    rollback(project, 1)
    rollback(project, 2, argv=("rollback", "2"))
    assert [(one.origin, one.target, one.argv) for one in switches(project)] == [
        (1, 2, ("rollback", "2")),
        (2, 1, ("rollback",)),
    ]
    (project / ".cape" / "switches").write_text("no JSON\n")
    assert switches(project) == ()


def test_collection_keeps_what_generations_reach(project: Path, store: Store) -> None:
    kept = add(project, store, "one")
    loose = environment(store, "two")
    planned = collect(store, dry_run=True)
    assert planned.environments == (loose.path.name,)
    assert loose.path.exists()
    done = collect(store)
    assert (done.environments, len(done.objects), len(done.artifacts)) == ((loose.path.name,), 1, 1)
    assert done.freed_bytes > 0
    assert not loose.path.exists()
    assert (kept.environment / "root/usr/bin/one").read_text() == "one"
    assert collect(store).environments == ()


def test_an_absent_project_keeps_its_environments_for_thirty_days(project: Path, store: Store) -> None:
    kept = add(project, store, "one")
    project.rename(project.with_name("unplugged"))
    day = 86400.0
    assert collect(store, now_s=time.time() + 29 * day).environments == ()
    done = collect(store, now_s=time.time() + 31 * day)
    assert done.environments == (kept.environment.name,)
    assert done.forgotten_projects == (project,)


def test_a_removed_generation_frees_its_environment(project: Path, store: Store) -> None:
    first = add(project, store, "one")
    add(project, store, "two")
    forget(project, forgettable(project, (), keep=1, older_than_s=None))
    assert collect(store).environments == (first.environment.name,)
