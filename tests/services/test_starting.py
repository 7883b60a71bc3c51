"""Order, readiness, ports, restarts: what `cape services up` waits for, and what it says when it fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path

from tests.services.conftest import Services, is_alive, wait_until

SLEEP = '"exec sleep 1000"'


def test_a_service_waits_until_what_it_depends_on_is_ready(one: Services) -> None:
    one.write(
        '[services.web]\ncommand = "test -e $CAPE_STATE/ready || exit 9; exec sleep 1000"\n'
        'depends-on = ["db"]\n'
        "[services.db]\n"
        'command = "sleep 0.3; mkdir -p $CAPE_STATE; touch $CAPE_STATE/ready; exec sleep 1000"\n'
        'ready = { command = "test -e $CAPE_STATE/ready" }\n'
    )
    done = one.services("up", "web").succeeded()
    assert done.stderr.index("db: ready") < done.stderr.index("web: starting")
    rows = one.status()
    assert rows["db"]["ready"] <= rows["web"]["started"]


def test_services_stop_before_what_they_depend_on(one: Services) -> None:
    one.write(
        f'[services.db]\ncommand = {SLEEP}\n[services.web]\ncommand = {SLEEP}\ndepends-on = ["db"]\n'
        f'[services.proxy]\ncommand = {SLEEP}\ndepends-on = ["web"]\n'
    )
    one.services("up").succeeded()
    told = one.services("down").succeeded().stderr
    assert told.index("proxy: stopped") < told.index("web: stopped") < told.index("db: stopped")


def test_only_named_services_and_what_they_need_are_started(one: Services) -> None:
    one.write(
        f'[services.db]\ncommand = {SLEEP}\n[services.web]\ncommand = {SLEEP}\ndepends-on = ["db"]\n'
        f"[services.other]\ncommand = {SLEEP}\n"
    )
    one.services("up", "web").succeeded()
    assert {name: row["state"] for name, row in one.status().items()} == {
        "db": "ready",
        "web": "ready",
        "other": "stopped",
    }
    one.services("down", "web").succeeded()
    assert one.state("web") == "stopped"
    assert one.state("db") == "ready"


def test_an_unknown_name_is_refused_with_the_nearest(one: Services) -> None:
    one.write(f"[services.database]\ncommand = {SLEEP}\n")
    for verb in ("up", "restart", "down", "status", "logs"):
        one.services(verb, "databse").failed(1, "no service `databse`", "did you mean `database`?")


def test_a_project_without_services_says_so(one: Services) -> None:
    one.write("")
    one.services("up").failed(1, "no service")
    assert one.services("status").succeeded().stdout == "no services\n"


def test_a_port_that_is_opened_is_readiness(one: Services) -> None:
    one.write(
        '[services.web]\ncommand = "sleep 0.2; exec python3 -m http.server $PORT --bind 127.0.0.1"\n'
        "ports = { http = 0 }\n"
    )
    one.services("up").succeeded()
    port = one.status()["web"]["ports"]["http"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert answer.status == 200


def test_http_is_ready_when_it_answers_well(one: Services) -> None:
    one.write(
        '[services.web]\ncommand = "exec python3 -m http.server $PORT_MAIN --bind 127.0.0.1"\n'
        'ports = { other = 0, main = 0 }\nready = { http = "/there", port = "main", timeout = 1 }\n'
    )
    one.services("up").failed(1, "not ready within 1 s", "answers 404")
    (one.directory / "there").write_text("yes")
    one.services("up").succeeded()


def test_a_line_of_the_log_is_readiness(one: Services) -> None:
    one.write(
        "[services.a]\ncommand = \"sleep 0.2; printf 'now read'; sleep 0.1; echo y 42; exec sleep 1000\"\n"
        "ready = { log = 'ready \\d+' }\n"
    )
    one.services("up").succeeded()
    assert one.state("a") == "ready"


def test_a_service_that_is_never_ready_fails_with_cause_and_last_lines(one: Services) -> None:
    one.write(
        '[services.db]\ncommand = "echo cannot open the door; exec sleep 1000"\n'
        'ready = { command = "exit 3", timeout = 0.4 }\n'
        f'[services.web]\ncommand = {SLEEP}\ndepends-on = ["db"]\n'
    )
    done = one.services("up").failed(
        1, "service `db` failed", "not ready within 0.4 s", "`exit 3` gave exit code 3"
    )
    assert "cannot open the door" in done.stderr
    assert "`web` failed: `db`, which it depends on, is not ready" in done.stderr
    assert one.state("db") == "failed"
    assert one.marked() == []


def test_a_probe_that_hangs_is_ended(one: Services) -> None:
    one.write(f'[services.a]\ncommand = {SLEEP}\nready = {{ command = "sleep 7777", timeout = 0.5 }}\n')
    one.services("up").failed(1, "not ready within 0.5 s")
    wait_until(lambda: one.marked() == [])


def test_a_command_that_is_not_there_is_told_at_once(one: Services) -> None:
    one.write('[services.a]\ncommand = "no-such-program --port 1"\n')
    before = time.monotonic()
    one.services("up").failed(1, "command was not found", "no-such-program")
    assert time.monotonic() - before < 6  # Starting it again and again would take longer.
    assert one.status()["a"]["exit_code"] == 127
    assert one.status()["a"]["restarts"] == 0


def test_a_directory_that_is_not_there_is_told(one: Services) -> None:
    one.write(f'[services.a]\ncommand = {SLEEP}\ndirectory = "nowhere"\n')
    one.services("up").failed(1, "service `a` failed", "nowhere")


def test_a_taken_port_names_who_has_it(one: Services) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one.write(f"[services.a]\ncommand = {SLEEP}\nports = {{ http = {port} }}\n")
        one.services("up").failed(1, f"port {port} is taken by", f"(pid {os.getpid()})")
    one.write(
        f"[services.a]\ncommand = {SLEEP}\nports = {{ http = {port} }}\nready = {{ command = 'true' }}\n"
    )
    one.services("up").succeeded()


def test_free_ports_stay_the_same_and_are_told_to_all(one: Services) -> None:
    one.write(
        '[services.a]\ncommand = "echo own $PORT $PORT_HTTP; exec sleep 1000"\n'
        "ports = { http = 0, admin = 0 }\n"
        'ready = { log = "own" }\n'
        '[services.b]\ncommand = "echo theirs $CAPE_PORT_A_HTTP $CAPE_PORT_A_ADMIN; exec sleep 1000"\n'
        'ready = { log = "theirs" }\ndepends-on = ["a"]\n'
    )
    one.services("up").succeeded()
    ports = one.status()["a"]["ports"]
    assert f"own {ports['http']} {ports['http']}" in one.services("logs", "a").stdout
    assert f"theirs {ports['http']} {ports['admin']}" in one.services("logs", "b").stdout
    one.services("restart").succeeded()
    assert one.status()["a"]["ports"] == ports
    one.services("down").succeeded()
    one.services("up").succeeded()
    assert one.status()["a"]["ports"] == ports


def test_a_free_port_that_was_taken_since_is_another(one: Services) -> None:
    one.write(f"[services.a]\ncommand = {SLEEP}\nports = {{ http = 0 }}\nready = {{ command = 'true' }}\n")
    one.services("up").succeeded()
    port = one.status()["a"]["ports"]["http"]
    one.services("down").succeeded()
    with socket.socket() as taken:
        taken.bind(("", port))
        taken.listen()
        one.services("up").succeeded()
        assert one.status()["a"]["ports"]["http"] != port


def test_a_crashing_service_is_started_again_with_pauses_and_then_fails(one: Services) -> None:
    one.write(
        '[services.a]\ncommand = "date +%s.%N >>$CAPE_PROJECT/starts; echo crash; sleep 0.1; exit 3"\n'
        'restart-limit = 2\nready = { log = "never", timeout = 20 }\n'
    )
    done = one.services("up").failed(1, "it gave exit code 3; it was started 3 times", "crash")
    assert "a: will be started again (it gave exit code 3)" in done.stderr
    first, second, third = map(float, (one.directory / "starts").read_text().split())
    assert second - first >= 0.3
    assert third - second >= 0.5
    row = one.status()["a"]
    assert (row["state"], row["restarts"], row["exit_code"]) == ("failed", 2, 3)


def test_a_killed_service_is_ready_again_after_a_pause(one: Services) -> None:
    one.write(f"[services.a]\ncommand = {SLEEP}\n")
    one.services("up").succeeded()
    first = one.status()["a"]["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: one.status()["a"]["state"] == "ready" and one.status()["a"]["pid"] != first)
    assert one.status()["a"]["restarts"] == 1


def test_restart_never_and_always_are_kept_to(one: Services) -> None:
    one.write(
        '[services.never]\ncommand = "sleep 0.2; exit 4"\nrestart = "never"\n'
        '[services.always]\ncommand = "sleep 0.2"\nrestart = "always"\nrestart-limit = 100\n'
    )
    one.services("up").succeeded()
    wait_until(lambda: one.state("never") == "failed")
    wait_until(lambda: one.status()["always"]["restarts"] >= 2)
    assert one.status()["never"]["reason"] == "it gave exit code 4"


def test_a_short_lived_service_shows_exit_code_and_time(one: Services) -> None:
    one.write("[services.a]\ncommand = 'echo done'\n")
    one.services("up").succeeded()
    row = one.status()["a"]
    assert (row["state"], row["exit_code"]) == ("exited", 0)
    assert row["started"] <= row["ended"]
    assert "exited (exit code 0)" in one.services("status").stdout
    one.services("down").succeeded()
    assert one.status()["a"]["exit_code"] == 0


def test_a_second_up_leaves_running_services_alone_and_restarts_changed_ones(one: Services) -> None:
    one.write(
        f"[services.a]\ncommand = {SLEEP}\n[services.b]\ncommand = {SLEEP}\n[services.c]\ncommand = {SLEEP}\n"
    )
    one.services("up").succeeded()
    before = {name: row["pid"] for name, row in one.status().items()}
    one.services("up").succeeded()
    assert {name: row["pid"] for name, row in one.status().items()} == before
    one.write(f"[services.a]\ncommand = {SLEEP}\n[services.b]\ncommand = 'exec sleep 1001'\n")
    one.services("up").succeeded()
    after = one.status()
    assert after["a"]["pid"] == before["a"]
    assert after["b"]["pid"] != before["b"]
    wait_until(lambda: not is_alive(before["c"]))


def test_status_says_which_generation_and_restart_moves_it(one: Services) -> None:
    one.write(
        "[services.a]\ncommand = 'echo it is $WORD; exec sleep 1000'\nready = { log = 'it is' }\n",
        before='[vars]\nWORD = "first"\n',
    )
    one.services("up").succeeded()
    one.write(
        "[services.a]\ncommand = 'echo it is $WORD; exec sleep 1000'\nready = { log = 'it is' }\n",
        before='[vars]\nWORD = "second"\n',
    )
    one.cape("sync").succeeded()
    row = one.status()["a"]
    assert (row["generation"], row["is_current"]) == (1, False)
    assert "1 (restart moves it)" in one.services("status").stdout
    one.services("restart").succeeded()
    row = one.status()["a"]
    assert (row["generation"], row["is_current"]) == (2, True)
    assert one.services("logs", "a", "-n", "1").stdout == "it is second\n"
    one.cape("rollback").succeeded()
    assert one.services("logs", "a", "-n", "1").stdout == "it is first\n"
    row = one.status()["a"]
    assert (row["generation"], row["is_current"]) == (1, True)


def test_running_services_keep_their_generation_in_use(one: Services) -> None:
    from cape.operations.services import generations_in_use

    one.write(f"[services.a]\ncommand = {SLEEP}\n")
    one.services("up").succeeded()
    one.write(f"[services.a]\ncommand = {SLEEP}\n", before='[vars]\nA = "1"\n')
    one.cape("sync").succeeded()
    assert generations_in_use(one.directory) == {1}
    one.services("down").succeeded()
    assert generations_in_use(one.directory) == frozenset()


def test_variables_of_a_service_are_its_own_and_none_leak_from_the_shell(one: Services) -> None:
    one.write(
        "[services.a]\ncommand = 'env; echo; echo end; exec sleep 1000'\nready = { log = 'end' }\n"
        "[services.a.vars]\nOWN = \"${WORD} and ${PORT}\"\nWORD = 'inner'\n[services.a.ports]\nx = 0\n"
        "[services.b]\ncommand = 'env; echo end; exec sleep 1000'\nready = { log = 'end' }\n",
        before='[vars]\nWORD = "outer"\n',
    )
    one.services("up", LEAKED="secret", LD_PRELOAD_NOT="x", PYTHONPATH="/leaked").succeeded()
    told = dict(line.split("=", 1) for line in one.services("logs", "a").stdout.splitlines() if "=" in line)
    assert told["OWN"] == f"inner and {one.status()['a']['ports']['x']}"
    assert told["WORD"] == "inner"
    assert not {"LEAKED", "PYTHONPATH", "LD_PRELOAD_NOT"} & told.keys()
    other = one.services("logs", "b").stdout
    assert "WORD=outer" in other
    assert "OWN=" not in other


def test_no_value_of_a_variable_is_in_status_or_words_of_a_process(one: Services) -> None:
    one.write(
        f"[services.a]\ncommand = {SLEEP}\nvars = {{ TOKEN = 'xyzzy-7' }}\n", before="[vars]\nKEY='plugh-8'\n"
    )
    one.services("up").succeeded()
    shown = one.services("status", "--json").stdout + (one.home / "status.json").read_text()
    words = b"".join(
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if is_alive(int(path.parent.name))
    )
    assert "xyzzy-7" not in shown and "plugh-8" not in shown
    assert b"xyzzy-7" not in words and b"plugh-8" not in words


def test_up_without_waiting_returns_at_once(one: Services) -> None:
    one.write(f"[services.a]\ncommand = {SLEEP}\nready = {{ command = 'sleep 1', timeout = 20 }}\n")
    one.services("up", "--no-wait").succeeded()
    assert one.state("a") == "starting"


def test_services_cannot_be_started_from_inside_a_hook(one: Services) -> None:
    from tests.end_to_end.harness import CAPE

    one.write(
        f"[services.a]\ncommand = {SLEEP}\n",
        before=f'[hook]\non-activate = "{CAPE} services up"\n',
    )
    done = one.cape("run", "--", "true")
    assert done.code != 0
    assert "from inside a hook" in done.stderr


def test_the_hook_has_run_before_services_start_and_its_failure_is_told(one: Services) -> None:
    one.write(
        "[services.a]\ncommand = 'cat $CAPE_STATE/made; exec sleep 1000'\nready = { log = 'by the hook' }\n",
        before="[hook]\non-activate = 'mkdir -p $CAPE_STATE; echo by the hook >$CAPE_STATE/made'\n",
    )
    one.services("up").succeeded()
    one.services("down").succeeded()
    one.write(
        f"[services.a]\ncommand = {SLEEP}\n", before="[hook]\non-activate = 'echo broken >&2; exit 5'\n"
    )
    one.services("up").failed(1, "cannot be entered", "broken")


def test_services_of_another_environment_have_a_supervisor_of_their_own(one: Services) -> None:
    one.write(
        f"[services.a]\ncommand = {SLEEP}\n[environments.test.services.b]\ncommand = 'exec sleep 2000'\n"
    )
    one.services("up", "-e", "test").succeeded()
    told = json.loads(one.services("status", "-e", "test", "--json").stdout)
    assert {row["name"]: row["state"] for row in told["services"]} == {"a": "ready", "b": "ready"}
    assert one.state("a") == "stopped"
    one.services("down", "-e", "test").succeeded()
    assert one.marked() == []


def test_a_service_of_another_system_is_not_there(one: Services) -> None:
    one.write(
        f"[services.a]\ncommand = {SLEEP}\n[services.mac]\ncommand = {SLEEP}\nsystems = ['aarch64-darwin']\n"
    )
    one.services("up").succeeded()
    assert list(one.status()) == ["a"]


def test_a_daemon_that_leaves_nothing_in_the_background_has_failed(one: Services) -> None:
    one.write(
        "[services.a]\ncommand = 'exit 0'\ndaemon = true\nrestart = 'never'\nready = { log = 'never' }\n"
    )
    one.services("up").failed(1, "left no process in the background")


def test_a_daemon_that_ends_is_seen(one: Services) -> None:
    one.write("[services.a]\ncommand = '(setsid sleep 0.5 &)'\ndaemon = true\nrestart = 'never'\n")
    one.services("up").succeeded()
    wait_until(lambda: one.state("a") == "failed")
    assert one.status()["a"]["reason"] == "its process in the background ended"
