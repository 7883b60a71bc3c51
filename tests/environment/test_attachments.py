"""Who is inside: entries that shells write, and those that count no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.environment.attachments import alive, directory_of, start_of
from cape.environment.shells.attaching import MANY
from cape.environment.shells.hooks import key_of
from tests.environment.starts import Entered, until


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Entered]:
    made = Entered(tmp_path, "")
    yield made
    made.close()


def test_command_is_inside_with_its_own_pid_until_it_ends(one: Entered) -> None:
    command = one.starting("read line")
    until(lambda: alive(one.project))
    (found,) = alive(one.project)
    assert (found.pid, found.how, found.number) == (command.pid, "run", None)
    assert (found.key, found.start) == (key_of(one.activation), start_of(command.pid))
    command.communicate("\n")
    assert alive(one.project) == ()


def test_shell_is_inside_until_it_leaves(one: Entered) -> None:
    script = "ENTER\necho $$; read line\nPATH=/nowhere\ncape deactivate\nread line"
    shell = one.in_bash(script)
    assert shell.stdin is not None and shell.stdout is not None
    pid = int(shell.stdout.readline())
    assert [found.pid for found in alive(one.project)] == [pid]
    shell.stdin.write("leave\n")
    shell.stdin.flush()
    until(lambda: alive(one.project) == ())
    assert shell.poll() is None
    shell.communicate("end\n")


def test_attaching_starts_no_process(one: Entered, tmp_path: Path) -> None:
    """With a PATH that has nothing on it, and a table of processes that is full."""
    enter = f". '{one.project}/activate.bash'"
    limited = f"ulimit -u 0 2>/dev/null; PATH=/nowhere; {enter}; echo $?; echo $CAPE_PROJECT"
    done = subprocess.run(
        ["bash", "--norc", "-c", limited], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout == f"0\n{one.project}\n" and "fork" not in done.stderr
    assert [file.name for file in directory_of(one.project).iterdir()] != []


def test_process_of_the_same_pid_and_another_time_is_another(one: Entered) -> None:
    entry = directory_of(one.project) / str(os.getpid())
    entry.write_text(f"{start_of(os.getpid())}\nkey 1 bash\n")
    assert [found.number for found in alive(one.project)] == [1]
    entry.write_text("1\nkey 1 bash\n")
    assert alive(one.project) == ()


def test_dead_process_that_nobody_waited_for_is_not_inside() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: start_of(child.pid) is None)
    child.wait()


@pytest.mark.parametrize("content", ["", "\n", "x", "1 2 3\n\n\n", "\0\n", "é\nkey - run\n"])
def test_file_that_is_no_entry_is_passed_over(one: Entered, content: str) -> None:
    for name in (str(os.getpid()), "name", "12x", "-1", ".1"):
        (directory_of(one.project) / name).write_text(content)
    (directory_of(one.project) / "7").mkdir()
    assert alive(one.project) == ()
    assert one.run("true").returncode == 0


def test_nobody_is_inside_a_project_without_entries(tmp_path: Path) -> None:
    assert alive(tmp_path) == ()


def test_stale_entries_do_not_pile_up(one: Entered) -> None:
    for pid in range(4_000_000, 4_000_000 + MANY):
        (directory_of(one.project) / str(pid)).write_text("1\nkey - run\n")
    mine = directory_of(one.project) / str(os.getpid())
    mine.write_text(f"{start_of(os.getpid())}\nkey - run\n")
    assert one.run("true").returncode == 0
    assert mine.exists() and len(list(directory_of(one.project).iterdir())) <= 2


def test_entry_that_is_being_written_is_not_taken_away(one: Entered) -> None:
    """Twenty that entered at once found it: an entry is empty between its making and its first line."""
    for pid in range(4_000_000, 4_000_000 + MANY):
        (directory_of(one.project) / str(pid)).write_text("")
    mine = directory_of(one.project) / str(os.getpid())
    mine.write_text("")
    assert one.run("true").returncode == 0
    assert mine.exists() and len(list(directory_of(one.project).iterdir())) <= 2


@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
def test_project_that_cannot_be_written_is_entered_all_the_same(one: Entered, shell: str) -> None:
    entries = directory_of(one.project)
    entries.rmdir()
    entries.write_text("")
    assert one.run("echo in", shell=shell).stdout == "in\n"
    done = one.bash("ENTER\necho $CAPE_PROJECT")
    assert (done.stdout, done.stderr) == (f"{one.project}\n", "")
