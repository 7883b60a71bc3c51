"""Commands on a real cluster of two nodes: results, exit codes, a node that is killed, an interrupt."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.submitting.conftest import Away, Cluster, descendants, end_session

pytestmark = [pytest.mark.network, pytest.mark.slow]


def test_a_command_runs_there_and_its_results_lines_and_code_come_back(cluster: Cluster, away: Away) -> None:
    words = ("-n", "2", "--pass", "SENT", "--", "sh", "-c", './task "$CAPE_TASK"')
    done = away.submit("--on", cluster.address, "--json", *words, code=1)
    told = json.loads(done.stdout)
    assert told["nodes"] == 3 and told["code"] == 1
    assert [(task["task"], task["code"], task["starts"]) for task in told["tasks"]] == [(0, 0, 1), (1, 1, 1)]
    assert [task["files"] for task in told["tasks"]] == [[f"outputs/task-{n}/deep/result"] for n in range(2)]
    assert (away.directory / "outputs/task-1/deep/result").read_text() == "result 1\n"
    for number in range(2):
        said = f"[{number}] task {number} of 2, of the manifest, by name, cape.toml outputs task"
        assert said in done.stderr.splitlines() or f"{said} " in done.stderr.splitlines()
        assert f"[{number}] to stderr" in done.stderr


WAITING = """
echo $$ > "{place}/started.$$"
while ! test -e "{place}/go"; do sleep 0.1; done
echo done > "$CAPE_OUTPUTS/done"
"""


def started(place: Path, count: int) -> list[int]:
    """The processes of tasks that started, when there are so many."""
    deadline = time.monotonic() + 120
    while len(found := list(place.glob("started.*"))) < count:
        assert time.monotonic() < deadline, "it did not start"
        time.sleep(0.1)
    return [int(file.suffix[1:]) for file in found]


def test_an_interrupt_cancels_what_runs_there(cluster: Cluster, away: Away, tmp_path: Path) -> None:
    words = ("--on", cluster.address, "-n", "2", "--", "sh", "-c", WAITING.format(place=tmp_path))
    process = away.start(*words)
    running = started(tmp_path, 2)
    assert all(Path(f"/proc/{pid}").exists() for pid in running)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "cancelling what runs there" in err, err
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in running):
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.1)


def test_a_task_whose_node_is_killed_runs_again_on_another(
    cluster: Cluster, away: Away, tmp_path: Path
) -> None:
    words = ("--on", cluster.address, "--json", "--", "sh", "-c", WAITING.format(place=tmp_path))
    process = away.start(*words)
    (running,) = started(tmp_path, 1)
    (node,) = (one for one in cluster.workers if running in descendants(one.pid))
    end_session(node)
    started(tmp_path, 2)
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["tasks"][0]["starts"] == 2 and "attempt 2: the one before was lost" in err
    assert (away.directory / "outputs/done").read_text() == "done\n"
