"""Running services and changes of the project: a rollback moves them along, a sync says what it left."""

from __future__ import annotations

import json

from tests.services.conftest import Services, is_alive, wait_until

CALM = '[services.calm]\ncommand = "exec sleep 1000"\n'


def says(word: str, name: str = "a") -> str:
    """A service that says a word, and then runs until it is stopped."""
    return f'[services.{name}]\ncommand = "echo it is {word}; exec sleep 1000"\nready = {{ log = "it is" }}\n'


def pids(one: Services) -> dict[str, object]:
    return {name: row["pid"] for name, row in one.status().items()}


def test_rollback_restarts_what_it_changes_and_nothing_else(one: Services) -> None:
    one.write(says("first") + CALM)
    one.services("up").succeeded()
    before = pids(one)
    one.write(says("second") + CALM)
    told = one.cape("sync").succeeded().stderr
    assert "running as before this change: `a`; `cape services restart` moves it\n" in told
    assert pids(one) == before
    assert {name: row["is_current"] for name, row in one.status().items()} == {"a": False, "calm": True}
    one.services("up").succeeded()
    assert one.services("logs", "a", "-n", "1").stdout == "it is second\n"
    rolled = json.loads(one.cape("rollback", "--json").succeeded().stdout)
    assert (rolled["restarted"], rolled["stopped"], rolled["failures"]) == (["a"], [], [])
    assert one.services("logs", "a", "-n", "1").stdout == "it is first\n"
    assert pids(one)["calm"] == before["calm"]
    assert all(row["is_current"] for row in one.status().values())


def test_rollback_restarts_services_whose_variables_go_back(one: Services) -> None:
    text = '[services.a]\ncommand = "echo it is $WORD; exec sleep 1000"\nready = { log = "it is" }\n'
    one.write(text, before='[vars]\nWORD = "first"\n')
    one.cape("sync").succeeded()
    one.write(text, before='[vars]\nWORD = "second"\n')
    one.services("up").succeeded()
    told = one.cape("rollback").succeeded().stderr
    assert "a: ready\n" in told
    assert one.services("logs", "a", "-n", "1").stdout == "it is first\n"
    assert one.status()["a"]["generation"] == 1


def test_rollback_stops_services_that_the_generation_has_not(one: Services) -> None:
    one.write(CALM)
    one.cape("sync").succeeded()
    one.write(CALM + says("new"))
    one.services("up").succeeded()
    before = pids(one)
    rolled = json.loads(one.cape("rollback", "--json").succeeded().stdout)
    assert (rolled["restarted"], rolled["stopped"]) == ([], ["a"])
    assert pids(one) == {"calm": before["calm"]}
    one.cape("rollback", "2").succeeded()
    assert one.state("a") == "stopped", "what did not run is not started"


def test_rollback_leaves_services_alone_that_are_to_be_left_alone(one: Services) -> None:
    one.write(says("first"))
    one.cape("sync").succeeded()
    one.write(says("second"))
    one.services("up").succeeded()
    before = pids(one)
    told = one.cape("rollback", "--no-services").succeeded().stderr
    assert "running as before this change: `a`" in told
    assert pids(one) == before
    assert one.status()["a"]["is_current"] is False


def test_a_service_that_does_not_follow_is_told_and_the_rollback_stands(one: Services) -> None:
    one.write('[services.a]\ncommand = "echo no such luck; exit 3"\nrestart = "never"\n')
    one.cape("sync").succeeded()
    one.write(says("second"))
    one.services("up").succeeded()
    done = one.cape("rollback")
    assert done.code == 1
    assert "generation 1 is current" in done.stderr
    assert "warning: services did not follow" in done.stderr
    assert "service `a` failed: it gave exit code 3" in done.stderr and "no such luck" in done.stderr
    assert json.loads(one.cape("history", "--json").stdout)["current"] == 1


def test_services_of_another_environment_follow_too(one: Services) -> None:
    def text(word: str) -> str:
        return (
            f"{CALM}[environments.test]\n{says(word, 'x').replace('services', 'environments.test.services')}"
        )

    one.write(text("first"))
    one.cape("sync", "-e", "test").succeeded()
    one.write(text("second"))
    one.services("up", "-e", "test").succeeded()
    rolled = json.loads(one.cape("rollback", "--json").succeeded().stdout)
    assert rolled["restarted"] == ["x"]
    assert one.services("logs", "x", "-e", "test", "-n", "1").stdout == "it is first\n"
    one.services("down", "-e", "test").succeeded()


def test_the_hook_of_the_generation_has_run_before_its_services_start_again(one: Services) -> None:
    def text(word: str) -> str:
        return f"[hook]\non-activate = 'echo {word} >$CAPE_STATE/made'\n"

    service = (
        '[services.a]\ncommand = "echo $WORD: $(cat $CAPE_STATE/made); exec sleep 1000"\n'
        'ready = { log = ": " }\n'
    )
    one.write(service, before='[vars]\nWORD = "first"\n' + text("red"))
    one.cape("sync").succeeded()
    one.write(service, before='[vars]\nWORD = "second"\n' + text("blue"))
    one.services("up").succeeded()
    assert one.services("logs", "a", "-n", "1").stdout == "second: blue\n"
    one.cape("rollback").succeeded()
    assert one.services("logs", "a", "-n", "1").stdout == "first: red\n"


def test_what_depends_on_a_service_stops_before_it_and_starts_after_it(one: Services) -> None:
    """Both say when they come and go; the one that needs the other takes its time to stop."""

    def text(word: str) -> str:
        says_bye = "trap 'PAUSE; echo NAME-bye >>$CAPE_STATE/told; exit 0' TERM"

        def service(name: str, pause: str, more: str) -> str:
            trap = says_bye.replace("NAME", name).replace("PAUSE", pause)
            command = f"{trap}; echo {name}-{word} >>$CAPE_STATE/told; while :; do sleep 0.02; done"
            ready = f'ready = {{ command = "grep -q {name}-{word} $CAPE_STATE/told" }}\n'
            return f'[services.{name}]\ncommand = "{command}"\n{ready}{more}'

        return service("web", "sleep 0.3", 'depends-on = ["db"]\n') + service("db", ":", "")

    one.write(text("one"))
    one.cape("sync").succeeded()
    one.write(text("two"))
    one.services("up").succeeded()
    one.cape("rollback").succeeded()
    told = (one.directory / ".cape/state/told").read_text().split()
    assert told == ["db-two", "web-two", "web-bye", "db-bye", "db-one", "web-one"]


def test_down_ends_a_restart_that_is_under_way(one: Services) -> None:
    one.write(
        "[services.slow]\ncommand = \"trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.02; done\"\n" + CALM
    )
    one.services("up").succeeded()
    one.services("restart", "slow", "--no-wait").succeeded()
    one.services("down", "slow").succeeded()
    assert one.state("slow") == "stopped" and one.state("calm") == "ready"


def test_services_of_a_supervisor_that_says_less_are_judged_by_their_generation(one: Services) -> None:
    """A supervisor of an older cape does not say what a service is made of."""
    from cape.operations.project import Project
    from cape.operations.services import _known, _outdated

    one.write(CALM)
    one.cape("sync").succeeded()
    house = _known(Project(one.directory), None)
    row = {"name": "calm", "state": "ready", "generation": 1}
    assert _outdated(house, [row]) == frozenset()
    assert _outdated(house, [{**row, "generation": 7}]) == {"calm"}
    assert _outdated(house, [{**row, "generation": 7, "state": "stopped"}]) == frozenset()


def test_a_service_that_ends_while_it_waits_for_its_turn_is_started_again(one: Services) -> None:
    """`db` is told to restart, and ends by itself while `web`, which needs it, still takes its time."""
    one.write(
        '[services.db]\ncommand = "echo $$ >$CAPE_STATE/db; exec sleep 1000"\nrestart = "never"\n'
        "[services.web]\ncommand = \"trap 'kill $(cat $CAPE_STATE/db); sleep 0.4; exit 0' TERM;"
        ' while :; do sleep 0.02; done"\ndepends-on = ["db"]\n'
    )
    one.services("up").succeeded()
    before = pids(one)
    one.services("restart").succeeded()
    assert {row["state"] for row in one.status().values()} == {"ready"}
    after = pids(one)
    assert before["db"] != after["db"] and before["web"] != after["web"]
    wait_until(lambda: not is_alive(int(str(before["db"]))))
