"""Interpreters as a source: held to what every source promises, and to uv's list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.names import Age, System
from cape.sources.contract import SourceContract, Subject
from cape.sources.download import Download, FileNotServed, download_all
from cape.sources.interpreters import InterpreterSource
from cape.sources.protocol import (
    LockedPackage,
    Requirement,
    RequirementsConflict,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.tools import BadConstraint
from tests.interpreters.standalone import offer, tiny
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import Loopback, loopback

SYSTEMS = (System.X86_64_LINUX,)
CONTEXT = ResolveContext(systems=SYSTEMS)


def python(constraint: str, name: str = "python") -> Requirement:
    return Requirement(source="uv", name=name, package="python", constraint=constraint, where="cape.toml:9:1")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


@pytest.fixture
def source(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InterpreterSource:
    archives = {
        ("3.11.9", "20240601"): tiny("3.11.9"),
        ("3.12.4", "20240601"): tiny("3.12.4"),
        ("3.12.7", "20241101"): tiny("3.12.7"),
    }
    for name, value in offer(server, tmp_path, archives).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CAPE_NETWORK_ATTEMPTS", "1")
    (tmp_path / "artifacts").mkdir()
    return InterpreterSource(artifacts=FolderArtifacts(tmp_path / "artifacts"))


class TestInterpreterSource(SourceContract):
    @pytest.fixture
    def subject(self, source: InterpreterSource) -> Subject:
        def artifact(package: LockedPackage) -> Path:
            digest = package.artifact.digest
            urls = tuple(source.locate([package])[digest])
            item = Download(digest=digest, size_bytes=package.artifact.size_bytes, name="python", urls=urls)
            download_all([item], source.artifacts)
            return source.artifacts.path(digest)

        return Subject(
            source=source,
            requirement=python("3.12"),
            impossible=python("2.7"),
            artifact=artifact,
            systems=SYSTEMS,
            conflicting=(python("3.12"), python("3.11", "older")),
        )


@pytest.mark.parametrize(
    ("constraint", "version"),
    [("3", "3.12.7"), ("3.11", "3.11.9"), ("3.12.4", "3.12.4"), (">=3.11,<3.12", "3.11.9"), ("*", "3.12.7")],
)
def test_a_constraint_takes_the_newest_that_fits(
    source: InterpreterSource, constraint: str, version: str
) -> None:
    (row,) = source.resolve([python(constraint)], CONTEXT).packages
    assert row.version == version
    assert row.artifact.location.startswith("20") and "://" not in row.artifact.location


def test_a_day_leaves_out_what_came_later(source: InterpreterSource) -> None:
    then = ResolveContext(systems=SYSTEMS, as_of="2024-08-01T00:00:00Z")
    assert source.resolve([python("3.12")], then).packages[0].version == "3.12.4"
    aged = ResolveContext(systems=SYSTEMS, minimum_age=Age.parse("30 days"), now="2024-11-20T00:00:00Z")
    assert source.resolve([python("3.12")], aged).packages[0].version == "3.12.4"


def test_a_row_that_is_kept_needs_no_registry(
    source: InterpreterSource, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = source.resolve([python("3.11")], CONTEXT).packages
    server.requests.clear()
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", "file:///nowhere.json")
    again = InterpreterSource(artifacts=source.artifacts)
    assert again.resolve([python("3.11")], ResolveContext(systems=SYSTEMS, kept=kept)).packages == kept
    assert server.requests == []


def test_a_version_that_uv_lists_no_more_is_looked_for_beside_the_others(source: InterpreterSource) -> None:
    (row,) = source.resolve([python("3.12")], CONTEXT).packages
    (urls,) = source.locate([row]).values()
    source._known = tuple(build for build in source._builds() if str(build.version) != row.version)
    (guessed,) = source.locate([row]).values()
    assert guessed[0].replace("%2B", "+") == urls[0].replace("%2B", "+")


def test_what_uv_does_not_have_is_said_with_what_it_has(source: InterpreterSource) -> None:
    with pytest.raises(UnknownVersion, match=r"no Python 3\.99 for `x86_64-linux`") as caught:
        source.resolve([python("3.99")], CONTEXT)
    assert caught.value.hint == "there are 3.12, 3.11"
    with pytest.raises(BadConstraint, match="`three` is no version"):
        source.resolve([python("three")], CONTEXT)
    with pytest.raises(UnknownPackage):
        source.resolve([Requirement(source="uv", name="ruby", package="ruby")], CONTEXT)


def test_two_versions_for_one_system_are_a_conflict_and_for_two_systems_are_not(
    source: InterpreterSource,
) -> None:
    with pytest.raises(RequirementsConflict, match=r"`3\.12` and `3\.11`"):
        source.resolve([python("3.12"), python("3.11", "older")], CONTEXT)


def test_an_archive_that_is_not_served_is_named(source: InterpreterSource, server: Loopback) -> None:
    server.files.clear()
    with pytest.raises(FileNotServed, match=r"cpython-3\.12\.7"):
        source.resolve([python("3.12")], CONTEXT)
