"""`on-activate` and `on-deactivate`: when, how often, what they leave, and what a failing one says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cape.environment.activation import Operation, Prepend, Reference, Set, Unset
from cape.environment.attachments import alive
from cape.environment.recording import read_recorded, recorder
from cape.environment.shells.hooks import commands_of
from cape.environment.shells.quoting import quoted
from tests.environment.starts import Entered, finished, until

COUNT = "[hook]\non-activate = 'echo run >>$CAPE_STATE/hook'\n"
BOTH = COUNT + "on-deactivate = 'echo end >>$CAPE_STATE/end'\n"
SHELLS = ["dash", "bash --posix", "busybox sh"]


Enter = Callable[[str], Entered]


@pytest.fixture
def enter(tmp_path: Path) -> Iterator[Enter]:
    made: list[Entered] = []

    def make(text: str) -> Entered:
        made.append(Entered(tmp_path, text))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param.split()[0]) is None:
        pytest.skip("that shell is not on this machine")
    return str(request.param)


def test_hook_runs_once_for_all_who_are_inside_and_again_after_the_last(enter: Enter, shell: str) -> None:
    one = enter(COUNT)
    first = one.starting("read line", shell=shell)
    until(lambda: alive(one.project))
    for _ in range(3):
        assert one.run("exit 5", shell=shell).returncode == 5
    assert one.bash("ENTER").returncode == 0
    assert one.said("hook") == ["run"]
    first.communicate("\n")
    assert one.run("true", shell=shell).returncode == 0
    assert one.said("hook") == ["run", "run"]


def test_twenty_who_enter_at_once_run_the_hook_once_and_wait_for_it(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'sleep 0.3; echo run >>$CAPE_STATE/hook'\n")
    command = 'cat "$CAPE_STATE/hook"; read line'
    many = [one.starting(command) for _ in range(10)]
    many += [one.in_bash(f"ENTER\n{command}") for _ in range(10)]
    until(lambda: len(alive(one.project)) == 20)
    time.sleep(0.5)
    results = [finished(process) for process in many]
    assert {result.stdout for result in results} == {"run\n"}, results[0].stderr


def test_who_waited_for_a_hook_that_failed_fails_too_and_does_not_run_it_again(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'echo run >>$CAPE_STATE/hook; sleep 0.4; exit 3'\n")
    first = one.starting("echo no")
    until(lambda: one.said("hook"))
    second = one.run("echo no")
    assert (second.returncode, second.stdout) == (1, "")
    assert "cape.toml:6" in second.stderr and "(exit code 3)" in second.stderr
    assert finished(first).returncode == 1
    assert one.said("hook") == ["run"]


def test_start_whose_owner_was_killed_is_taken_over(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'echo run >>$CAPE_STATE/hook; sleep 0.5'\n")
    first = one.starting("true")
    until(lambda: one.said("hook"))
    owner = int((one.home / "claim.1").read_text().split()[1])
    second = one.starting("true")
    time.sleep(0.1)
    os.kill(owner, signal.SIGKILL)
    assert finished(second).returncode == 0
    finished(first)
    assert one.said("hook") == ["run", "run"]


def test_hook_that_changes_is_another_start(enter: Enter) -> None:
    one = enter(COUNT)
    inside = one.starting("read line")
    until(lambda: alive(one.project))
    one.write(COUNT.replace("echo run", "echo other"))
    one.run("true")
    one.write("# a comment\n" + COUNT.replace("echo run", "echo other"))
    inside.communicate("\n")
    assert one.said("hook") == ["run", "other"]


def test_output_of_a_hook_is_in_its_log_and_on_standard_error_only(enter: Enter, shell: str) -> None:
    one = enter("[hook]\non-activate = 'echo out; echo err >&2; cat'\n")
    done = one.run("echo command", shell=shell)
    assert done.stdout == "command\n"
    assert sorted(done.stderr.split()) == ["err", "out"]
    log = one.project / ".cape/logs/on-activate.log"
    assert sorted(log.read_text().split()) == ["err", "out"]
    assert log.stat().st_mode & 0o777 == 0o600
    one.run("true")
    assert sorted(os.listdir(log.parent)) == ["on-activate.log", "on-activate.log.1"]


def test_hook_may_leave_something_running_and_nobody_waits_for_it(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'sleep 5 & echo $! >$CAPE_STATE/pid'\n")
    assert one.starting("true").wait(timeout=3) == 0
    os.kill(int(one.said("pid")[0]), signal.SIGTERM)


def test_failing_hook_shows_its_line_and_leaves_bash_as_it_was(enter: Enter) -> None:
    text = '[hook]\non-activate = """\n# first\nexport A=1\nif true; then\n  initdb -D nowhere\nfi\n"""\n'
    one = enter(text)
    (one.environment / "bin/initdb").write_text("#!/bin/sh\nexit 4\n")
    (one.environment / "bin/initdb").chmod(0o755)
    volatile = "_=\\|BASHPID\\|BASH_\\|PIPESTATUS\\|RANDOM\\|SECONDS\\|LINENO\\|EPOCH"
    look = f"{{ declare -p | grep -v '{volatile}'; trap -p; }}"
    done = one.bash(f"{look} >a\nENTER\necho $?\n{look} >b\ndiff a b && echo same")
    assert done.stdout == "1\nsame\n", done.stderr
    assert "error: the hook `on-activate` failed: cape.toml:9: if true; then (exit code 4)" in done.stderr
    assert alive(one.project) == () and os.listdir(one.project / ".cape/attached") == []
    done = one.run("echo never")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cape.toml:9: if true; then (exit code 4)" in done.stderr


def test_hook_that_exits_well_is_done_and_its_variables_hold(enter: Enter, shell: str) -> None:
    one = enter("[hook]\non-activate = 'export A=1\\nexit 0\\n'\n".replace("'", '"'))
    done = one.run("echo $A", shell=shell)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


def test_hook_that_calls_exec_gives_advice(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'export A=1; exec true'\n")
    done = one.run("echo ${A-none}")
    assert done.stdout == "none\n" and "call the program without `exec`" in done.stderr
    one.write("[hook]\non-activate = 'exec false'\n")
    done = one.run("true")
    assert done.returncode == 1 and "called `exec`" in done.stderr and "(exit code 1)" in done.stderr


def test_hook_with_set_e_and_its_own_status_is_run_as_it_stands(enter: Enter) -> None:
    text = '[hook]\non-activate = """\nset -e\ntest -d /nowhere && echo no\necho on >>$CAPE_STATE/hook\n"""\n'
    one = enter(text)
    assert one.run("true").returncode == 0
    assert one.said("hook") == ["on"]
    status = '[hook]\non-activate = """\nfalse\necho $? >>$CAPE_STATE/status\n"""\n'
    one.write(status)
    assert one.run("true").returncode == 0
    assert one.said("status") == ["1"]


def test_variables_of_a_hook_hold_for_the_first_and_the_later_ones(enter: Enter, shell: str) -> None:
    export = (
        'export A="it\'s $CAPE_STATE" B=\\"b\\"\nPATH=/hook/bin:$PATH\nunset GONE\nMANPATH=$MANPATH:/late\n'
    )
    one = enter(f'[vars]\nGONE = "x"\nMANPATH = "/m"\n[hook]\non-activate = """\n{export}"""\n')
    show = 'echo "$A|$B|${GONE-gone}|$PATH|$MANPATH"; read line'
    first = one.starting(show, shell=shell)
    assert first.stdout is not None
    path = f"/hook/bin:{one.environment}/bin:/usr/bin:/bin"
    wanted = f"it's {one.state}|b|gone|{path}|/m:/late\n"
    assert first.stdout.readline() == wanted
    later = finished(one.starting(show, shell=shell, PATH="/own:/usr/bin:/bin", SECRET="of the first"))
    assert later.stdout == wanted.replace("/usr/bin", "/own:/usr/bin", 1)
    inside = finished(one.in_bash(f"ENTER\n{show}\ncape deactivate\n{show}"))
    assert inside.stdout == wanted + "||gone|/usr/bin:/bin|\n"
    first.communicate("\n")
    for file in one.home.iterdir():
        assert file.stat().st_mode & 0o077 == 0 or file.name.startswith("claim"), file
    assert one.home.stat().st_mode & 0o777 == 0o700


def test_later_one_gets_no_variable_of_the_first(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'export A=1'\n")
    first = one.starting("read line", TOKEN="of the first", PATH="/first:/usr/bin:/bin")
    until(lambda: alive(one.project))
    done = one.run("env")
    assert "of the first" not in done.stdout and "/first" not in done.stdout and "A=1" in done.stdout
    first.communicate("\n")
    assert "of the first" not in "".join(file.read_text() for file in one.home.iterdir())


def test_hook_that_exports_starts_no_python(enter: Enter) -> None:
    one = enter("[hook]\non-activate = 'export A=1'\n")
    assert sys.executable not in "".join(file.read_text() for file in one.home.iterdir())
    assert one.run("echo $A").stdout == "1\n"


def test_ctrl_c_ends_a_hook_that_hangs_and_bash_goes_on(enter: Enter) -> None:
    # Who says that it runs is the process that hangs: a signal before that may be lost.
    hook = "sh -c 'echo run >>$CAPE_STATE/hook; exec sleep 30'"
    one = enter(f'[hook]\non-activate = "{hook}"\n')
    script = 'trap \'echo mine\' INT\nENTER\necho "status $?"\necho "${CAPE_ENV-outside}"\ntrap -p INT\n'
    file = one.project / "script.bash"
    file.write_text(script.replace("ENTER", f'. "{one.project}/activate.bash"'))
    shell = subprocess.Popen(
        ["bash", "--norc", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    until(lambda: one.said("hook"))
    os.killpg(shell.pid, signal.SIGINT)
    done = finished(shell)
    assert done.stdout.split("\n")[:2] == ["status 1", "outside"], done.stderr
    assert "trap -- 'echo mine' SIGINT" in done.stdout


def test_subshell_that_leaves_does_not_take_its_parent_away(enter: Enter) -> None:
    one = enter(COUNT)
    look = "cat .cape/attached/$$ | wc -l\n"
    script = f'ENTER\n(cape deactivate; echo "${{CAPE_ENV-out}}")\n{look}cape deactivate\n{look}'
    assert one.bash(script).stdout.split() == ["out", "2", "0"]


def test_end_comes_when_the_last_has_left_by_whatever_way(enter: Enter) -> None:
    one = enter(BOTH)
    leaves, dies, ends = (one.in_bash("ENTER\necho in\nread a\ncape deactivate\nread b") for _ in range(3))
    until(lambda: len(alive(one.project)) == 3)
    command = one.starting("read line")
    until(lambda: len(alive(one.project)) == 4)
    dies.kill()
    ends.communicate("a\nb\n")
    assert leaves.stdin is not None
    leaves.stdin.write("a\n")
    leaves.stdin.flush()
    until(lambda: len(alive(one.project)) == 1)
    time.sleep(0.2)
    assert one.said("end") == []
    command.communicate("\n")
    until(lambda: one.said("end"))
    assert leaves.poll() is None, "it had left, and its process went on"
    leaves.communicate("b\n")
    assert one.said("end") == ["end"] and one.said("hook") == ["run"]


def test_next_start_waits_for_the_end_of_the_one_before(enter: Enter) -> None:
    text = "[hook]\non-activate = 'echo run >>$CAPE_STATE/all'\n"
    text += "on-deactivate = 'sleep 0.3; echo end >>$CAPE_STATE/all'\n"
    one = enter(text)
    for _ in range(3):
        assert one.run("true").returncode == 0
    until(lambda: len(one.said("all")) == 6)
    assert one.said("all") == ["run", "end"] * 3


def test_end_comes_though_the_project_is_gone_meanwhile(enter: Enter, tmp_path: Path) -> None:
    text = f"[hook]\non-deactivate = 'echo end in $PWD >>\"{tmp_path}/end\"; exit 3'\n"
    one = enter(text)
    inside = one.starting("read line")
    until(lambda: alive(one.project))
    time.sleep(0.3)
    shutil.rmtree(one.project)
    time.sleep(0.2)
    assert not (tmp_path / "end").exists()
    inside.communicate("\n")
    until(lambda: (tmp_path / "end").exists())
    assert (tmp_path / "end").read_text() == "end in /\n"


def test_failing_end_is_in_its_log(enter: Enter) -> None:
    one = enter("[hook]\non-deactivate = 'echo said; exit 3'\n")
    done = one.run("true")
    log = one.project / ".cape/logs/on-deactivate.log"
    until(lambda: log.exists() and "exit code 3" in log.read_text())
    assert (done.stdout, done.stderr) == ("", "")
    assert log.read_text() == "said\nerror: the hook `on-deactivate` gave exit code 3\n"


def test_variables_come_before_the_hook_and_the_hook_before_the_profiles(enter: Enter) -> None:
    one = enter(
        '[vars]\nB = "${A}b"\nA = "a"\n[hook]\non-activate = \'export C="${B}c"\'\n'
        "[profile]\ncommon = 'D=${C}d'\nbash = 'E=${D}e'\n",
    )
    assert one.bash("ENTER\necho $E").stdout == "abcde\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\n", [1, 2]),
        ("# x\n\na\nif b; then\n c\nfi\nd", [1, 4, 7]),
        ("a &&\n b\nc \\\n d\ne", [1, 3, 5]),
        ("a '\n'\nb\nf() {\n x\n}\nf", [1, 3, 4, 7]),
        ("a\ncat <<E\nx\nE\nb", [1, 2]),
        ("if x; then", [1]),
    ],
)
def test_commands_of_a_hook_are_found_by_their_lines(text: str, lines: list[int]) -> None:
    parts = commands_of(text)
    assert "\n".join(part for _, part in parts).split() == text.split()
    assert [line for line, _ in parts][-1] == lines[-1] or lines == [1]


names = st.sampled_from(["A", "B", "PATH", "MANPATH", "XDG_DATA_DIRS"])
values = st.text(alphabet="ab:/ '\"\\$\n\té*[\udcff", max_size=8)
states = st.dictionaries(names, values)


def recorded(shell: str, before: dict[str, str], after: dict[str, str], home: Path) -> tuple[Operation, ...]:
    """What the recorder says in a shell that begins with the one state and ends with the other."""
    lines = [
        recorder(),
        "cape_before=$(export -p)",
        *(f"unset {name}" for name in before.keys() - after.keys()),
    ]
    lines += [f"export {name}={quoted(value)}" for name, value in after.items()]
    lines += ["set -eufC", "IFS=a", f'_cape_record "$cape_before" "$(export -p)" {quoted(str(home))}']
    script = home / "script"
    script.write_bytes(os.fsencode("\n".join(lines)))
    words = [*shell.split(), str(script)]
    # Shells that begin without PATH have one of their own.
    variables = {"PATH": "", "LC_ALL": "C.UTF-8", **before}
    done = subprocess.run(words, env=variables, capture_output=True, check=False, executable=which(words[0]))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return read_recorded(home / "variables.sh")


def which(program: str) -> str:
    found = shutil.which(program)
    assert found is not None
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states, states)
def test_what_is_recorded_leads_from_the_one_state_to_the_other(
    shell: str, tmp_path: Path, before: dict[str, str], after: dict[str, str]
) -> None:
    before, after = {"PATH": "", **before}, {"PATH": "", **after}
    inside = dict(before)
    with tempfile.TemporaryDirectory(dir=tmp_path) as home:
        for operation in recorded(shell, before, after, Path(home)):
            _apply(operation, inside)
    assert inside == after


def _apply(operation: Operation, inside: dict[str, str]) -> None:
    """By hand, so that `activated` is not its own witness."""
    if isinstance(operation, Unset):
        del inside[operation.name]
    elif isinstance(operation, Prepend):
        inside[operation.name] = f"{operation.value}:{inside[operation.name]}"
    else:
        parts = [inside.get(one.name, "") if isinstance(one, Reference) else one for one in operation.value]
        inside[operation.name] = "".join(parts)


def test_change_of_a_path_composes_with_another_one(shell: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    found = recorded(
        shell,
        {"MANPATH": "/a*", "PATH": "/a", "XDG_DATA_DIRS": "/b", "PWD": "/", "A": "1"},
        {"MANPATH": "/x:/a*", "PATH": "/x:/a:/y", "XDG_DATA_DIRS": "/b:/c", "PWD": "/x"},
        tmp_path / "home",
    )
    assert sorted(found, key=lambda one: one.name) == [
        Unset(name="A", origin="hook.on-activate"),
        Prepend(name="MANPATH", value="/x", origin="hook.on-activate"),
        Set(name="PATH", value=("/x:", Reference("PATH"), ":/y"), origin="hook.on-activate"),
        Set(name="XDG_DATA_DIRS", value=(Reference("XDG_DATA_DIRS"), ":/c"), origin="hook.on-activate"),
    ]
    assert (tmp_path / "home/variables.sh").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["_cape_set A", "_cape_set A 'x", "echo no\n", "_cape_set A 'x'\n_cape_s"])
def test_damaged_file_of_recorded_variables_counts_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "variables.sh").write_text(text)
    assert read_recorded(tmp_path / "variables.sh") == ()
    assert read_recorded(tmp_path / "nowhere") == ()
