"""Registries that are unreachable, slow, answer garbage, or give other bytes than they signed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.harness import INPUT, INTEGRITY, SOURCE, STATE, Project, World, add_program, noise
from tests.mirrors.loopback import Fault, unused_url

RELEASE = "/dists/trixie/InRelease"
HTML = b"<!DOCTYPE html>\n<html><body>Please log in to the network</body></html>\n"
SECRET = "s3cr3t-w0rd"


BIG = "/pool/main/b/big/big_1.0-1_all.deb"
TOOL = "/pool/main/t/tool/tool_1.0-1_all.deb"


@pytest.fixture
def big(stocked: World) -> Project:
    """A synced project whose archive has `big`, of 400 kB."""
    add_program(stocked.archive, "big", files={"usr/share/big/noise": noise(400_000)})
    stocked.publish()
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    return project


@pytest.fixture
def fresh(stocked: World) -> Project:
    """A project that was never locked, and a store that asked nobody yet."""
    return stocked.project(hello="*")


def test_an_unreachable_mirror_is_named_and_nothing_changes(fresh: Project) -> None:
    before = fresh.state()
    done = fresh.cape("sync", CAPE_DEBIAN_MIRROR=unused_url()).failed(
        SOURCE, RELEASE, "connection refused", "hint: "
    )
    assert done.stdout == ""
    assert fresh.state() == before


def test_a_name_that_does_not_resolve_is_told(fresh: Project) -> None:
    fresh.cape("sync", CAPE_DEBIAN_MIRROR="http://no-such-host.invalid/debian").failed(
        SOURCE, "could not be resolved"
    )


def test_credentials_of_a_mirror_are_sent_and_never_shown(stocked: World, fresh: Project) -> None:
    place = stocked.server.url.replace("http://", f"http://someone:{SECRET}@")
    shown = [fresh.cape("sync", "--verbose", CAPE_DEBIAN_MIRROR=place).succeeded()]
    assert any("Authorization" in headers for headers in stocked.server.headers_seen)
    stocked.server.always[RELEASE] = Fault(status=403)
    again = fresh.with_variables(CAPE_STORE=str(stocked.place / "other-store"), CAPE_DEBIAN_MIRROR=place)
    shown.append(again.cape("install", "tool", "--json").failed(SOURCE, "HTTP 403", "credentials"))
    closed = unused_url().replace("http://", f"http://someone:{SECRET}@")
    shown.append(again.cape("install", "tool", CAPE_DEBIAN_MIRROR=closed).failed(SOURCE))
    assert not any(SECRET in done.stdout + done.stderr for done in shown)
    assert SECRET not in fresh.lock.read_text()
    kept = [
        file for file in fresh.store.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()
    ]
    assert kept == []


def test_credentials_of_other_registries_are_never_shown(stocked: World) -> None:
    stocked.archive.add("python3.13", "3.13.5-1", architecture="all")
    stocked.archive.add("python3", "3.13.5-1", architecture="all", depends="python3.13")
    stocked.archive.add("libstdc++6", "14-1", architecture="all")
    stocked.publish()
    stocked.index.server.always["/simple/greet/"] = Fault(status=403)
    stocked.npm.server.always["/greet"] = Fault(status=403)
    project = stocked.project(greet='{ pypi = "*" }')
    for base in (None, unused_url()):
        index, npm = stocked.index.simple, stocked.npm.url
        hidden = project.with_variables(
            CAPE_PYPI_INDEX=(f"{base}/simple" if base else index).replace("//", f"//someone:{SECRET}@"),
            CAPE_NPM_REGISTRY=(base or npm).replace("//", f"//someone:{SECRET}@"),
        )
        shown = [
            hidden.cape("lock", "--verbose").failed(SOURCE),
            hidden.cape("lock", "--json").failed(SOURCE),
            hidden.cape("search", "pypi:greet"),
            hidden.cape("search", "npm:greet", "--json"),
            hidden.cape("doctor"),
        ]
        assert not any(SECRET in done.stdout + done.stderr for done in shown)
        assert not any("Traceback" in done.stderr for done in shown)


def test_a_mirror_that_stalls_is_given_up(stocked: World, fresh: Project) -> None:
    stocked.server.always[RELEASE] = Fault(stall=True)
    started = time.monotonic()
    fresh.cape("sync").failed(SOURCE, "silent for too long", RELEASE)
    assert time.monotonic() - started < 15


def test_a_mirror_that_fails_for_a_while_is_asked_again(stocked: World, fresh: Project) -> None:
    stocked.server.faults[RELEASE] = [Fault(status=503)]
    fresh.cape("sync").succeeded()


def test_an_overloaded_mirror_is_told(stocked: World, fresh: Project) -> None:
    stocked.server.always[RELEASE] = Fault(status=503)
    fresh.cape("sync").failed(SOURCE, "HTTP 503", "2 attempts")


def test_a_page_of_html_is_no_index(stocked: World, fresh: Project) -> None:
    stocked.server.files[RELEASE] = HTML
    before = fresh.state()
    fresh.cape("sync").failed(SOURCE, RELEASE.removesuffix("/InRelease"))
    assert fresh.state() == before


def test_an_index_that_is_cut_short_is_not_taken(stocked: World, fresh: Project) -> None:
    for path in ("Packages.xz", "Packages"):
        file = next(stocked.archive.directory.rglob(f"binary-amd64/{path}"), None)
        if file:
            file.write_bytes(file.read_bytes()[:-20])
    for file in stocked.archive.directory.rglob("by-hash/SHA256/*"):
        file.write_bytes(file.read_bytes()[:-20])
    fresh.cape("sync").failed(INTEGRITY, "hint: ")
    assert not fresh.lock.exists()


def test_an_index_that_was_altered_is_not_taken(stocked: World, fresh: Project) -> None:
    for file in stocked.archive.directory.rglob("*Packages*"):
        if file.is_file():
            file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    for file in stocked.archive.directory.rglob("by-hash/SHA256/*"):
        file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    fresh.cape("sync").failed(INTEGRITY)
    assert not fresh.lock.exists()


def test_an_archive_signed_by_another_is_refused(stocked: World, fresh: Project) -> None:
    from pysequoia import Tsk

    stocked.publish(signer=Tsk.generate("Somebody else"))
    fresh.cape("sync").failed(INTEGRITY, "trixie", "hint: ")
    assert not fresh.lock.exists()


def test_an_archive_without_a_signature_is_refused(stocked: World, fresh: Project) -> None:
    stocked.publish(inline=False)
    (stocked.archive.directory / "dists/trixie/Release.gpg").unlink()
    fresh.cape("sync").failed(INTEGRITY, "not signed")


def test_an_archive_changed_after_it_was_signed_is_refused(stocked: World, fresh: Project) -> None:
    file = stocked.archive.directory / "dists/trixie/InRelease"
    file.write_bytes(file.read_bytes().replace(b"Codename: trixie", b"Codename: trixiE"))
    fresh.cape("sync").failed(INTEGRITY)


def test_an_archive_past_its_date_is_refused(stocked: World, fresh: Project) -> None:
    stocked.publish(date=datetime.now(UTC) - timedelta(days=30), valid_for=timedelta(days=7))
    fresh.cape("sync").failed(SOURCE, "expired", "hint: ")
    assert not fresh.lock.exists()


def test_a_machine_without_keys_is_told_how_to_name_some(fresh: Project) -> None:
    fresh.cape("sync", CAPE_DEBIAN_KEYRING="/nonexistent/keys.gpg").failed(
        STATE, "/nonexistent/keys.gpg", "hint: "
    )


def test_an_altered_package_is_refused_and_a_healed_mirror_serves(stocked: World, synced: Project) -> None:
    stocked.server.always[TOOL] = Fault(alter=True)
    before = synced.state()
    synced.cape("install", "tool").failed(INTEGRITY, "`tool 1.0-1` is not what the lock says", TOOL, "hint: ")
    assert synced.state() == before
    assert [file for file in synced.store.glob("artifacts/partial/*") if file.stat().st_size] == []
    del stocked.server.always[TOOL]
    synced.cape("install", "tool").succeeded()
    assert synced.cape("run", "--", "tool").stdout == "tool 1.0-1\n"


def test_a_package_with_more_bytes_than_it_should_have_is_refused(stocked: World, synced: Project) -> None:
    stocked.server.always[TOOL] = Fault(longer=True)
    before = synced.state()
    synced.cape("install", "tool").failed(INTEGRITY, "`tool 1.0-1`")
    assert synced.state() == before


def test_a_download_that_breaks_is_resumed_within_a_command(stocked: World, big: Project) -> None:
    stocked.server.faults[BIG] = [Fault(reset_after=200_000), Fault(truncate_after=90_000)]
    big.cape("install", "big").succeeded()
    asked = [header for path, header in stocked.server.requests if path == BIG]
    assert asked[0] is None
    assert [header for header in asked[1:] if header and header.startswith("bytes=")]
    assert big.cape("run", "--", "big").stdout == "big 1.0-1\n"


def test_a_download_that_broke_is_resumed_by_the_next_command(stocked: World, big: Project) -> None:
    stocked.server.always[BIG] = Fault(stall=True)
    before = big.state()
    big.cape("install", "big").failed(SOURCE, "silent for too long", BIG)
    assert big.state() == before
    del stocked.server.always[BIG]
    stocked.server.requests.clear()
    big.cape("install", "big").succeeded()
    (asked,) = [header for path, header in stocked.server.requests if path == BIG]
    assert asked is not None and asked.startswith("bytes=")


def test_a_partial_download_that_somebody_changed_is_fetched_whole(stocked: World, big: Project) -> None:
    stocked.server.always[BIG] = Fault(stall=True)
    big.cape("install", "big").failed(SOURCE)
    (partial,) = [file for file in big.store.glob("artifacts/partial/*") if file.stat().st_size]
    partial.write_bytes(b"x" * partial.stat().st_size)
    del stocked.server.always[BIG]
    big.cape("install", "big").succeeded()


def test_the_cached_index_serves_while_the_mirror_is_away(stocked: World, synced: Project) -> None:
    """Only artifacts are missing then, and those are named."""
    stocked.server.always[RELEASE] = Fault(status=503)
    synced.cape("install", "tool").succeeded()


def test_a_second_mirror_answers_where_the_first_is_away(stocked: World, fresh: Project) -> None:
    for suite in ("trixie-updates", "trixie-security"):
        stocked.archive.add("fix", architecture="all", suite=suite)
    stocked.publish()
    fresh.cape("sync", CAPE_DEBIAN_MIRROR=f"{unused_url()} {stocked.server.url}").succeeded()


def test_an_index_of_python_packages_that_is_away_or_talks_nonsense(stocked: World) -> None:
    add_program(stocked.archive, "python3.13", "3.13.5-1")
    stocked.archive.add("python3", "3.13.5-1", architecture="all", depends="python3.13")
    stocked.archive.add("libstdc++6", "14-1", architecture="all")
    stocked.publish()
    project = stocked.project(greet='{ pypi = "*" }')
    before = project.state()
    project.cape("sync", CAPE_PYPI_INDEX=f"{unused_url()}/simple").failed(SOURCE)
    stocked.index.server.files["/simple/greet/"] = HTML
    stocked.index.server.types["/simple/greet/"] = "application/vnd.pypi.simple.v1+json"
    project.cape("sync").failed(SOURCE)
    assert project.state() == before


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_is_told_with_its_origin(fresh: Project, wrong: str) -> None:
    done = fresh.cape("sync", CAPE_NETWORK_SILENCE=wrong).failed(INPUT, "`network.silence`", f"`{wrong}`")
    assert "$CAPE_NETWORK_SILENCE" in done.stderr
