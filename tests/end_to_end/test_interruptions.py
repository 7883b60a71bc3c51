"""Commands that end in the middle: Ctrl-C and `kill -9` at many points, and two commands at once."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable

import pytest

from tests.end_to_end.harness import (
    INTERRUPTED,
    STATE,
    Done,
    Project,
    State,
    World,
    add_program,
    collect,
    files_below,
    noise,
    signal_group,
)
from tests.mirrors.loopback import Fault

Moment = Callable[[Project, float], bool]
"""Whether the time has come, told the project and how many seconds the command has run."""

DIED_OF_INTERRUPT = -signal.SIGINT


@pytest.fixture
def busy(stocked: World) -> World:
    """A world whose packages take a while: many files, a download that is no single packet."""
    for name in ("large", "larger"):
        files = {f"usr/share/{name}/{number}": noise(3000 + number) for number in range(150)}
        add_program(stocked.archive, name, files=files)
    stocked.publish()
    return stocked


def whole_sync(project: Project) -> float:
    """How long the command takes that will be broken, in seconds."""
    started = time.monotonic()
    project.cape("sync").succeeded()
    return time.monotonic() - started


def files(state: State) -> tuple[bytes | None, bytes | None, str | None]:
    """What a project is at. (Records of generations hold times, which differ.)"""
    return state.manifest, state.lock, state.current


def check_nothing_half(project: Project) -> None:
    """No half-made thing is left after a command that succeeded."""
    halves = [
        *project.store.glob("objects/.*"),
        *project.store.glob("environments/.*"),
        *project.directory.glob(".cape/generations/.*"),
        *project.directory.glob(".cape/switching"),
        *project.directory.glob("cape.*.*"),
    ]
    assert halves == []


def break_at(project: Project, words: tuple[str, ...], moment: Moment, number: signal.Signals) -> Done:
    """Start a command, and send it a signal when the moment has come."""
    started = time.monotonic()
    process = project.start(*words)
    while process.poll() is None:
        if moment(project, time.monotonic() - started):
            signal_group(process, number)
            break
        time.sleep(0.0005)
    return collect(process)


def after(seconds: float) -> Moment:
    """The moment so many seconds after the start."""
    return lambda project, running_s: running_s > seconds


def once(pattern: str) -> Moment:
    """The moment at which something of that name is below the store or the project."""
    return lambda project, running_s: (
        (next(project.store.glob(pattern), None) or next(project.directory.glob(pattern), None)) is not None
    )


MOMENTS: dict[str, Moment] = {
    "the shell starts": after(0.002),
    "Python starts": after(0.03),
    "imports": after(0.06),
    "the index is there": once("indices/debian/*/InRelease"),
    "a download begins": once("artifacts/partial/*"),
    "an artifact is there": once("artifacts/[0-9a-f][0-9a-f]/*"),
    "an object is made": once("objects/.*"),
    "an object is there": once("objects/[0-9a-f]*"),
    "an environment is made": once("environments/.*"),
    "an environment is there": once("environments/[0-9a-f]*"),
    "a generation is written": once(".cape/generations/.new*"),
    "a switch is noted": once(".cape/switching"),
    "a lock is there": once("cape.lock.*"),
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
@pytest.mark.parametrize("words", [("sync",), ("install", "larger")], ids=lambda words: words[0])
def test_a_command_that_is_broken_anywhere_leaves_old_or_new(
    busy: World, words: tuple[str, ...], number: signal.Signals
) -> None:
    model = busy.project(large="*", store="store-model")
    if words[0] == "install":
        model.cape("sync").succeeded()
    text = model.manifest.read_text()
    new = new_state(model, words)
    codes = set()
    moments = list(MOMENTS.values())[:: 1 if words[0] == "sync" else 2]
    for at, moment in enumerate(moments):
        project = busy.project(store=f"store-{at}")
        project.manifest.write_text(text)
        if words[0] == "install":
            project.cape("sync").succeeded()
            shutil.rmtree(project.store)
        before = project.state()
        done = break_at(project, words, moment, number)
        codes.add(done.code)
        check_broken(project, done, number, before, new)
        project.cape(*words).succeeded()
        assert files(project.state())[:2] == files(new)[:2]
        assert project.cape("run", "--", "large").stdout == "large 1.0-1\n"
        if moment in moments[-2:]:
            project.cape("gc").succeeded()
            check_nothing_half(project)
        shutil.rmtree(project.store)
    assert codes & {INTERRUPTED, -number}, "the command was never broken"


def new_state(model: Project, words: tuple[str, ...]) -> State:
    """What a project is at after the command."""
    model.cape(*words).succeeded()
    return model.state()


def check_broken(project: Project, done: Done, number: signal.Signals, before: State, new: State) -> None:
    """What is on the disk right after the signal, and what was said."""
    found = project.state()
    begun = 'File "<string>"' in done.stderr or done.code in (0, INTERRUPTED)
    # Before the first line of cape runs, an interpreter that starts has words and codes of its own.
    assert not (begun and "Traceback" in done.stderr), done
    if number == signal.SIGINT:
        assert done.code in (0, INTERRUPTED, DIED_OF_INTERRUPT) or "Fatal Python error" in done.stderr, done
        assert (done.code == INTERRUPTED) == ("interrupted" in done.stderr), done
        assert not (project.directory / ".cape/switching").exists()
    if not (project.directory / ".cape/switching").exists():
        assert files(found) in (files(before), files(new))
    assert found.manifest in (before.manifest, new.manifest)
    assert found.lock in (before.lock, new.lock)
    assert found.current in (before.current, new.current)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_download_that_is_broken_goes_on_where_it_was(busy: World, number: signal.Signals) -> None:
    deb = "/pool/main/l/large/large_1.0-1_all.deb"
    busy.server.faults[deb] = [Fault(stall=True)]
    project = busy.project(large="*").with_variables(CAPE_NETWORK_SILENCE="60")
    before = project.state()
    process = project.start("sync")
    while not any(path == deb for path, _ in busy.server.requests):
        time.sleep(0.02)
    time.sleep(0.3)
    signal_group(process, number)
    done = collect(process, timeout_s=5)
    assert done.code in (INTERRUPTED, -number)
    assert "Traceback" not in done.stderr
    assert files(project.state()) == files(before)
    project.cape("sync").succeeded()
    asked = [header for path, header in busy.server.requests if path == deb]
    assert asked[-1] is not None and asked[-1].startswith("bytes=")


def test_ctrl_c_stops_a_wait_for_another_command_at_once(busy: World) -> None:
    busy.server.faults["/dists/trixie/InRelease"] = [Fault(stall=True)]
    project = busy.project(large="*").with_variables(CAPE_NETWORK_SILENCE="60")
    first = project.start("sync")
    while not busy.server.requests:
        time.sleep(0.02)
    second = project.start("sync")
    time.sleep(0.5)
    assert second.poll() is None, "the second waits"
    signal_group(second, signal.SIGINT)
    assert collect(second, timeout_s=3).failed(INTERRUPTED, "interrupted").stdout == ""
    signal_group(first, signal.SIGINT)
    collect(first, timeout_s=3).failed(INTERRUPTED, "interrupted")


def test_two_syncs_of_one_project_at_once_make_one_generation(busy: World) -> None:
    project = busy.project(large="*")
    running = [project.start("sync") for _ in range(3)]
    for process in running:
        collect(process).succeeded()
    assert [path.name for path in project.directory.glob(".cape/generations/*")] == ["1"]
    check_nothing_half(project)


def test_syncs_of_two_projects_with_one_store_share_the_work(busy: World) -> None:
    projects = [
        busy.project(large="*", tool="*"),
        busy.project(large="*", hello="*"),
        busy.project(large="*"),
    ]
    running = [project.start("sync") for project in projects]
    for process in running:
        collect(process).succeeded()
    for project in projects:
        assert project.cape("run", "--", "large").stdout == "large 1.0-1\n"
        check_nothing_half(project)
    debs = [path for path, _ in busy.server.requests if path.endswith("/large_1.0-1_all.deb")]
    assert len(debs) == 1
    projects[0].cape("doctor", "--verify").succeeded()


def test_a_different_edit_at_the_same_time_waits_for_the_first(busy: World) -> None:
    project = busy.project(hello="*")
    project.cape("sync").succeeded()
    running = [project.start("install", name) for name in ("large", "tool", "other")]
    for process in running:
        collect(process).succeeded()
    listed = project.cape("list").stdout.split()
    assert {"hello", "large", "tool", "other"} <= set(listed)
    assert len(list(project.directory.glob(".cape/generations/[0-9]*"))) == 4


def test_a_collection_beside_a_sync_takes_nothing_that_it_needs(busy: World) -> None:
    project = busy.project(large="*", larger="*")
    process = project.start("sync")
    collected = []
    while process.poll() is None:
        collected.append(project.cape("gc"))
    collect(process).succeeded()
    assert all(done.code in (0, STATE) for done in collected)
    assert project.cape("run", "--", "larger").stdout == "larger 1.0-1\n"
    project.cape("doctor", "--verify").succeeded()


def test_a_run_beside_a_sync_sees_the_old_or_the_new(busy: World) -> None:
    project = busy.project(hello="*")
    project.cape("sync").succeeded()
    process = project.start("install", "large")
    seen = []
    while process.poll() is None:
        seen.append(project.cape("run", "--", "hello").succeeded().stdout)
    collect(process).succeeded()
    assert set(seen) == {"hello 1.0-1\n"}


def test_objects_are_equal_after_all_this(busy: World) -> None:
    """A sync that was broken in the middle makes the same bytes in the end as one that was not."""
    whole = busy.project(large="*", store="store-whole")
    total_s = whole_sync(whole)
    broken = busy.clone(whole, store="store-broken")
    for share in (0.3, 0.5, 0.7, 0.9):
        break_at(broken, ("sync", "--locked"), after(total_s * share), signal.SIGKILL)
    broken.cape("sync", "--locked").succeeded()
    assert broken.cape("list", "--json").stdout == whole.cape("list", "--json").stdout
    for objects in (whole.store / "artifacts", broken.store / "artifacts"):
        assert not [name for name in files_below(objects / "partial") if name]


def test_a_collection_waits_for_a_sync_that_downloads(busy: World) -> None:
    """What is fetched has no root until there is a generation: a collection must not take it meanwhile."""
    project = busy.project(large="*", tool="*")
    busy.server.faults["/pool/main/l/large/large_1.0-1_all.deb"] = [Fault(stall=True)]
    process = project.with_variables(CAPE_NETWORK_SILENCE="2").start("sync")
    while not list(project.store.glob("artifacts/[0-9a-f][0-9a-f]/*")):
        assert process.poll() is None
        time.sleep(0.01)
    collected = project.cape("gc").succeeded()
    assert collect(process).succeeded().code == 0
    assert "nothing to remove" in collected.stderr
    assert len([path for path, _ in busy.server.requests if path.endswith("tool_1.0-1_all.deb")]) == 1
