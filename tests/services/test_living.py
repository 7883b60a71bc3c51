"""Services live and die with their supervisor: whatever is killed, nothing is left, and a start is clean."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.services.conftest import Services, is_alive, wait_until

FAMILY = """
[services.family]
command = "sleep 1111 & setsid sleep 2222 & exec sleep 3333"
"""
DAEMON = """
[services.daemon]
command = "(setsid sh -c 'sleep 4444 & exec sleep 5555' &) ; exit 0"
daemon = true
"""


def test_up_starts_and_down_stops_all_that_was_started(served: Services) -> None:
    served.write(FAMILY + DAEMON)
    served.services("up").succeeded()
    assert {row["state"] for row in served.status().values()} == {"ready"}
    assert len(served.marked()) == 5
    served.services("down").succeeded()
    assert served.marked() == []
    assert not (served.home / "socket").exists()


def test_nothing_is_left_when_the_supervisor_is_killed(served: Services) -> None:
    served.write(FAMILY + DAEMON)
    served.services("up").succeeded()
    served.kill_supervisor()
    wait_until(lambda: served.marked() == [], timeout_s=3)
    assert served.state("family") == "lost"
    served.services("up").succeeded()
    assert served.state("family") == served.state("daemon") == "ready"


def test_nothing_is_left_when_everything_but_the_services_is_killed(served: Services) -> None:
    """Without namespaces the guardian above is killed too: then the next command ends what is left."""
    served.write(FAMILY + DAEMON)
    served.services("up").succeeded()
    guardian = int(Path("/proc", str(served.supervisor), "stat").read_text().rpartition(")")[2].split()[1])
    os.kill(served.supervisor, signal.SIGSTOP)
    if served.mode == "guardian":
        os.kill(guardian, signal.SIGKILL)
    served.kill_supervisor()
    served.services("status").succeeded()
    wait_until(lambda: served.marked() == [], timeout_s=3)
    served.services("up").succeeded()
    assert served.state("family") == "ready"


def test_an_ordinary_users_services_are_ended_with_their_supervisor(users: Services) -> None:
    users.write(FAMILY + DAEMON)
    users.services("up").succeeded()
    told = json.loads(users.services("status", "--json").stdout)
    assert told["namespace"] == (users.mode == "namespace")
    users.kill_supervisor()
    wait_until(lambda: users.marked() == [], timeout_s=3)
    users.services("up").succeeded()
    users.services("down").succeeded()
    assert users.marked() == []


def test_stopping_the_supervisor_by_a_signal_stops_services(served: Services) -> None:
    served.write("[services.a]\ncommand = \"trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done\"\n")
    served.services("up").succeeded()
    pid = served.supervisor
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid))
    assert served.marked() == []
    assert "bye" in served.services("logs", "a").stdout


def test_what_ignores_its_signal_is_killed_after_its_grace(served: Services) -> None:
    served.write(
        '[services.deaf]\ncommand = "trap \\"\\" TERM; while :; do sleep 0.05; done"\n'
        "stop = { grace = 0.3 }\n"
    )
    served.services("up").succeeded()
    before = time.monotonic()
    served.services("down").succeeded()
    assert 0.3 <= time.monotonic() - before < 5
    assert served.marked() == []


def test_a_service_is_stopped_with_its_own_signal_or_command(served: Services) -> None:
    served.write(
        "[services.a]\n"
        "command = \"trap 'echo interrupted; exit 0' INT; while :; do sleep 0.05; done\"\n"
        'stop = { signal = "INT" }\n'
        '[services.b]\ncommand = "echo $$ >$CAPE_STATE/pid; exec sleep 1000"\n'
        'stop = { command = "echo by command >&2; kill $(cat $CAPE_STATE/pid.told)" }\n'
        'ready = { command = "test -s $CAPE_STATE/pid" }\n'
    )
    (served.directory / ".cape/state").mkdir(parents=True)
    served.services("up").succeeded()
    (served.directory / ".cape/state/pid.told").write_text((served.directory / ".cape/state/pid").read_text())
    served.services("down").succeeded()
    assert "interrupted" in served.services("logs", "a").stdout
    assert served.marked() == []


def test_a_project_that_is_deleted_takes_its_services_along(served: Services) -> None:
    import shutil

    served.write(FAMILY)
    served.services("up").succeeded()
    supervisor = served.supervisor
    pids = served.marked()
    while served.directory.exists():  # the supervisor may write a last word into it meanwhile
        shutil.rmtree(served.directory, ignore_errors=True)
    wait_until(lambda: not is_alive(supervisor))
    assert not any(is_alive(pid) for pid in pids)
    served.directory.mkdir()


def test_a_project_that_is_moved_keeps_its_services_until_they_are_restarted(served: Services) -> None:
    served.write(FAMILY)
    served.services("up").succeeded()
    moved = Services(directory=served.directory.with_name("moved"), mode=served.mode, store=served.store)
    old = served.marked()
    served.directory.rename(moved.directory)
    try:
        done = moved.services("status").succeeded()
        assert "project was at" in done.stderr
        assert moved.state("family") == "ready"
        moved.services("up").succeeded()
        assert not any(is_alive(pid) for pid in old)
        assert len(moved.marked()) == 3
        moved.services("down").succeeded()
    finally:
        moved.directory.rename(served.directory)


def test_a_long_path_is_no_obstacle(served: Services) -> None:
    deep = Services(directory=served.directory / ("long" * 40), mode=served.mode, store=served.store)
    deep.directory.mkdir()
    deep.write(FAMILY)
    deep.services("up").succeeded()
    assert deep.state("family") == "ready"
    deep.services("down").succeeded()
    assert deep.marked() == []


def test_two_ups_at_once_share_one_supervisor(served: Services) -> None:
    served.write(FAMILY + '[services.other]\ncommand = "exec sleep 1000"\n')
    served.cape("sync").succeeded()
    processes = [served.start("services", "up") for _ in range(4)]
    codes = [process.communicate(timeout=60) and process.returncode for process in processes]
    assert codes == [0, 0, 0, 0]
    assert len(served.marked()) == 4


def test_the_files_of_a_supervisor_are_its_users_alone(one: Services) -> None:
    one.write(FAMILY)
    one.services("up").succeeded()
    assert one.home.stat().st_mode & 0o777 == 0o700
    assert (one.home / "socket").stat().st_mode & 0o777 == 0o600


def test_an_idle_supervisor_does_not_wake_up(served: Services) -> None:
    served.write('[services.a]\ncommand = "exec sleep 1000"\nready = { command = "true" }\n')
    served.services("up").succeeded()
    time.sleep(10.2)  # After ten steady seconds its failures are forgotten; that is the last deadline.

    def switches() -> int:
        text = Path("/proc", str(served.supervisor), "status").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)

    before = switches()
    time.sleep(1.5)
    assert switches() == before


def attach(served: Services, pid: int, how: str = "bash", *, start: str = "") -> Path:
    """What a shell does that is inside."""
    directory = served.directory / ".cape" / "attached"
    directory.mkdir(parents=True, exist_ok=True)
    start = start or Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19]
    file = directory / str(pid)
    file.write_text(f"{start}\nkey 1 {how}\n")
    return file


def test_services_stop_when_the_last_shell_leaves_unless_they_persist(served: Services) -> None:
    import subprocess

    served.write(
        '[services.a]\ncommand = "exec sleep 1000"\n'
        '[services.kept]\ncommand = "exec sleep 1000"\npersist = true\ndepends-on = ["needed"]\n'
        '[services.needed]\ncommand = "exec sleep 1000"\n'
    )
    served.services("up").succeeded()
    shells = [subprocess.Popen(["sleep", "100"]) for _ in range(2)]
    for shell in shells:
        attach(served, shell.pid)
    wait_until(lambda: json.loads(served.services("status", "--json").stdout)["attached"] == 2)
    shells[0].kill()
    shells[0].wait()
    time.sleep(0.5)
    assert served.state("a") == "ready"
    shells[1].kill()
    shells[1].wait()
    wait_until(lambda: served.state("a") == "stopped")
    assert served.state("kept") == served.state("needed") == "ready"


def test_a_supervisor_without_anything_to_keep_leaves_with_the_last_shell(served: Services) -> None:
    import subprocess

    served.write('[services.a]\ncommand = "exec sleep 1000"\n')
    with subprocess.Popen(["sleep", "100"]) as shell:
        file = attach(served, shell.pid)
        served.services("up").succeeded()
        supervisor = served.supervisor
        file.unlink()
        wait_until(lambda: not is_alive(supervisor))
        shell.kill()
    assert served.state("a") == "stopped"


def test_a_shell_of_that_number_that_started_later_is_not_attached(one: Services) -> None:
    import subprocess

    one.write('[services.a]\ncommand = "exec sleep 1000"\n')
    one.services("up").succeeded()
    with subprocess.Popen(["sleep", "100"]) as shell:
        attach(one, shell.pid, start="1")
        time.sleep(0.2)
        assert json.loads(one.services("status", "--json").stdout)["attached"] == 0
        shell.kill()


def test_words_for_the_last_detach_run_once_with_a_log(served: Services) -> None:
    import subprocess

    from cape.services.client import ask

    served.write('[services.a]\ncommand = "exec sleep 1000"\n')
    served.services("up").succeeded()
    supervisor = served.supervisor
    with subprocess.Popen(["sleep", "100"]) as shell:
        attach(served, shell.pid)
        told = served.directory / "told"
        words = ["/bin/sh", "-c", f"echo left; echo once >>{told}"]
        assert ask(served.home, "at-detach", {"words": words}) is not None
        shell.kill()
        shell.wait()
    wait_until(lambda: not is_alive(supervisor))
    assert told.read_text() == "once\n"
    assert (served.home / "logs/on-deactivate.log").read_text() == "left\n"


def test_a_supervisor_of_another_protocol_is_named_and_can_be_stopped(one: Services) -> None:
    """A process that speaks another protocol stands in for the supervisor of another cape."""
    import threading

    one.write(FAMILY)
    one.cape("sync").succeeded()
    one.home.mkdir(parents=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(one.home / "socket"))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                request = json.loads(stream.readline())
                if request["do"] in ("status", "down"):
                    state = {"project": str(one.directory), "pid": 1, "namespace": True, "attached": 0}
                    answer: object = {"done": True, "services": [], "tails": {}, **state}
                else:
                    answer = {"error": "protocol", "protocol": 99}
                stream.write(json.dumps(answer).encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        one.services("up").failed(1, "another version of cape", "cape services down")
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def test_garbage_on_the_socket_does_not_end_the_supervisor(one: Services) -> None:
    one.write(FAMILY)
    one.services("up").succeeded()
    for data in (b"garbage\n", b'{"do": "up", "protocol": 1}\n', b"[]\n", b"half"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(one.home / "socket"))
            connection.sendall(data)
            if data.endswith(b"\n"):
                assert b'"error"' in connection.recv(4096)
    assert one.state("family") == "ready"


@pytest.mark.parametrize("stale", ["socket", "supervisor.json", "status.json", "ports.json"])
def test_a_stale_or_broken_file_of_before_is_no_obstacle(one: Services, stale: str) -> None:
    one.write(FAMILY)
    one.home.mkdir(parents=True)
    (one.home / stale).write_text("{ half")
    one.services("up").succeeded()
    assert one.state("family") == "ready"


def test_the_end_of_a_single_command_stops_nothing(one: Services) -> None:
    import subprocess

    one.write('[services.a]\ncommand = "exec sleep 1000"\n')
    one.services("up").succeeded()
    with subprocess.Popen(["sleep", "100"]) as command:
        attach(one, command.pid, "run")
        wait_until(lambda: json.loads(one.services("status", "--json").stdout)["attached"] == 1)
        command.kill()
    time.sleep(0.6)
    assert one.cape("run", "--", "true").code == 0
    time.sleep(0.6)
    assert one.state("a") == "ready"


def test_any_command_of_the_project_ends_what_a_killed_supervisor_and_guardian_left(one: Services) -> None:
    one.write(FAMILY)
    one.services("up").succeeded()
    guardian = int(Path("/proc", str(one.supervisor), "stat").read_text().rpartition(")")[2].split()[1])
    os.kill(one.supervisor, signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    one.kill_supervisor()
    one.cape("list").succeeded()
    wait_until(lambda: one.marked() == [], timeout_s=3)


def lose(one: Services, home: Path) -> None:
    """Kill guardian and supervisor, so that nobody is there to end the services."""
    supervisor = int((home / "pid").read_text())
    guardian = int(Path("/proc", str(supervisor), "stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not is_alive(supervisor))
    assert one.marked()


@pytest.mark.parametrize("environment", [None, "test"])
@pytest.mark.parametrize("words", [("run", "--", "true"), ("activate", "--shell", "sh")])
def test_whoever_goes_inside_ends_what_was_left(
    one: Services, words: tuple[str, ...], environment: str | None
) -> None:
    """The sealed script alone is what starts here: it sees that a supervisor is gone."""
    chosen = ("-e", environment) if environment else ()
    one.write(FAMILY + "[environments.test]\n")
    one.services("up", *chosen).succeeded()
    one.cape(words[0], *chosen, *words[1:]).succeeded()
    lose(one, one.home / "environments" / environment if environment else one.home)
    one.cape(words[0], *chosen, *words[1:]).succeeded()
    wait_until(lambda: one.marked() == [], timeout_s=3)


@pytest.mark.parametrize("text", ["", "x\n", "0\n", "999999999\n"])
def test_a_pid_that_is_none_keeps_nobody_outside(one: Services, text: str) -> None:
    one.write("[vars]\nA = '1'\n")
    one.cape("sync").succeeded()
    one.home.mkdir()
    (one.home / "pid").write_text(text)
    assert one.cape("run", "--", "sh", "-c", "echo $A").succeeded().stdout == "1\n"
    assert not (one.home / "pid").exists()
