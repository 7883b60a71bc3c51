"""Python packages from an index on loopback: what is locked, and what bad indices and requests get."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.errors import CapeError
from cape.names import Digest, System
from cape.sources.download import Download, download_all
from cape.sources.protocol import (
    LockedPackage,
    Platform,
    RegistryGarbage,
    RegistryUnreachable,
    Requirement,
    RequirementsConflict,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.pypi import PypiSource
from cape.sources.pypi.source import NoInterpreter
from cape.sources.pypi.tool import NoWheel
from cape.sources.tools import BadConstraint
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import Fault, unused_url
from tests.mirrors.pypi import PythonIndex, python_index

X86, ARM = System.X86_64_LINUX, System.AARCH64_LINUX


@pytest.fixture
def index() -> Iterator[PythonIndex]:
    with python_index() as running:
        yield running


@pytest.fixture(autouse=True)
def quick_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def source_of(url: str, place: Path) -> PypiSource:
    (place / "artifacts").mkdir(exist_ok=True)
    return PypiSource(
        configuration=Configuration({"pypi.index": (url,)}),
        cache=place / "cache",
        artifacts=FolderArtifacts(place / "artifacts"),
    )


@pytest.fixture
def source(index: PythonIndex, tmp_path: Path) -> PypiSource:
    return source_of(index.simple, tmp_path)


def want(
    package: str, constraint: str = "*", *, systems: tuple[System, ...] = (), **options: str
) -> Requirement:
    return Requirement(
        source="pypi",
        name=package,
        package=package,
        constraint=constraint,
        systems=systems,
        options=options,
        where="cape.toml:7:1",
    )


def context(
    *kept: LockedPackage, glibc: str = "2.41", systems: tuple[System, ...] = (X86, ARM)
) -> ResolveContext:
    platforms = tuple(Platform(system=system, python="3.13", glibc=glibc) for system in systems)
    return ResolveContext(systems=systems, kept=kept, platforms=platforms)


def rows(
    source: PypiSource, *wanted: Requirement, within: ResolveContext | None = None
) -> list[LockedPackage]:
    return list(source.resolve(wanted, within or context()).packages)


def test_a_package_is_locked_with_its_dependencies_digest_and_size(
    index: PythonIndex, source: PypiSource
) -> None:
    index.add_wheel("Base.Lib", "1.0")
    file_name = index.add_wheel("app", "2.0", requires=["base-lib>=1"])
    app, base = rows(source, want("app"))
    data = index.server.files[f"/files/{file_name}"]
    assert (app.name, app.version, app.dependencies) == ("app", "2.0", ("base-lib",))
    assert app.artifact.digest == Digest.of(data) and app.artifact.size_bytes == len(data)
    assert app.artifact.location == "app/app-2.0-py3-none-any.whl"
    assert app.attributes == {"python": "3.13"}
    assert set(app.systems) == {X86, ARM} and base.name == "base-lib"


def test_locking_twice_gives_the_same(index: PythonIndex, source: PypiSource) -> None:
    for name in ("c", "a", "b"):
        index.add_wheel(name, "1.0", requires=[] if name == "a" else ["a"])
    wanted = [want("c"), want("b")]
    assert source.resolve(wanted, context()) == source.resolve(list(reversed(wanted)), context())


def test_each_system_gets_the_wheel_that_fits_it_best(index: PythonIndex, source: PypiSource) -> None:
    for tag in (
        "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp313-cp313-manylinux_2_28_x86_64",
        "cp313-cp313-manylinux_2_28_aarch64",
        "cp313-cp313-musllinux_1_2_x86_64",
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp313-cp313-win_amd64",
        "py3-none-any",
    ):
        index.add_wheel("fast", "1.0", tag=tag)
    chosen = {row.systems: row.artifact.location.rpartition("/")[2] for row in rows(source, want("fast"))}
    assert chosen == {
        (X86,): "fast-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
        (ARM,): "fast-1.0-cp313-cp313-manylinux_2_28_aarch64.whl",
    }
    (old,) = rows(source, want("fast"), within=context(glibc="2.20", systems=(X86,)))
    assert "manylinux2014" in old.artifact.location


def test_a_dependency_of_one_system_is_locked_for_it_only(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("armlib", "1.0")
    index.add_wheel("app", "1.0", requires=['armlib; platform_machine == "aarch64"'])
    app, armlib = rows(source, want("app"))
    assert armlib.systems == (ARM,) and set(app.systems) == {X86, ARM}


def test_a_requirement_of_one_system_is_locked_for_it_only(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("app", "1.0")
    (app,) = rows(source, want("app", systems=(ARM,)))
    assert app.systems == (ARM,)


def test_a_version_without_a_wheel_for_every_system_is_passed_over(
    index: PythonIndex, source: PypiSource
) -> None:
    index.add_wheel("app", "1.0")
    index.add_wheel("app", "2.0", tag="cp313-cp313-manylinux_2_17_x86_64")
    assert {row.version for row in rows(source, want("app"))} == {"1.0"}


def test_kept_versions_stay_while_they_fit(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("base", "1.0")
    index.add_wheel("app", "1.0", requires=["base"])
    before = rows(source, want("app"))
    for name in ("base", "app", "other"):
        index.add_wheel(name, "2.0", requires=["base"] if name != "base" else [])
    kept = rows(source, want("app"), want("other"), within=context(*before))
    assert {row.name: row.version for row in kept} == {"app": "1.0", "base": "1.0", "other": "2.0"}
    moved = rows(source, want("app", ">=2"), within=context(*before))
    assert {row.name: row.version for row in moved} == {"app": "2.0", "base": "1.0"}


def test_extras_bring_their_dependencies(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("sheets", "1.0")
    name = index.add_wheel("app", "1.0", requires=['sheets; extra == "excel"'])
    assert name and [row.name for row in rows(source, want("app", extras="excel"))] == ["app", "sheets"]


def test_an_index_without_digests_is_measured(index: PythonIndex, source: PypiSource) -> None:
    file_name = index.add_wheel("app", "1.0")
    index.without_hashes = True
    (app,) = rows(source, want("app"))
    assert app.artifact.digest == Digest.of(index.server.files[f"/files/{file_name}"])
    assert source.artifacts.has(app.artifact.digest)


def test_files_are_located_by_digest_when_only_the_lock_is_known(
    index: PythonIndex, source: PypiSource, tmp_path: Path
) -> None:
    index.add_wheel("app", "1.0")
    index.add_wheel("gone", "1.0")
    locked = rows(source, want("app"), want("gone"))
    del index.projects["gone"]
    (tmp_path / "second").mkdir()
    second = source_of(index.simple, tmp_path / "second")
    urls = second.locate(locked)
    assert list(urls) == [locked[0].artifact.digest]
    download = Download(
        digest=locked[0].artifact.digest,
        size_bytes=locked[0].artifact.size_bytes,
        name="app",
        urls=tuple(urls[locked[0].artifact.digest]),
    )
    download_all([download], second.artifacts)
    assert second.artifacts.has(locked[0].artifact.digest)


def test_credentials_of_the_index_go_with_the_files_and_into_no_cache(
    index: PythonIndex, tmp_path: Path
) -> None:
    index.add_wheel("app", "1.0")
    source = source_of(index.simple.replace("http://", "http://me:s3cret@"), tmp_path)
    (app,) = rows(source, want("app"))
    (url,) = source.locate([app])[app.artifact.digest]
    assert "me:s3cret@" in url
    kept = [path for path in (tmp_path / "cache").glob("*.json") if "s3cret" in path.read_text()]
    assert not kept


def test_variables_of_the_host_do_not_steer_the_resolution(
    index: PythonIndex, source: PypiSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("1.0", "2.0"):
        index.add_wheel("app", version)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("app<2\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(constraints))
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "none"))
    monkeypatch.setenv("UV_PYTHON", "2.7")
    assert [row.version for row in rows(source, want("app"))] == ["2.0"]


def failure(source: PypiSource, *wanted: Requirement, within: ResolveContext | None = None) -> CapeError:
    with pytest.raises(CapeError) as caught:
        source.resolve(wanted, within or context())
    return caught.value


def test_an_unknown_package_is_named_with_its_place(source: PypiSource) -> None:
    error = failure(source, want("no-such"))
    assert isinstance(error, UnknownPackage)
    assert str(error) == "cape.toml:7:1: `pypi` has no package `no-such`"


def test_an_unknown_package_gets_the_names_like_it_that_were_met(
    index: PythonIndex, source: PypiSource
) -> None:
    index.add_wheel("pandas", "1.0")
    rows(source, want("pandas"))
    error = failure(source, want("pandass"))
    assert isinstance(error, UnknownPackage) and "pandas" in error.nearest


def test_a_version_that_does_not_exist_is_answered_with_those_that_do(
    index: PythonIndex, source: PypiSource
) -> None:
    index.add_wheel("app", "1.0")
    error = failure(source, want("app", ">=9"))
    assert isinstance(error, UnknownVersion)
    assert error.fact == "no version of `app` fits `>=9`" and "1.0" in (error.hint or "")


def test_a_conflict_names_both_requirements_and_the_chain(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("base", "1.0")
    index.add_wheel("base", "2.0")
    index.add_wheel("app", "1.0", requires=["base>=2"])
    error = failure(source, want("app"), want("base", "<2"))
    assert isinstance(error, RequirementsConflict)
    assert "`app` `*`" in error.fact and "`base` `<2`" in error.fact
    assert "depend on base>=2" in (error.hint or "")


def test_a_package_without_wheels_is_refused_with_a_way_out(index: PythonIndex, source: PypiSource) -> None:
    index.add_file("onlysource", "onlysource-1.0.tar.gz", b"")
    error = failure(source, want("onlysource"))
    assert isinstance(error, NoWheel)
    assert error.where == "cape.toml:7:1" and 'build = ["onlysource"]' in (error.hint or "")


def test_a_package_without_a_wheel_for_a_system_is_refused(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("app", "1.0", tag="cp313-cp313-manylinux_2_39_x86_64")
    error = failure(source, want("app"), within=context(glibc="2.36", systems=(X86,)))
    assert isinstance(error, NoWheel) and "glibc 2.36" in error.fact


@pytest.mark.parametrize("constraint", ["^3", "git+https://x", "abc", ">="])
def test_a_constraint_of_another_language_is_refused(source: PypiSource, constraint: str) -> None:
    assert isinstance(failure(source, want("app", constraint)), BadConstraint)


def test_python_packages_without_an_interpreter_are_refused(source: PypiSource) -> None:
    assert isinstance(failure(source, want("app"), within=ResolveContext(systems=(X86,))), NoInterpreter)


def test_credentials_in_the_indexs_url_are_never_shown(tmp_path: Path) -> None:
    url = unused_url().replace("http://", "http://me:s3cret@")
    error = failure(source_of(f"{url}/simple", tmp_path), want("app"))
    assert "s3cret" not in f"{error} {error.hint} {list(error.causes())}"


def test_an_index_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    error = failure(source_of(f"{unused_url()}/simple", tmp_path), want("app"))
    assert isinstance(error, RegistryUnreachable) and error.exit_code == 4
    assert "pypi.index" in (error.hint or "")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_an_index_that_answers_with_an_error_is_unreachable(
    index: PythonIndex, source: PypiSource, status: int
) -> None:
    index.add_wheel("app", "1.0")
    index.server.always["/simple/app/"] = Fault(status=status)
    assert isinstance(failure(source, want("app")), RegistryUnreachable)


def test_an_index_that_is_silent_is_unreachable(
    index: PythonIndex, source: PypiSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    index.add_wheel("app", "1.0")
    index.server.always["/simple/app/"] = Fault(stall=True)
    assert isinstance(failure(source, want("app")), RegistryUnreachable)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/vnd.pypi.simple.v1+json", b"{ not json"),
        ("application/vnd.pypi.simple.v1+json", b'{"files": 3}'),
        ("image/png", b"\x89PNG"),
    ],
)
def test_an_index_that_answers_garbage_is_said_to(
    index: PythonIndex, source: PypiSource, kind: str, body: bytes
) -> None:
    index.server.files["/simple/app/"] = body
    index.server.types["/simple/app/"] = kind
    assert isinstance(failure(source, want("app")), RegistryGarbage)


def test_a_wheel_that_is_no_archive_is_garbage(index: PythonIndex, source: PypiSource) -> None:
    index.add_file("app", "app-1.0-py3-none-any.whl", b"not a zip archive" * 100)
    assert isinstance(failure(source, want("app")), RegistryGarbage)


def test_no_requirement_asks_nothing(tmp_path: Path) -> None:
    assert source_of(f"{unused_url()}/simple", tmp_path).resolve((), context()).packages == ()


def test_existence_is_told_exactly(index: PythonIndex, source: PypiSource) -> None:
    index.add_wheel("app", "1.0")
    index.add_file("onlysource", "onlysource-1.0.tar.gz", b"")
    assert source.has("app") and source.has("onlysource")
    assert not source.has("none") and not source.has("not a name")
    assert [found.version for found in source.find("App")] == ["1.0"] and not source.find("none")


@pytest.mark.network
def test_a_real_package_is_locked_brought_and_unpacked(tmp_path: Path) -> None:
    artifacts = FolderArtifacts(tmp_path)
    source = PypiSource(configuration=Configuration.read(), cache=tmp_path / "cache", artifacts=artifacts)
    (six,) = rows(source, want("six", "==1.17.0"))
    download = Download(
        digest=six.artifact.digest,
        size_bytes=six.artifact.size_bytes,
        name="six",
        urls=tuple(source.locate([six])[six.artifact.digest]),
    )
    download_all([download], artifacts)
    wheel = artifacts.path(six.artifact.digest)
    source.unpack(six, wheel, tmp_path / "tree")
    module = tmp_path / "tree/lib/python3.13/site-packages/six.py"
    assert module.read_bytes() == zipfile.ZipFile(wheel).read("six.py")
