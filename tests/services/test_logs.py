"""Logs hold what services said, byte for byte; times are kept apart, sizes bounded, a full disk survived."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.services.logs import Follower, LogFile, last_lines
from tests.services.conftest import Services, wait_until


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.binary(min_size=1, max_size=60), max_size=30), limit=st.integers(20, 200))
def test_what_is_kept_is_the_end_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
) -> None:
    directory = tmp_path_factory.mktemp("logs")
    log = LogFile(str(directory), "a", limit_bytes=limit, kept=3)
    for piece in pieces:
        log.write(piece)
    log.close()
    kept = [directory / f"a.log{suffix}" for suffix in (".2", ".1", "")]
    data = b"".join(file.read_bytes() for file in kept if file.exists())
    assert b"".join(pieces).endswith(data)
    assert all(file.stat().st_size <= max(limit, 60) for file in kept if file.exists())
    assert sum(1 for _ in directory.iterdir()) <= 6
    assert not pieces or data


def test_each_line_has_the_time_at_which_its_piece_came(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "a")
    before = time.time_ns() // 1_000_000
    log.write(b"one\ntwo\n")
    time.sleep(0.05)
    log.write(b"three\n")
    log.close()
    one, two, three = last_lines(str(tmp_path), "a", None)
    assert (one.text, two.text, three.text) == ("one", "two", "three")
    assert one.at_ms is not None and three.at_ms is not None
    assert before <= one.at_ms == two.at_ms <= three.at_ms - 40


def test_the_last_lines_reach_into_older_files(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "a", limit_bytes=10, kept=3)
    for number in range(6):
        log.write(f"line {number}\n".encode())
    log.close()
    assert [line.text for line in last_lines(str(tmp_path), "a", 2)] == ["line 4", "line 5"]
    assert [line.text for line in last_lines(str(tmp_path), "a", None)] == ["line 3", "line 4", "line 5"]


def test_a_follower_sees_each_line_once_through_rotations(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path), "a")
    assert follower.lines() == []
    log = LogFile(str(tmp_path), "a", limit_bytes=40, kept=3)
    seen = []
    for number in range(30):
        log.write(f"line {number}\n".encode())
        seen += follower.lines()
    log.close()
    assert seen == [f"line {number}" for number in range(30)]


def test_a_full_disk_loses_output_and_counts_it(one: Services) -> None:
    one.write("[services.a]\ncommand = 'while :; do echo something; sleep 0.05; done'\n")
    logs = one.home / "logs"
    logs.mkdir(parents=True)
    (logs / "a.log").symlink_to("/dev/full")
    one.services("up").succeeded()
    wait_until(lambda: one.status()["a"]["lost_log_bytes"] > 0)
    assert one.state("a") == "ready"
    assert "its log lost" in one.services("status").stdout


def test_logs_can_be_followed_before_the_start_and_end_with_ctrl_c(one: Services) -> None:
    one.write("[services.a]\ncommand = 'echo hello; exec sleep 1000'\n")
    one.cape("sync").succeeded()
    following = one.start("services", "logs", "a", "--follow")
    time.sleep(0.5)
    one.services("up").succeeded()
    assert following.stdout is not None
    assert following.stdout.readline() == "hello\n"
    following.send_signal(signal.SIGINT)
    _, told = following.communicate(timeout=10)
    assert following.returncode == 0
    assert told == ""


def test_logs_of_several_are_told_apart_and_json_has_times(one: Services) -> None:
    one.write(
        "[services.a]\ncommand = 'echo from a; echo more; exec sleep 1000'\nready = { log = 'more' }\n"
        "[services.b]\ncommand = 'echo from b >&2; exec sleep 1000'\nready = { log = 'from' }\n"
    )
    one.services("up").succeeded()
    assert one.services("logs").stdout == "a | from a\na | more\nb | from b\n"
    assert one.services("logs", "a", "-n", "1").stdout == "more\n"
    timed = one.services("logs", "b", "--times").stdout
    assert timed.startswith("20") and timed.endswith("Z from b\n")
    rows = json.loads(one.services("logs", "b", "--json").stdout)["lines"]
    assert [(row["service"], row["line"]) for row in rows] == [("b", "from b")]
    assert rows[0]["at"].endswith("Z")
    one.services("logs", "-n", "many").failed(2, "no number of lines")


def test_logs_remain_after_the_services_are_down(one: Services) -> None:
    one.write("[services.a]\ncommand = 'echo hello; exec sleep 1000'\nready = { log = 'hello' }\n")
    one.services("up").succeeded()
    one.services("down").succeeded()
    assert one.services("logs", "a").stdout == "hello\n"


def test_services_can_be_seen_and_stopped_though_the_manifest_is_broken(one: Services) -> None:
    one.write("[services.a]\ncommand = 'exec sleep 1000'\n")
    one.services("up").succeeded()
    (one.directory / "cape.toml").write_text("broken")
    for generation in (one.directory / ".cape/generations").glob("[0-9]*/cape.toml"):
        generation.chmod(0o600)
        generation.write_text("broken")
    assert one.state("a") == "ready"
    one.services("down").succeeded()
    assert one.marked() == []
