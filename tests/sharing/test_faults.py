"""A push that is killed at each of its steps leaves a place as it was, or with the whole new generation."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cape.names import Digest
from cape.sharing import Entry, Ledger, Record, open_place
from cape.sharing.keys import KeyRing, Trust

PUSH = """
    import os, signal, sys
    from pathlib import Path
    from cape.sharing import Ledger, open_place
    from cape.sharing.keys import KeyRing, Trust
    from tests.sharing.test_faults import pushed

    class Dying:
        '''A place whose user is killed before its step `at`, or after it.'''

        def __init__(self, place, at, after):
            self._place, self._at, self._after, self._done = place, at, after, 0

        def __getattr__(self, name):
            found = getattr(self._place, name)
            if name not in ("put", "commit", "hint"):
                return found

            def step(*words):
                self._done += 1
                if self._done == self._at and not self._after:
                    os.kill(os.getpid(), signal.SIGKILL)
                given = found(*words)
                if self._done == self._at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return given

            return step

    text, cache, settings, at, after = sys.argv[1:]
    place = Dying(open_place(text, cache=Path(cache)), int(at), after == "after")
    anna = {"XDG_CONFIG_HOME": settings}
    pushed(Ledger(place, Trust(anna)), KeyRing(anna).get(), b"new")
"""
STEPS = 5
"""Three blobs, the record, the hint."""


def pushed(ledger: Ledger, signer: object, content: bytes) -> Entry | None:
    """Push a generation of three blobs."""
    head = ledger.head()
    files = {name: ledger.keep(content + name.encode()) for name in ("cape.toml", "cape.lock", "part.toml")}
    record = Record(
        number=head.record.number + 1 if head else 1,
        parent=head.digest if head else None,
        files=files,
        name="p",
        pushed_by="anna@here",
        pushed_at="2026-01-01T00:00:00Z",
        command="cape push",
        key="",
    )
    return ledger.add(record, signer)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["directory", "git"])
def test_a_push_that_is_killed_at_any_step_is_there_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    anna = {"XDG_CONFIG_HOME": str(tmp_path / "anna")}
    signer = KeyRing(anna).make("anna")
    seen = []
    for turn, (at, after) in enumerate([*((at, "before") for at in range(1, STEPS + 1)), (STEPS, "after")]):
        where = tmp_path / f"place-{turn}"
        if kind == "git":
            subprocess.run(["git", "init", "-q", "--bare", where], check=True)
        text = str(where) if kind == "directory" else f"git+file://{where}"
        pushed(Ledger(open_place(text, cache=tmp_path / "c"), Trust(anna)), signer, b"old")
        words = [text, str(tmp_path / "dying"), anna["XDG_CONFIG_HOME"], str(at), after]
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PUSH), *words], check=False, cwd=Path(__file__).parents[2]
        )
        assert done.returncode == -signal.SIGKILL, "it ended at the step that was meant"
        ledger = Ledger(open_place(text, cache=tmp_path / f"c{turn}"), Trust(anna))
        head = ledger.head()
        assert head is not None
        content = b"new" if head.record.number == 2 else b"old"
        assert {name: ledger.blob(digest, what=name) for name, digest in head.record.files.items()} == {
            name: content + name.encode() for name in head.record.files
        }
        assert [entry.record.number for entry in ledger.log()] == list(range(head.record.number, 0, -1))
        seen.append(head.record.number)
        again = pushed(Ledger(open_place(text, cache=tmp_path / "dying"), Trust(anna)), signer, b"next")
        assert again is not None and again.record.parent == head.digest, "the next push goes on from there"
    assert seen == [1] * 4 + [2] * 2, "the record is the step that counts"


def test_a_place_on_a_full_disk_says_so_and_stays_as_it_was(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from cape.errors import DiskFull
        from cape.sharing import open_place
        place = open_place(sys.argv[1], cache=Path(sys.argv[1]))
        assert place.commit("records/1.json", b"old")
        try:
            place.put("blobs/aa/aa", bytes(4 << 20))
        except DiskFull as error:
            assert "no room left" in error.fact
            assert place.names("blobs/aa") == [] and place.read("records/1.json") == b"old"
            sys.exit(7)
    """
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    words = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        mount,
        "sh",
        str(tmp_path),
        sys.executable,
        textwrap.dedent(script),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")
    if done.stderr.startswith(("unshare:", "mount:")):
        pytest.skip("no user namespaces here")
    assert done.returncode == 7, done.stderr


def test_a_blob_that_was_put_half_is_never_under_its_name(tmp_path: Path) -> None:
    """What a killed writer left under a temporary name is swept by the next one of its machine."""
    place = open_place(str(tmp_path / "place"), cache=tmp_path)
    script = """
        import os, signal, sys, threading, time
        from pathlib import Path
        from cape.sharing import open_place
        place = open_place(sys.argv[1], cache=Path(sys.argv[1]))
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            place.put("blobs/aa/" + str(time.monotonic_ns()), bytes(8 << 20))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path / "place"], check=False, timeout=60
    )
    for name in place.names("blobs/aa") or ():
        data = place.read(f"blobs/aa/{name}")
        assert data is not None and Digest.of(data) == Digest.of(bytes(8 << 20))
    place.put("blobs/aa/next", b"x")
    assert not list((tmp_path / "place/blobs/aa").glob(".*"))
