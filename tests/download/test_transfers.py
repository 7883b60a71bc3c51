"""Transfers against a real server on loopback that breaks, lies and stalls."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.errors import DiskFull, IntegrityError
from cape.names import Digest
from cape.sources.download import (
    Download,
    FileNotServed,
    Patience,
    Published,
    download_all,
    fetch_bytes,
    measure_all,
    offer_credentials,
    shown_url,
)
from cape.sources.protocol import ArtifactGone, ArtifactLookup, RegistryGarbage, RegistryUnreachable
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import Fault, Loopback, loopback, unused_url

BODY = random.Random(7).randbytes(400_000)
PATH = "/pool/a.deb"
QUICK = Patience(connect_s=2, silence_s=0.4, attempts=3, pause_s=0.01, longest_pause_s=0.02)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        running.files[PATH] = BODY
        yield running


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path)


def download_of(*urls: str, body: bytes = BODY, name: str = "a 1.0") -> Download:
    return Download(digest=Digest.of(body), size_bytes=len(body), name=name, urls=urls)


def bring(server: Loopback, artifacts: ArtifactLookup) -> None:
    download_all([download_of(server.url + PATH)], artifacts, patience=QUICK)


class Counter:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.lock = threading.Lock()

    def start(self, label: str, total: int, *, unit: str = "") -> None:
        self.total = total

    def advance(self, amount: int = 1) -> None:
        with self.lock:
            self.done += amount

    def finish(self) -> None:
        pass


def test_a_file_arrives_and_is_not_asked_for_again(server: Loopback, artifacts: FolderArtifacts) -> None:
    bring(server, artifacts)
    bring(server, artifacts)
    assert artifacts.path(Digest.of(BODY)).read_bytes() == BODY
    assert len(server.requests) == 1


def test_many_files_arrive_in_parallel_and_progress_adds_up(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    bodies = {f"/{number}": random.Random(number).randbytes(50_000 + number) for number in range(20)}
    server.files |= bodies
    progress = Counter()
    downloads = [download_of(server.url + path, body=body) for path, body in bodies.items()]
    download_all(downloads, artifacts, progress=progress, patience=QUICK)
    assert all(artifacts.has(Digest.of(body)) for body in bodies.values())
    assert progress.done == progress.total == sum(map(len, bodies.values()))


def test_an_empty_file_arrives(server: Loopback, artifacts: FolderArtifacts) -> None:
    server.files["/empty"] = b""
    download_all([download_of(f"{server.url}/empty", body=b"")], artifacts, patience=QUICK)
    assert artifacts.has(Digest.of(b""))


@pytest.mark.parametrize(
    "fault", [Fault(reset_after=150_000), Fault(truncate_after=150_000), Fault(stall=True)]
)
def test_a_broken_transfer_goes_on_where_it_broke(
    server: Loopback, artifacts: FolderArtifacts, fault: Fault
) -> None:
    server.faults[PATH] = [fault]
    bring(server, artifacts)
    assert artifacts.has(Digest.of(BODY))
    assert [asked is None for _, asked in server.requests] == [True, False]


def test_a_later_process_resumes_what_an_earlier_one_left(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    artifacts.partial(Digest.of(BODY)).write_bytes(BODY[:123_456])
    bring(server, artifacts)
    assert server.requests == [(PATH, "bytes=123456-")]
    assert artifacts.has(Digest.of(BODY))


def test_a_resumed_file_that_turns_out_wrong_is_fetched_whole(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    artifacts.partial(Digest.of(BODY)).write_bytes(b"x" * 1000)
    bring(server, artifacts)
    assert server.requests == [(PATH, "bytes=1000-"), (PATH, None)]
    assert artifacts.has(Digest.of(BODY))


def test_a_leftover_that_is_too_long_is_fetched_whole(server: Loopback, artifacts: FolderArtifacts) -> None:
    artifacts.partial(Digest.of(BODY)).write_bytes(BODY + b"x")
    bring(server, artifacts)
    assert artifacts.has(Digest.of(BODY))


def test_a_server_that_ignores_ranges_still_serves(server: Loopback, artifacts: FolderArtifacts) -> None:
    artifacts.partial(Digest.of(BODY)).write_bytes(BODY[:1000])
    server.always[PATH] = Fault(ignore_range=True)
    bring(server, artifacts)
    assert artifacts.has(Digest.of(BODY))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_server_is_asked_again(
    server: Loopback, artifacts: FolderArtifacts, status: int
) -> None:
    server.faults[PATH] = [Fault(status=status), Fault(status=status)]
    bring(server, artifacts)
    assert len(server.requests) == 3


def test_an_overloaded_server_is_given_up_after_all_attempts(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    server.always[PATH] = Fault(status=503)
    with pytest.raises(RegistryUnreachable, match=r"HTTP 503 \(3 attempts\)") as caught:
        bring(server, artifacts)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("fault", [Fault(alter=True), Fault(longer=True)])
def test_altered_bytes_are_an_integrity_error_and_nothing_is_kept(
    server: Loopback, artifacts: FolderArtifacts, fault: Fault, tmp_path: Path
) -> None:
    server.always[PATH] = fault
    with pytest.raises(IntegrityError, match="is not what the lock says") as caught:
        bring(server, artifacts)
    assert caught.value.exit_code == 3
    assert all(file.stat().st_size == 0 for file in tmp_path.iterdir())


def test_another_mirror_is_asked_when_one_alters_lacks_or_is_silent(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    server.files["/altered"] = BODY
    server.always["/altered"] = Fault(alter=True)
    urls = [f"{server.url}/lacks", unused_url(), f"{server.url}/altered", server.url + PATH]
    download_all([download_of(*urls)], artifacts, patience=QUICK)
    assert artifacts.has(Digest.of(BODY))


def test_a_file_that_nobody_serves_is_gone_and_all_of_them_are_named(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    server.always["/gone"] = Fault(status=410)
    downloads = [
        download_of(f"{server.url}/missing", f"{server.url}/gone", body=b"1", name="one 1.0"),
        download_of(body=b"2", name="two 2.0"),
        download_of(server.url + PATH),
    ]
    with pytest.raises(ArtifactGone) as caught:
        download_all(downloads, artifacts, patience=QUICK, connections=1)
    assert "`one 1.0`" in caught.value.fact and "`two 2.0`" in caught.value.fact
    assert "vendored" in (caught.value.hint or "")
    assert artifacts.has(Digest.of(BODY))


def test_a_refused_connection_is_an_unreachable_registry(artifacts: FolderArtifacts) -> None:
    url = unused_url()
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        download_all([download_of(f"{url}/x")], artifacts, patience=QUICK)


def test_a_name_that_does_not_resolve_is_an_unreachable_registry() -> None:
    with pytest.raises(RegistryUnreachable, match="name could not be resolved"):
        fetch_bytes("http://no-such-host.invalid/x", patience=QUICK)


def test_a_file_url_is_copied_and_its_file_stays(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    original = tmp_path / "a file.deb"
    original.write_bytes(BODY)
    download_all([download_of(original.as_uri())], artifacts)
    assert original.read_bytes() == artifacts.path(Digest.of(BODY)).read_bytes() == BODY
    assert fetch_bytes(original.as_uri()) == BODY
    with pytest.raises(FileNotServed):
        fetch_bytes((tmp_path / "none").as_uri())


class FullDisk(FolderArtifacts):
    """Artifacts whose unfinished files lie on a device without room."""

    def partial(self, digest: Digest) -> Path:
        return Path("/dev/full")


def test_a_full_disk_is_said_to_be_full(server: Loopback, tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="no room left") as caught:
        bring(server, FullDisk(tmp_path))
    assert caught.value.exit_code == 1 and caught.value.slug == "disk-full"


def test_credentials_are_sent_and_never_shown(server: Loopback, artifacts: FolderArtifacts) -> None:
    secret = server.url.replace("http://", "http://me:s3cret@")
    assert fetch_bytes(secret + PATH) == BODY
    assert server.headers_seen[-1]["Authorization"].startswith("Basic ")
    server.always["/closed"] = Fault(status=403)
    for url in (f"{secret}/closed?token=s3cret", f"{secret}/none?token=s3cret"):
        with pytest.raises(RegistryUnreachable) as caught:
            fetch_bytes(url, patience=QUICK)
        shown = f"{caught.value} {caught.value.hint} {list(caught.value.causes())}"
        assert "s3cret" not in shown
    assert shown_url("https://me:pw@host:8/p?q=1#f") == "https://host:8/p"


def test_offered_credentials_go_to_their_registry_only(server: Loopback) -> None:
    offer_credentials(f"{server.url}/private/", "Bearer t0ken")
    server.files["/private/x"] = b"x"
    fetch_bytes(f"{server.url}/private/x")
    fetch_bytes(server.url + PATH)
    assert [seen.get("Authorization") for seen in server.headers_seen] == ["Bearer t0ken", None]


def test_a_proxy_of_the_environment_is_used_and_no_proxy_obeyed(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://elsewhere.invalid/x"] = b"through the proxy"
    assert fetch_bytes("http://elsewhere.invalid/x", patience=QUICK) == b"through the proxy"
    monkeypatch.setenv("no_proxy", "elsewhere.invalid")
    with pytest.raises(RegistryUnreachable):
        fetch_bytes("http://elsewhere.invalid/x", patience=QUICK)


def test_an_index_is_fetched_with_retries_and_a_limit(server: Loopback) -> None:
    server.faults[PATH] = [Fault(status=503), Fault(reset_after=10)]
    assert fetch_bytes(server.url + PATH, patience=QUICK) == BODY
    with pytest.raises(RegistryGarbage, match="larger than 1000 bytes"):
        fetch_bytes(server.url + PATH, limit_bytes=1000)
    with pytest.raises(FileNotServed):
        fetch_bytes(f"{server.url}/none")


def test_files_of_unknown_digest_are_measured_and_kept(server: Loopback, artifacts: FolderArtifacts) -> None:
    url = server.url + PATH
    (found,) = measure_all([Published(name="a", url=url)], artifacts, patience=QUICK)
    assert found == (Digest.of(BODY), len(BODY)) and artifacts.has(found[0])
    with pytest.raises(IntegrityError, match="is not what its registry says"):
        measure_all([Published(name="a", url=url, integrity="sha512-AAAA")], artifacts, patience=QUICK)


def test_one_file_wanted_by_many_at_once_is_fetched_once(
    server: Loopback, artifacts: FolderArtifacts
) -> None:
    threads = [threading.Thread(target=bring, args=(server, artifacts)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert artifacts.has(Digest.of(BODY))
    assert len(server.requests) == 1


_INTERRUPTED = """
import sys
from pathlib import Path
from cape.names import Digest
from cape.sources.download import Download, download_all
from tests.mirrors.folder import FolderArtifacts
item = Download(digest=Digest(sys.argv[2]), size_bytes=400_000, name="a", urls=(sys.argv[1],))
try:
    download_all([item], FolderArtifacts(Path(sys.argv[3])))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_stops_a_stalled_download_at_once_and_keeps_what_came(
    server: Loopback, artifacts: FolderArtifacts, tmp_path: Path
) -> None:
    server.always[PATH] = Fault(stall=True)
    arguments = [server.url + PATH, Digest.of(BODY).hex, str(tmp_path)]
    child = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, *arguments], cwd=Path(__file__).parents[2], env=dict(os.environ)
    )
    deadline = time.monotonic() + 10
    while not (artifacts.partial(Digest.of(BODY)).exists() and server.requests):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=3) == 130
    assert artifacts.partial(Digest.of(BODY)).stat().st_size > 100_000
    server.always.clear()
    bring(server, artifacts)
    assert server.requests[-1][1] is not None
