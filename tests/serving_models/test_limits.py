"""How a server is held to its memory: the kernel's own refusals, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cape.operations.serving_models import is_embedder, limit_for
from cape.services.asked import FILE, asked_tables, forget_tables, keep_table

LIMIT = 96 << 20
TAKES = """
import sys
from cape.serving import llama
llama.GROUPS = sys.argv[2] or llama.GROUPS
print(llama.limit_memory(int(sys.argv[1])), flush=True)
try:
    held = [bytearray(b"x" * (1 << 20)) for _ in range(int(sys.argv[3]))]
except MemoryError:
    print("refused", flush=True)
llama.leave_group()
"""


def taking(megabytes: int, *, groups: str = "", limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """A process that holds itself to a limit, then takes so many megabytes."""
    words = [sys.executable, "-c", TAKES, str(limit), groups, str(megabytes)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)


def test_process_without_control_groups_is_refused_more_than_its_limit(tmp_path: Path) -> None:
    """Room for the stacks of threads comes on top: it is no memory until it is used."""
    done = taking(2000, groups=str(tmp_path / "none"))
    first, *more = done.stdout.splitlines()
    assert first.endswith("bytes of data, by a limit of the process")
    assert more == ["refused"], done.stderr
    fits = taking(20, groups=str(tmp_path / "none"))
    assert "refused" not in fits.stdout
    assert fits.returncode == 0


def test_control_group_ends_what_takes_more_and_the_next_one_clears_up() -> None:
    fits = taking(20)
    if "control group" not in fits.stdout:
        pytest.skip("this user may make no control group here")
    assert fits.returncode == 0, fits.stderr
    group = Path(fits.stdout.rpartition("control group ")[2].strip())
    assert not group.exists(), "it is removed at the end"
    ended = taking(300)
    assert ended.returncode == -signal.SIGKILL
    left = Path(ended.stdout.rpartition("control group ")[2].strip())
    assert left.exists(), "nobody was there to remove it"
    taking(1)
    assert not left.exists()


def test_nothing_is_limited_where_no_limit_was_asked_for() -> None:
    assert taking(1, limit=0).stdout == "None\n"


def test_directory_that_is_no_tree_of_groups_is_left_as_it_was(tmp_path: Path) -> None:
    done = taking(1, groups=str(tmp_path))
    assert "by a limit of the process" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_limit_has_room_beyond_the_sum() -> None:
    assert limit_for(1000 << 20) == (1100 << 20) + (64 << 20)


def test_embedder_is_known_by_its_pooling_or_its_architecture(tmp_path: Path) -> None:
    from cape.models.recognition import read_header
    from tests.serving_models.tiny import decoder, embedder

    for name, data, gives in (("e", embedder(), True), ("d", decoder(), False)):
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(data)
        assert is_embedder(read_header(file)) is gives


def test_tables_that_were_asked_for_are_kept_until_they_are_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "services"
    assert asked_tables(home) == {}
    keep_table(home, "model-a", {"command": "true"})
    keep_table(home, "model-b", {"command": "false"})
    keep_table(home, "model-a", {"command": "sleep 1"})
    assert asked_tables(home) == {"model-a": {"command": "sleep 1"}, "model-b": {"command": "false"}}
    forget_tables(home, ("model-a", "unknown"))
    assert list(asked_tables(home)) == ["model-b"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "\xff"])
def test_tables_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    assert asked_tables(tmp_path) == {}
    keep_table(tmp_path, "a", {"command": "true"})
    assert list(asked_tables(tmp_path)) == ["a"]
