"""Other environments of a generation, and what it keeps of included manifests: whole or not there."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cape.environment.generations import (
    Generation,
    attach_environment,
    current_generation,
    heal,
    is_up_to_date,
    new_generation,
    rollback,
)
from cape.environment.kept import kept_manifest, live_files
from cape.environment.realisation import RealisedEnvironment
from cape.manifest import Included
from cape.names import Digest
from cape.store import Store, collect
from tests.environment.builders import make, package, plan

HEAD = 'schema = 1\n[environment]\nname = "demo"\nsystems = ["x86_64-linux"]\n'
MANIFEST = (
    HEAD + '[include]\nenvironments = [{ path = "../base" }]\n[environments.test]\nvars = { A = "2" }\n'
)
BASE = HEAD + '[vars]\nA = "1"\nAT = "$INCLUDE_DIR"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "cape.toml").write_text(BASE)
    directory = Path(os.path.realpath(tmp_path)) / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def environment(store: Store, name: str) -> RealisedEnvironment:
    return make(store, plan(package(store, name, {f"root/usr/bin/{name}*": name}), roots=(name,)))


def base(project: Path, text: str = BASE) -> Included:
    directory = project.parent / "base"
    return Included(
        name="base",
        place=str(directory),
        path="../base",
        directory=directory,
        expression="$CAPE_PROJECT/../base",
        digest=Digest.of(text.encode()),
        text=text,
    )


def add(project: Path, store: Store, lock: str = "lock\n", **attached: RealisedEnvironment) -> Generation:
    return new_generation(
        project,
        environment(store, "one"),
        manifest_text=MANIFEST,
        lock_text=lock,
        included=(base(project),),
        attached=attached,
    )


def test_generation_needs_no_included_file_any_more(project: Path, store: Store) -> None:
    made = add(project, store)
    (project.parent / "base" / "cape.toml").unlink()
    assert dict(kept_manifest(project, made.directory).vars) == {"A": "1", "AT": "$CAPE_PROJECT/../base"}
    assert dict(kept_manifest(project, made.directory, environment="test").vars)["A"] == "2"


def test_included_file_that_differs_is_noticed_both_ways(project: Path, store: Store) -> None:
    made = add(project, store)
    file = project.parent / "base" / "cape.toml"
    assert is_up_to_date(project, made)
    file.write_text(BASE + "# more\n")
    assert not is_up_to_date(project, made)
    file.write_text(BASE)
    assert is_up_to_date(project, made)
    file.unlink()
    assert not is_up_to_date(project, made)
    assert [str(one) for one, _ in live_files(project, made.directory)] == [f"{project}/../base/cape.toml"]


def test_other_text_of_an_include_makes_another_generation(project: Path, store: Store) -> None:
    first = add(project, store)
    assert add(project, store).number == first.number
    second = new_generation(
        project,
        environment(store, "one"),
        manifest_text=MANIFEST,
        lock_text="lock\n",
        included=(base(project, BASE + "# more\n"),),
    )
    assert second.number == first.number + 1


def test_attached_environment_is_reached_and_goes_with_its_generation(project: Path, store: Store) -> None:
    made = add(project, store)
    two = environment(store, "two")
    attach_environment(project, made, "test", two)
    assert made.attached == {"test": two.path}
    assert collect(store).environments == ()
    link = project / ".cape" / "current" / "environments" / "test" / "bin"
    assert sorted(os.listdir(link)) == ["two"]
    add(project, store, "another lock\n")
    assert current_generation(project).attached == {}  # type: ignore[union-attr]
    assert rollback(project).attached == {"test": two.path}


def _killed_at(at: int, act: Any) -> None:
    calls = 0

    def killing(real: Any) -> Any:
        def wrapped(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return wrapped

    for name in ("rename", "replace", "fsync", "symlink", "mkdir", "unlink"):
        setattr(os, name, killing(getattr(os, name)))
    act()


def until_it_lives(act: Any, check: Any) -> int:
    """Kill `act` at its first step, its second, and so on, until one is done; `check` after each."""
    for at in range(1, 400):
        process = multiprocessing.get_context("fork").Process(target=_killed_at, args=(at, act))
        process.start()
        process.join(20)
        check()
        if process.exitcode == 0:
            return at
        assert process.exitcode == -signal.SIGKILL
    raise AssertionError("there are more steps than this test tries")


def test_attaching_killed_anywhere_leaves_it_whole_or_not_there(project: Path, store: Store) -> None:
    made = add(project, store)
    two = environment(store, "two")

    def check() -> None:
        for name, path in made.attached.items():
            assert (name, path) == ("test", two.path)
            script = made.directory / "environments" / "test" / "run.sh"
            assert script.read_text().endswith('exec "$@"\n')

    assert until_it_lives(lambda: attach_environment(project, made, "test", two), check) > 3
    assert made.attached == {"test": two.path}


def test_making_a_generation_killed_anywhere_keeps_its_includes_with_it(project: Path, store: Store) -> None:
    add(project, store)
    two = environment(store, "two")

    def check() -> None:
        heal(project)
        present = current_generation(project)
        assert present is not None
        assert dict(kept_manifest(project, present.directory).vars)["A"] == "1"
        assert present.attached == ({} if present.lock_text == "lock\n" else {"test": two.path})

    assert until_it_lives(lambda: add(project, store, "new lock\n", test=two), check) > 10
    assert current_generation(project).lock_text == "new lock\n"  # type: ignore[union-attr]


def test_record_of_an_attached_environment_that_is_damaged_is_no_record(project: Path, store: Store) -> None:
    made = add(project, store)
    attach_environment(project, made, "test", environment(store, "two"))
    record = made.directory / "environments" / "test" / "attached.json"
    record.write_text("{")
    assert made.attached == {}
    record.write_text(json.dumps({"environment": 3}))
    assert made.attached == {}
