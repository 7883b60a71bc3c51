"""The progress bar: what a terminal shows, and that nothing else shows it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time

import pytest

from cape.cli import progress
from cape.cli.progress import TerminalProgress
from cape.sources.protocol import NO_PROGRESS

STAGES = """
import time
from cape.cli import progress
progress._DELAY_S = 0.05
progress._REDRAW_S = 0.02
bar = progress.progress(quiet=False)
bar.start("downloading", 2_000_000, unit="B")
bar.advance(500_000)
time.sleep(0.2)
bar.finish()
bar.start("linking", 0)
time.sleep(0.2)
bar.finish()
bar.start("quick", 3)
bar.finish()
print("after")
"""


def in_a_terminal(**variables: str) -> str:
    """What a terminal of 80 columns gets from the stages above."""
    try:
        main, other = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal can be made here: {error}")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LANG": "C.UTF-8", **variables}
    process = subprocess.Popen([sys.executable, "-c", STAGES], stdout=other, stderr=other, env=environment)
    os.close(other)
    shown = bytearray()
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    assert process.wait() == 0
    return shown.decode()


def test_bar_is_drawn_in_place_and_wiped() -> None:
    shown = in_a_terminal(NO_COLOR="")
    assert (
        "\r\x1b[Kdownloading \x1b[36m━━━━━━━\x1b[0m─────────────────────  500 kB/2.0 MB".replace("  ", " ")
        in shown
    )
    assert "linking 0." in shown
    assert "quick" not in shown, "a stage that is over within a second is not shown"
    assert shown.endswith("\r\x1b[Kafter\r\n")


def test_no_color_leaves_the_bar_and_takes_the_colours() -> None:
    shown = in_a_terminal(NO_COLOR="1")
    assert "downloading ━━━━━━━─────────────────────" in shown
    assert "\x1b[36m" not in shown


def test_dumb_terminal_gets_none() -> None:
    assert in_a_terminal(TERM="dumb") == "after\r\n"


def test_without_a_terminal_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress.progress(quiet=False) is NO_PROGRESS


@pytest.mark.parametrize("columns", [1, 20, 40, 80, 200])
def test_line_is_never_wider_than_the_terminal_if_that_is_possible(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    bar = TerminalProgress()
    bar.start("unpacking", 81)
    bar.advance(40)
    line = bar.line(time.monotonic())
    bar.finish()
    assert len(line) < max(columns, len("unpacking  40/81  0.0 s") + 1)
