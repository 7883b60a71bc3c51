"""Models that are one file: of a URL, of the project, and of a registry of Ollama's shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.errors import CapeError, IntegrityError
from cape.names import Digest, System
from cape.sources.models import ModelSource
from cape.sources.models.errors import DigestDiffers, HubGarbage, HubRefuses, PickleRefused
from cape.sources.models.single import NoSuchModelPath
from cape.sources.protocol import ArtifactGone, RegistryUnknown, Requirement, ResolveContext, UnknownPackage
from cape.sources.pypi import PypiSource
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.loopback import Fault, Loopback, loopback
from tests.models.test_hub import bring
from tests.models.weights import dangerous_pickle, gguf, harmless_pickle

WEIGHTS = gguf(licence="cc-by-4.0", tensors=2000)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        running.files["/files/tiny.gguf"] = WEIGHTS
        yield running


@pytest.fixture
def source(server: Loopback, tmp_path: Path) -> ModelSource:
    (tmp_path / "artifacts").mkdir()
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    configuration = Configuration({"ollama": (server.url,)})
    pypi = PypiSource(configuration=configuration, cache=tmp_path / "indices/pypi", artifacts=artifacts)
    return ModelSource(pypi=pypi, artifacts=artifacts, configuration=configuration, directory=tmp_path)


def want(registry: str, package: str, **options: str) -> Requirement:
    keys = {"registry": registry, **{key.replace("_", "-"): value for key, value in options.items()}}
    return Requirement(source="model", name="large", package=package, options=keys, where="cape.toml:9:1")


def resolve(source: ModelSource, wanted: Requirement) -> ResolveContext:
    return ResolveContext(systems=(System.X86_64_LINUX,), directory=source.directory)


def failure(source: ModelSource, wanted: Requirement) -> CapeError:
    with pytest.raises(CapeError) as caught:
        source.resolve([wanted], resolve(source, wanted))
    return caught.value


def unpacked(source: ModelSource, wanted: Requirement, into: Path) -> dict[str, bytes]:
    rows = source.resolve([wanted], resolve(source, wanted)).packages
    bring(source, *rows)
    for row in rows:
        source.unpack(row, source.artifacts.path(row.artifact.digest), into)
    home = into / "models/large"
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_url_is_measured_and_its_licence_read(
    server: Loopback, source: ModelSource, tmp_path: Path
) -> None:
    wanted = want("url", f"{server.url}/files/tiny.gguf")
    (row,) = source.resolve([wanted], resolve(source, wanted)).packages
    assert row.artifact.digest == Digest(SHA256) and row.artifact.location == "tiny.gguf"
    assert row.attributes["url"] == f"{server.url}/files/tiny.gguf"
    assert row.attributes["licence"] == "cc-by-4.0"
    assert unpacked(source, wanted, tmp_path / "tree") == {"tiny.gguf": WEIGHTS}


def test_a_url_with_its_digest_is_not_brought_to_be_locked(server: Loopback, source: ModelSource) -> None:
    wanted = want("url", f"{server.url}/files/tiny.gguf", sha256=SHA256)
    (row,) = source.resolve([wanted], resolve(source, wanted)).packages
    assert row.artifact.size_bytes == len(WEIGHTS) and row.attributes["licence"] == "cc-by-4.0"
    assert not source.artifacts.has(row.artifact.digest)


def test_a_url_that_breaks_at_ninety_percent_is_measured_all_the_same(
    server: Loopback, source: ModelSource
) -> None:
    server.extra["/files/tiny.gguf"] = {"ETag": '"one"'}
    server.faults["/files/tiny.gguf"] = [Fault(reset_after=len(WEIGHTS) * 9 // 10)]
    wanted = want("url", f"{server.url}/files/tiny.gguf")
    (row,) = source.resolve([wanted], resolve(source, wanted)).packages
    assert row.artifact.digest == Digest(SHA256)
    assert [asked for _, asked in server.requests if asked]


def test_another_digest_than_the_manifests_is_refused(
    server: Loopback, source: ModelSource, tmp_path: Path
) -> None:
    wanted = want("url", f"{server.url}/files/tiny.gguf", sha256="0" * 64)
    with pytest.raises(IntegrityError):
        unpacked(source, wanted, tmp_path / "tree")
    (tmp_path / "tiny.gguf").write_bytes(WEIGHTS)
    assert isinstance(failure(source, want("path", "tiny.gguf", sha256="0" * 64)), DigestDiffers)


def test_a_url_that_leads_nowhere_is_said(server: Loopback, source: ModelSource) -> None:
    assert isinstance(failure(source, want("url", f"{server.url}/files/none.gguf")), ArtifactGone)


def test_a_pickle_at_a_url_is_refused_by_name_and_by_content(server: Loopback, source: ModelSource) -> None:
    server.files["/files/m.pkl"] = harmless_pickle()
    server.files["/files/m.weights"] = dangerous_pickle()
    assert isinstance(failure(source, want("url", f"{server.url}/files/m.pkl")), PickleRefused)
    assert isinstance(failure(source, want("url", f"{server.url}/files/m.weights")), PickleRefused)
    allowed = want("url", f"{server.url}/files/m.pkl", allow_pickle="true")
    assert source.resolve([allowed], resolve(source, allowed)).packages


def test_a_file_of_the_project_is_a_model(source: ModelSource, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/own.gguf").write_bytes(WEIGHTS)
    wanted = want("path", "weights/own.gguf")
    (row,) = source.resolve([wanted], resolve(source, wanted)).packages
    assert row.artifact.location == "own.gguf" and row.attributes["path"] == "weights/own.gguf"
    assert unpacked(source, wanted, tmp_path / "tree") == {"own.gguf": WEIGHTS}
    (tmp_path / "weights/own.gguf").write_bytes(WEIGHTS + b"changed")
    source.artifacts.path(row.artifact.digest).unlink()
    with pytest.raises(IntegrityError):
        bring(source, row)
    assert isinstance(failure(source, want("path", "weights/none.gguf")), NoSuchModelPath)


def test_what_is_locked_stays_whatever_became_of_the_file(
    server: Loopback, source: ModelSource, tmp_path: Path
) -> None:
    (tmp_path / "own.gguf").write_bytes(WEIGHTS)
    for wanted in (want("url", f"{server.url}/files/tiny.gguf"), want("path", "own.gguf")):
        first = source.resolve([wanted], resolve(source, wanted))
        server.files["/files/tiny.gguf"] = b"another"
        (tmp_path / "own.gguf").write_bytes(b"another")
        server.requests.clear()
        kept = ResolveContext(systems=(System.X86_64_LINUX,), directory=tmp_path, kept=first.packages)
        assert source.resolve([wanted], kept) == first and server.requests == []
        server.files["/files/tiny.gguf"] = WEIGHTS
        (tmp_path / "own.gguf").write_bytes(WEIGHTS)


def publish(server: Loopback, layers: dict[str, bytes], name: str = "library/tiny") -> None:
    told = []
    for kind, data in layers.items():
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        media = f"application/vnd.ollama.image.{kind}"
        told.append({"mediaType": media, "digest": digest, "size": len(data)})
        server.files[f"/v2/{name}/blobs/{digest}"] = data
    body = json.dumps({"schemaVersion": 2, "config": {}, "layers": told}).encode()
    server.files[f"/v2/{name}/manifests/1b"] = body


def test_a_model_of_an_ollama_style_registry_is_its_layers(
    server: Loopback, source: ModelSource, tmp_path: Path
) -> None:
    licence = b"\n   Apache License\n  Version 2.0, January 2004\n"
    publish(server, {"model": WEIGHTS, "template": b"{{ .Prompt }}", "license": licence, "params": b"{}"})
    wanted = want("ollama", "tiny:1b")
    rows = source.resolve([wanted], resolve(source, wanted)).packages
    assert {row.attributes["licence"] for row in rows} == {"apache-2.0"}
    assert len({row.version for row in rows}) == 1 and all("://" not in row.artifact.location for row in rows)
    found = unpacked(source, wanted, tmp_path / "tree")
    assert found == {
        "model.gguf": WEIGHTS,
        "template.txt": b"{{ .Prompt }}",
        "LICENSE": licence,
        "params.json": b"{}",
    }


def test_what_an_ollama_style_registry_can_get_wrong_is_said(
    server: Loopback, source: ModelSource, tmp_path: Path
) -> None:
    publish(server, {"model": WEIGHTS})
    assert isinstance(failure(source, want("ollama", "none:1b")), UnknownPackage)
    server.files["/v2/library/odd/manifests/1b"] = b'{"layers": [{"mediaType": 1}]}'
    assert isinstance(failure(source, want("ollama", "odd:1b")), HubGarbage)
    server.files["/v2/library/empty/manifests/1b"] = b'{"layers": []}'
    assert isinstance(failure(source, want("ollama", "empty:1b")), HubGarbage)
    server.always["/v2/library/tiny/manifests/1b"] = Fault(status=401)
    assert isinstance(failure(source, want("ollama", "tiny:1b")), HubRefuses)
    pypi = PypiSource(configuration=Configuration(), cache=tmp_path / "c/pypi", artifacts=source.artifacts)
    bare = ModelSource(pypi=pypi, artifacts=source.artifacts)
    assert isinstance(failure(bare, want("ollama", "tiny:1b")), RegistryUnknown)
