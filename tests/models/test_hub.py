"""Models of a hub on loopback: pinned, verified, resumed, refused, and never with the token in sight."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.errors import CapeError, IntegrityError
from cape.names import Digest, System
from cape.sources.connections import Patience
from cape.sources.download import Download, download_all
from cape.sources.models import ModelSource
from cape.sources.models.errors import DangerousPickle, HubGarbage, HubRefuses, NoSuchModelFile, PickleRefused
from cape.sources.protocol import (
    LockedPackage,
    RegistryUnknown,
    RegistryUnreachable,
    Requirement,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.pypi import PypiSource
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.hub import ModelHub, model_hub
from tests.mirrors.loopback import Fault
from tests.models.weights import dangerous_pickle, gguf, harmless_pickle, safetensors

SYSTEMS = (System.X86_64_LINUX, System.AARCH64_LINUX)
CONTEXT = ResolveContext(systems=SYSTEMS)
HASTY = Patience(connect_s=2, silence_s=2, attempts=3, pause_s=0.01)
LARGE = gguf(tensors=20_000)


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("CAPE_NETWORK_ATTEMPTS", "2")


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as running:
        yield running


def source_of(url: str | None, place: Path) -> ModelSource:
    (place / "artifacts").mkdir(parents=True, exist_ok=True)
    artifacts = FolderArtifacts(place / "artifacts")
    configuration = Configuration({"hub": (url,)} if url else {})
    pypi = PypiSource(configuration=configuration, cache=place / "indices/pypi", artifacts=artifacts)
    return ModelSource(pypi=pypi, artifacts=artifacts, configuration=configuration, directory=place)


@pytest.fixture
def source(hub: ModelHub, tmp_path: Path) -> ModelSource:
    return source_of(hub.url, tmp_path)


def want(package: str = "org/tiny", name: str = "large", **options: str) -> Requirement:
    keys = {key.replace("__", ".").replace("_", "-"): value for key, value in options.items()}
    return Requirement(
        source="model", name=name, package=package, options={"registry": "hf", **keys}, where="cape.toml:9:1"
    )


def bring(source: ModelSource, *rows: LockedPackage) -> None:
    urls = source.locate(rows)
    items = [
        Download(
            digest=row.artifact.digest,
            size_bytes=row.artifact.size_bytes,
            name=row.name,
            urls=tuple(urls[row.artifact.digest]),
        )
        for row in rows
    ]
    download_all(items, source.artifacts, patience=HASTY)


def failure(source: ModelSource, *wanted: Requirement) -> CapeError:
    with pytest.raises(CapeError) as caught:
        source.resolve(wanted, CONTEXT)
    return caught.value


def test_a_revision_is_pinned_to_its_commit_and_nothing_large_is_brought(
    hub: ModelHub, source: ModelSource
) -> None:
    commit = hub.add("org/tiny", {"a-Q4_K_M.gguf": LARGE, "a-Q8_0.gguf": LARGE + b"x"},
                     large=("a-Q4_K_M.gguf", "a-Q8_0.gguf"))  # fmt: skip
    resolution = source.resolve([want(file="*Q4_K_M.gguf", revision="main")], CONTEXT)
    (row,) = resolution.packages
    assert (row.name, row.version, row.placement) == ("org/tiny/a-Q4_K_M.gguf", commit, "large")
    assert row.artifact.digest == Digest.of(LARGE) and row.artifact.size_bytes == len(LARGE)
    assert row.artifact.location == f"org/tiny/resolve/{commit}/a-Q4_K_M.gguf"
    assert row.attributes["licence"] == "apache-2.0" and set(row.systems) == set(SYSTEMS)
    assert resolution.roots == {"large": ("org/tiny/a-Q4_K_M.gguf",)}
    assert hub.files.requests == []


def test_a_kept_commit_stays_until_it_is_upgraded(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"a.gguf": LARGE}, large=("a.gguf",))
    first = source.resolve([want(file="*.gguf")], CONTEXT)
    hub.add("org/tiny", {"a.gguf": LARGE + b"new"}, large=("a.gguf",))
    fresh = source_of(hub.url, source.artifacts.directory.parent)  # type: ignore[attr-defined]
    hub.server.requests.clear()
    assert fresh.resolve([want(file="*.gguf")], ResolveContext(systems=SYSTEMS, kept=first.packages)) == first
    assert hub.server.requests == []  # a commit does not change: nobody is asked
    assert fresh.resolve([want(file="*.gguf")], CONTEXT) != first


def test_a_repository_is_taken_whole_but_for_what_has_a_safe_twin(
    hub: ModelHub, source: ModelSource, tmp_path: Path
) -> None:
    files = {"config.json": b"{}", "copy/config.json": b"{}", "model.safetensors": safetensors(),
             "pytorch_model.bin": dangerous_pickle(), "tf_model.h5": b"x", ".gitattributes": b""}  # fmt: skip
    hub.add("org/tiny", files, large=("model.safetensors", "pytorch_model.bin"))
    rows = source.resolve([want()], CONTEXT).packages
    bring(source, *rows)
    for row in rows:
        source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    home = tmp_path / "tree/models/large"
    found = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert found == {name: files[name] for name in ("config.json", "copy/config.json", "model.safetensors")}


def test_files_are_hard_links_of_their_artifacts(hub: ModelHub, source: ModelSource, tmp_path: Path) -> None:
    hub.add("org/tiny", {"a.gguf": LARGE}, large=("a.gguf",))
    (row,) = source.resolve([want(file="a.gguf")], CONTEXT).packages
    bring(source, row)
    artifact = source.artifacts.path(row.artifact.digest)
    source.unpack(row, artifact, tmp_path / "tree")
    assert (tmp_path / "tree/models/large/a.gguf").samefile(artifact)


def test_several_patterns_give_several_rows_and_a_list_of_pages_is_read_to_its_end(
    hub: ModelHub, source: ModelSource
) -> None:
    commit = hub.add("org/tiny", {"a.json": b"{}", "b.json": b"[]", "c.txt": b"c"})
    tree = f"/api/models/org/tiny/tree/{commit}"
    entries = hub._answers[tree]
    hub._answers[tree], hub._answers[f"{tree}/more"] = entries[:1], entries[1:]
    hub.server.extra[tree] = {"Link": f'<{hub.url}{tree}/more?cursor=x>; rel="next"'}
    rows = source.resolve([want(file="*.json\n*.txt")], CONTEXT).packages
    assert sorted(row.attributes["file"] for row in rows) == ["a.json", "b.json", "c.txt"]


def test_a_tokenizer_of_the_same_repository_is_a_part(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"onnx/model.onnx": b"\x08\x07", "tokenizer.json": b"{}"})
    rows = source.resolve([want(file="*.onnx", tokenizer__file="tokenizer.json")], CONTEXT).packages
    parts = {
        part: row.attributes[part] for row in rows for part in ("file", "tokenizer") if part in row.attributes
    }
    assert parts == {"file": "onnx/model.onnx", "tokenizer": "tokenizer.json"}


def test_a_connection_dropped_at_ninety_percent_is_taken_up_again(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"a.gguf": LARGE}, large=("a.gguf",))
    (row,) = source.resolve([want(file="a.gguf")], CONTEXT).packages
    blob = f"/blobs/{hashlib.sha256(LARGE).hexdigest()}"
    hub.files.faults[blob] = [Fault(truncate_after=len(LARGE) * 9 // 10)]
    bring(source, row)
    assert source.artifacts.path(row.artifact.digest).read_bytes() == LARGE
    ranges = [asked for path, asked in hub.files.requests if path.startswith(blob)]
    assert ranges[0] is None and ranges[1] is not None
    assert ranges[1] == f"bytes={len(LARGE) * 9 // 10}-"


def test_other_bytes_than_the_hub_told_are_refused(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"a.gguf": LARGE, "b.json": b"{ }"}, large=("a.gguf",))
    (row,) = source.resolve([want(file="a.gguf")], CONTEXT).packages
    hub.files.always[f"/blobs/{hashlib.sha256(LARGE).hexdigest()}"] = Fault(alter=True)
    with pytest.raises(IntegrityError, match="is not what the lock says"):
        bring(source, row)
    hub.server.always[f"/org/tiny/resolve/{row.version}/b.json"] = Fault(alter=True)
    assert isinstance(failure(source, want(file="b.json")), IntegrityError)


def test_too_many_requests_are_waited_for(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"a.json": b"{}"})
    hub.server.faults["/api/models/org/tiny/revision/main"] = [
        Fault(status=429, headers={"Retry-After": "0"})
    ]
    assert source.resolve([want(file="a.json")], CONTEXT).packages


@pytest.mark.parametrize("status", [401, 403])
def test_a_hub_that_refuses_is_said_with_the_ways_to_a_token(
    hub: ModelHub, source: ModelSource, status: int
) -> None:
    hub.add("org/tiny", {"a.json": b"{}"})
    hub.server.always["/api/models/org/tiny/revision/main"] = Fault(status=status)
    error = failure(source, want(file="a.json"))
    assert isinstance(error, HubRefuses) and error.where == "cape.toml:9:1"
    assert "HF_TOKEN" in (error.hint or "")


def test_a_repository_a_revision_and_a_file_that_there_are_not(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"a.json": b"{}"})
    assert isinstance(failure(source, want("org/other", file="*")), UnknownPackage)
    assert isinstance(failure(source, want(file="*", revision="v9")), UnknownVersion)
    error = failure(source, want(file="*.gguf"))
    assert isinstance(error, NoSuchModelFile) and "`a.json`" in (error.hint or "")


def test_no_hub_and_an_unreachable_one_are_told_apart(hub: ModelHub, tmp_path: Path) -> None:
    error = failure(source_of(None, tmp_path / "none"), want(file="*"))
    assert isinstance(error, RegistryUnknown) and "cape config hub" in (error.hint or "")
    hub.server.always["/api/models/org/tiny/revision/main"] = Fault(status=500)
    assert isinstance(failure(source_of(hub.url, tmp_path), want(file="*")), RegistryUnreachable)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\b", "a\nb"])
def test_a_path_that_escapes_is_refused(hub: ModelHub, source: ModelSource, path: str) -> None:
    hub.add("org/tiny", {path: b"{}"})
    assert isinstance(failure(source, want(file="*")), HubGarbage)


@pytest.mark.parametrize("kept_in", ["variable", "file"])
def test_the_token_goes_to_the_hub_alone_and_is_in_no_row_and_no_error(
    hub: ModelHub, source: ModelSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept_in: str
) -> None:
    token = "hf_" + "s3cr3t" * 4
    if kept_in == "variable":
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        (tmp_path / "hf").mkdir()
        (tmp_path / "hf/token").write_text(token + "\n")
    hub.add("org/tiny", {"a.gguf": LARGE}, large=("a.gguf",))
    (row,) = source.resolve([want(file="a.gguf")], CONTEXT).packages
    bring(source, row)
    assert all(seen.get("Authorization") == f"Bearer {token}" for seen in hub.server.headers_seen)
    assert hub.files.headers_seen and not any("Authorization" in seen for seen in hub.files.headers_seen)
    hub.server.always["/api/models/org/tiny/revision/other"] = Fault(status=403)
    error = failure(source, want(file="a.gguf", revision="other"))
    texts = [str(row), str(error), error.hint or "", *error.causes()]
    assert not any("s3cr3t" in text or "X-Amz" in text for text in texts)


def test_a_pickle_is_refused_before_it_is_brought(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"pytorch_model.bin": harmless_pickle()}, large=("pytorch_model.bin",))
    error = failure(source, want(file="*.bin"))
    assert isinstance(error, PickleRefused) and error.where == "cape.toml:9:1"
    assert hub.files.requests == []


def test_an_allowed_pickle_is_looked_through_before_it_is_locked(hub: ModelHub, source: ModelSource) -> None:
    hub.add("org/tiny", {"good.bin": harmless_pickle(), "bad.bin": dangerous_pickle()},
            large=("good.bin", "bad.bin"))  # fmt: skip
    assert source.resolve([want(file="good.bin", allow_pickle="true")], CONTEXT).packages
    error = failure(source, want(file="bad.bin", allow_pickle="true"))
    assert isinstance(error, DangerousPickle) and "posix.system" in error.fact
    assert source.resolve([want(file="bad.bin", allow_pickle="posix.system")], CONTEXT).packages


def test_a_pickle_under_another_name_is_refused_when_it_comes(
    hub: ModelHub, source: ModelSource, tmp_path: Path
) -> None:
    hub.add("org/tiny", {"model.safetensors": dangerous_pickle()}, large=("model.safetensors",))
    (row,) = source.resolve([want(file="*.safetensors")], CONTEXT).packages
    bring(source, row)
    with pytest.raises(PickleRefused):
        source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")


def test_two_models_of_one_repository_share_its_view(
    hub: ModelHub, source: ModelSource, tmp_path: Path
) -> None:
    commit = hub.add("org/tiny", {"a.gguf": LARGE, "config.json": b"{}"}, large=("a.gguf",))
    wanted = [want(name="one", file="a.gguf"), want(name="two", file="a.gguf\nconfig.json")]
    rows = source.resolve(wanted, CONTEXT).packages
    bring(source, *rows)
    for row in rows:
        source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / "tree")
    view = tmp_path / "tree/hub/models--org--tiny"
    assert (view / "refs/main").read_text() == commit
    assert (view / f"snapshots/{commit}/a.gguf").read_bytes() == LARGE
    assert (view / f"snapshots/{commit}/config.json").read_bytes() == b"{}"
    assert (tmp_path / "tree/models/two/a.gguf").samefile(tmp_path / "tree/models/one/a.gguf")


def test_two_models_of_one_branch_may_be_of_two_commits(
    hub: ModelHub, source: ModelSource, tmp_path: Path
) -> None:
    old = hub.add("org/tiny", {"a.json": b"{}"})
    first = source.resolve([want(name="one", file="a.json")], CONTEXT)
    new = hub.add("org/tiny", {"a.json": b"[]", "b.json": b"[]"})
    wanted = [want(name="one", file="a.json"), want(name="two", file="*.json")]
    later = source_of(hub.url, tmp_path)
    rows = later.resolve(wanted, ResolveContext(systems=SYSTEMS, kept=first.packages)).packages
    for number, row in enumerate(rows):
        source.unpack(row, source.artifacts.path(row.artifact.digest), tmp_path / str(number))
    told = {
        str(file.relative_to(file.parents[3])): file.read_text()
        for file in tmp_path.glob("*/hub/*/refs/main")
    }
    assert told == {"hub/models--org--tiny/refs/main": old}
    found = {path.parent.name for path in tmp_path.glob("*/hub/*/snapshots/*/a.json")}
    assert found == {old, new}
