"""What a mirror serves is used only if it was signed so, and an interrupted or broken cache is made again."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cape.configuration import Configuration
from cape.errors import IntegrityError
from cape.names import Digest, System
from cape.sources.debian import DebianSource
from cape.sources.debian.errors import (
    IndexAltered,
    IndexExpired,
    KeyringMissing,
    SignatureWrong,
    SuiteMissing,
)
from cape.sources.protocol import RegistryGarbage, RegistryUnreachable, Snapshot
from cape.store import Artifacts
from tests.debian.conftest import AMD64, BOTH, names, row, want
from tests.mirrors.debian import DebianMirror
from tests.mirrors.loopback import Fault, loopback, unused_url

Opener = Callable[..., DebianSource]


@pytest.fixture
def published(mirror: DebianMirror) -> DebianMirror:
    mirror.add("tool")
    mirror.publish()
    return mirror


def _release(mirror: DebianMirror) -> Path:
    return mirror.directory / "dists" / "trixie" / "InRelease"


def _resolve(source: DebianSource) -> list[str]:
    return names(source.resolve([want("tool")], AMD64))


@pytest.mark.parametrize("inline", [True, False])
def test_a_signed_index_is_used(mirror: DebianMirror, open_source: Opener, inline: bool) -> None:
    mirror.add("tool")
    mirror.publish(inline=inline)
    assert _resolve(open_source()) == ["tool"]
    assert _resolve(open_source()) == ["tool"]


def test_inline_and_detached_signatures_give_the_same_snapshot(
    mirror: DebianMirror, open_source: Opener
) -> None:
    mirror.add("tool")
    mirror.publish(inline=True)
    first = open_source().resolve([want("tool")], AMD64).snapshots
    mirror.publish(inline=False)
    source = open_source()
    source.refresh()
    assert source.resolve([want("tool")], AMD64).snapshots == first


@pytest.mark.parametrize("compression", ["xz", "gz", ""])
@pytest.mark.parametrize("by_hash", [True, False])
def test_indices_are_read_in_every_form(
    mirror: DebianMirror, open_source: Opener, compression: str, by_hash: bool
) -> None:
    mirror.add("tool")
    mirror.publish(compression=compression, by_hash=by_hash)
    assert _resolve(open_source()) == ["tool"]


def test_the_snapshot_is_that_of_the_release(published: DebianMirror, open_source: Opener) -> None:
    (snapshot,) = open_source().resolve([want("tool")], AMD64).snapshots
    assert (snapshot.registry, snapshot.name) == ("debian", "trixie")
    assert snapshot.date == "2026-01-02T03:04:05Z"


def test_an_altered_release_is_refused(published: DebianMirror, open_source: Opener) -> None:
    file = _release(published)
    file.write_bytes(file.read_bytes().replace(b"Suite: trixie", b"Suite: forged"))
    with pytest.raises(SignatureWrong, match="no trusted key"):
        _resolve(open_source())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"Origin: Evil\n\n" + text,
        lambda text: text + b"Origin: Evil\n",
        lambda text: text + text,
        lambda text: text.replace(b"\nOrigin", b"\n-----BEGIN PGP MESSAGE-----\nOrigin"),
    ],
)
def test_text_outside_the_signed_part_is_refused(
    published: DebianMirror, open_source: Opener, change: Callable[[bytes], bytes]
) -> None:
    file = _release(published)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(SignatureWrong):
        _resolve(open_source())


def test_a_key_that_is_not_in_the_keyring_is_refused(mirror: DebianMirror, open_source: Opener) -> None:
    from pysequoia import Tsk

    mirror.add("tool")
    mirror.publish(signer=Tsk.generate("Somebody else"))
    with pytest.raises(SignatureWrong, match="no trusted key") as caught:
        _resolve(open_source())
    assert "debian.keyring" in (caught.value.hint or "")
    assert not any("backtrace" in cause for cause in caught.value.causes())


def test_a_missing_signature_is_refused(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool")
    mirror.publish(inline=False)
    (mirror.directory / "dists/trixie/Release.gpg").unlink()
    with pytest.raises(SignatureWrong, match="not signed"):
        _resolve(open_source())


@pytest.mark.parametrize("signature", [b"", b"garbage", b"\x00\xff" * 40])
def test_a_detached_signature_that_is_none_is_refused(
    mirror: DebianMirror, open_source: Opener, signature: bytes
) -> None:
    mirror.add("tool")
    mirror.publish(inline=False)
    (mirror.directory / "dists/trixie/Release.gpg").write_bytes(signature)
    with pytest.raises(SignatureWrong):
        _resolve(open_source())


def test_an_expired_index_is_refused_with_its_date(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool")
    mirror.publish(date=datetime(2020, 5, 1, tzinfo=UTC), valid_for=timedelta(days=7))
    with pytest.raises(IndexExpired, match="expired on 2020-05-08"):
        _resolve(open_source())


def test_a_packages_file_that_was_altered_is_refused(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool")
    mirror.publish(by_hash=False)
    file = mirror.directory / "dists/trixie/main/binary-amd64/Packages.xz"
    file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    with pytest.raises(IndexAltered, match="signed `Release`"):
        _resolve(open_source())


@pytest.mark.parametrize("fault", [Fault(truncate_after=40), Fault(longer=True), Fault(alter=True)])
def test_a_packages_file_that_arrives_changed_is_refused(
    mirror: DebianMirror, open_source: Opener, fault: Fault
) -> None:
    mirror.add("tool")
    mirror.publish(by_hash=False)
    with mirror.serve() as server:
        server.always["/dists/trixie/main/binary-amd64/Packages.xz"] = fault
        with pytest.raises(IntegrityError):
            _resolve(open_source(server.url))


@pytest.mark.parametrize("answer", [b"", b"<html>log in</html>", b"\x00" * 100, b"x" * 70_000])
def test_garbage_in_place_of_a_release_is_an_error_of_the_registry(
    published: DebianMirror, open_source: Opener, answer: bytes
) -> None:
    _release(published).write_bytes(answer)
    with pytest.raises(RegistryGarbage):
        _resolve(open_source())


def test_a_suite_that_no_mirror_has_is_named(mirror: DebianMirror, tmp_path: Path) -> None:
    mirror.add("tool")
    mirror.publish()
    source = DebianSource(
        suite="forky",
        configuration=mirror.settings(),
        cache=tmp_path / "cache",
        artifacts=None,  # type: ignore[arg-type]
    )
    with pytest.raises(SuiteMissing, match="`forky`") as caught:
        _resolve(source)
    assert "debian.mirror" in (caught.value.hint or "")


def test_a_keyring_that_is_not_there_is_named(mirror: DebianMirror, tmp_path: Path) -> None:
    mirror.add("tool")
    mirror.publish()
    settings = {"debian.mirror": (mirror.url,), "debian.keyring": (str(tmp_path / "none.gpg"),)}
    source = DebianSource(
        suite="trixie",
        configuration=Configuration(settings),
        cache=tmp_path / "cache",
        artifacts=None,  # type: ignore[arg-type]
    )
    with pytest.raises(KeyringMissing, match=r"none\.gpg"):
        _resolve(source)


def test_a_second_source_asks_no_mirror(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool")
    mirror.publish()
    with mirror.serve() as server:
        _resolve(open_source(server.url))
        server.requests.clear()
        _resolve(open_source(server.url))
        assert server.requests == []


def test_a_refreshed_source_sees_what_is_new(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool", "1")
    mirror.publish()
    source = open_source()
    assert row(source.resolve([want("tool")], AMD64), "tool").version == "1"
    mirror.add("tool", "2")
    mirror.publish()
    assert row(source.resolve([want("tool")], AMD64), "tool").version == "1"
    source.refresh()
    assert row(source.resolve([want("tool")], AMD64), "tool").version == "2"


def test_a_mirror_that_is_silent_is_replaced_by_the_cache_with_a_note(
    mirror: DebianMirror, open_source: Opener, tmp_path: Path
) -> None:
    mirror.add("tool")
    mirror.publish()
    with mirror.serve() as server:
        before = open_source(server.url).resolve([want("tool")], AMD64)
        for file in (tmp_path / "cache").rglob("InRelease"):
            os.utime(file, (0, 0))
        server.always["/dists/trixie/InRelease"] = Fault(status=400)
        after = open_source(server.url).resolve([want("tool")], AMD64)
        assert after.packages == before.packages
        assert "could not be asked" in after.notes[0]
        refreshed = open_source(server.url)
        refreshed.refresh()
        with pytest.raises(RegistryUnreachable):
            _resolve(refreshed)


@pytest.mark.parametrize("damage", [b"", b"capedeb2", b"\x00" * 500])
def test_a_broken_cache_is_made_again(
    published: DebianMirror, open_source: Opener, tmp_path: Path, damage: bytes
) -> None:
    assert _resolve(open_source()) == ["tool"]
    for file in (tmp_path / "cache").rglob("*"):
        if file.is_file():
            file.write_bytes(damage)
    assert _resolve(open_source()) == ["tool"]


def test_a_cut_table_is_made_again(published: DebianMirror, open_source: Opener, tmp_path: Path) -> None:
    _resolve(open_source())
    (table,) = (tmp_path / "cache").rglob("*.table")
    whole = table.read_bytes()
    for length in range(0, len(whole), 97):
        table.write_bytes(whole[:length])
        assert _resolve(open_source()) == ["tool"]
        assert table.read_bytes() == whole


def test_security_fixes_win_and_come_from_their_own_archive(
    mirror: DebianMirror, open_source: Opener
) -> None:
    mirror.add("tool", "1.0-1")
    mirror.add("tool", "1.0-1+deb13u1", suite="trixie-security")
    mirror.publish()
    resolution = open_source().resolve([want("tool")], AMD64)
    found = row(resolution, "tool")
    assert (found.version, found.artifact.registry) == ("1.0-1+deb13u1", "debian-security")
    assert {snapshot.registry for snapshot in resolution.snapshots} == {"debian", "debian-security"}


def test_an_older_version_is_taken_where_it_is_asked_for(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool", "1.0-1")
    mirror.add("tool", "1.0-1+deb13u1", suite="trixie-security")
    mirror.publish()
    resolution = open_source().resolve([want("tool", "==1.0-1")], AMD64)
    assert row(resolution, "tool").version == "1.0-1"


def test_a_dated_mirror_is_asked_last(mirror: DebianMirror, tmp_path: Path) -> None:
    mirror.add("tool")
    mirror.publish()
    settings = dict(mirror.settings().values)
    settings["debian.dated-mirror"] = ("file:///old/{archive}/{date}/",)
    source = DebianSource(
        suite="trixie",
        configuration=Configuration(settings),
        cache=tmp_path / "cache",
        artifacts=None,  # type: ignore[arg-type]
    )
    tool = row(source.resolve([want("tool")], AMD64), "tool")
    here, old, half_a_day_later = source.locate([tool])[tool.artifact.digest]
    assert here == f"{mirror.url}/{tool.artifact.location}"
    assert old == f"file:///old/debian/20260102T030405Z/{tool.artifact.location}"
    assert half_a_day_later == f"file:///old/debian/20260102T150405Z/{tool.artifact.location}"


def test_a_package_of_one_architecture_is_named_with_the_way_out(
    mirror: DebianMirror, open_source: Opener
) -> None:
    from cape.sources.protocol import UnknownVersion

    mirror.add("tool", architecture="amd64")
    mirror.publish()
    with pytest.raises(UnknownVersion, match="aarch64-linux") as caught:
        open_source().resolve([want("tool")], BOTH)
    assert "x86_64-linux" in (caught.value.hint or "")


def test_silence_of_the_security_mirror_is_no_absence(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool")
    mirror.publish()
    with mirror.serve() as server:
        server.always["/dists/trixie-security/InRelease"] = Fault(status=400)
        with pytest.raises(RegistryUnreachable):
            _resolve(open_source(server.url))


def _replayed(mirror: DebianMirror, old: datetime, new: datetime, **how: Any) -> Path:
    """The archive as it was, signed: what one who answers in the mirror's place may replay."""
    mirror.publish(date=old, valid_for=timedelta(days=3000))
    replay = mirror.directory.with_name("replay")
    shutil.copytree(mirror.directory, replay)
    mirror.add("tool", "1.0-2")
    mirror.publish(date=new, **how)
    return replay


OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC)


def _served_again(mirror: DebianMirror, replay: Path) -> None:
    shutil.rmtree(mirror.directory / "dists")
    shutil.copytree(replay / "dists", mirror.directory / "dists")


def test_a_mirror_that_goes_back_in_time_is_not_followed(
    published: DebianMirror, open_source: Opener
) -> None:
    replay = _replayed(published, OLD, NEW)
    assert row(open_source().resolve([want("tool")], AMD64), "tool").version == "1.0-2"
    _served_again(published, replay)
    source = open_source()
    source.refresh()
    resolution = source.resolve([want("tool")], AMD64)
    assert row(resolution, "tool").version == "1.0-2"
    assert resolution.snapshots[0].date == "2026-01-05T00:00:00Z"
    (note,) = resolution.notes
    assert "went back to its state of 2026-01-01" in note and "of 2026-01-05" in note


def test_an_older_release_is_taken_when_the_newer_one_has_expired(
    published: DebianMirror, open_source: Opener
) -> None:
    replay = _replayed(published, OLD, NEW, valid_for=timedelta(days=3000))
    open_source().resolve([want("tool")], AMD64)
    published.publish(date=NEW, valid_for=timedelta(seconds=1))
    with pytest.raises(IndexExpired):
        source = open_source()
        source.refresh()
        source.resolve([want("tool")], AMD64)
    _served_again(published, replay)
    source = open_source()
    source.refresh()
    resolution = source.resolve([want("tool")], AMD64)
    assert resolution.snapshots[0].date == "2026-01-01T00:00:00Z"


def test_a_mirror_that_is_behind_the_lock_is_noted(
    published: DebianMirror, open_source: Opener, tmp_path: Path
) -> None:
    _replayed(published, OLD, NEW)
    locked = open_source().resolve([want("tool")], AMD64)
    published.publish(date=OLD)
    shutil.rmtree(tmp_path / "cache")
    context = replace(AMD64, snapshots=locked.snapshots)
    (note,) = open_source().resolve([want("tool")], context).notes
    assert "older than the lock's of 2026-01-05" in note


class Two:
    """A settings' list of two mirrors: the first does not answer, the second is the given one."""

    def __init__(self, mirror: DebianMirror, tmp_path: Path, url: str) -> None:
        self._mirror, self._place, self._url = mirror, tmp_path, url
        self.down = unused_url()

    def open(self) -> DebianSource:
        keyring = self._mirror.settings().values["debian.keyring"]
        return DebianSource(
            suite="trixie",
            configuration=Configuration({"debian.mirror": (self.down, self._url), "debian.keyring": keyring}),
            cache=self._place / "cache",
            artifacts=Artifacts(self._place / "artifacts"),
        )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPE_NETWORK_ATTEMPTS", "1")


@pytest.mark.usefixtures("impatient")
def test_a_mirror_that_is_down_is_passed_over_though_the_other_has_no_updates(
    published: DebianMirror, tmp_path: Path
) -> None:
    source = Two(published, tmp_path, published.url).open()
    resolution = source.resolve([want("tool")], AMD64)
    assert names(resolution) == ["tool"]
    told = [note for note in resolution.notes if "no mirror that answers has" in note]
    assert ["`trixie-updates`" in told[0], "`trixie-security`" in told[1]] == [True, True]
    assert source.locate(resolution.packages)[row(resolution, "tool").artifact.digest][0].startswith("file:")


@pytest.mark.usefixtures("impatient")
def test_fixes_that_the_lock_has_are_not_left_out_because_their_mirror_is_down(
    published: DebianMirror, tmp_path: Path
) -> None:
    both = Two(published, tmp_path, published.url)
    date = "2026-01-01T00:00:00Z"
    locked = Snapshot(
        source="debian", registry="debian-security", name="trixie-security", date=date, digest=Digest.of(b"")
    )
    with pytest.raises(RegistryUnreachable):
        both.open().resolve([want("tool")], replace(AMD64, snapshots=(locked,)))


@pytest.mark.usefixtures("impatient")
def test_updates_of_a_mirror_that_answers_are_used_when_the_first_is_down(
    published: DebianMirror, tmp_path: Path
) -> None:
    published.add("tool", "2", suite="trixie-updates")
    published.publish()
    resolution = Two(published, tmp_path, published.url).open().resolve([want("tool")], AMD64)
    assert row(resolution, "tool").version == "2"
    assert not any("trixie-updates" in note for note in resolution.notes)


@pytest.mark.usefixtures("impatient")
def test_a_mirror_that_does_not_answer_is_asked_once(published: DebianMirror, tmp_path: Path) -> None:
    with loopback() as server:
        for flavour in ("", "-updates", "-security"):
            server.always[f"/dists/trixie{flavour}/InRelease"] = Fault(status=503)
        both = Two(published, tmp_path, published.url)
        both.down = server.url
        assert _resolve(both.open()) == ["tool"]
        assert len(server.requests) == 1


def test_the_only_mirror_of_fixes_may_not_be_down(mirror: DebianMirror, tmp_path: Path) -> None:
    """apt's sources name one place for the fixes: nobody else says that there are none."""
    mirror.add("tool")
    mirror.publish()
    with mirror.serve() as server:
        server.always["/dists/trixie-security/InRelease"] = Fault(status=400)
        source = Two(mirror, tmp_path, server.url)
        source.down = server.url
        with pytest.raises(RegistryUnreachable):
            _resolve(source.open())


def test_a_mirror_with_an_expired_index_is_passed_over(mirror: DebianMirror, tmp_path: Path) -> None:
    mirror.add("tool")
    mirror.publish(date=datetime(2020, 1, 1, tzinfo=UTC), valid_for=timedelta(days=7))
    stale = tmp_path / "stale"
    shutil.copytree(mirror.directory, stale)
    mirror.publish()
    both = Two(mirror, tmp_path, mirror.url)
    both.down = f"file://{stale}"
    assert _resolve(both.open()) == ["tool"]


def test_old_states_are_kept_apart(published: DebianMirror, tmp_path: Path) -> None:
    """`cape gc` removes them: they can be had again, and each is as large as the present one."""
    template = published.url.replace("/mirror", "/{archive}-{date}")
    for archive in ("debian", "debian-security"):
        shutil.copytree(published.directory, tmp_path / f"{archive}-20260601T000000Z")
    settings = {**published.settings().values, "debian.dated-mirror": (template,)}
    source = DebianSource(
        suite="trixie",
        configuration=Configuration(settings),
        cache=tmp_path / "cache",
        artifacts=Artifacts(tmp_path / "artifacts"),
    )
    source.resolve([want("tool")], replace(AMD64, as_of="2026-06-01T00:00:00+00:00"))
    assert [place.name for place in (tmp_path / "cache").iterdir()] == ["dated"]


def test_the_list_of_files_tells_who_has_a_library(published: DebianMirror, open_source: Opener) -> None:
    text = (
        b"usr/lib/x86_64-linux-gnu/libgone.so.1    libs/libgone1,oldlibs/libgone1t64\n"
        b"usr/lib/x86_64-linux-gnu/libgone.so.1.2    libs/other\n"
        b"usr/share/doc/libgone.so.1    doc/not-it\n"
        b"usr/bin/tclsh    interpreters/tcl\n"
    )
    published.publish(more={"main/Contents-amd64.gz": gzip.compress(text, mtime=0)})
    source = open_source()
    assert source.packages_with("libgone.so.1", System.X86_64_LINUX) == ("libgone1", "libgone1t64")
    assert source.packages_with("tclsh", System.X86_64_LINUX) == ("tcl",)
    assert source.packages_with("libnever.so.1", System.X86_64_LINUX) == ()
    assert source.packages_with("libgone.so.1", System.AARCH64_LINUX) == ()
