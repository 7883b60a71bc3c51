"""Services that start with the environment; no Python starts where there is nothing to start."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.end_to_end.harness import CAPE
from tests.services.conftest import Services, wait_until

AUTO = (
    '[services.a]\ncommand = "exec sleep 1000"\nauto-start = true\n'
    '[services.b]\ncommand = "exec sleep 1000"\n'
)


def without_python(one: Services, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher where Python would fail."""
    place = one.store.parent / "no-python"
    place.mkdir(exist_ok=True)
    (place / "cape").write_bytes(Path(CAPE).read_bytes())
    (place / "python3").write_text("#!/bin/sh\necho python was started >&2; exit 99\n")
    for file in place.iterdir():
        file.chmod(0o755)
    return subprocess.run(
        [place / "cape", *words],
        cwd=one.directory,
        env={**one.variables, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_activation_starts_what_starts_by_itself_and_then_needs_no_python(one: Services) -> None:
    one.write(AUTO)
    line = one.cape("activate", "--shell", "bash").succeeded().stdout
    assert "activate.bash" in line
    wait_until(lambda: one.state("a") == "ready")
    assert one.state("b") == "stopped"
    assert without_python(one, "activate", "--shell", "bash").stdout == line
    one.services("down").succeeded()
    assert without_python(one, "activate", "--shell", "bash").returncode == 99
    one.cape("activate", "--shell", "bash").succeeded()
    one.kill_supervisor()
    assert without_python(one, "activate", "--shell", "bash").returncode == 99
    assert one.cape("activate", "--shell", "bash").succeeded().stdout == line
    wait_until(lambda: one.state("a") == "ready")


def test_services_of_a_shell_stop_when_it_leaves(one: Services) -> None:
    one.write(AUTO)
    one.cape("sync").succeeded()
    text = 'eval "$(cape activate)"; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done; cape services status'
    done = subprocess.run(
        ["bash", "--norc", "-c", text],
        cwd=one.directory,
        env={**one.variables, "PATH": f"{CAPE.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ready" in done.stdout
    wait_until(lambda: one.state("a") == "stopped")
    assert one.marked() == []


def shell_inside(one: Services) -> subprocess.Popen[str]:
    """A bash that has entered in place, and waits; its service is ready."""
    one.cape("sync").succeeded()
    shell = subprocess.Popen(
        ["bash", "--norc", "-c", 'eval "$(cape activate)"; echo inside; read word'],
        cwd=one.directory,
        env={**one.variables, "PATH": f"{CAPE.parent}:/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdout is not None and shell.stdout.readline() == "inside\n"
    wait_until(lambda: one.state("a") == "ready")
    return shell


def test_services_stop_when_their_shell_is_killed(served: Services) -> None:
    served.write(AUTO)
    with shell_inside(served) as shell:
        shell.kill()
    wait_until(lambda: served.marked() == [])
    assert served.state("a") == "stopped"


def test_after_a_kill_of_everything_at_once_the_next_start_is_clean(served: Services) -> None:
    served.write(AUTO)
    with shell_inside(served) as shell:
        supervisor = served.supervisor
        above = int(Path("/proc", str(supervisor), "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor, signal.SIGSTOP)
        for pid in (above, supervisor) if served.mode == "guardian" else (supervisor,):
            os.kill(pid, signal.SIGKILL)
        shell.kill()
    served.services("up").succeeded()
    assert served.state("a") == served.state("b") == "ready"
    assert len(served.marked()) == 2
    served.services("down").succeeded()
    assert served.marked() == []


def test_services_can_be_left_out_and_commands_start_none(one: Services) -> None:
    one.write(AUTO)
    one.cape("activate", "--shell", "bash", "--no-services").succeeded()
    one.cape("run", "--", "true").succeeded()
    assert not (one.home / "socket").exists()


def test_a_service_that_cannot_start_does_not_keep_out_of_the_environment(one: Services) -> None:
    one.write(AUTO)
    one.cape("sync").succeeded()
    one.home.mkdir(parents=True)
    (one.home / "logs").write_text("in the way")
    done = one.cape("activate", "--shell", "bash")
    assert "activate.bash" in done.stdout, done.stderr
    (one.home / "logs").unlink()


def test_a_project_without_them_starts_no_python(one: Services) -> None:
    one.write('[services.a]\ncommand = "exec sleep 1000"\n')
    one.cape("sync").succeeded()
    assert without_python(one, "activate", "--shell", "bash").returncode == 0
