"""One large file over several connections: the same bytes, taken up where they ended, from any server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.errors import IntegrityError
from cape.names import Digest
from cape.sources.connections import Patience
from cape.sources.download import Download, download_all
from cape.sources.side_by_side import BLOCK_BYTES, LARGE_BYTES
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import Fault, Loopback, loopback

BODY = b"".join(at.to_bytes(8, "big") for at in range((LARGE_BYTES + 3 * BLOCK_BYTES) // 8 + 5))
PATH = "/large.gguf"
QUICK = Patience(connect_s=2, silence_s=2, attempts=3, pause_s=0.01, longest_pause_s=0.02)
ITEM = Download(digest=Digest.of(BODY), size_bytes=len(BODY), name="large", urls=())


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        running.files[PATH] = BODY
        yield running


def bring(server: Loopback, place: Path) -> FolderArtifacts:
    artifacts = FolderArtifacts(place)
    item = Download(digest=ITEM.digest, size_bytes=len(BODY), name="large", urls=(server.url + PATH,))
    download_all([item], artifacts, patience=QUICK)
    return artifacts


def asked(server: Loopback) -> list[str | None]:
    return [span for path, span in server.requests if path == PATH]


def test_a_large_file_comes_in_blocks_and_is_whole(server: Loopback, tmp_path: Path) -> None:
    artifacts = bring(server, tmp_path)
    assert artifacts.path(ITEM.digest).read_bytes() == BODY
    blocks = -(-len(BODY) // BLOCK_BYTES)
    assert len(asked(server)) == blocks and len(set(asked(server))) == blocks


def test_a_block_that_breaks_is_finished_over_another_connection(server: Loopback, tmp_path: Path) -> None:
    server.faults[PATH] = [Fault(truncate_after=BLOCK_BYTES * 9 // 10), Fault(), Fault(status=503)]
    artifacts = bring(server, tmp_path)
    assert artifacts.path(ITEM.digest).read_bytes() == BODY


def test_what_an_earlier_process_left_is_taken_up(server: Loopback, tmp_path: Path) -> None:
    had = 2 * BLOCK_BYTES + 17
    FolderArtifacts(tmp_path).partial(ITEM.digest).write_bytes(BODY[:had])
    artifacts = bring(server, tmp_path)
    assert artifacts.path(ITEM.digest).read_bytes() == BODY
    starts = sorted(
        int((span or "bytes=0-").removeprefix("bytes=").partition("-")[0]) for span in asked(server)
    )
    assert starts[0] == had


def test_a_server_without_ranges_is_asked_for_the_whole(server: Loopback, tmp_path: Path) -> None:
    server.always[PATH] = Fault(ignore_range=True)
    artifacts = bring(server, tmp_path)
    assert artifacts.path(ITEM.digest).read_bytes() == BODY


def test_other_bytes_are_refused(server: Loopback, tmp_path: Path) -> None:
    server.files[PATH] = BODY[:-8] + b"changed!"
    with pytest.raises(IntegrityError, match="is not what the lock says"):
        bring(server, tmp_path)
    assert list(tmp_path.iterdir()) == []
