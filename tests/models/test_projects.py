"""Models of every kind in a project: the real `cape`, from the manifest to a program that finds them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cape.names import Digest
from tests.end_to_end.harness import INTEGRITY, PATIENCE, SOURCE, STATE, SYSTEMS, Project
from tests.mirrors.hub import ModelHub, model_hub
from tests.mirrors.loopback import Fault
from tests.models.weights import dangerous_pickle, gguf, harmless_pickle, safetensors

LARGE = gguf(licence="mit", tensors=20_000)
BLOB = f"/blobs/{hashlib.sha256(LARGE).hexdigest()}"


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub() as running:
        files = {"a.gguf": LARGE, "config.json": b"{}", "model.safetensors": safetensors()}
        running.add("org/tiny", files, large=("a.gguf", "model.safetensors"), licence="mit")
        running.add("org/risky", {"weights.bin": dangerous_pickle(), "fine.bin": harmless_pickle()},
                    large=("weights.bin", "fine.bin"))  # fmt: skip
        yield running


def project_with(
    place: Path, hub: ModelHub, models: str, *, name: str = "project", more: str = ""
) -> Project:
    directory, home = place / name, place / "home"
    directory.mkdir()
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "CAPE_STORE": str(place / "store"),
        "CAPE_HUB": hub.url,
        "CAPE_OLLAMA": hub.url,
        **PATIENCE,
    }
    project = Project(directory=directory, environment=environment)
    head = f'schema = 1\n\n[environment]\nname = "test"\nsystems = {SYSTEMS}\n\n'
    project.manifest.write_text(f"{head}{more}[models]\n{models}")
    return project


def publish_layers(hub: ModelHub) -> None:
    digest = f"sha256:{hashlib.sha256(LARGE).hexdigest()}"
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(LARGE)}]
    hub.server.files["/v2/library/tiny/manifests/1b"] = json.dumps({"layers": layers}).encode()
    hub.server.files[f"/v2/library/tiny/blobs/{digest}"] = LARGE


def every_kind(place: Path, hub: ModelHub) -> Project:
    publish_layers(hub)
    hub.server.files["/files/by-url.gguf"] = LARGE + b"url"
    text = (
        'large = { hf = "org/tiny", file = "*.gguf" }\n'
        'many-files = { hf = "org/tiny", file = ["*.json", "*.safetensors"], revision = "main" }\n'
        f'by-url = {{ url = "{hub.url}/files/by-url.gguf" }}\n'
        'own = { path = "weights/own.gguf" }\n'
        'pulled = { ollama = "tiny:1b" }\n'
    )
    project = project_with(place, hub, text)
    (project.directory / "weights").mkdir()
    (project.directory / "weights/own.gguf").write_bytes(LARGE + b"own")
    return project


def test_models_of_every_kind_are_locked_made_told_vendored_and_made_again_offline(
    hub: ModelHub, tmp_path: Path
) -> None:
    project = every_kind(tmp_path, hub)
    project.cape("sync").succeeded()
    lock = project.lock.read_text()
    assert hub.url not in lock.replace(f"{hub.url}/files/by-url.gguf", "")
    inside = project.cape("run", "--", "env").succeeded().stdout
    told = dict(line.partition("=")[::2] for line in inside.splitlines())
    environment = Path(told["CAPE_ENV"])
    assert Path(told["CAPE_MODEL_LARGE"]) == environment / "models/large/a.gguf"
    assert Path(told["CAPE_MODEL_LARGE"]).read_bytes() == LARGE
    assert Path(told["CAPE_MODEL_MANY_FILES"]) == environment / "models/many-files"
    assert Path(told["CAPE_MODEL_BY_URL"]).read_bytes() == LARGE + b"url"
    assert Path(told["CAPE_MODEL_OWN"]).read_bytes() == LARGE + b"own"
    assert Path(told["CAPE_MODEL_PULLED"]).read_bytes() == LARGE
    artifact = project.store / "artifacts" / BLOB[7:9] / BLOB[7:]
    assert artifact.samefile(told["CAPE_MODEL_LARGE"]) and artifact.samefile(told["CAPE_MODEL_PULLED"])
    listed = project.cape("list", "--all").succeeded().stdout
    assert all(name in listed for name in ("large", "many-files", "by-url", "own", "pulled"))
    assert "mit" in project.cape("licences").succeeded().stdout
    assert "large" in project.cape("why", "large").succeeded().stdout
    assert "pkg:huggingface/org/tiny@" in project.cape("sbom").succeeded().stdout
    project.cape("vendor", str(tmp_path / "vendored")).succeeded()
    away = project.with_variables(CAPE_STORE=str(tmp_path / "other"), CAPE_OFFLINE="1")
    shutil.rmtree(project.directory / ".cape")
    away.cape("sync", "--locked", "--from", str(tmp_path / "vendored")).succeeded()
    assert project.lock.read_text() == lock


def test_locking_again_asks_nobody_and_upgrading_takes_the_new_commit(hub: ModelHub, tmp_path: Path) -> None:
    project = project_with(tmp_path, hub, 'large = { hf = "org/tiny", file = "*.gguf" }\n')
    project.cape("lock").succeeded()
    before = project.lock.read_text()
    hub.add("org/tiny", {"a.gguf": LARGE + b"2"}, large=("a.gguf",))
    hub.server.requests.clear()
    project.cape("lock").succeeded()
    assert project.lock.read_text() == before and hub.server.requests == []
    project.cape("upgrade", "large").succeeded()
    assert Digest.of(LARGE + b"2").hex in project.lock.read_text()


def test_a_dropped_connection_is_taken_up_by_the_next_command(hub: ModelHub, tmp_path: Path) -> None:
    project = project_with(tmp_path, hub, 'large = { hf = "org/tiny", file = "*.gguf" }\n')
    project.cape("lock").succeeded()
    ninety = len(LARGE) * 9 // 10
    hub.files.faults[BLOB] = [Fault(truncate_after=ninety), *[Fault(status=503)] * 9]
    project.cape("sync").failed(SOURCE, "did not answer")
    hub.files.faults[BLOB] = []
    hub.files.requests.clear()
    project.cape("sync").succeeded()
    (asked,) = [span for path, span in hub.files.requests if path.startswith(BLOB)]
    assert asked == f"bytes={ninety}-"


def test_other_bytes_are_refused_and_nothing_is_made(hub: ModelHub, tmp_path: Path) -> None:
    project = project_with(tmp_path, hub, 'large = { hf = "org/tiny", file = "*.gguf" }\n')
    project.cape("lock").succeeded()
    before = project.state()
    hub.files.always[BLOB] = Fault(alter=True)
    project.cape("sync").failed(INTEGRITY, "is not what the lock says")
    assert project.state() == before


def test_a_licence_that_policy_forbids_is_refused_with_its_line(hub: ModelHub, tmp_path: Path) -> None:
    policy = '[options]\nallow-licences = ["Apache-2.0"]\n\n'
    project = project_with(tmp_path, hub, 'large = { hf = "org/tiny", file = "*.gguf" }\n', more=policy)
    project.cape("lock").failed(STATE, "cape.toml:11:1", "has the licence `mit`")
    assert not project.lock.exists()
    text = project.manifest.read_text()
    project.manifest.write_text(text.replace("Apache-2.0", "MIT"))
    project.cape("lock").succeeded()
    project.manifest.write_text(text)
    project.cape("lock", "--check").failed(STATE, "allow-licences")
    project.cape("sync").failed(STATE, "has the licence `mit`")


def test_a_pickle_is_refused_with_its_line_and_a_dangerous_one_even_when_allowed(
    hub: ModelHub, tmp_path: Path
) -> None:
    project = project_with(tmp_path, hub, 'm = { hf = "org/risky", file = "fine.bin" }\n')
    project.cape("lock").failed(STATE, "cape.toml:8:1", "is a pickle", "allow-pickle")
    text = project.manifest.read_text()
    project.manifest.write_text(text.replace('"fine.bin"', '"fine.bin", allow-pickle = true'))
    project.cape("sync").succeeded()
    project.manifest.write_text(text.replace('"fine.bin"', '"weights.bin", allow-pickle = true'))
    project.cape("lock").failed(STATE, "cape.toml:8:1", "would call `posix.system`")
    named = '"weights.bin", allow-pickle = ["posix.system"]'
    project.manifest.write_text(text.replace('"fine.bin"', named))
    project.cape("sync").succeeded()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_model_that_does_not_fit_is_said_before_it_is_brought(hub: ModelHub, tmp_path: Path) -> None:
    project = project_with(tmp_path, hub, 'large = { hf = "org/tiny", file = "*.gguf" }\n')
    with small_disk(project.store, "512k"):
        project.cape("sync").failed(STATE, "there is no room for", "are free")
    assert hub.files.requests == []


def test_models_of_every_kind_are_shared_with_their_artifacts(hub: ModelHub, tmp_path: Path) -> None:
    project = every_kind(tmp_path, hub)
    project.cape("sync").succeeded()
    key = project.cape("key", "new", "me").succeeded().stdout.strip()
    project.cape("push", str(tmp_path / "place"), "--with-artifacts").succeeded()
    (tmp_path / "elsewhere").mkdir()
    away = {
        "CAPE_STORE": str(tmp_path / "other"),
        "CAPE_OFFLINE": "1",
        "XDG_CONFIG_HOME": str(tmp_path / "c"),
    }
    other = Project(directory=tmp_path / "elsewhere", environment={**project.environment, **away})
    other.cape("key", "trust", key).succeeded()
    other.cape("fork", str(tmp_path / "place")).succeeded()
    wanted = 'cat "$CAPE_MODEL_OWN" "$CAPE_MODEL_LARGE" | wc -c'
    assert int(other.cape("run", "--", "sh", "-c", wanted).succeeded().stdout) == 2 * len(LARGE) + 3
