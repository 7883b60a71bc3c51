"""Directories that tools work in: what a killed process left goes, what a running one uses stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cape.sources import tools
from cape.sources.tools import workplace

HOLD = """
import sys
from pathlib import Path
from cape.sources.tools import workplace
with workplace(Path(sys.argv[1]), "uv") as place:
    print(place, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_swept", set())


def _holder(cache: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, cache], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    place = Path(process.stdout.readline().strip())
    os.utime(place, (0, 0))
    return process, place


def test_a_workplace_is_gone_after_the_block(tmp_path: Path) -> None:
    with workplace(tmp_path / "cache", "uv") as place:
        (place / "file").write_text("x")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    process, left = _holder(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left.is_dir()
    with workplace(tmp_path, "uv"):
        assert not left.exists()


def test_what_a_running_process_uses_stays(tmp_path: Path) -> None:
    process, used = _holder(tmp_path)
    with workplace(tmp_path, "uv"):
        assert used.is_dir()
    process.communicate("")
    assert not used.exists()


def test_a_directory_that_was_just_made_stays(tmp_path: Path) -> None:
    (tmp_path / "uv-new").mkdir()
    with workplace(tmp_path, "uv"):
        assert (tmp_path / "uv-new").is_dir()
