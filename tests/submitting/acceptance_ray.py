"""What ends a job early, on a real cluster of two nodes. `make acceptance` runs this: it takes a minute."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.submitting.conftest import Away, Cluster
from tests.submitting.test_ray import WAITING, started

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_and_an_end_cancel_what_runs_there(
    cluster: Cluster, away: Away, tmp_path: Path, ended_by: signal.Signals
) -> None:
    words = ("--on", cluster.address, "-n", "2", "--", "sh", "-c", WAITING.format(place=tmp_path))
    process = away.start(*words)
    running = started(tmp_path, 2)
    assert all(Path(f"/proc/{pid}").exists() for pid in running)
    process.send_signal(ended_by)
    _, err = process.communicate(timeout=120)
    if ended_by is signal.SIGINT:
        assert process.returncode == 130 and "cancelling what runs there" in err, err
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in running):
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.1)


def test_a_task_that_no_node_has_room_for_is_refused(cluster: Cluster, away: Away) -> None:
    refused = away.submit("--on", cluster.address, "--cpus", "64", "--", "true", code=1)
    assert "one task takes 64 CPU" in refused.stderr and "the most is 1 CPU" in refused.stderr


def test_another_version_of_ray_is_named(cluster: Cluster, away: Away) -> None:
    refused = away.submit("--on", cluster.address, "--ray", "2.59.0", "--", "true", code=1)
    assert "has other versions than the client, which has Ray 2.59.0" in refused.stderr
