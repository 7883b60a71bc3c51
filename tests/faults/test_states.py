"""State that is damaged, of another version, elsewhere, or gone: it heals, or a message says what to do.

Of the forty behaviours: 17 (corrupt or older state), 18 (a project deleted while active), 26 (a failed edit
leaves the files), 28 (what is up to date is not written), 33 (dry runs change nothing).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.end_to_end.harness import CAPE, STATE, Project, State, World, collect, signal_group
from tests.faults.stepping import leftovers

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "garbage": lambda data: bytes(range(256)) * 4,
}


DECISIVE = {"run.sh", "activation.json", "generation.json"}


@pytest.fixture
def two(synced: Project) -> Project:
    """A project with two generations: `hello`, then also `tool`."""
    synced.cape("install", "tool").succeeded()
    return synced


def damage(file: Path, how: str) -> None:
    data = DAMAGES[how](file.read_bytes())
    file.chmod(0o600)
    file.write_bytes(data)


def one_of_each_suffix(files: Iterable[Path]) -> list[Path]:
    """The first file, in order, of each suffix: files of one stand for each other."""
    found: dict[str, Path] = {}
    for file in sorted(file for file in files if file.is_file()):
        found.setdefault(file.suffix, file)
    return list(found.values())


def helped(project: Project, *words: str) -> bool:
    """Whether the command did it, or else said what to do. Never a traceback, never silence."""
    done = project.cape(*words)
    assert "Traceback" not in done.stderr and "This is a bug" not in done.stderr, done
    assert done.code == 0 or "hint: " in done.stdout + done.stderr, done
    return done.code == 0


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_files_of_a_generation_heal(two: Project, how: str) -> None:
    place = two.directory / ".cape/generations/2"
    names = sorted(file.name for file in place.iterdir() if file.is_file() and not file.is_symlink())
    assert set(names) >= DECISIVE
    names = names if how == "garbage" else sorted(DECISIVE)
    kept = two.directory.parent / "kept-state"
    subprocess.run(["cp", "-a", two.directory / ".cape", kept], check=True)
    for name in names:
        damage(place / name, how)
        first = two.cape("run", "--", "tool")
        assert "Traceback" not in first.stderr, (name, first)
        if not helped(two, "sync"):
            assert name == "generation.json"
            shutil.rmtree(place)
            two.cape("sync").succeeded()
        assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n", name
        shutil.rmtree(two.directory / ".cape")
        subprocess.run(["cp", "-a", kept, two.directory / ".cape"], check=True)


@pytest.mark.parametrize("link", ["nowhere", "generations/99", "generations/x", ""])
def test_current_that_leads_nowhere_heals(two: Project, link: str) -> None:
    current = two.directory / ".cape/current"
    current.unlink()
    if link:
        current.symlink_to(link)
    two.cape("sync").succeeded()
    assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_note_of_a_switch_is_no_obstacle(two: Project, how: str) -> None:
    note = two.directory / ".cape/switching"
    note.write_bytes(DAMAGES[how](b'{"schema_version": 1, "to": 1, "replaces": {}}'))
    two.cape("sync").succeeded()
    assert not note.exists()
    assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_records_of_the_store_heal(two: Project, how: str) -> None:
    store = two.store
    files = [
        *sorted(store.glob("objects/*/object.json"))[:1],
        *sorted(store.glob("objects/*/listing"))[:1],
        *sorted(store.glob("environments/*/environment.json"))[:1],
        *sorted(store.glob("projects/*.json"))[:1],
        *one_of_each_suffix(store.glob("indices/**/*")),
    ]
    for file in filter(Path.exists, files):
        data, mode = file.read_bytes(), file.stat().st_mode & 0o777
        damage(file, how)
        two.manifest.write_text(two.manifest.read_text() + "# again\n")
        two.cape("upgrade").succeeded()
        assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n", file
        assert helped(two, "gc"), file
        helped(two, "doctor", "--verify")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        file.chmod(0o600)
        file.write_bytes(data)
        file.chmod(mode)


def test_a_generation_of_a_newer_cape_is_refused_and_still_runs(two: Project) -> None:
    file = two.directory / ".cape/generations/2/generation.json"
    record = json.loads(file.read_text())
    file.chmod(0o600)
    file.write_text(json.dumps({**record, "schema_version": 99}))
    before = two.state()
    assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    for words in (("history",), ("sync",), ("install", "other"), ("rollback", "1")):
        two.cape(*words).failed(STATE, "generation 2 was made by a newer cape", "hint: ")
        assert two.state() == before
    shutil.rmtree(file.parent)
    two.cape("sync").succeeded()
    assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"


def test_a_project_that_is_copied_is_a_project_of_its_own(two: Project) -> None:
    other = two.directory.parent / "copy"
    subprocess.run(["cp", "-a", two.directory, other], check=True)
    copy = Project(directory=other, environment=two.environment)
    seen = 'echo "$CAPE_PROJECT"'
    assert copy.cape("run", "--", "sh", "-c", seen).succeeded().stdout == f"{other}\n"
    assert two.cape("run", "--", "sh", "-c", seen).succeeded().stdout == f"{two.directory}\n"
    copy.cape("uninstall", "tool").succeeded()
    assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    shutil.rmtree(two.directory)
    copy.cape("gc").succeeded()
    assert copy.cape("run", "--", "hello").succeeded().stdout == "hello 1.0-1\n"


@pytest.mark.parametrize("what", ['rm -rf "$CAPE_PROJECT"', 'mv "$CAPE_PROJECT" "$CAPE_PROJECT-away"'])
def test_a_project_that_goes_while_active_can_be_left(synced: Project, what: str) -> None:
    """Deactivation restores all variables, and nothing of the project is needed for it."""
    synced.manifest.write_text(synced.manifest.read_text() + '\n[vars]\nOF_TEST = "1"\n')
    synced.cape("sync").succeeded()
    text = (
        f'cd .; before=$(export -p | grep -v PWD); eval "$("{CAPE}" activate)"; hello; {what}; cd /\n'
        'cape deactivate; [ "$before" = "$(export -p | grep -v PWD)" ] && echo same'
    )
    done = subprocess.run(
        ["bash", "-c", text], cwd=synced.directory, env=dict(synced.environment),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "hello 1.0-1\nsame\n", done.stderr
    assert "Traceback" not in done.stderr


def test_twenty_syncs_at_once_make_one_generation(stocked: World) -> None:
    project = stocked.project(hello="*", tool="*")
    running = [project.start("sync") for _ in range(20)]
    for process in running:
        collect(process).succeeded()
    assert [one.name for one in project.directory.glob(".cape/generations/*")] == ["1"]
    project.cape("gc").succeeded()
    assert leftovers(project) == []


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_twenty_shells_at_once_are_all_inside(stocked: World, warm: bool) -> None:
    hook = '\n[hook]\non-activate = "echo ran >> $CAPE_STATE/ran"\n'
    project = stocked.project(hello="*", text=hook)
    if warm:
        project.cape("sync").succeeded()
    script = f'eval "$({CAPE} activate)"; echo in >> inside; read go; hello'
    shells = [
        subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", script], cwd=project.directory, text=True,
            env=dict(project.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(20)
    ]  # fmt: skip
    inside, ran = project.directory / "inside", project.directory / ".cape/state/ran"
    inside_by = time.monotonic() + 50
    while not inside.exists() or len(inside.read_text().split()) < 20:
        assert time.monotonic() < inside_by
        time.sleep(0.05)
    told = [shell.communicate("go\n", timeout=60) for shell in shells]
    assert [out for out, _ in told] == ["hello 1.0-1\n"] * 20, told
    assert ran.read_text() == "ran\n"


def test_a_clock_that_goes_backwards_changes_nothing(two: Project) -> None:
    """Files and records from the future: nothing is made anew, and nothing is taken for older than it is."""
    ahead = 4_000_000_000
    for file in (two.manifest, two.lock, *two.directory.glob(".cape/generations/*/*")):
        if not file.is_symlink():
            os.utime(file, (ahead, ahead))
    before = two.state()
    assert two.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    two.cape("sync").succeeded()
    two.cape("history").succeeded()
    two.cape("gc", "--keep", "1", "--older-than", "1d").succeeded()
    assert two.state() == before
    two.cape("rollback").succeeded()
    assert two.cape("run", "--", "hello").succeeded().stdout == "hello 1.0-1\n"


def test_what_is_up_to_date_is_not_written(two: Project) -> None:
    """Entering what is made already writes nothing, in the project and in the store."""
    time.sleep(2.1)  # What changed just before it was sealed is compared by content, and sealed again.
    two.cape("run", "--", "tool").succeeded()
    two.cape("sync").succeeded()
    before = times(two)
    two.cape("run", "--", "tool").succeeded()
    two.cape("lock").succeeded()
    two.cape("activate", "--shell", "bash").succeeded()
    assert times(two) == before


def times(project: Project) -> dict[str, int]:
    places = [project.directory, project.store / "objects", project.store / "environments"]
    return {
        str(file): file.lstat().st_mtime_ns
        for place in places
        for file in place.rglob("*")
        if "/state" not in str(file) and "/attached" not in str(file)
    }


def test_a_read_only_home_is_enough_to_run(two: Project, tmp_path: Path) -> None:
    """As a file system that is mounted so: root is not stopped by modes."""
    text = two.cape("list").succeeded().stdout
    nowhere = {"HOME": "/proc/nowhere", "XDG_CONFIG_HOME": "/proc/nowhere", "XDG_DATA_HOME": "/sys/x"}
    homeless = two.with_variables(**nowhere)
    assert homeless.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    assert homeless.cape("list").succeeded().stdout == text
    homeless.cape("install", "other").succeeded()
    done = homeless.cape("config", "offline", "1")
    done.failed(STATE, "/proc/nowhere")
    no_store = homeless.with_variables(CAPE_STORE="")
    before = State.of(two.directory)
    no_store.cape("install", "hello").failed(STATE, "/sys")
    assert State.of(two.directory) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_at_any_time_leaves_the_old_or_the_new(synced: Project, number: signal.Signals) -> None:
    """The exit code is the signal's, or 130; the next command ends right by itself."""
    old = synced.state()
    kept = synced.directory.parent / "kept-project"
    subprocess.run(["cp", "-a", synced.directory, kept], check=True)
    synced.cape("install", "tool").succeeded()
    new = synced.state()
    for wait_s in (0.05, 0.2, 0.3, 0.4):
        shutil.rmtree(synced.directory)
        subprocess.run(["cp", "-a", kept, synced.directory], check=True)
        process = synced.start("install", "tool")
        time.sleep(wait_s)
        signal_group(process, number)
        done = collect(process)
        assert done.code in (0, 130, -number), done
        assert synced.cape("run", "--", "hello").succeeded().stdout == "hello 1.0-1\n"
        found = synced.state()
        assert (found.manifest, found.lock) in ((old.manifest, old.lock), (new.manifest, new.lock))
        synced.cape("install", "tool")
        assert synced.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    synced.cape("gc").succeeded()
    assert leftovers(synced) == []
