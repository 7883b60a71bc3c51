"""`cape run` and `cape activate`: exit codes, signals, words, and environments that are never stale."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.end_to_end.harness import CAPE, NO, USAGE, Project, World, add_program, collect, script

AWKWARD = [
    "",
    " ",
    "a b",
    "new\nline",
    "$HOME",
    "`id`",
    "'",
    '"',
    "\\",
    "*",
    "-n",
    "--",
    "--json",
    "ü",
    "a=b",
    ";",
]


def speaker(world: World) -> Project:
    """A synced project with `speak`, which can do what a program does."""
    files = {"usr/bin/speak": script('case $1 in words) shift; printf "<%s>" "$@" ;; *) eval "$1" ;; esac')}
    world.archive.add("speak", architecture="all", files=files)
    world.publish()
    project = world.project(speak="*", text='\n[vars]\nGREETING = "hi ${CAPE_PROJECT}"\n')
    project.cape("sync").succeeded()
    return project


@pytest.fixture(scope="module")
def speaking(lasting: World) -> Project:
    """A speaker for all tests of this module: they leave its files as they are."""
    return speaker(lasting)


@pytest.fixture
def edited(stocked: World) -> Project:
    """A speaker of a test's own."""
    return speaker(stocked)


@pytest.mark.parametrize("code", [0, 1, 3, 70, 130, 255])
def test_the_exit_code_of_a_program_is_its_own(speaking: Project, code: int) -> None:
    assert speaking.cape("run", "--", "speak", f"exit {code}").code == code


def test_words_arrive_as_they_were_given(speaking: Project) -> None:
    expected = "".join(f"<{word}>" for word in AWKWARD)
    assert speaking.cape("run", "--", "speak", "words", *AWKWARD).stdout == expected
    assert speaking.cape("run", "speak", "words", *AWKWARD[1:]).stdout == expected.removeprefix("<>")


def test_words_arrive_through_python_as_well(edited: Project) -> None:
    """The first run after an edit goes through Python, which hands over the same words."""
    edited.manifest.write_text(edited.manifest.read_text() + "# edited\n")
    done = edited.cape("run", "--", "speak", "words", *AWKWARD).succeeded()
    assert done.stdout == "".join(f"<{word}>" for word in AWKWARD)


def test_the_program_takes_the_place_of_the_command(speaking: Project) -> None:
    process = subprocess.Popen(
        [CAPE, "run", "--", "speak", "echo $$"],
        cwd=speaking.directory,
        env=dict(speaking.environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(process.communicate()[0]) == process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_program(speaking: Project, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    process = speaking.start(
        "run",
        "--",
        "speak",
        f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.02; done",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, number)
    done = collect(process, timeout_s=5)
    assert (done.code, done.stdout) == (9, f"got {name}\n")


def test_a_program_killed_by_a_signal_is_seen_as_such(speaking: Project) -> None:
    assert speaking.cape("run", "--", "speak", "kill -TERM $$").code == -signal.SIGTERM


def test_standard_streams_are_the_callers(speaking: Project) -> None:
    done = speaking.cape("run", "--", "speak", "cat; echo aside >&2", input="through\n").succeeded()
    assert (done.stdout, done.stderr) == ("through\n", "aside\n")


def test_the_working_directory_is_the_callers(speaking: Project) -> None:
    below = speaking.directory / "a dir" / "deep"
    below.mkdir(parents=True)
    inside = Project(directory=below, environment=speaking.environment)
    assert inside.cape("run", "--", "speak", "pwd").stdout == f"{below}\n"
    elsewhere = Project(directory=speaking.directory.parent, environment=speaking.environment)
    done = elsewhere.cape("-C", str(below), "run", "--", "speak", "pwd; echo $GREETING").succeeded()
    assert done.stdout == f"{below}\nhi {speaking.directory}\n"


def test_a_run_after_an_edit_syncs_first(stocked: World, edited: Project) -> None:
    edited.manifest.write_text(edited.manifest.read_text().replace("[vars]", 'tool = "*"\n[vars]'))
    assert edited.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    assert len(list(edited.directory.glob(".cape/generations/[0-9]*"))) == 2


def test_a_run_after_an_edit_that_keeps_the_time_and_size_is_not_stale(edited: Project) -> None:
    times = edited.manifest.stat()
    edited.manifest.write_text(edited.manifest.read_text().replace("hi ", "ho "))
    os.utime(edited.manifest, ns=(times.st_atime_ns, times.st_mtime_ns - 10_000_000_000))
    assert edited.cape("run", "--", "speak", "echo $GREETING").stdout.startswith("ho ")


def test_a_touch_makes_no_generation(edited: Project) -> None:
    before = edited.state()
    edited.manifest.touch()
    edited.cape("run", "--", "speak", ":").succeeded()
    assert edited.state() == before


def test_a_first_run_locks_and_syncs(stocked: World) -> None:
    project = stocked.project(tool="*")
    assert project.cape("run", "--", "tool").stdout == "tool 1.0-1\n"
    assert project.lock.exists()


def test_a_warm_run_starts_no_python(speaking: Project) -> None:
    time.sleep(2.1)
    speaking.cape("run", "--", "speak", ":").succeeded()
    found = speaking.cape("run", "--", "speak", "echo ran", PYTHONHOME="/nonexistent", PATH="/nonexistent")
    assert (found.code, found.stdout) == (0, "ran\n")


def test_a_run_without_a_command_is_wrong_usage(speaking: Project) -> None:
    speaking.cape("run").failed(USAGE, "wants a command", "hint: ")
    speaking.cape("run", "--").failed(USAGE, "wants a command")


def test_a_program_that_is_not_there_is_told(speaking: Project) -> None:
    speaking.cape("run", "--", "no-such-program").failed(127, "`no-such-program`")


def test_a_moved_project_is_sealed_anew(edited: Project) -> None:
    there = edited.directory.with_name("moved project")
    edited.directory.rename(there)
    moved = Project(directory=there, environment=edited.environment)
    assert moved.cape("run", "--", "speak", "echo $GREETING").succeeded().stdout == f"hi {there}\n"


def test_activation_in_place_and_leaving_it(speaking: Project) -> None:
    text = (
        f'before=$(export -p); eval "$("{CAPE}" activate)"; speak "echo $GREETING"; cape deactivate\n'
        '[ "$before" = "$(export -p)" ] && echo same; command -v speak || echo gone'
    )
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=speaking.directory,
        env=dict(speaking.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"hi {speaking.directory}\nsame\ngone\n", done.stderr


def test_leaving_what_was_not_entered_is_told(speaking: Project) -> None:
    speaking.cape("deactivate").failed(NO, "no environment was entered", "hint: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no command"),
        (("synk",), "did you mean `sync`"),
        (("sync", "--lokced"), "did you mean `--locked`"),
        (("install",), "cape install"),
        (("-C", "/nonexistent", "sync"), "/nonexistent"),
        (("gc", "--keep", "some"), "`some`"),
        (("search", "x", "--limit", "-1"), "--limit"),
    ],
)
def test_wrong_usage_has_a_code_of_its_own(speaking: Project, words: tuple[str, ...], said: str) -> None:
    speaking.cape(*words).failed(USAGE, said)


def test_a_reader_that_goes_away_is_no_bug(speaking: Project) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{CAPE}" list --all --json | head -c 1'],
        cwd=speaking.directory,
        env=dict(speaking.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr


def test_two_environments_do_not_mix(stocked: World) -> None:
    add_program(stocked.archive, "thing", "1.0-1")
    add_program(stocked.archive, "thing", "2.0-1")
    stocked.publish()
    old, new = stocked.project(thing="1.0-1"), stocked.project(thing="*")
    for project in (old, new):
        project.cape("sync").succeeded()
    said = old.cape("run", "--", "sh", "-c", f'thing; "{CAPE}" -C "{new.directory}" run -- thing; thing')
    assert said.succeeded().stdout == "thing 1.0-1\nthing 2.0-1\nthing 1.0-1\n"
