"""What is said before a server starts: the real command, with registries on loopback."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, INTEGRITY, STATE, USAGE, Project, World, make_writable, world_at
from tests.models.weights import safetensors
from tests.serving_models.tiny import decoder

SYSTEMS = 'systems = ["x86_64-linux"]'
VLLM = '{ pypi = "*", when = "cuda>=12", systems = ["x86_64-linux"] }'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An archive with a Python, and an index with packages that only have the names of servers."""
    with world_at(tmp_path_factory.mktemp("serving")) as running:
        for architecture in ("amd64", "arm64"):
            for name, version in (("python3", "3.13.5-1"), ("libstdc++6", "14.2.0-1")):
                running.archive.add(name, version, architecture=architecture)
        running.publish()
        running.index.add_wheel("xllamacpp", "1.0")
        running.index.add_wheel("nvidia-cuda-runtime-cu12", "12.8.90")
        running.index.add_wheel("vllm", "0.12.0", requires=["nvidia-cuda-runtime-cu12"])
        yield running


def project_with(world: World, *, text: str = "", store: str = "store", **packages: str) -> Project:
    """A project whose models are `writer` (a decoder's shape), `odd` (text) and `large` (safetensors)."""
    models = (
        '\n[models]\nwriter = { path = "writer.gguf" }\nodd = { path = "odd.gguf" }\n'
        'large = { path = "large.safetensors" }\nscene = { path = "scene.onnx" }\n'
    )
    project = world.project(text=models + text, store=store, **packages)
    (project.directory / "writer.gguf").write_bytes(decoder())
    (project.directory / "odd.gguf").write_bytes(b"these are no weights")
    (project.directory / "large.safetensors").write_bytes(safetensors())
    (project.directory / "scene.onnx").write_bytes(b"\x08\x07")
    return project


@pytest.fixture(scope="module")
def ready(world: World) -> Project:
    """One with `xllamacpp`, locked and made."""
    project = project_with(world, xllamacpp='{ pypi = "*" }')
    project.cape("sync", CAPE_GPU="cpu").succeeded()
    return project


def test_unknown_model_names_the_nearest(ready: Project) -> None:
    ready.cape("serve-model", "writr").failed(INPUT, "no model `writr`", "did you mean `writer`?")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "0"), "`0` is no port"),
        (("--port", "65536"), "`65536` is no port"),
        (("--context", "many"), "`many` is no number of tokens"),
        (("--parallel", "-1"), "`-1` is no number of answers at once"),
        (("--parallel", "٣"), "is no number of answers at once"),
    ],
)
def test_numbers_that_cannot_be_are_refused(ready: Project, words: tuple[str, ...], said: str) -> None:
    name, value = words
    ready.cape("serve-model", "writer", f"{name}={value}").failed(USAGE, said)


def test_environment_without_a_server_is_told_what_to_add(world: World) -> None:
    project = project_with(world)
    project.cape("lock").succeeded()
    done = project.cape("serve-model", "writer", CAPE_GPU="cpu")
    done.failed(STATE, "no `xllamacpp`, which serves `writer`", 'xllamacpp = { pypi = "*" }', "--add")
    assert not (project.directory / ".cape/current").exists(), "nothing was made for it"


def test_file_that_is_no_model_is_told(ready: Project) -> None:
    ready.cape("serve-model", "odd", CAPE_GPU="cpu").failed(INPUT, "models/odd/odd.gguf")


def test_format_that_nobody_serves_is_told(ready: Project) -> None:
    done = ready.cape("serve-model", "scene", CAPE_GPU="cpu")
    done.failed(INPUT, "`scene` is `scene.onnx`", "llama.cpp serves GGUF files")


def test_safetensors_want_a_gpu(ready: Project) -> None:
    done = ready.cape("serve-model", "large", CAPE_GPU="cpu")
    done.failed(INPUT, "vLLM serves, and that needs a GPU", "here is cpu", "--gpu cuda12 --dry-run")


def test_vllm_is_wanted_in_the_lock_for_a_gpu(ready: Project) -> None:
    done = ready.cape("serve-model", "large", "--gpu", "cuda12", "--dry-run")
    done.failed(STATE, "no `vllm`", 'when = "cuda"')


def test_vllm_for_another_machine_is_planned_from_the_lock_alone(world: World) -> None:
    project = project_with(world, vllm=VLLM)
    project.manifest.write_text(re.sub(r"systems = \[.*\]", SYSTEMS, project.manifest.read_text(), count=1))
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    words = ("serve-model", "large", "--gpu", "cuda12", "--dry-run", "--parallel", "8", "--json")
    told = json.loads(project.cape(*words).succeeded().stdout)
    assert told["engine"] == "vllm"
    assert told["command"].startswith('exec vllm serve "$CAPE_ENV/models/large" --served-model-name large')
    assert '--port "$PORT" --max-model-len 4096 --max-num-seqs 8' in told["command"]
    assert {"source": "pypi", "name": "vllm", "version": "0.12.0"} in told["packages"]
    assert not (project.directory / ".cape/current").exists()
    done = project.cape("serve-model", "large", "--gpu", "cuda11", "--dry-run")
    done.failed(STATE, "no `vllm`")


def test_more_context_than_memory_holds_is_told_with_what_fits(ready: Project) -> None:
    done = ready.cape("serve-model", "writer", "--context", "16000000", "--parallel", "100", CAPE_GPU="cpu")
    done.failed(STATE, "`writer` takes up to", "100 x 16000000 tokens", "are free", "`--context 2048` fits")


def test_weights_that_are_more_than_memory_are_told_before_they_are_brought(
    world: World, ready: Project
) -> None:
    project = world.clone(ready, store="store")
    size = len(decoder())
    text = project.lock.read_text()
    project.lock.write_text(text.replace(f'"file-size":"{size}"', f'"file-size":"{10**16}"'))
    done = project.cape("serve-model", "writer", CAPE_GPU="cpu")
    done.failed(STATE, "the weights of `writer` are 10,000,000,000 MB", "a smaller quantisation")
    assert not (project.directory / ".cape/current").exists()


def test_file_that_is_not_the_locked_one_is_never_served(world: World) -> None:
    project = project_with(world, store="spoilt", xllamacpp='{ pypi = "*" }')
    project.cape("sync", CAPE_GPU="cpu").succeeded()
    file = Path(project.cape("run", "--", "printenv", "CAPE_MODEL_WRITER").succeeded().stdout.strip())
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.parent.chmod(0o755)
    file.unlink()
    file.write_bytes(data)
    done = project.cape("serve-model", "writer", CAPE_GPU="cpu")
    done.failed(INTEGRITY, "the file of `writer` has sha256:", "and the lock says sha256:")
    make_writable(file.parent.parent.parent)
    shutil.rmtree(file.parent.parent.parent)
    project.cape("sync", CAPE_GPU="cpu").succeeded()
    assert file.read_bytes() == decoder(), "what is removed is made anew"


def test_port_that_is_taken_is_told_with_who_has_it_and_nothing_is_kept(ready: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        try:
            done = ready.cape("serve-model", "writer", "--port", str(port), CAPE_GPU="cpu")
            done.failed(STATE, f"port {port} is taken by", "(pid ")
        finally:
            ready.cape("services", "down").succeeded()
    assert json.loads((ready.directory / ".cape/services/asked.json").read_text()) == {}


def test_server_that_does_not_start_is_told_with_its_words_and_not_kept(ready: Project) -> None:
    """The package has only the name: importing what it lacks ends the program."""
    try:
        done = ready.cape("serve-model", "writer", CAPE_GPU="cpu")
        done.failed(STATE, "service `model-writer` failed")
    finally:
        ready.cape("services", "down").succeeded()
    assert json.loads(ready.cape("services", "status", "--json").succeeded().stdout)["services"] == []


def test_service_of_the_manifest_keeps_its_name(world: World, ready: Project) -> None:
    project = world.clone(ready, store="store")
    with project.manifest.open("a") as stream:
        stream.write('\n[services.model-writer]\ncommand = "true"\n')
    done = project.cape("serve-model", "writer", "--dry-run", CAPE_GPU="cpu")
    done.failed(INPUT, "has a service `model-writer` already", "`cape services up model-writer`")


def test_stale_lock_is_told_by_a_dry_run(world: World) -> None:
    project = project_with(world, xllamacpp='{ pypi = "*" }')
    project.cape("serve-model", "writer", "--dry-run").failed(STATE, "run `cape lock`")


def test_dry_run_tells_command_packages_and_limit_and_starts_nothing(ready: Project) -> None:
    words = ("serve-model", "writer", "--dry-run", "--json", "--port", "8080", "--parallel", "2")
    told = json.loads(ready.cape(*words, CAPE_GPU="cpu").succeeded().stdout)
    assert (told["service"], told["engine"], told["port"], told["url"]) == (
        "model-writer",
        "llama.cpp",
        8080,
        None,
    )
    assert told["context"] == 2048, "no more than the model was trained with"
    assert told["limit_bytes"] == told["needed_bytes"] * 11 // 10 + (64 << 20)
    assert {"source": "pypi", "name": "xllamacpp", "version": "1.0"} in told["packages"]
    assert f'"limit_bytes": {told["limit_bytes"]}' in told["command"]
    told_in_words = ready.cape("serve-model", "writer", "--dry-run", CAPE_GPU="cpu").succeeded().stdout
    assert "pypi:xllamacpp 1.0" in told_in_words
    assert "and is held to" in told_in_words
