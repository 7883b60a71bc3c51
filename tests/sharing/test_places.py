"""What every kind of place promises, and what a killed or a concurrent push leaves."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cape.names import Digest
from cape.sharing import (
    BadSignature,
    Entry,
    KeyRevoked,
    Ledger,
    NotTrusted,
    Place,
    PlaceDamaged,
    PlaceMissing,
    PlaceNotWritable,
    PlaceTooNew,
    PlaceUnreachable,
    Record,
    open_place,
)
from cape.sharing.keys import KeyRing, Trust
from cape.sharing.ledger import blob_path

CAPE = Path(sys.prefix) / "bin" / "cape"
Open = Callable[[], Place]


@pytest.fixture(scope="module")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server on loopback, brought by cape itself."""
    pytest.importorskip("obstore")
    place = tmp_path_factory.mktemp("s3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["run", "--with", "pypi:moto[server]", "--", "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    variables = {**os.environ, "CAPE_STORE": str(place / "store")}
    process = subprocess.Popen(
        [CAPE, *words], cwd=place, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        url = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/places", method="PUT")).close()
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the server did not start")


KINDS = ("directory", "git", pytest.param("bucket", marks=[pytest.mark.network, pytest.mark.slow]))


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the same place anew, as another process would."""
    number = iter(range(100))

    def cache() -> Path:
        return tmp_path / f"cache-{next(number)}"

    if request.param == "directory":
        return lambda: open_place(str(tmp_path / "place"), cache=cache())
    if request.param == "git":
        subprocess.run(["git", "init", "-q", "--bare", tmp_path / "place.git"], check=True)
        return lambda: open_place(f"git+file://{tmp_path}/place.git#shared", cache=cache())
    url = request.getfixturevalue("bucket_server")
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return lambda: open_place(f"s3://places/{tmp_path.name}", cache=cache())


def test_an_empty_place_has_nothing(opened: Open, tmp_path: Path) -> None:
    place = opened()
    assert place.read("records/1.json") is None
    assert not place.has("records/1.json")
    assert place.names("records") == []
    assert not place.fetch("records/1.json", tmp_path / "out")


def test_what_is_put_is_seen_with_the_next_commit(opened: Open, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(random.Random(1).randbytes(300_000))
    writer = opened()
    writer.put("blobs/aa/aabb", b"small")
    writer.put("blobs/cc/ccdd", big)
    assert writer.commit("records/1.json", b"one")
    reader = opened()
    assert reader.read("blobs/aa/aabb") == b"small"
    assert reader.fetch("blobs/cc/ccdd", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert reader.names("records") == ["1.json"]


def test_a_name_is_taken_once(opened: Open) -> None:
    assert opened().commit("records/1.json", b"one")
    assert not opened().commit("records/1.json", b"two")
    assert opened().read("records/1.json") == b"one"


def test_overwriting_is_for_the_last(opened: Open) -> None:
    opened().overwrite("instances/x/hosts/h.json", b"one")
    opened().overwrite("instances/x/hosts/h.json", b"two")
    assert opened().read("instances/x/hosts/h.json") == b"two"
    assert opened().names("instances") == ["x"]


def test_of_many_commits_at_once_just_one_wins(opened: Open) -> None:
    for round_ in range(3):
        with ThreadPoolExecutor(4) as pool:
            won = list(
                pool.map(
                    lambda number, at=round_: opened().commit(f"records/{at}.json", f"{number}".encode()),
                    range(4),
                )
            )
        assert won.count(True) == 1
        assert opened().read(f"records/{round_}.json") == str(won.index(True)).encode()


KILLED = """
    import sys
    from pathlib import Path
    from cape.sharing import open_place
    place = open_place(sys.argv[1], cache=Path(sys.argv[2]))
    print("begun", flush=True)
    for number in range(40):
        place.put(f"blobs/{number:02}/{number}", bytes(200_000))
    place.commit("records/1.json", b"whole")
"""


@pytest.mark.parametrize("kind", ["directory", "git"])
def test_a_killed_push_leaves_the_old_or_the_new(tmp_path: Path, kind: str) -> None:
    draw = random.Random(7)
    for turn in range(12):
        where = tmp_path / f"place-{turn}"
        if kind == "git":
            subprocess.run(["git", "init", "-q", "--bare", where], check=True)
        text = str(where) if kind == "directory" else f"git+file://{where}"
        script = textwrap.dedent(KILLED)
        with subprocess.Popen(
            [sys.executable, "-c", script, text, tmp_path / "cache"], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stdout.readline()
            time.sleep(draw.random() * 0.25)
            process.send_signal(signal.SIGKILL)
        place = open_place(text, cache=tmp_path / "other-cache")
        record = place.read("records/1.json")
        assert record in (None, b"whole")
        if record is not None:
            assert all(place.has(f"blobs/{number:02}/{number}") for number in range(40))
        fresh = open_place(text, cache=tmp_path / "cache")
        assert fresh.commit("records/2.json", b"after"), "and the next push is not in its way"
        if kind == "directory":
            assert [one for one in where.rglob(".*") if "records" in str(one)] == []


def test_places_that_are_not_there_or_not_writable_say_so(tmp_path: Path) -> None:
    git = open_place(f"git+file://{tmp_path}/nowhere.git", cache=tmp_path / "cache")
    with pytest.raises(PlaceMissing, match="no git repository"):
        git.read("records/1.json")
    web = open_place("http://127.0.0.1:9/place", cache=tmp_path)
    with pytest.raises(PlaceNotWritable, match="not pushed to"):
        web.commit("records/1.json", b"one")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(PlaceNotWritable):
        open_place(str(file), cache=tmp_path).commit("records/1.json", b"one")


class Forgetful(BaseHTTPRequestHandler):
    """A bucket's server that takes every put, as some that call themselves compatible do."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


def test_a_bucket_whose_server_overwrites_what_is_taken_is_not_pushed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y"), ("REGION", "us-east-1")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        place = open_place("s3://places/x", cache=tmp_path)
        with pytest.raises(PlaceNotWritable, match="overwrites what is to be written only once"):
            place.commit("records/1.json", b"one")
        server.shutdown()


def test_credentials_in_an_address_are_never_shown(tmp_path: Path) -> None:
    place = open_place("git+https://anna:s3cret@127.0.0.1:9/x.git", cache=tmp_path)
    assert "s3cret" not in place.shown
    with pytest.raises(PlaceUnreachable) as failed:
        place.read("records/1.json")
    assert "s3cret" not in f"{failed.value} {failed.value.where} {failed.value.hint}"


# -- the ledger ---------------------------------------------------------------------------------------


def settings(tmp_path: Path, name: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / name)}


def record(number: int, parent: Entry | None, *, at: str = "2026-01-01T00:00:00Z") -> Record:
    return Record(
        number=number,
        parent=parent.digest if parent else None,
        files={"cape.toml": Digest.of(b"m"), "cape.lock": Digest.of(b"l")},
        name="p",
        pushed_by="anna@here",
        pushed_at=at,
        command="cape push",
        key="",
    )


def test_records_follow_on_each_other_whatever_clocks_say(opened: Open, tmp_path: Path) -> None:
    anna = settings(tmp_path, "anna")
    signer = KeyRing(anna).make("anna")
    ledger = Ledger(opened(), Trust(anna))
    first = ledger.add(record(1, None, at="2099-01-01T00:00:00Z"), signer)
    second = Ledger(opened(), Trust(anna)).add(record(2, first, at="1999-01-01T00:00:00Z"), signer)
    assert second is not None
    log = Ledger(opened(), Trust(anna)).log()
    assert [entry.record.number for entry in log] == [2, 1]
    assert Ledger(opened(), Trust(anna)).add(record(2, first), signer) is None, "the number is taken"


def test_a_stranger_a_revoked_key_and_altered_bytes_are_told_apart(tmp_path: Path) -> None:
    anna, ben = settings(tmp_path, "anna"), settings(tmp_path, "ben")
    signer = KeyRing(anna).make("anna")
    text, cache = str(tmp_path / "place"), tmp_path / "cache"

    def as_ben() -> Ledger:
        return Ledger(open_place(text, cache=cache), Trust(ben))

    mine = Ledger(open_place(text, cache=cache), Trust(anna))
    first = mine.add(record(1, None), signer)
    with pytest.raises(NotTrusted, match="do not trust"):
        as_ben().head()
    Trust(ben).trust(signer.public, place=text, since="2026-01-01")
    assert as_ben().head() == first
    mine.add(record(2, first), signer)
    mine.revoke(signer.public, signer, since=2, reason="lost")
    with pytest.raises(KeyRevoked, match="lost"):
        as_ben().head()
    assert as_ben().entry(1) == first, "what came before it was revoked stays good"
    file = tmp_path / "place/records/1.json"
    file.write_text(file.read_text().replace("anna@here", "eve@there"))
    with pytest.raises(BadSignature, match="altered"):
        as_ben().entry(1)
    file.write_text('{"schema": 99}')
    with pytest.raises(PlaceTooNew):
        as_ben().entry(1)
    file.write_text("{")
    with pytest.raises(PlaceDamaged):
        as_ben().entry(1)


def test_a_stranger_cannot_revoke_another_key(tmp_path: Path) -> None:
    anna, eve = settings(tmp_path, "anna"), settings(tmp_path, "eve")
    signer, stranger = KeyRing(anna).make("anna"), KeyRing(eve).make("eve")
    place = open_place(str(tmp_path / "place"), cache=tmp_path)
    ledger = Ledger(place, Trust(anna))
    first = ledger.add(record(1, None), signer)
    Ledger(place, Trust(eve)).revoke(signer.public, stranger, since=1, reason="mischief")
    assert Ledger(place, Trust(anna)).head() == first


def test_a_replaced_record_is_found_by_the_one_after_it(tmp_path: Path) -> None:
    anna = settings(tmp_path, "anna")
    signer = KeyRing(anna).make("anna")
    place = open_place(str(tmp_path / "place"), cache=tmp_path)
    ledger = Ledger(place, Trust(anna))
    first = ledger.add(record(1, None), signer)
    ledger.add(record(2, first), signer)
    (tmp_path / "place/records/1.json").unlink()
    ledger.add(record(1, None, at="2026-02-02T00:00:00Z"), signer)
    with pytest.raises(PlaceDamaged, match="does not follow"):
        Ledger(place, Trust(anna)).log()


def test_a_missing_or_altered_blob_is_named(opened: Open, tmp_path: Path) -> None:
    ledger = Ledger(opened(), Trust(settings(tmp_path, "anna")))
    digest = Digest.of(b"lock")
    with pytest.raises(PlaceDamaged, match=r"lacks `cape\.lock`"):
        ledger.blob(digest, what="`cape.lock`")
    opened().overwrite(blob_path(digest), b"other")
    with pytest.raises(PlaceDamaged, match="it was altered"):
        Ledger(opened(), Trust(settings(tmp_path, "anna"))).blob(digest, what="`cape.lock`")
