"""Whatever happens to an index, it is the old one or the new one, or the damage is named."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cape.errors import CapeError
from cape.knowledge.index.errors import IndexDamaged, IndexNotWritable, IndexTooNew
from cape.knowledge.index.reader import open_index
from cape.knowledge.index.verification import verify
from cape.knowledge.index.writer import IndexWriter
from tests.knowledge.builders import HashEmbedder, build

EVERYONE = frozenset({"everyone"})
OLD = {f"{n:02}.md": f"Old text number {n} about buoys.\nMore of it." for n in range(12)}
NEW = {**OLD, **{f"{n:02}.md": f"New text number {n} about anchors." for n in range(6, 18)}}
ROOT = Path(__file__).parent.parent.parent


def digest_of(directory: Path) -> str:
    with open_index(directory, "base") as index:
        for group in (index.search_words("buoys anchors", EVERYONE, 50),):
            assert len(index.chunks([hit.chunk for hit in group])) == len(group)
        return index.generation.digest.hex


# -- killed -------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
from pathlib import Path
from tests.knowledge import builders, test_index_faults as t

class Slow(builders.HashEmbedder):
    def embed(self, texts):
        time.sleep(0.004 * len(texts))
        Path(sys.argv[2]).open("a").write("".join(f"embed {x!r}\\n" for x in texts))
        return super().embed(texts)

def add(self, document, add=builders.IndexWriter.add):
    time.sleep(0.01)
    count = add(self, document)
    Path(sys.argv[2]).open("a").write(f"read {document.path}\\n")
    return count

builders.IndexWriter.add = add
print("begun", flush=True)
builders.build(Path(sys.argv[1]), t.NEW, embedder=Slow())
"""


def test_killed_at_any_moment_the_index_is_old_or_new_and_nothing_is_done_twice(tmp_path: Path) -> None:
    directory, log = tmp_path / "index", tmp_path / "log"
    build(directory, OLD, embedder=HashEmbedder())
    old = digest_of(directory)
    new = build(tmp_path / "other", NEW, embedder=HashEmbedder()).generation.digest.hex
    choose = random.Random(int(os.environ.get("CAPE_TEST_SEED", "11")))
    kills = 0
    while digest_of(directory) == old:
        running = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, directory, log], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None and running.stdout.readline() == "begun\n"
        try:
            running.wait(timeout=choose.uniform(0.02, 0.35))
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            kills += 1
        running.stdout.close()
        assert digest_of(directory) in (old, new)
        assert kills < 60
    assert kills > 0
    assert digest_of(directory) == new
    done = log.read_text().splitlines()
    reads = [line for line in done if line.startswith("read ")]
    assert len(set(reads)) == 12 and len(reads) - len(set(reads)) <= kills
    with open_index(directory, "base") as index:
        assert verify(index, embedder=HashEmbedder(), sample=50).problems == ()


STEPS = ["_drop_abandoned", "_segments", "_replace_segments", "_forget_paths", "_tidy"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_of_publishing_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    build(tmp_path, OLD, embedder=HashEmbedder())
    old = digest_of(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(IndexWriter, step, fail)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path, NEW, embedder=HashEmbedder())
    between = digest_of(tmp_path)
    done = build(tmp_path, NEW, embedder=HashEmbedder())
    assert between == (done.generation.digest.hex if step == "_tidy" else old)
    with open_index(tmp_path, "base") as index:
        assert verify(index, embedder=HashEmbedder(), sample=50).problems == ()


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cape.knowledge.index.writer import held_index\n"
        "with held_index(Path(sys.argv[1]), 'base'):\n    print('held', flush=True)\n    time.sleep(0.6)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    began = time.monotonic()
    build(tmp_path, OLD)
    assert time.monotonic() - began > 0.3
    holder.wait()
    holder.stdout.close()


# -- damaged ------------------------------------------------------------------------------------------


def flip(file: Path, at: float = 0.5) -> None:
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 0x5A
    file.write_bytes(bytes(data))


def database(directory: Path) -> Path:
    return directory / "index.sqlite"


def segment(directory: Path, kind: str) -> Path:
    return next((directory / "segments").glob(f"*.{kind}"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda directory: database(directory).write_bytes(b"no database at all" * 99),
    "truncated": lambda directory: os.truncate(database(directory), 9000),
    "words truncated": lambda directory: os.truncate(segment(directory, "words"), 60),
    "words empty": lambda directory: os.truncate(segment(directory, "words"), 0),
    "words gone": lambda directory: segment(directory, "words").unlink(),
    "vectors truncated": lambda directory: os.truncate(segment(directory, "vectors"), 60),
    "codes gone": lambda directory: segment(directory, "codes").unlink(),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_file_is_named_with_the_command_that_rebuilds(tmp_path: Path, damage: str) -> None:
    build(tmp_path, OLD, embedder=HashEmbedder())
    DAMAGES[damage](tmp_path)
    with pytest.raises(IndexDamaged) as caught:
        digest_of(tmp_path)
    assert "`base` is damaged" in caught.value.fact and str(tmp_path) in (caught.value.where or "")
    assert "cape index base --rebuild" in (caught.value.hint or "")
    build(tmp_path, NEW, embedder=HashEmbedder(), rebuild=True)
    with open_index(tmp_path, "base") as index:
        assert verify(index, embedder=HashEmbedder(), sample=50).problems == ()


@pytest.mark.parametrize("kind", ["words", "vectors", "codes"])
def test_a_flipped_byte_of_a_derived_file_is_found_by_verifying(tmp_path: Path, kind: str) -> None:
    build(tmp_path, OLD, embedder=HashEmbedder())
    file = segment(tmp_path, kind)
    flip(file, 0.9)
    with open_index(tmp_path, "base") as index:
        problems = verify(index, embedder=HashEmbedder(), sample=50).problems
    assert problems == (f"the bytes of `{file.name}` are not what its name says",)


def test_a_changed_chunk_is_found_by_verifying(tmp_path: Path) -> None:
    import sqlite3

    build(tmp_path, OLD)
    with sqlite3.connect(database(tmp_path)) as connection:
        body = bytearray(connection.execute("SELECT body FROM chunk WHERE id = 3").fetchone()[0])
        body[len(body) // 2] ^= 1
        connection.execute("UPDATE chunk SET body = ? WHERE id = 3", (bytes(body),))
    connection.close()
    with open_index(tmp_path, "base") as index:
        assert any(
            "chunk 0 of `02.md`" in problem for problem in verify(index, embedder=None, sample=0).problems
        )
        with pytest.raises(IndexDamaged, match=r"a chunk of `02\.md`"):
            index.chunks([2])


def test_every_flipped_byte_of_the_database_is_an_error_of_ours_or_found(tmp_path: Path) -> None:
    """Or it lies where nothing is kept: free pages, and room within pages."""
    build(tmp_path / "whole", OLD)
    whole = digest_of(tmp_path / "whole")
    choose = random.Random(3)
    for number in range(40):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", directory)
        flip(database(directory), choose.random())
        try:
            with open_index(directory, "base") as index:
                if verify(index, embedder=None, sample=0).problems == ():
                    assert index.generation.digest.hex == whole
        except CapeError:
            pass


def test_an_index_of_a_newer_cape_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    build(tmp_path, OLD)
    connection = sqlite3.connect(database(tmp_path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for action in (lambda: digest_of(tmp_path), lambda: build(tmp_path, NEW, rebuild=True)):
        with pytest.raises(IndexTooNew, match="has format 99"):
            action()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    build(tmp_path, OLD)
    for place in (tmp_path, database(tmp_path)):
        place.chmod(0o555)
    try:
        assert digest_of(tmp_path)
        with pytest.raises(IndexNotWritable):
            build(tmp_path, NEW)
    finally:
        tmp_path.chmod(0o755)
