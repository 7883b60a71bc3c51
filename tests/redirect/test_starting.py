"""Every call that starts a program: which file, which interpreter, which shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.redirect.conftest import House, write
from tests.redirect.rows import BY_NAME, BY_PATH, EVERY, SHELLS


def told(answer: str) -> str:
    """What the started program said of itself: its arguments."""
    line = next(line for line in answer.splitlines() if "told" in line)
    return line[line.index("told") + 5 :].strip()


@pytest.mark.parametrize("function", EVERY)
def test_program_of_the_tree_is_started(house: House, function: str) -> None:
    assert told(house.call(function, "/usr/bin/teller")) == "zero one"


@pytest.mark.parametrize("function", EVERY)
def test_program_of_the_host_is_started(house: House, function: str) -> None:
    if not os.path.exists("/usr/bin/printf"):
        pytest.skip("the host has no printf")
    assert house.call(function, "/usr/bin/printf").startswith("one")


@pytest.mark.parametrize("function", EVERY)
def test_script_of_the_tree_gets_the_trees_interpreter(house: House, function: str) -> None:
    script = house.in_tree("/usr/bin/script")
    assert told(house.call(function, "/usr/bin/script")) == f"/usr/bin/teller with flag {script} one"


@pytest.mark.parametrize("function", EVERY)
def test_script_of_the_project_gets_the_trees_interpreter(house: House, function: str) -> None:
    script = str(house.project / "script")
    assert told(house.call(function, script)) == f"/usr/bin/teller {script} one"
    assert told(house.call(function, "./script")) == "/usr/bin/teller ./script one"


@pytest.mark.parametrize("function", EVERY)
def test_interpreter_may_be_a_script(house: House, function: str) -> None:
    nested, script = house.in_tree("/usr/bin/nested"), house.in_tree("/usr/bin/script")
    assert told(house.call(function, "/usr/bin/nested")) == f"/usr/bin/teller with flag {script} {nested} one"


@pytest.mark.parametrize("function", EVERY)
def test_interpreters_in_a_circle_end(house: House, function: str) -> None:
    write(house.root / "usr/bin/circle", "#!/usr/bin/circle\n", 0o755)
    assert house.call(function, "/usr/bin/circle") == (
        "ok status 2304" if function == "vfork" else "errno 40"
    )


@pytest.mark.parametrize("function", BY_NAME)
def test_name_is_looked_up_on_path_with_the_trees_eyes(house: House, function: str) -> None:
    assert told(house.call(function, "teller")) == "zero one"
    assert told(house.call(function, "teller", PATH="/nowhere::/usr/bin")) == "zero one"
    assert told(house.call(function, "script", PATH="")) == "/usr/bin/teller script one"
    assert house.call(function, "no-such-program") == "errno 2"
    assert house.call(function, "") == "errno 2"


@pytest.mark.parametrize("function", ["execvp", "execvpe", "execlp"])
def test_file_without_first_line_is_given_to_the_trees_shell(house: House, function: str) -> None:
    plain = house.in_tree("/usr/bin/plain")
    answer = told(house.call(function, "plain"))
    assert answer in (f"sh {plain} one", "sh /usr/bin/plain one")


@pytest.mark.parametrize("function", BY_PATH)
def test_file_without_first_line_is_no_program(house: House, function: str) -> None:
    answer = house.call(function, "/usr/bin/plain")
    assert answer == ("ok status 2304" if function == "vfork" else "errno 8")


@pytest.mark.parametrize("function", EVERY)
def test_file_that_may_not_run_is_refused(house: House, function: str) -> None:
    write(house.root / "usr/bin/locked", "#!/usr/bin/teller\n", 0o644)
    answer = house.call(function, "/usr/bin/locked")
    assert answer == ("ok status 2304" if function == "vfork" else "errno 13")


@pytest.mark.parametrize("function", SHELLS)
def test_command_runs_in_the_trees_shell(house: House, function: str) -> None:
    answer = house.call(function, "some command")
    assert told(answer) == "sh -c some command"
    assert "status 0" in answer


@pytest.mark.parametrize("function", SHELLS)
def test_command_runs_in_the_hosts_shell_without_one(house: House, function: str) -> None:
    house.in_tree("/usr/bin/sh").unlink()
    answer = house.call(function, "echo told host; exit 3")
    assert told(answer) == "host"
    assert f"status {3 << 8}" in answer


def test_command_reads_what_popen_is_given(house: House) -> None:
    assert told(house.call("popen_write", "command", TELL="stdin")) == "sh -c command read given"


def test_spawned_program_opens_files_of_the_tree(house: House) -> None:
    function, path = "posix_spawn_file_actions_addopen", "/usr/share/cape/file"
    inode = house.in_tree(path).stat().st_ino
    answer = house.call(function, "/usr/bin/teller", path, TELL="inode")
    assert told(answer) == f"zero one inode {inode}"


def test_spawned_program_starts_in_a_directory_of_the_tree(house: House) -> None:
    function, path = "posix_spawn_file_actions_addchdir_np", "/usr/share/cape/dir"
    answer = house.call(function, "/usr/bin/teller", path, TELL="cwd")
    assert told(answer) == f"zero one in {house.in_tree(path)}"


def test_long_argument_lists_arrive(house: House, compile_c: Callable[..., Path]) -> None:
    source = """
    #include <stdlib.h>
    #include <unistd.h>
    int main(int n, char **a) {
        int count = 20000;
        char **list = calloc(count + 1, sizeof *list);
        for (int i = 0; i < count; i++) list[i] = "x";
        execvp(a[1], list);
        return 9;
    }"""
    house.driver = compile_c(source, name="many")
    assert len(told(house.call("script")).split()) == 20003


def test_program_whose_loader_the_host_lacks_starts_with_the_trees(house: House, teller: Path) -> None:
    """The teller with another directory in its loader's path, as on a host without glibc."""
    data = teller.read_bytes()
    loader = next(
        (name for name in (b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-linux-aarch64.so.1") if name in data),
        None,
    )
    if loader is None:
        pytest.skip("the compiler's programs have no usual loader")
    foreign = house.project / "foreign"
    foreign.write_bytes(data.replace(loader, b"/lix" + loader[4:]))
    foreign.chmod(0o755)
    assert house.call("execve", foreign) == "errno 2"
    triplet = "x86_64-linux-gnu" if b"x86" in loader else "aarch64-linux-gnu"
    place = house.root / "usr/lib" / triplet / Path(loader.decode()).name
    place.parent.mkdir(parents=True)
    shutil.copy2(os.path.realpath(loader.decode()), place)
    answer = house.call("execve", foreign)
    if "argv0" in answer:
        pytest.skip("a loader before glibc 2.33")
    assert told(answer) == "zero one"


def test_shell_scripts_of_the_host_find_programs_of_the_tree(house: House) -> None:
    """A real shell, preloaded as if it were the tree's."""
    script = "teller a; cd /usr/share/cape/dir && pwd && echo *; test ! -w /usr/share/cape/file && echo kept"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env=house.variables(inside=True),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:4] == ["told teller a", "/usr/share/cape/dir", "one two", "kept"]
