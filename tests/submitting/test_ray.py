"""Commands on a real cluster of two nodes: results, lines, exit codes, and a node that is killed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.submitting.conftest import Away, Cluster, descendants, end_session

pytestmark = [pytest.mark.network, pytest.mark.slow]


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


def test_tasks_run_there_and_one_whose_node_is_killed_runs_again_on_another(
    cluster: Cluster, away: Away, tmp_path: Path
) -> None:
    script = WAITING.format(place=tmp_path) + './task "$CAPE_TASK"'
    words = ("-n", "2", "--pass", "SENT", "--json", "--", "sh", "-c", script)
    process = away.start("--on", cluster.address, *words)
    running = started(tmp_path, 2)
    nodes = [one for one in cluster.workers if running[0] in descendants(one.pid)]
    end_session(nodes[0])
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=180)
    assert process.returncode == 1, err
    told = json.loads(out)
    assert told["nodes"] == 3 and [task["code"] for task in told["tasks"]] == [0, 1]
    assert sorted(task["starts"] for task in told["tasks"]) == [1, 2]
    assert "attempt 2: the one before was lost" in err
    files = [[f"outputs/task-{n}/deep/result", f"outputs/task-{n}/done"] for n in range(2)]
    assert [task["files"] for task in told["tasks"]] == files
    assert (away.directory / "outputs/task-1/deep/result").read_text() == "result 1\n"
    for number in range(2):
        said = f"[{number}] task {number} of 2, of the manifest, by name, cape.toml outputs task"
        assert any(line.rstrip() == said for line in err.splitlines()), err
        assert f"[{number}] to stderr" in err
