from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cape.errors import DiskFull
from cape.names import Digest
from cape.store import Batch, ObjectDamaged, Store

KEY = Digest.of(b"one")
OTHER = Digest.of(b"other")


def build(tree: Path) -> Mapping[str, Any]:
    (tree / "root/usr/bin").mkdir(parents=True)
    (tree / "root/usr/bin/tool").write_text("#!/bin/sh\necho tool\n")
    (tree / "root/usr/bin/tool").chmod(0o4755)
    (tree / "root/usr/bin/alias").symlink_to("tool")
    (tree / "root/odd\n\\name").write_text("")
    return {"private": []}


def test_an_object_is_sealed_read_only_and_reads_back(tmp_path: Path) -> None:
    made = Store(tmp_path).objects.obtain(KEY, build)
    again = Store(tmp_path).objects.get(KEY)
    assert again == made
    assert (made.tree / "root/usr/bin/tool").stat().st_mode & 0o7777 == 0o555
    assert [entry.path for entry in made.listing()] == [
        "root", "root/odd\n\\name", "root/usr", "root/usr/bin", "root/usr/bin/alias", "root/usr/bin/tool",
    ]  # fmt: skip
    made.verify()


def test_an_object_is_built_once(tmp_path: Path) -> None:
    built: list[Path] = []
    store = Store(tmp_path)
    for _ in range(2):
        store.objects.obtain(KEY, lambda tree: built.append(tree) or {})
    assert len(built) == 1


def test_a_builder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(tree: Path) -> Mapping[str, Any]:
        (tree / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.objects.obtain(KEY, fail)
    assert os.listdir(store.objects.root) == []
    assert os.listdir(tmp_path / "leases") == []
    assert store.objects.obtain(KEY, build).files == 3


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "mode"])
def test_verification_names_what_was_changed(tmp_path: Path, damage: str) -> None:
    made = Store(tmp_path).objects.obtain(KEY, build)
    tool = made.tree / "root/usr/bin/tool"
    if damage == "changed":
        tool.chmod(0o755)
        tool.write_text("#!/bin/sh\necho evil\n")
        tool.chmod(0o555)
    elif damage == "removed":
        tool.unlink()
    elif damage == "added":
        (made.tree / "root/new").write_text("x")
    else:
        tool.chmod(0o444)
    with pytest.raises(ObjectDamaged, match="root/new" if damage == "added" else "root/usr/bin/tool"):
        made.verify()


def test_two_stores_give_objects_of_equal_content(tmp_path: Path) -> None:
    """An ELF file keeps the loader's path in an area filled with zeros; a script has it as text."""

    def content(root: Path, libc: Digest) -> Digest:
        store = Store(root)

        def build_elf(tree: Path) -> Mapping[str, Any]:
            place = f"{store.root}/objects/{libc.hex}/tree/root/usr/lib/ld.so".encode()
            (tree / "elf").write_bytes(b"\x7fELF head" + place.ljust(256, b"\0") + b"tail" + b"\0\0")
            (tree / "text").write_text(f"a={store.root}/x:{store.root}/y\nb\n")
            return {}

        return store.objects.obtain(KEY, build_elf).content

    short = content(tmp_path / "s", Digest.of(b"libc in s"))
    long = content(tmp_path / "a/much/longer/place", Digest.of(b"libc in a"))
    assert short == long


def test_content_differs_where_bytes_do(tmp_path: Path) -> None:
    contents = set()
    for number, text in enumerate(["a", "b"]):
        store = Store(tmp_path / str(number))
        contents.add(
            store.objects.obtain(KEY, lambda tree, t=text: (tree / "f").write_text(t) and {}).content
        )
    assert len(contents) == 2


def _obtain(root: Path, log: Path) -> None:
    def slow(tree: Path) -> Mapping[str, Any]:
        with open(log, "a") as stream:
            stream.write("built\n")
        time.sleep(0.3)
        return build(tree)

    Store(root).objects.obtain(KEY, slow)


def test_two_processes_share_one_build(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_obtain, args=(tmp_path / "s", tmp_path / "log")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(20)
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_killed_builder_is_taken_over(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from cape.names import Digest
        from cape.store import Store

        def build(tree):
            (tree / "half").write_text("half")
            print("building", flush=True)
            time.sleep(60)

        Store(Path(sys.argv[1])).objects.obtain(Digest.of(b"one"), build)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    store = Store(tmp_path)
    assert store.objects.get(KEY) is None
    started = time.monotonic()
    made = store.objects.obtain(KEY, build)
    assert time.monotonic() - started < 5
    assert not (made.tree / "half").exists()
    assert os.listdir(store.objects.root) == [KEY.hex], "the dead process's directory is swept"


def test_a_batch_does_not_wait_while_it_holds_leases(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lease = store.objects.lease(OTHER)
    assert lease.take()
    with Batch(store.objects) as batch:
        assert batch.prepare(KEY, build)
        assert store.objects.get(KEY) is None
        assert not batch.prepare(OTHER, build, wait=False)
        batch.commit()
        assert store.objects.get(KEY)
        lease.release()
        assert batch.prepare(OTHER, build, wait=False)
    assert store.objects.get(OTHER)


def test_nothing_is_left_when_any_step_of_a_build_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail at the first system call, then the second ...: the object is there whole, or not at all."""
    for step in range(1, 40):
        store = Store(tmp_path / str(step))
        counter = _FailAt(step)
        with monkeypatch.context() as patched:
            for name in ("rename", "chmod", "fsync", "open", "mkdir"):
                patched.setattr(os, name, counter.wrap(getattr(os, name)))
            with contextlib.suppress(OSError):
                store.objects.obtain(KEY, build)
        found = store.objects.get(KEY)
        if found:
            found.verify()
        store.objects.obtain(KEY, build).verify()
        store.objects.sweep()
        assert [name for name in os.listdir(store.objects.root) if name.startswith(".")] == []
        if counter.calls < step:
            return
    raise AssertionError("there are more steps than this test tries")


class _FailAt:
    def __init__(self, step: int) -> None:
        self.step, self.calls = step, 0

    def wrap(self, real: Any) -> Any:
        def wrapped(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.step:
                raise OSError(5, "the disk failed")
            return real(*args, **named)

        return wrapped


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_named_and_leaves_nothing(small_disk: Path) -> None:
    store = Store(small_disk)

    def too_big(tree: Path) -> Mapping[str, Any]:
        (tree / "big").write_bytes(b"x" * (4 << 20))
        return {}

    with pytest.raises(DiskFull, match="no room left"):
        store.objects.obtain(KEY, too_big)
    assert os.listdir(store.objects.root) == []
    assert store.objects.obtain(KEY, build).files == 3
